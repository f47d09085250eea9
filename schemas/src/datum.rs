//! The Avro binary encoding of the types that the wire's own records use.
//!
//! Written by hand because these few fixed schemas pass ten thousand times a second: one allocation a
//! write, and reading is bounded by construction. No length is trusted beyond what remains of the
//! input, nothing recurses, and an array's items each take at least one byte. Tests hold it equal to
//! apache-avro's generic codec in both directions.

use crate::known::RecordKind;

/// A record of the wire that reads and writes its own fields.
pub(crate) trait Datum: Sized {
    /// The schema it is written with.
    const KIND: RecordKind;

    /// Returns at least the bytes that [`Datum::write`] adds, so that one allocation is enough.
    fn size_max(&self) -> usize;

    /// Appends the fields in the schema's order.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the fields in the schema's order.
    fn read(input: &mut Input<'_>) -> Result<Self, String>;
}

/// The most bytes that an `int`, a `long`, a length or a branch takes.
pub(crate) const VARINT_LEN_MAX: usize = 10;

/// Says how many bytes a string or bytes field takes at most.
pub(crate) fn bytes_size(bytes: impl AsRef<[u8]>) -> usize {
    VARINT_LEN_MAX + bytes.as_ref().len()
}

/// The same for a field that may be null.
pub(crate) fn option_size(bytes: Option<impl AsRef<[u8]>>) -> usize {
    1 + bytes.map_or(0, bytes_size)
}

pub(crate) fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

pub(crate) fn write_int(out: &mut Vec<u8>, value: i32) {
    write_long(out, i64::from(value));
}

pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    write_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn write_len(out: &mut Vec<u8>, len: usize) {
    write_long(
        out,
        i64::try_from(len).expect("nothing in memory is longer than i64::MAX"),
    );
}

/// Writes `["null", X]`, where X is string or bytes.
pub(crate) fn write_option(out: &mut Vec<u8>, bytes: Option<impl AsRef<[u8]>>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            out.push(2);
            write_bytes(out, bytes);
        }
    }
}

/// Writes `["null", "long"]`.
pub(crate) fn write_optional_long(out: &mut Vec<u8>, value: Option<i64>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(2);
            write_long(out, value);
        }
    }
}

pub(crate) fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// What remains of a datum.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    /// What lists may still take in memory: an item can be far larger there than on the wire.
    lists_rest: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], allocation_max: usize) -> Self {
        Self {
            rest: bytes,
            lists_rest: allocation_max,
        }
    }

    pub(crate) fn long(&mut self) -> Result<i64, String> {
        let mut value = 0_u64;
        for (i, byte) in self.rest.iter().take(VARINT_LEN_MAX).enumerate() {
            // The tenth byte has room for one bit only.
            if i == VARINT_LEN_MAX - 1 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(if self.rest.len() < VARINT_LEN_MAX {
            "it ends within a number".to_owned()
        } else {
            "a number has more than 64 bits".to_owned()
        })
    }

    pub(crate) fn int(&mut self) -> Result<i32, String> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| format!("{value} is no int"))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(format!(
                "{len} bytes are announced, {} remain",
                self.rest.len()
            ));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take gives what was asked for"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let len = self.long()?;
        let len = usize::try_from(len).map_err(|_| format!("{len} is no length"))?;
        self.take(len)
    }

    pub(crate) fn vec(&mut self) -> Result<Vec<u8>, String> {
        self.bytes().map(<[u8]>::to_vec)
    }

    pub(crate) fn string(&mut self) -> Result<String, String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| "a string is not UTF-8".to_owned())
    }

    /// Reads the branch of `["null", X]`: whether X follows.
    pub(crate) fn present(&mut self) -> Result<bool, String> {
        match self.long()? {
            0 => Ok(false),
            1 => Ok(true),
            branch => Err(format!("a union has no branch {branch}")),
        }
    }

    pub(crate) fn optional_string(&mut self) -> Result<Option<String>, String> {
        Ok(if self.present()? {
            Some(self.string()?)
        } else {
            None
        })
    }

    pub(crate) fn optional_vec(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(if self.present()? {
            Some(self.vec()?)
        } else {
            None
        })
    }

    pub(crate) fn optional_long(&mut self) -> Result<Option<i64>, String> {
        Ok(if self.present()? {
            Some(self.long()?)
        } else {
            None
        })
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, String> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(format!("{other:?} is no boolean")),
        }
    }

    /// Reads an enum's symbol by its place in `symbols`.
    pub(crate) fn symbol<T: Copy>(&mut self, symbols: &[T]) -> Result<T, String> {
        let place = self.int()?;
        usize::try_from(place)
            .ok()
            .and_then(|place| symbols.get(place).copied())
            .ok_or_else(|| format!("an enum has no symbol {place}"))
    }

    /// Reads an array whose items take at least one byte each.
    pub(crate) fn items<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(items);
            }
            for _ in 0..count {
                // A list that grows is held twice for a moment, once with room for as much again.
                self.lists_rest = self
                    .lists_rest
                    .checked_sub(3 * size_of::<T>())
                    .ok_or_else(|| format!("a list of more than {} items", items.len()))?;
                items.push(read(self)?);
            }
        }
    }

    /// Reads the head of a block; 0 ends the list. No block is longer than what remains of the input.
    pub(crate) fn block(&mut self) -> Result<usize, String> {
        let count = self.long()?;
        if count < 0 {
            // A negative count is followed by the block's size in bytes, which readers may skip by.
            let size = self.long()?;
            if usize::try_from(size).is_err() {
                return Err(format!("{size} is no block size"));
            }
        }
        let count = count.unsigned_abs();
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(format!(
                "{count} items are announced, {} bytes remain",
                self.rest.len()
            )),
        }
    }

    pub(crate) fn end(&self) -> Result<(), String> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(format!("{len} bytes follow its end")),
        }
    }
}

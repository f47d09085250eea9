//! The records inside a batch, one after the other, whatever compresses them.

use std::io::{self, BufRead};

use super::batch::{BatchHeader, HEADER_LEN, base_offset};
use super::codec::unfolded;

/// What a walk tells of a record. Values and headers are stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Counted from the batch's first offset.
    pub(crate) offset_delta: i32,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// Whether it has a value; one without is a tombstone where keys count.
    pub(crate) has_value: bool,
}

/// A walk through the records of one batch.
pub(crate) struct Records<'a> {
    bytes: Bytes<'a>,
    header: BatchHeader,
    left: i32,
    key: Vec<u8>,
}

/// Where they come from. Most are not compressed, and are then read as what they are.
enum Bytes<'a> {
    Plain(&'a [u8]),
    Folded(Box<dyn BufRead + 'a>),
}

impl<'a> Records<'a> {
    /// Begins at the first record of a batch whose header was checked.
    pub(crate) fn of(batch: &'a [u8]) -> io::Result<Records<'a>> {
        let header = BatchHeader::read(batch);
        let records = &batch[HEADER_LEN..];
        Ok(Records {
            bytes: if header.is_compressed() {
                Bytes::Folded(unfolded(header.attributes, records)?)
            } else {
                Bytes::Plain(records)
            },
            header,
            left: header.record_count,
            key: Vec::new(),
        })
    }

    /// Returns the next record, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the bytes are not records, end early, or unfold to more than a batch may. The walk is over then.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.left < 1 {
            return Ok(None);
        }
        self.left -= 1;
        match &mut self.bytes {
            Bytes::Plain(bytes) => read(bytes, &self.header, &mut self.key),
            Bytes::Folded(bytes) => read(&mut **bytes, &self.header, &mut self.key),
        }
        .map(Some)
    }

    /// Whether all bytes were records.
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        let is_empty = match &mut self.bytes {
            Bytes::Plain(bytes) => bytes.is_empty(),
            Bytes::Folded(bytes) => bytes.fill_buf()?.is_empty(),
        };
        Ok(self.left < 1 && is_empty)
    }
}

/// Reads one record. What it has of a key is in `key`.
#[inline]
fn read<'k>(
    bytes: &mut (impl BufRead + ?Sized),
    header: &BatchHeader,
    key: &'k mut Vec<u8>,
) -> io::Result<Record<'k>> {
    let mut record = Part {
        bytes,
        left: u64::MAX,
    };
    record.left = u64::try_from(record.varint()?).map_err(io::Error::other)?;
    record.skip(1)?; // Attributes, of which there are none.
    let timestamp = record.varint()?;
    let offset_delta = i32::try_from(record.varint()?).map_err(io::Error::other)?;
    let key_length = record.varint()?;
    key.clear();
    if let Ok(key_length) = u64::try_from(key_length) {
        record.read(key_length, key)?;
    }
    let value_length = record.varint()?;
    record.skip(record.left)?;
    Ok(Record {
        offset_delta,
        timestamp: if header.is_log_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.wrapping_add(timestamp)
        },
        key: (key_length >= 0).then_some(&key[..]),
        has_value: value_length >= 0,
    })
}

/// So many of the bytes that come.
struct Part<'a, B: BufRead + ?Sized> {
    bytes: &'a mut B,
    left: u64,
}

impl<B: BufRead + ?Sized> Part<'_, B> {
    /// Bytes that are at hand and belong here; at least one.
    fn at_hand(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = self.bytes.fill_buf()?;
        let bytes = &bytes[..bytes.len().min(left)];
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.consume(count);
        self.left -= count as u64;
    }

    /// Takes one zigzag-encoded number.
    #[inline]
    fn varint(&mut self) -> io::Result<i64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let (mut used, mut ended) = (0, false);
            for &byte in self.at_hand()? {
                if shift > 63 {
                    return Err(io::Error::other("a number never ends"));
                }
                value |= u64::from(byte & 0x7f) << shift;
                (used, shift, ended) = (used + 1, shift + 7, byte & 0x80 == 0);
                if ended {
                    break;
                }
            }
            self.consume(used);
            if ended {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
    }

    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let most = usize::try_from(count).unwrap_or(usize::MAX);
            let step = self.at_hand()?.len().min(most);
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }

    /// Takes bytes. Memory grows with what arrives, not with what is claimed.
    fn read(&mut self, mut count: u64, into: &mut Vec<u8>) -> io::Result<()> {
        while count > 0 {
            let most = usize::try_from(count).unwrap_or(usize::MAX);
            let bytes = self.at_hand()?;
            let step = bytes.len().min(most);
            into.extend_from_slice(&bytes[..step]);
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

/// Finds the first record at or after `from` whose timestamp is at or after `timestamp`: its offset and timestamp.
///
/// In a stored batch that cannot be walked, it is the batch's first offset, which is never too late.
pub(crate) fn first_at_or_after(batch: &[u8], timestamp: i64, from: i64) -> Option<(i64, i64)> {
    let header = BatchHeader::read(batch);
    if header.max_timestamp < timestamp {
        return None;
    }
    let base = base_offset(batch);
    let found = Records::of(batch).and_then(|mut records| {
        while let Some(record) = records.next()? {
            let offset = base + i64::from(record.offset_delta);
            if record.timestamp >= timestamp && offset >= from {
                return Ok(Some((offset, record.timestamp)));
            }
        }
        Ok(None)
    });
    found.unwrap_or(Some((base.max(from), header.max_timestamp)))
}

#[cfg(test)]
mod tests {
    use super::super::batch::placed;
    use super::super::batch::tests::{folded, sample};
    use super::*;

    #[test]
    fn a_time_is_found_record_by_record() {
        let batch = placed(sample(-1, -1, -1, &[100, 110, 105, 120]), 50, None);
        assert_eq!(first_at_or_after(&batch, 99, 0), Some((50, 100)));
        assert_eq!(first_at_or_after(&batch, 101, 0), Some((51, 110)));
        assert_eq!(first_at_or_after(&batch, 111, 0), Some((53, 120)));
        assert_eq!(first_at_or_after(&batch, 121, 0), None);
    }

    #[test]
    fn a_time_is_found_inside_a_compressed_batch() {
        for codec in 1..=4 {
            let batch = folded(codec, &sample(-1, -1, -1, &[100, 110, 105, 120]));
            let batch = placed(batch, 50, None);
            assert_eq!(
                first_at_or_after(&batch, 101, 0),
                Some((51, 110)),
                "{codec}"
            );
        }
    }

    #[test]
    fn records_before_the_start_of_the_log_are_not_found() {
        let batch = placed(sample(-1, -1, -1, &[100, 110, 105, 120]), 50, None);
        assert_eq!(first_at_or_after(&batch, 101, 52), Some((52, 105)));
    }

    #[test]
    fn in_a_batch_of_the_brokers_time_every_record_has_it() {
        let batch = placed(sample(-1, -1, -1, &[100, 110]), 50, Some(777));
        assert_eq!(first_at_or_after(&batch, 777, 0), Some((50, 777)));
        assert_eq!(first_at_or_after(&batch, 778, 0), None);
    }

    #[test]
    fn a_walk_tells_keys_times_and_places_and_ends() {
        let batch = sample(-1, -1, -1, &[100, 110]);
        let mut records = Records::of(&batch).unwrap();
        let record = |offset_delta, timestamp| Record {
            offset_delta,
            timestamp,
            key: None,
            has_value: false,
        };
        assert_eq!(records.next().unwrap(), Some(record(0, 100)));
        assert!(!records.is_at_end().unwrap());
        assert_eq!(records.next().unwrap(), Some(record(1, 110)));
        assert_eq!(records.next().unwrap(), None);
        assert!(records.is_at_end().unwrap());
    }

    #[test]
    fn no_changed_byte_makes_the_walk_panic_or_linger() {
        let plain = sample(-1, -1, -1, &[100, 110, 120]);
        for codec in 0..=4 {
            let batch = folded(codec, &plain);
            for at in HEADER_LEN..batch.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = batch.to_vec();
                    changed[at] = value;
                    let Ok(mut records) = Records::of(&changed) else {
                        continue;
                    };
                    while let Ok(Some(_)) = records.next() {}
                }
            }
        }
    }
}

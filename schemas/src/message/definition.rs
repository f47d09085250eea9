//! The source of a definition.

use crate::datum::{Datum, Input, VARINT_LEN_MAX, bytes_size, write_bytes, write_long};
use crate::known::RecordKind;

/// The source of a definition, carried by the journal topic so that it alone can rebuild a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The content hash that sagas pin, which is also the record's key.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// As it was written.
    pub source: String,
    /// When it was first seen, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Definition {
    const KIND: RecordKind = RecordKind::Definition;

    fn size_max(&self) -> usize {
        bytes_size(&self.hash) + bytes_size(&self.name) + bytes_size(&self.source) + VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.hash);
        write_bytes(out, &self.name);
        write_bytes(out, &self.source);
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            hash: input.string()?,
            name: input.string()?,
            source: input.string()?,
            at_ms: input.long()?,
        })
    }
}

//! What a saga that runs as a step of another is asked when that turns back.

use crate::datum::{Datum, Input, VARINT_LEN_MAX, bytes_size, write_bytes, write_long};
use crate::known::RecordKind;
use crate::message::Parent;

/// Asks a child to take back whatever it did; it answers its parent by a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The child, which is also the record's key.
    pub saga: String,
    /// The key under which it is asked: the answer carries it.
    pub idempotency_key: String,
    /// Who asks; the same as in the start.
    pub parent: Parent,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Undo {
    const KIND: RecordKind = RecordKind::Undo;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + bytes_size(&self.idempotency_key)
            + self.parent.size_max()
            + VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_bytes(out, &self.idempotency_key);
        self.parent.write(out);
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            idempotency_key: input.string()?,
            parent: Parent::read(input)?,
            at_ms: input.long()?,
        })
    }
}

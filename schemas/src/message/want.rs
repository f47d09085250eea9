//! What a mailbox is told by a saga that waits.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, write_boolean, write_bytes, write_long,
};
use crate::known::RecordKind;

/// Tells a mailbox that a saga waits for an event, or does no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The key of the mailbox, which is also the record's key.
    pub saga: String,
    /// The saga that waits.
    pub waiter: String,
    /// The occurrence of its step.
    pub step: String,
    /// It waits no more.
    pub cancel: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Want {
    const KIND: RecordKind = RecordKind::Want;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + bytes_size(&self.waiter)
            + bytes_size(&self.step)
            + 1
            + VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_bytes(out, &self.waiter);
        write_bytes(out, &self.step);
        write_boolean(out, self.cancel);
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            waiter: input.string()?,
            step: input.string()?,
            cancel: input.boolean()?,
            at_ms: input.long()?,
        })
    }
}

//! A source record on its way to a saga that waits for it.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option, write_optional_long,
};
use crate::known::RecordKind;
use crate::message::SourcePosition;

/// A source record that a saga may wait for: first for the mailbox of a wait, then, from the mailbox,
/// for the saga that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitEvent {
    /// The key of the mailbox or of the saga, which is also the record's key.
    pub saga: String,
    /// The occurrence that waits; `None` to a mailbox.
    pub step: Option<String>,
    /// The source record, JSON.
    pub value: Vec<u8>,
    /// Where the source record lay.
    pub source: SourcePosition,
    /// To a mailbox: how long it is kept while nobody waits for it, in milliseconds since 1970. `None`: not at all.
    pub until_ms: Option<i64>,
    /// When this message was made, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for WaitEvent {
    const KIND: RecordKind = RecordKind::Event;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + option_size(self.step.as_ref())
            + bytes_size(&self.value)
            + bytes_size(&self.source.topic)
            + 5 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_option(out, self.step.as_ref());
        write_bytes(out, &self.value);
        write_bytes(out, &self.source.topic);
        write_int(out, self.source.partition);
        write_long(out, self.source.offset);
        write_optional_long(out, self.until_ms);
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            step: input.optional_string()?,
            value: input.vec()?,
            source: SourcePosition {
                topic: input.string()?,
                partition: input.int()?,
                offset: input.long()?,
            },
            until_ms: input.optional_long()?,
            at_ms: input.long()?,
        })
    }
}

//! The request for a saga to begin.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option,
};
use crate::known::RecordKind;

/// Where a source event lay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourcePosition {
    /// The source topic.
    pub topic: String,
    /// Its partition, from 0.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
}

/// The step of another saga that a saga runs as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parent {
    /// The saga that asks.
    pub saga: String,
    /// The occurrence of its step.
    pub step: String,
    /// The key under which it asks: the answer carries it.
    pub idempotency_key: String,
}

impl Parent {
    pub(super) fn size_max(&self) -> usize {
        bytes_size(&self.saga) + bytes_size(&self.step) + bytes_size(&self.idempotency_key)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_bytes(out, &self.step);
        write_bytes(out, &self.idempotency_key);
    }

    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            step: input.string()?,
            idempotency_key: input.string()?,
        })
    }
}

/// Asks for a saga to begin; the same key again is the same saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The name of the definition.
    pub definition: String,
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// What it starts from, JSON.
    pub event: Vec<u8>,
    /// Where the event lay; `None` for a start by hand.
    pub source: Option<SourcePosition>,
    /// When the event happened, in milliseconds since 1970.
    pub event_time_ms: i64,
    /// Who asked, for a start by hand.
    pub by: Option<String>,
    /// When this message was made, in milliseconds since 1970.
    pub at_ms: i64,
    /// The saga that runs this one as a step, and is answered when it ends.
    pub parent: Option<Parent>,
}

impl Datum for Start {
    const KIND: RecordKind = RecordKind::Start;

    fn size_max(&self) -> usize {
        bytes_size(&self.definition)
            + bytes_size(&self.saga)
            + bytes_size(&self.event)
            + option_size(self.source.as_ref().map(|source| &source.topic))
            + option_size(self.by.as_ref())
            + self.parent.as_ref().map_or(0, Parent::size_max)
            + 5 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.definition);
        write_bytes(out, &self.saga);
        write_bytes(out, &self.event);
        match &self.source {
            None => write_int(out, 0),
            Some(source) => {
                write_int(out, 1);
                write_bytes(out, &source.topic);
                write_int(out, source.partition);
                write_long(out, source.offset);
            }
        }
        write_long(out, self.event_time_ms);
        write_option(out, self.by.as_ref());
        write_long(out, self.at_ms);
        match &self.parent {
            None => write_int(out, 0),
            Some(parent) => {
                write_int(out, 1);
                parent.write(out);
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            definition: input.string()?,
            saga: input.string()?,
            event: input.vec()?,
            source: if input.present()? {
                Some(SourcePosition {
                    topic: input.string()?,
                    partition: input.int()?,
                    offset: input.long()?,
                })
            } else {
                None
            },
            event_time_ms: input.long()?,
            by: input.optional_string()?,
            at_ms: input.long()?,
            parent: if input.present()? {
                Some(Parent::read(input)?)
            } else {
                None
            },
        })
    }
}

//! A record that could not be read or applied.

use std::fmt;

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_len,
    write_long, write_option,
};
use crate::known::RecordKind;

/// Why a record was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadLetterReason {
    /// No framing that is known.
    Garbage,
    /// A framing that names a schema nobody knows.
    UnknownSchema,
    /// A valid message that does not belong on its topic.
    WrongType,
    /// Larger than the limits allow.
    Oversized,
    /// A key that is missing, not UTF-8, or not the message's.
    BadKey,
    /// It concerns a saga that never began.
    UnknownSaga,
    /// It names a definition that is not loaded.
    UnknownDefinition,
    /// It names an activity that nobody offers.
    UnknownActivity,
    /// It was read, and its saga cannot take it.
    CannotApply,
    /// Its framing is right and its content is not.
    Undecodable,
    /// A reason that this version does not know.
    Other,
}

impl DeadLetterReason {
    const ALL: [Self; 11] = [
        Self::Garbage,
        Self::UnknownSchema,
        Self::WrongType,
        Self::Oversized,
        Self::BadKey,
        Self::UnknownSaga,
        Self::UnknownDefinition,
        Self::UnknownActivity,
        Self::CannotApply,
        Self::Undecodable,
        Self::Other,
    ];

    /// Returns the reason in lower case, as the `dlq-reason` header has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::UnknownSchema => "unknown_schema",
            Self::WrongType => "wrong_type",
            Self::Oversized => "oversized",
            Self::BadKey => "bad_key",
            Self::UnknownSaga => "unknown_saga",
            Self::UnknownDefinition => "unknown_definition",
            Self::UnknownActivity => "unknown_activity",
            Self::CannotApply => "cannot_apply",
            Self::Undecodable => "undecodable",
            Self::Other => "other",
        }
    }

    fn place(self) -> i32 {
        match self {
            Self::Garbage => 0,
            Self::UnknownSchema => 1,
            Self::WrongType => 2,
            Self::Oversized => 3,
            Self::BadKey => 4,
            Self::UnknownSaga => 5,
            Self::UnknownDefinition => 6,
            Self::UnknownActivity => 7,
            Self::CannotApply => 8,
            Self::Undecodable => 9,
            Self::Other => 10,
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One header of a record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Its name; names may repeat.
    pub name: String,
    /// Its bytes; Kafka knows null ones.
    pub value: Option<Vec<u8>>,
}

/// A record that could not be read or applied, whole, so that it can be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why it was set aside.
    pub reason: DeadLetterReason,
    /// The same for people.
    pub detail: String,
    /// The topic it lay on.
    pub topic: String,
    /// Its partition there, from 0.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The record's own timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<HeaderField>,
    /// Who set it aside.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for DeadLetter {
    const KIND: RecordKind = RecordKind::DeadLetter;

    fn size_max(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| bytes_size(&header.name) + option_size(header.value.as_ref()))
            .sum();
        bytes_size(&self.detail)
            + bytes_size(&self.topic)
            + option_size(self.key.as_ref())
            + option_size(self.value.as_ref())
            + headers
            + bytes_size(&self.by)
            + 7 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_int(out, self.reason.place());
        write_bytes(out, &self.detail);
        write_bytes(out, &self.topic);
        write_int(out, self.partition);
        write_long(out, self.offset);
        write_long(out, self.timestamp_ms);
        write_option(out, self.key.as_ref());
        write_option(out, self.value.as_ref());
        if !self.headers.is_empty() {
            write_len(out, self.headers.len());
            for header in &self.headers {
                write_bytes(out, &header.name);
                write_option(out, header.value.as_ref());
            }
        }
        out.push(0);
        write_bytes(out, &self.by);
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            reason: input.symbol(&DeadLetterReason::ALL)?,
            detail: input.string()?,
            topic: input.string()?,
            partition: input.int()?,
            offset: input.long()?,
            timestamp_ms: input.long()?,
            key: input.optional_vec()?,
            value: input.optional_vec()?,
            headers: input.items(|input| {
                Ok(HeaderField {
                    name: input.string()?,
                    value: input.optional_vec()?,
                })
            })?,
            by: input.string()?,
            at_ms: input.long()?,
        })
    }
}

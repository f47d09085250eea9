//! What can go wrong between bytes and messages, one variant per reaction.

use std::fmt;

use crate::DeadLetterReason;

/// Says why bytes are no message.
///
/// Everything but [`DecodeError::Registry`] stays so however often it is tried, and belongs in the dead
/// letters under [`DecodeError::reason`].
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes carry no framing that is known.
    #[error("the bytes are no framed message: {detail}")]
    Garbage {
        /// What was found, for people.
        detail: String,
    },
    /// The framing names a schema that nobody knows.
    #[error("no schema is known under {schema}")]
    UnknownSchema {
        /// What the framing named.
        schema: SchemaRef,
    },
    /// The bytes are a valid message of a type that does not belong here.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The record that was expected.
        expected: &'static str,
        /// The record that the framing names.
        found: String,
    },
    /// Reading it would cost more than [`crate::Limits`] allows.
    #[error("{what} is {size}, more than the limit of {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is, or what it had reached when it was refused.
        size: u64,
        /// The limit that refused it.
        limit: u64,
    },
    /// The framing is right and the content is not.
    #[error("cannot read {record}: {detail}")]
    Malformed {
        /// The record that was being read.
        record: String,
        /// What is wrong, for people.
        detail: String,
    },
}

impl DecodeError {
    /// Returns under which reason the record is set aside; `None` says: try again later.
    pub fn reason(&self) -> Option<DeadLetterReason> {
        match self {
            Self::Garbage { .. } => Some(DeadLetterReason::Garbage),
            Self::UnknownSchema { .. } => Some(DeadLetterReason::UnknownSchema),
            Self::WrongType { .. } => Some(DeadLetterReason::WrongType),
            Self::TooLarge { .. } => Some(DeadLetterReason::Oversized),
            Self::Malformed { .. } => Some(DeadLetterReason::Undecodable),
        }
    }
}

/// Says why a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The broker would refuse it. Writing it again will not help; the work it belongs to fails.
    #[error("{record} of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// The record that was being written.
        record: &'static str,
        /// Its size with its framing, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Names a schema as a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// The CRC-64-AVRO fingerprint of a single-object frame.
    Fingerprint(u64),
    /// The registry id of a Confluent frame.
    Id(u32),
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint {fingerprint:016x}"),
            Self::Id(id) => write!(f, "registry id {id}"),
        }
    }
}

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
    /// The schema cannot be had for now. The record is not to blame: keep it, wait, try again.
    #[error(transparent)]
    Registry(#[from] RegistryError),
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
            Self::Registry(_) => None,
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
    /// The registry did not give the schema's id. Keep the message, wait, try again.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Says why a schema registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It did not answer, or not in time, or not sensibly. Worth retrying.
    #[error("cannot {attempted}: the schema registry is unavailable")]
    Unavailable {
        /// What was asked.
        attempted: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered no: credentials, compatibility, a wrong address. Somebody has to look.
    #[error("the schema registry refused to {attempted} with status {status}: {detail}")]
    Refused {
        /// What was asked.
        attempted: String,
        /// The HTTP status; 200 for an answer without what was asked for.
        status: u16,
        /// What the registry said.
        detail: String,
    },
    /// Its address cannot be used. Found at start, before anything is asked.
    #[error("cannot use the schema registry at {url}: {detail}")]
    BadAddress {
        /// The address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It has no such subject or schema.
    #[error("the schema registry cannot {attempted}, as there is none: {detail}")]
    Missing {
        /// What was asked.
        attempted: String,
        /// What the registry said.
        detail: String,
    },
    /// It gave a schema that cannot be read here. Retrying will not help.
    #[error("schema {id} cannot be used: {detail}")]
    Unusable {
        /// The registry id.
        id: u32,
        /// What is wrong with it.
        detail: String,
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

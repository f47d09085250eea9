//! Messages to framed bytes and back.

use crate::datum::{Datum, Input};
use crate::known::{self, Known, RecordKind};
use crate::message::{
    Act, Command, DeadLetter, Definition, JournalEntry, OrderPlaced, Reply, Start,
};
use crate::{DecodeError, EncodeError, Limits, SchemaRef};

/// The two bytes that begin a single-object frame; the fingerprint follows.
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];
/// The byte that begins a Confluent frame; the registry id follows.
const CONFLUENT: u8 = 0x00;
/// Bytes of the longer frame.
const FRAME_LEN_MAX: usize = 10;

/// What may lie on the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxMessage {
    /// A saga is to begin.
    Start(Start),
    /// A worker answers.
    Reply(Reply),
    /// A person or a tool asks.
    Act(Act),
}

/// Turns messages into framed bytes and back.
///
/// Cheap to clone. Every read is bounded by its [`Limits`] before anything is allocated, and a message
/// above them is refused where it is written, so that no outbox holds what no broker takes.
#[derive(Debug, Clone)]
pub struct Codec {
    limits: Limits,
}

impl Codec {
    /// Writes and reads the single-object framing of the Avro specification; needs no registry.
    pub fn single_object() -> Self {
        Self {
            limits: Limits::default(),
        }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn encode<T: Datum>(&self, record: &T) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(FRAME_LEN_MAX + record.size_max());
        out.extend_from_slice(&SINGLE_OBJECT);
        out.extend_from_slice(&T::KIND.fingerprint().to_le_bytes());
        record.write(&mut out);
        let limit = self.bytes_max(T::KIND);
        if out.len() > limit {
            return Err(EncodeError::TooLarge {
                record: T::KIND.name(),
                size: out.len(),
                limit,
            });
        }
        Ok(out)
    }

    fn decode<T: Datum>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let (writer, body) = self.open(bytes, T::KIND)?;
        if writer.kind != T::KIND {
            return Err(DecodeError::WrongType {
                expected: T::KIND.name(),
                found: writer.kind.name().to_owned(),
            });
        }
        read(body)
    }

    /// Finds out who wrote the bytes, and where the datum begins.
    fn open<'b>(
        &self,
        bytes: &'b [u8],
        expected: RecordKind,
    ) -> Result<(&'static Known, &'b [u8]), DecodeError> {
        let limit = self.bytes_max(expected);
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge {
                what: "a message in bytes",
                size: bytes.len() as u64,
                limit: limit as u64,
            });
        }
        let (schema, body) = split(bytes)?;
        let known = match schema {
            SchemaRef::Fingerprint(fingerprint) => known::by_fingerprint(fingerprint),
            SchemaRef::Id(_) => None,
        };
        let writer = known.ok_or(DecodeError::UnknownSchema { schema })?;
        Ok((writer, body))
    }

    fn bytes_max(&self, kind: RecordKind) -> usize {
        match kind {
            RecordKind::DeadLetter => self.limits.input_bytes_max.saturating_mul(2),
            RecordKind::Start
            | RecordKind::Command
            | RecordKind::Reply
            | RecordKind::Act
            | RecordKind::JournalEntry
            | RecordKind::Definition
            | RecordKind::OrderPlaced => self.limits.input_bytes_max,
        }
    }

    /// Reads whatever may lie on the inbox, by the schema that its frame names.
    ///
    /// # Errors
    ///
    /// [`DecodeError::WrongType`] for a message of another topic; otherwise as the variants say.
    pub fn decode_inbox(&self, bytes: &[u8]) -> Result<InboxMessage, DecodeError> {
        let (writer, body) = self.open(bytes, RecordKind::Reply)?;
        match writer.kind {
            RecordKind::Reply => read(body).map(InboxMessage::Reply),
            RecordKind::Start => read(body).map(InboxMessage::Start),
            RecordKind::Act => read(body).map(InboxMessage::Act),
            RecordKind::Command
            | RecordKind::JournalEntry
            | RecordKind::DeadLetter
            | RecordKind::Definition
            | RecordKind::OrderPlaced => Err(DecodeError::WrongType {
                expected: "a start, a reply or an act",
                found: writer.kind.name().to_owned(),
            }),
        }
    }
}

/// Gives each record its pair of methods, so that callers name what they mean.
macro_rules! records {
    ($($record:ident $encode:ident $decode:ident $noun:literal;)*) => {
        impl Codec {
            $(
                #[doc = concat!("Writes ", $noun, ", framed.")]
                ///
                /// # Errors
                ///
                /// As [`EncodeError`]'s variants say.
                pub fn $encode(&self, record: &$record) -> Result<Vec<u8>, EncodeError> {
                    self.encode(record)
                }

                #[doc = concat!("Reads ", $noun, ", framed.")]
                ///
                /// # Errors
                ///
                /// As [`DecodeError`]'s variants say.
                pub fn $decode(&self, bytes: &[u8]) -> Result<$record, DecodeError> {
                    self.decode(bytes)
                }
            )*
        }
    };
}

records! {
    Command encode_command decode_command "a command";
    Reply encode_reply decode_reply "a reply";
    Start encode_start decode_start "a start";
    Act encode_act decode_act "an act";
    JournalEntry encode_journal_entry decode_journal_entry "a journal entry";
    DeadLetter encode_dead_letter decode_dead_letter "a dead letter";
    Definition encode_definition decode_definition "a definition";
    OrderPlaced encode_order_placed decode_order_placed "the example event";
}

fn read<T: Datum>(body: &[u8]) -> Result<T, DecodeError> {
    let mut input = Input::new(body);
    T::read(&mut input)
        .and_then(|record| input.end().map(|()| record))
        .map_err(|detail| DecodeError::Malformed {
            record: T::KIND.name().to_owned(),
            detail,
        })
}

/// Splits a frame into the schema that it names and the datum.
fn split(bytes: &[u8]) -> Result<(SchemaRef, &[u8]), DecodeError> {
    if let Some(rest) = bytes.strip_prefix(&SINGLE_OBJECT) {
        if let Some((fingerprint, body)) = rest.split_first_chunk::<8>() {
            return Ok((
                SchemaRef::Fingerprint(u64::from_le_bytes(*fingerprint)),
                body,
            ));
        }
    } else if let Some(rest) = bytes.strip_prefix(&[CONFLUENT])
        && let Some((id, body)) = rest.split_first_chunk::<4>()
    {
        return Ok((SchemaRef::Id(u32::from_be_bytes(*id)), body));
    }
    let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
    Err(DecodeError::Garbage {
        detail: format!("{} bytes that begin with [{}]", bytes.len(), head.join(" ")),
    })
}

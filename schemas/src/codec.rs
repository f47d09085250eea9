//! Messages to framed bytes and back.

#[cfg(feature = "registry")]
use std::sync::{Arc, OnceLock};

use crate::datum::{Datum, Input};
#[cfg(feature = "registry")]
use crate::frame::CONFLUENT;
use crate::frame::{self, FRAME_LEN_MAX, SINGLE_OBJECT};
use crate::known::{self, RecordKind};
use crate::message::{
    Act, Command, DeadLetter, Decision, Definition, JournalEntry, OrderPlaced, Reply, Start, Undo,
    WaitEvent, Want,
};
use crate::writer::Writer;
use crate::{DecodeError, EncodeError, Limits, SchemaRef};
#[cfg(feature = "registry")]
use crate::{Registry, RegistryError, wire::Topics};

/// What may lie on the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxMessage {
    /// A saga is to begin.
    Start(Start),
    /// A worker answers, or a saga that runs as a step of another.
    Reply(Reply),
    /// A person or a tool asks.
    Act(Act),
    /// Something happened that a saga may wait for.
    Event(WaitEvent),
    /// A saga waits for an event.
    Want(Want),
    /// A child is to take back what it did.
    Undo(Undo),
    /// A person decides.
    Decision(Decision),
}

/// Turns messages into framed bytes and back.
///
/// Cheap to clone. Every read is bounded by its [`Limits`] before anything is allocated, and a message
/// above them is refused where it is written, so that no outbox holds what no broker takes.
#[derive(Debug, Clone)]
pub struct Codec {
    limits: Limits,
    framing: Framing,
}

#[derive(Debug, Clone)]
enum Framing {
    SingleObject,
    #[cfg(feature = "registry")]
    Confluent {
        registry: Registry,
        /// The registry id of each record, once it is known.
        ids: Arc<[OnceLock<u32>; RecordKind::ALL.len()]>,
    },
}

impl Framing {
    /// Finds a schema by its registry id; without a registry there is none.
    fn writer(&self, id: u32) -> Result<Option<&'static Writer>, DecodeError> {
        match self {
            Self::SingleObject => {
                let _ = id;
                Ok(None)
            }
            #[cfg(feature = "registry")]
            Self::Confluent { registry, .. } => registry.writer_for_record(id),
        }
    }
}

impl Codec {
    /// Writes and reads the single-object framing of the Avro specification; needs no registry.
    pub fn single_object() -> Self {
        Self {
            limits: Limits::default(),
            framing: Framing::SingleObject,
        }
    }

    /// Writes the Confluent framing, reads both.
    ///
    /// The registry is asked for a record's id when the first one is written; [`Codec::register`] at
    /// start keeps that wait off the path of messages.
    #[cfg(feature = "registry")]
    pub fn confluent(registry: Registry) -> Self {
        Self {
            limits: Limits::default(),
            framing: Framing::Confluent {
                registry,
                ids: Arc::new([const { OnceLock::new() }; RecordKind::ALL.len()]),
            },
        }
    }

    /// Registers every record of the wire, and the subjects under which other tools look for a topic's
    /// schemas: TopicName where a topic has one record, TopicRecordName where it has several.
    ///
    /// Does nothing without a registry, and nothing new the second time.
    ///
    /// # Errors
    ///
    /// The first that the registry gives; what was registered until then stays.
    #[cfg(feature = "registry")]
    pub fn register<'a>(
        &self,
        topics: &Topics,
        activities: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), RegistryError> {
        let Framing::Confluent { registry, .. } = &self.framing else {
            return Ok(());
        };
        for kind in RecordKind::ALL {
            if kind != RecordKind::OrderPlaced {
                self.id(kind)?;
            }
        }
        for activity in activities {
            let subject = Registry::subject(&topics.commands(activity));
            registry.register(&subject, RecordKind::Command)?;
        }
        let subject = Registry::subject(&topics.dead_letters());
        registry.register(&subject, RecordKind::DeadLetter)?;
        for (topic, kind) in [
            (topics.inbox(), RecordKind::Start),
            (topics.inbox(), RecordKind::Reply),
            (topics.inbox(), RecordKind::Act),
            (topics.inbox(), RecordKind::Event),
            (topics.inbox(), RecordKind::Want),
            (topics.inbox(), RecordKind::Undo),
            (topics.inbox(), RecordKind::Decision),
            (topics.journal(), RecordKind::JournalEntry),
            (topics.journal(), RecordKind::Definition),
        ] {
            registry.register(&format!("{topic}-{}", kind.name()), kind)?;
        }
        Ok(())
    }

    /// Returns the registry id of a record; `None` without a registry.
    #[cfg(feature = "registry")]
    fn id(&self, kind: RecordKind) -> Result<Option<u32>, RegistryError> {
        let Framing::Confluent { registry, ids } = &self.framing else {
            return Ok(None);
        };
        let known = &ids[kind as usize];
        if let Some(id) = known.get() {
            return Ok(Some(*id));
        }
        // An id belongs to a schema's content, so the record's own name serves as its subject.
        let id = registry.register(kind.name(), kind)?;
        Ok(Some(*known.get_or_init(|| id)))
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn encode<T: Datum>(&self, record: &T) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(FRAME_LEN_MAX + record.size_max());
        self.write_frame(T::KIND, &mut out)?;
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

    fn write_frame(&self, kind: RecordKind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        #[cfg(feature = "registry")]
        if let Some(id) = self.id(kind)? {
            out.push(CONFLUENT);
            out.extend_from_slice(&id.to_be_bytes());
            return Ok(());
        }
        out.extend_from_slice(&SINGLE_OBJECT);
        out.extend_from_slice(&kind.fingerprint().to_le_bytes());
        Ok(())
    }

    fn decode<T: Datum>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let (writer, body) = self.open(bytes, T::KIND)?;
        if writer.kind() != Some(T::KIND) {
            return Err(DecodeError::WrongType {
                expected: T::KIND.name(),
                found: writer.name().to_owned(),
            });
        }
        self.read(writer, body)
    }

    /// Reads a datum: at once where it is byte for byte ours, through the writer's schema where not.
    fn read<T: Datum>(&self, writer: &Writer, datum: &[u8]) -> Result<T, DecodeError> {
        if writer.is_current() {
            return self.read_current(datum);
        }
        self.read_current(&writer.resolve(datum, &self.limits)?)
    }

    fn read_current<T: Datum>(&self, datum: &[u8]) -> Result<T, DecodeError> {
        let mut input = Input::new(datum, self.limits.allocation_max);
        T::read(&mut input)
            .and_then(|record| input.end().map(|()| record))
            .map_err(|detail| DecodeError::Malformed {
                record: T::KIND.name().to_owned(),
                detail,
            })
    }

    /// Finds out who wrote the bytes, and where the datum begins.
    fn open<'b>(
        &self,
        bytes: &'b [u8],
        expected: RecordKind,
    ) -> Result<(&'static Writer, &'b [u8]), DecodeError> {
        let limit = self.bytes_max(expected);
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge {
                what: "a message in bytes",
                size: bytes.len() as u64,
                limit: limit as u64,
            });
        }
        let (schema, body) = frame::split(bytes)?;
        let writer = match schema {
            SchemaRef::Fingerprint(fingerprint) => known::by_fingerprint(fingerprint),
            SchemaRef::Id(id) => self.framing.writer(id)?,
        };
        let writer = writer.ok_or(DecodeError::UnknownSchema { schema })?;
        Ok((writer, body))
    }

    fn bytes_max(&self, kind: RecordKind) -> usize {
        match kind {
            RecordKind::DeadLetter => self.limits.input_bytes_max.saturating_mul(2),
            RecordKind::Start
            | RecordKind::Command
            | RecordKind::Reply
            | RecordKind::Act
            | RecordKind::Event
            | RecordKind::Want
            | RecordKind::Undo
            | RecordKind::Decision
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
        match writer.kind() {
            Some(RecordKind::Reply) => self.read(writer, body).map(InboxMessage::Reply),
            Some(RecordKind::Start) => self.read(writer, body).map(InboxMessage::Start),
            Some(RecordKind::Act) => self.read(writer, body).map(InboxMessage::Act),
            Some(RecordKind::Event) => self.read(writer, body).map(InboxMessage::Event),
            Some(RecordKind::Want) => self.read(writer, body).map(InboxMessage::Want),
            Some(RecordKind::Undo) => self.read(writer, body).map(InboxMessage::Undo),
            Some(RecordKind::Decision) => self.read(writer, body).map(InboxMessage::Decision),
            Some(
                RecordKind::Command
                | RecordKind::JournalEntry
                | RecordKind::DeadLetter
                | RecordKind::Definition
                | RecordKind::OrderPlaced,
            )
            | None => Err(DecodeError::WrongType {
                expected: "a start, a reply, an act, an event, a want, an undo or a decision",
                found: writer.name().to_owned(),
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
    WaitEvent encode_wait_event decode_wait_event "an event";
    Want encode_want decode_want "a want";
    Undo encode_undo decode_undo "an undo";
    Decision encode_decision decode_decision "a decision";
    JournalEntry encode_journal_entry decode_journal_entry "a journal entry";
    DeadLetter encode_dead_letter decode_dead_letter "a dead letter";
    Definition encode_definition decode_definition "a definition";
    OrderPlaced encode_order_placed decode_order_placed "the example event";
}

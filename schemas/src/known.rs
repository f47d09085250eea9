//! The schemas that are compiled in, each parsed once.

use std::sync::LazyLock;

use apache_avro::Schema;

use crate::fingerprint;
use crate::writer::Writer;

/// A record of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// [`crate::Start`]
    Start,
    /// [`crate::Command`]
    Command,
    /// [`crate::Reply`]
    Reply,
    /// [`crate::Act`]
    Act,
    /// [`crate::WaitEvent`]
    Event,
    /// [`crate::Want`]
    Want,
    /// [`crate::Undo`]
    Undo,
    /// [`crate::Decision`]
    Decision,
    /// [`crate::JournalEntry`]
    JournalEntry,
    /// [`crate::DeadLetter`]
    DeadLetter,
    /// [`crate::Definition`]
    Definition,
    /// [`crate::OrderPlaced`], the example event.
    OrderPlaced,
}

impl RecordKind {
    /// Every record, the example event last.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Command,
        Self::Reply,
        Self::Act,
        Self::Event,
        Self::Want,
        Self::Undo,
        Self::Decision,
        Self::JournalEntry,
        Self::DeadLetter,
        Self::Definition,
        Self::OrderPlaced,
    ];

    /// Returns the record's full name in its schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "backstitch.v1.Start",
            Self::Command => "backstitch.v1.Command",
            Self::Reply => "backstitch.v1.Reply",
            Self::Act => "backstitch.v1.Act",
            Self::Event => "backstitch.v1.Event",
            Self::Want => "backstitch.v1.Want",
            Self::Undo => "backstitch.v1.Undo",
            Self::Decision => "backstitch.v1.Decision",
            Self::JournalEntry => "backstitch.v1.JournalEntry",
            Self::DeadLetter => "backstitch.v1.DeadLetter",
            Self::Definition => "backstitch.v1.Definition",
            Self::OrderPlaced => "shop.v1.OrderPlaced",
        }
    }

    /// Returns the text of the schema that it is written with.
    pub fn avsc(self) -> &'static str {
        match self {
            Self::Start => include_str!("../avsc/start.avsc"),
            Self::Command => include_str!("../avsc/command.avsc"),
            Self::Reply => include_str!("../avsc/reply.avsc"),
            Self::Act => include_str!("../avsc/act.avsc"),
            Self::Event => include_str!("../avsc/event.avsc"),
            Self::Want => include_str!("../avsc/want.avsc"),
            Self::Undo => include_str!("../avsc/undo.avsc"),
            Self::Decision => include_str!("../avsc/decision.avsc"),
            Self::JournalEntry => include_str!("../avsc/journal_entry.avsc"),
            Self::DeadLetter => include_str!("../avsc/dead_letter.avsc"),
            Self::Definition => include_str!("../avsc/definition.avsc"),
            Self::OrderPlaced => include_str!("../avsc/order_placed.avsc"),
        }
    }

    /// Returns the schemas that released versions wrote, oldest first.
    pub fn released(self) -> &'static [&'static str] {
        match self {
            Self::Start => &[
                include_str!("../avsc/released/start.1.avsc"),
                include_str!("../avsc/released/start.2.avsc"),
            ],
            Self::Command => &[
                include_str!("../avsc/released/command.1.avsc"),
                include_str!("../avsc/released/command.2.avsc"),
            ],
            Self::Reply => &[include_str!("../avsc/released/reply.1.avsc")],
            Self::Act => &[include_str!("../avsc/released/act.1.avsc")],
            Self::Event => &[include_str!("../avsc/released/event.1.avsc")],
            Self::Want => &[include_str!("../avsc/released/want.1.avsc")],
            Self::Undo => &[include_str!("../avsc/released/undo.1.avsc")],
            Self::Decision => &[include_str!("../avsc/released/decision.1.avsc")],
            Self::JournalEntry => &[include_str!("../avsc/released/journal_entry.1.avsc")],
            Self::DeadLetter => &[include_str!("../avsc/released/dead_letter.1.avsc")],
            Self::Definition => &[include_str!("../avsc/released/definition.1.avsc")],
            Self::OrderPlaced => &[include_str!("../avsc/released/order_placed.1.avsc")],
        }
    }

    /// Returns the CRC-64-AVRO fingerprint of the schema that it is written with.
    pub fn fingerprint(self) -> u64 {
        current(self).fingerprint
    }
}

/// The schema that a record is written with.
pub(crate) struct Current {
    pub(crate) fingerprint: u64,
    pub(crate) schema: Schema,
}

static CURRENT: LazyLock<[Current; RecordKind::ALL.len()]> = LazyLock::new(|| {
    RecordKind::ALL.map(|kind| {
        let text: serde_json::Value =
            serde_json::from_str(kind.avsc()).expect("a test parses every compiled-in schema");
        Current {
            fingerprint: fingerprint::of(&text),
            schema: Schema::parse(&text).expect("a test parses every compiled-in schema"),
        }
    })
});

/// Every compiled-in schema by its fingerprint, current ones first so that the usual search ends early.
static WRITERS: LazyLock<Vec<(u64, Writer)>> = LazyLock::new(|| {
    let current = RecordKind::ALL.iter().map(|kind| kind.avsc());
    let released = RecordKind::ALL.iter().flat_map(|kind| kind.released());
    let mut writers: Vec<(u64, Writer)> = Vec::new();
    for text in current.chain(released.copied()) {
        let writer = Writer::avro(text, &[]).expect("a test parses every compiled-in schema");
        let fingerprint = writer.fingerprint().expect("a compiled-in schema is Avro");
        if writers.iter().all(|(known, _)| *known != fingerprint) {
            writers.push((fingerprint, writer));
        }
    }
    writers
});

/// Finds a compiled-in schema. There are a score at most, so a walk is as fast as a map.
pub(crate) fn by_fingerprint(fingerprint: u64) -> Option<&'static Writer> {
    WRITERS
        .iter()
        .find(|(known, _)| *known == fingerprint)
        .map(|(_, writer)| writer)
}

/// Returns the schema that a record is written with.
pub(crate) fn current(kind: RecordKind) -> &'static Current {
    &CURRENT[kind as usize]
}

//! The schemas that are compiled in, each parsed once.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;

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
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Command,
        Self::Reply,
        Self::Act,
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
            Self::JournalEntry => include_str!("../avsc/journal_entry.avsc"),
            Self::DeadLetter => include_str!("../avsc/dead_letter.avsc"),
            Self::Definition => include_str!("../avsc/definition.avsc"),
            Self::OrderPlaced => include_str!("../avsc/order_placed.avsc"),
        }
    }

    /// Returns the schemas that released versions wrote, oldest first.
    pub fn released(self) -> &'static [&'static str] {
        match self {
            Self::Start => &[include_str!("../avsc/released/start.1.avsc")],
            Self::Command => &[include_str!("../avsc/released/command.1.avsc")],
            Self::Reply => &[include_str!("../avsc/released/reply.1.avsc")],
            Self::Act => &[include_str!("../avsc/released/act.1.avsc")],
            Self::JournalEntry => &[include_str!("../avsc/released/journal_entry.1.avsc")],
            Self::DeadLetter => &[include_str!("../avsc/released/dead_letter.1.avsc")],
            Self::Definition => &[include_str!("../avsc/released/definition.1.avsc")],
            Self::OrderPlaced => &[include_str!("../avsc/released/order_placed.1.avsc")],
        }
    }

    /// Returns the CRC-64-AVRO fingerprint of the schema that it is written with.
    pub fn fingerprint(self) -> u64 {
        KNOWN.fingerprints[self as usize]
    }
}

/// A compiled-in schema, found by its fingerprint.
pub(crate) struct Known {
    pub(crate) kind: RecordKind,
    /// Whether it is the schema that this version writes, byte for byte.
    pub(crate) current: bool,
    pub(crate) fingerprint: u64,
    pub(crate) schema: Schema,
}

struct KnownSchemas {
    fingerprints: [u64; RecordKind::ALL.len()],
    /// Current ones first, so that the usual search ends early.
    all: Vec<Known>,
}

static KNOWN: LazyLock<KnownSchemas> = LazyLock::new(|| {
    let parse = |text| Schema::parse_str(text).expect("a test parses every compiled-in schema");
    let mut all: Vec<Known> = RecordKind::ALL
        .iter()
        .map(|kind| {
            let schema = parse(kind.avsc());
            Known {
                kind: *kind,
                current: true,
                fingerprint: fingerprint(&schema),
                schema,
            }
        })
        .collect();
    let mut fingerprints = [0; RecordKind::ALL.len()];
    for known in &all {
        fingerprints[known.kind as usize] = known.fingerprint;
    }
    for kind in RecordKind::ALL {
        for text in kind.released() {
            let schema = parse(text);
            let fingerprint = fingerprint(&schema);
            if all.iter().all(|known| known.fingerprint != fingerprint) {
                all.push(Known {
                    kind,
                    current: false,
                    fingerprint,
                    schema,
                });
            }
        }
    }
    KnownSchemas { fingerprints, all }
});

/// Finds a compiled-in schema. There are a dozen, so a walk is as fast as a map.
pub(crate) fn by_fingerprint(fingerprint: u64) -> Option<&'static Known> {
    KNOWN
        .all
        .iter()
        .find(|known| known.fingerprint == fingerprint)
}

/// Returns the schema that a record is written with.
pub(crate) fn current(kind: RecordKind) -> &'static Schema {
    &by_fingerprint(kind.fingerprint())
        .expect("every kind is known")
        .schema
}

/// Computes the CRC-64-AVRO fingerprint of a schema's canonical form.
pub(crate) fn fingerprint(schema: &Schema) -> u64 {
    let bytes = schema.fingerprint::<Rabin>().bytes;
    u64::from_le_bytes(bytes.try_into().expect("Rabin gives eight bytes"))
}

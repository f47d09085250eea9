//! Holds the journal topic against the store's journal: whole, the same bytes, in order, and chained.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use backstitch_saga::Saga;
use backstitch_saga::core::mailbox::MAILBOX_HASH;
use backstitch_saga::core::{FailureKind, TurnedBackBy};
use backstitch_schemas::Codec;

/// One transition in the store's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The saga.
    pub saga: String,
    /// Its transition, from 1.
    pub saga_seq: i64,
    /// The entry as it is to be published.
    pub entry: Vec<u8>,
}

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalVerdict {
    /// Transitions in the store.
    pub rows: usize,
    /// Records on the topic, repeated ones counted.
    pub records: usize,
    /// Definitions among them.
    pub definitions: usize,
    /// Sagas whose journal was folded and whose chain of hashes holds.
    pub folded: usize,
    /// Why sagas turned back, by the journal's word, and how many did.
    pub turned_back: BTreeMap<String, usize>,
    /// The status that folding gives, by saga.
    pub status: HashMap<String, String>,
    /// All that is wrong.
    pub wrongs: Vec<String>,
}

/// Compares the store's rows with the topic's values, in the order in which they lie in their partitions.
///
/// A reader of the topic is promised that it may drop what it has seen: the first copies of a saga's entries come in order and
/// without a gap, and a later copy has the same bytes.
pub fn check(rows: &[Row], records: &[Vec<u8>]) -> JournalVerdict {
    let mut verdict = JournalVerdict {
        rows: rows.len(),
        records: records.len(),
        ..JournalVerdict::default()
    };
    let mut stored: HashMap<&str, BTreeMap<i64, &Row>> = HashMap::new();
    for row in rows {
        if stored
            .entry(&row.saga)
            .or_default()
            .insert(row.saga_seq, row)
            .is_some()
        {
            let wrong = format!("{} has two rows {}", row.saga, row.saga_seq);
            verdict.wrongs.push(wrong);
        }
    }
    let codec = Codec::single_object();
    let mut seen: HashMap<String, i64> = HashMap::new();
    let (mut told, mut pinned) = (HashSet::new(), BTreeSet::new());
    for record in records {
        if let Ok(definition) = codec.decode_definition(record) {
            verdict.definitions += 1;
            told.insert(definition.hash);
            continue;
        }
        let entry = match codec.decode_journal_entry(record) {
            Ok(entry) => entry,
            Err(error) => {
                verdict
                    .wrongs
                    .push(format!("a record is no journal entry: {error}"));
                continue;
            }
        };
        let named = format!("{} entry {}", entry.saga, entry.saga_seq);
        if entry.definition_hash != MAILBOX_HASH {
            pinned.insert(entry.definition_hash);
        }
        let row = stored
            .get(entry.saga.as_str())
            .and_then(|of| of.get(&entry.saga_seq));
        match row {
            None => verdict
                .wrongs
                .push(format!("{named} is on the topic and not in the store")),
            Some(row) if row.entry != *record => {
                verdict.wrongs.push(format!(
                    "{named} has other bytes on the topic than in the store"
                ));
            }
            Some(_) => {}
        }
        let last = seen.entry(entry.saga).or_default();
        if entry.saga_seq > *last + 1 {
            verdict
                .wrongs
                .push(format!("{named} came on the topic after entry {last}"));
        }
        *last = entry.saga_seq.max(*last);
    }
    for hash in pinned.iter().filter(|hash| !told.contains(*hash)) {
        let wrong = format!("definition {hash} is not on the topic, and entries are pinned to it");
        verdict.wrongs.push(wrong);
    }
    for (saga, of_saga) in &stored {
        let last = of_saga.keys().next_back().copied().unwrap_or_default();
        let published = seen.get(*saga).copied().unwrap_or_default();
        if published < last {
            verdict.wrongs.push(format!(
                "{saga} is published up to entry {published} of {last}"
            ));
        }
        match fold(&codec, of_saga) {
            Ok(folded) => verdict.took(&folded),
            Err(wrong) => verdict.wrongs.push(wrong),
        }
    }
    verdict.wrongs.sort_unstable();
    verdict
}

impl JournalVerdict {
    fn took(&mut self, saga: &Saga) {
        self.folded += 1;
        self.status
            .insert(saga.key.clone(), saga.status.name().to_owned());
        if let Some(by) = &saga.turned_back {
            *self.turned_back.entry(why(by)).or_default() += 1;
        }
    }

    /// How many turned back because nobody answered in time.
    pub fn unanswered(&self) -> usize {
        self.turned_back
            .get(FailureKind::Unanswered.name())
            .copied()
            .unwrap_or_default()
    }
}

fn why(by: &TurnedBackBy) -> String {
    match by {
        TurnedBackBy::Failure { failure, .. } => failure.kind.name(),
        TurnedBackBy::Cancel(_) => "cancel",
        TurnedBackBy::Deadline => "deadline",
        TurnedBackBy::Parent => "parent",
    }
    .to_owned()
}

/// Folds one saga's journal; the chain of hashes is checked by that.
fn fold(codec: &Codec, rows: &BTreeMap<i64, &Row>) -> Result<Saga, String> {
    let mut saga = None;
    for row in rows.values() {
        let entry = codec
            .decode_journal_entry(&row.entry)
            .map_err(|error| format!("{} row {}: {error}", row.saga, row.saga_seq))?;
        let hash = hex(&entry.hash);
        let previous = saga.as_ref().map(|saga: &Saga| saga.head.clone());
        if hex(&entry.previous_hash) != previous.unwrap_or_else(|| hex(&[0; 32])) {
            return Err(format!(
                "{} row {} names another row before it",
                row.saga, row.saga_seq
            ));
        }
        let seq = u64::try_from(entry.saga_seq).map_err(|error| error.to_string())?;
        let next = Saga::fold(saga, &row.saga, seq, entry.at_ms, &entry.body, &hash);
        saga = Some(next.map_err(|error| error.to_string())?);
    }
    saga.ok_or_else(|| "a saga without rows".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;

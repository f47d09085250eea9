//! Records that are put aside, sent on, or answered for sagas that are not there: rows of their own in
//! the journal, which belong to no saga.

use backstitch_saga::core::Note;
use backstitch_schemas::{DeadLetter, DeadLetterReason, HeaderField};

use super::io::{Effect, Report};
use super::turn::Machine;
use crate::store::{JournalKind, JournalRow, ShardId};

impl Machine {
    /// Puts a record into the dead letters, by way of the journal.
    pub(super) fn bury(&mut self, id: ShardId, letter: DeadLetter) {
        self.counters.dead_letters += 1;
        self.effects.push(Effect::Report(Report::DeadLetter {
            shard: id,
            offset: letter.offset,
            reason: format!("{}: {}", letter.reason, letter.detail),
        }));
        let encoded = self.encode_letter(letter);
        if let Some((letter, entry)) = encoded {
            let record = self.names.dead_letter(&letter, entry.clone());
            self.keep(id, JournalKind::DeadLetter, letter.at_ms, entry);
            self.batch.records.push((id, record));
        }
    }

    pub(super) fn send_on(&mut self, id: ShardId, letter: DeadLetter, partition: i32) {
        self.counters.forwarded += 1;
        if let Some((letter, entry)) = self.encode_letter(letter) {
            self.keep(id, JournalKind::Forward, letter.at_ms, entry);
            let record = self.names.forward(letter, partition);
            self.batch.records.push((id, record));
        }
    }

    fn encode_letter(&self, letter: DeadLetter) -> Option<(DeadLetter, Vec<u8>)> {
        match self.journal_codec.encode_dead_letter(&letter) {
            Ok(entry) => Some((letter, entry)),
            // Kafka carried the record, so it is within a message's limit; only the frame is not.
            Err(_) => {
                let detail = format!("{} (its value was too large to keep)", letter.detail);
                let smaller = DeadLetter {
                    value: None,
                    headers: Vec::new(),
                    detail,
                    ..letter
                };
                let entry = self.journal_codec.encode_dead_letter(&smaller).ok()?;
                Some((smaller, entry))
            }
        }
    }

    fn keep(&mut self, id: ShardId, kind: JournalKind, at_ms: i64, entry: Vec<u8>) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.journal_seq += 1;
            self.batch.bytes += entry.len();
            self.batch.journal.push(JournalRow {
                shard: id,
                seq: shard.journal_seq,
                kind,
                saga_key: String::new(),
                saga_seq: 0,
                at_ms,
                entry,
            });
        }
    }

    /// Answers in the name of a saga that is not there, or is another's: by way of the journal, like a
    /// record that is sent on.
    pub(super) fn answer(&mut self, id: ShardId, note: Note, now_ms: i64) {
        let partitions = self.config.partitions;
        let to = note.to.clone();
        let record = match self.names.note(&self.codec, note, None, partitions, now_ms) {
            Ok(record) => record,
            Err(error) => {
                let what = format!("an answer to {to} cannot be sent: {error}");
                return self.effects.push(Effect::Report(Report::Violation(what)));
            }
        };
        let answered = self
            .shards
            .get(&id)
            .map_or(0, |shard| shard.next_offset - 1);
        let letter = DeadLetter {
            reason: DeadLetterReason::Other,
            detail: "the record there is answered so".to_owned(),
            topic: record.topic.to_string(),
            partition: id.0,
            offset: answered,
            timestamp_ms: now_ms,
            key: record.key.clone(),
            value: record.payload.clone(),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| HeaderField {
                    name: name.to_owned(),
                    value: value.map(<[u8]>::to_vec),
                })
                .collect(),
            by: "orchestrator".to_owned(),
            at_ms: now_ms,
        };
        if let Some((_, entry)) = self.encode_letter(letter) {
            self.keep(id, JournalKind::Forward, now_ms, entry);
            self.batch.records.push((id, record));
        }
    }
}

//! What is checked while the world runs: commits as they happen, records as they arrive.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_broker::OutgoingRecord;
use backstitch_orchestrator::store::{CommitPlan, JournalKind, JournalRow, ShardCommit, ShardId};
use backstitch_saga::core::{Body, NoteBody};
use backstitch_saga::{Direction, Entry, Saga};
use backstitch_schemas::{DeadLetter, InboxMessage};

use super::broker::Stored;
use super::faults::Bug;
use super::world::{Life, World};

/// What names one attempt at one piece of work: saga, occurrence, whether it is the undo, attempt.
type Attempt = (String, String, bool, u32);

/// What is known from commits and arrivals only.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Producers that ended, and until when their records arrive.
    cuts: BTreeMap<(Life, u64), i64>,
    /// How far the group's auto-commit has come.
    auto_committed: BTreeMap<ShardId, i64>,
    /// How far the commits have come, by shard.
    positions: BTreeMap<ShardId, i64>,
    /// Sagas folded from committed journal rows, with their history.
    pub(super) folded: BTreeMap<String, (Saga, Vec<Body>)>,
    /// Commands that a committed journal row asks for.
    asked: BTreeSet<Attempt>,
    /// What committed journal rows say to other sagas and mailboxes: to whom, and what.
    said: BTreeSet<(String, String)>,
    /// Committed transitions, by saga and number.
    pub(super) entries: BTreeMap<(String, i64), Vec<u8>>,
    /// Committed dead letters, by partition and offset.
    pub(super) letters: BTreeMap<(i32, i64), DeadLetter>,
    /// Committed forwards, by partition and offset.
    pub(super) forwards: BTreeMap<(i32, i64), DeadLetter>,
    /// Definitions that committed transitions are pinned to, by hash.
    pub(super) pinned: BTreeSet<String>,
    /// Definitions that arrived on the journal topic, by hash.
    pub(super) told: BTreeSet<String>,
    /// Transitions that arrived on the journal topic.
    pub(super) seen: BTreeSet<(String, i64)>,
    /// Records that nobody can use, by partition and offset.
    pub(super) poison: BTreeMap<(i32, i64), Stored>,
}

impl Judge {
    pub(super) fn cut(&mut self, of: Life, producer: u64, until_ms: i64) {
        self.cuts.entry((of, producer)).or_insert(until_ms);
    }

    pub(super) fn is_cut(&self, of: Life, producer: u64, now: i64) -> bool {
        self.cuts
            .get(&(of, producer))
            .is_some_and(|until| now > *until)
    }

    pub(super) fn auto_commit(&mut self, shard: ShardId, next: i64) {
        let known = self.auto_committed.entry(shard).or_insert(0);
        *known = next.max(*known);
    }

    pub(super) fn auto_committed(&self, shard: ShardId) -> i64 {
        self.auto_committed.get(&shard).copied().unwrap_or(0)
    }
}

impl World {
    /// Looks at a plan that the store has just carried out; `asked_for` is what its maker meant.
    pub(super) fn witness(&mut self, asked_for: &[ShardCommit], plan: &CommitPlan) {
        for shard in asked_for {
            self.mix(u64::from(shard.id.0.unsigned_abs()));
            self.mix(shard.offset_to.unsigned_abs() ^ (shard.journal_seq.unsigned_abs() << 20));
            let position = self.judge.positions.entry(shard.id).or_insert(0);
            if *position != shard.offset_from {
                let (at, from) = (*position, shard.offset_from);
                let id = shard.id.0;
                return self.fail(format!(
                    "S-7: shard {id} stands at {at}, and a commit from {from} went through"
                ));
            }
            *position = shard.offset_to;
        }
        for row in &plan.journal {
            let read = match row.kind {
                JournalKind::Transition => self.witness_transition(row),
                JournalKind::DeadLetter => self.witness_letter(row, false),
                JournalKind::Forward => self.witness_letter(row, true),
            };
            if let Err(what) = read {
                return self.fail(what);
            }
        }
    }

    fn witness_transition(&mut self, row: &JournalRow) -> Result<(), String> {
        if row.saga_seq == 0 {
            return Ok(());
        }
        let entry = self
            .codec
            .decode_journal_entry(&row.entry)
            .map_err(|error| format!("a journal row cannot be read: {error}"))?;
        let hash = entry
            .hash
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let (key, seq) = (row.saga_key.clone(), row.saga_seq);
        let known = self.judge.folded.remove(&key);
        let (saga, mut history) = known.map_or((None, Vec::new()), |(s, h)| (Some(s), h));
        let number = seq.unsigned_abs();
        let saga = Saga::fold(saga, &key, number, entry.at_ms, &entry.body, &hash)
            .map_err(|error| format!("S-6: {error}"))?;
        let body = Entry::read_body(&entry.body).map_err(|error| error.to_string())?;
        for note in Entry::notes(&key, entry.at_ms, &body) {
            self.judge
                .said
                .insert((note.to.clone(), what_is_said(&note.body)));
        }
        for command in Entry::commands(&key, &body) {
            let is_undo = command.direction == Direction::Undo;
            let attempt = (key.clone(), command.occurrence, is_undo, command.attempt);
            self.judge.asked.insert(attempt);
        }
        self.judge.pinned.insert(entry.definition_hash);
        history.push(body);
        self.judge.folded.insert(key.clone(), (saga, history));
        self.judge.entries.insert((key, seq), row.entry.clone());
        Ok(())
    }

    fn witness_letter(&mut self, row: &JournalRow, is_forward: bool) -> Result<(), String> {
        let letter = self
            .codec
            .decode_dead_letter(&row.entry)
            .map_err(|error| format!("a dead letter cannot be read: {error}"))?;
        let at = (letter.partition, letter.offset);
        let kept = if is_forward {
            &mut self.judge.forwards
        } else {
            &mut self.judge.letters
        };
        match kept.insert(at, letter) {
            None => {
                self.mark(if is_forward {
                    "a stray was sent on"
                } else {
                    "a dead letter was written"
                });
                Ok(())
            }
            Some(_) => Err(format!("S-7: the record at {at:?} was put aside twice")),
        }
    }

    /// Looks at a record that reaches its topic: what it says has to be committed (S-3).
    pub(super) fn judge_arrival(&mut self, of: Life, record: &OutgoingRecord) {
        let payload = record.payload.as_deref().unwrap_or_default();
        let definition = self.codec.decode_definition(payload);
        let is_committed = if *record.topic == *self.broker.journal
            && let Ok(definition) = definition
        {
            // It says what anybody may know, whenever it is said.
            let known = [&self.scenario.definition, &self.scenario.successor];
            let is_known = known.iter().any(|known| known.hash == definition.hash);
            self.judge.told.insert(definition.hash);
            is_known
        } else if *record.topic == *self.broker.journal {
            self.codec.decode_journal_entry(payload).is_ok_and(|entry| {
                let at = (entry.saga, entry.saga_seq);
                let is_known = self.judge.entries.get(&at).is_some_and(|e| e == payload);
                self.judge.seen.insert(at);
                is_known
            })
        } else if *record.topic == *self.broker.dead_letters {
            self.codec.decode_dead_letter(payload).is_ok_and(|letter| {
                self.judge.letters.get(&(letter.partition, letter.offset)) == Some(&letter)
            })
        } else if record.topic == self.broker.inbox {
            let is_of = |letter: &DeadLetter| {
                letter.key == record.key && letter.value.as_deref() == Some(payload)
            };
            let key = record.key.as_deref().unwrap_or_default();
            let key = String::from_utf8_lossy(key).into_owned();
            let message = self.codec.decode_inbox(payload);
            let is_said = message
                .ok()
                .and_then(|message| what_says(&message))
                .is_some_and(|what| self.judge.said.contains(&(key, what)));
            is_said || self.judge.forwards.values().any(is_of)
        } else {
            self.codec.decode_command(payload).is_ok_and(|command| {
                let is_undo = command.direction == backstitch_schemas::Direction::Undo;
                let attempt = command.attempt.unsigned_abs();
                let asked = (command.saga, command.step, is_undo, attempt);
                self.judge.asked.contains(&asked)
            })
        };
        // This bug names other steps than were asked for; what comes of it is to be seen.
        if !is_committed && !self.has_bug(Bug::ForwardUndo) {
            let (topic, key) = (&record.topic, record.key.as_deref().unwrap_or_default());
            let key = String::from_utf8_lossy(key);
            self.fail(format!(
                "S-3: process {} sent a record for `{key}` to {topic} that no committed row asks for",
                of.process
            ));
        }
    }
}

/// What names a note among all that are said to the same saga or mailbox.
fn what_is_said(body: &NoteBody) -> String {
    match body {
        NoteBody::Start { start, .. } => {
            let parent = start.parent.as_ref();
            format!("start {:?}", parent.map(|parent| &parent.key))
        }
        NoteBody::Reply(reply) => format!("reply {:?}", reply.key),
        NoteBody::Event(event) => {
            let source = &event.source;
            let at = (&source.topic, source.partition, source.offset);
            format!("event {at:?} {:?}", event.occurrence)
        }
        NoteBody::Want(want) => {
            format!("want {:?}", (&want.saga, &want.occurrence, want.cancel))
        }
        NoteBody::Undo(undo) => format!("undo {:?}", undo.key),
    }
}

/// The same of a record; what sagas never say has no name.
fn what_says(message: &InboxMessage) -> Option<String> {
    match message {
        InboxMessage::Start(start) => {
            let parent = start.parent.as_ref();
            Some(format!("start {:?}", parent.map(|p| &p.idempotency_key)))
        }
        InboxMessage::Reply(reply) => Some(format!("reply {:?}", reply.idempotency_key)),
        InboxMessage::Event(event) => {
            let source = &event.source;
            let at = (&source.topic, source.partition, source.offset);
            Some(format!("event {at:?} {:?}", event.step))
        }
        InboxMessage::Want(want) => Some(format!(
            "want {:?}",
            (&want.waiter, &want.step, want.cancel)
        )),
        InboxMessage::Undo(undo) => Some(format!("undo {:?}", undo.idempotency_key)),
        InboxMessage::Act(_) | InboxMessage::Decision(_) => None,
    }
}

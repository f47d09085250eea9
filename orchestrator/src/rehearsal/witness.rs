//! Who sees each commit as it happens, folds what it says, and holds what leaves against it.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::core::{Body, Course, LineKind, mailbox};
use backstitch_saga::{Change, Direction, Entry, Saga};
use backstitch_schemas::{Codec, Command, JournalEntry};

use super::script::{AskedKind, START};
use crate::store::{CommitPlan, JournalKind, JournalRow, ShardId};

/// Something that a saga has asked for, for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Names it.
    pub mark: String,
    /// Of what kind.
    pub kind: AskedKind,
    /// The saga that asks.
    pub saga: String,
    /// Its occurrence of the step.
    pub occurrence: String,
    /// When it was decided. Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// When its time is up, if it has one.
    pub due_ms: Option<i64>,
    /// When the time of the saga is up, or of one that runs it, if that makes a difference.
    pub deadline_ms: Option<i64>,
    /// Of a wait: the mailbox.
    pub target: Option<String>,
}

/// A saga, folded from its committed journal.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) saga: Saga,
    /// Number, time, body and hash of each entry.
    pub(super) entries: Vec<(u64, i64, Vec<u8>, String)>,
    pub(super) bodies: Vec<Body>,
}

/// What was seen of the commits.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// By key, mailboxes too.
    pub(super) sagas: BTreeMap<String, Watched>,
    /// What stands before the occurrence in a mark, by saga key; empty for the first saga.
    labels: BTreeMap<String, String>,
    /// How far the commits have come, by shard.
    positions: BTreeMap<ShardId, i64>,
    /// Idempotency key and attempt of each command that a committed row asks for.
    commands: BTreeSet<(String, u32)>,
    /// Saga and number of each committed entry that has not arrived on its topic.
    unpublished: BTreeSet<(String, i64)>,
    /// Each transition in the order of the commits: saga, and the position of its body.
    pub(super) order: Vec<(String, usize)>,
    /// Everything that was asked for, in order.
    pub(super) asked: Vec<Asked>,
    /// Records that were put aside, in words.
    pub(super) dead_letters: Vec<String>,
}

impl Witness {
    /// Looks at a plan that was carried out. Returns what was asked for with it.
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub(super) fn see(&mut self, codec: &Codec, plan: &CommitPlan) -> Result<Vec<Asked>, String> {
        for shard in &plan.shards {
            let position = self.positions.entry(shard.id).or_insert(0);
            if *position != shard.offset_from {
                let (id, from) = (shard.id.0, shard.offset_from);
                return Err(format!(
                    "S-7: shard {id} stands at {position}, and a commit from {from} went through"
                ));
            }
            *position = shard.offset_to;
        }
        let before = self.asked.len();
        for row in &plan.journal {
            match row.kind {
                JournalKind::Transition => self.transition(codec, row)?,
                JournalKind::DeadLetter => {
                    let letter = codec.decode_dead_letter(&row.entry);
                    let letter = letter.map_err(|error| format!("S-8: {error}"))?;
                    let key = letter.key.unwrap_or_default();
                    self.dead_letters.push(format!(
                        "a record for `{}` was put aside: {}",
                        String::from_utf8_lossy(&key),
                        letter.detail
                    ));
                }
                // Nothing is sent to a wrong partition here.
                JournalKind::Forward => {
                    return Err("S-7: a record lay in the wrong partition".to_owned());
                }
            }
        }
        Ok(self.asked[before..].to_vec())
    }

    fn transition(&mut self, codec: &Codec, row: &JournalRow) -> Result<(), String> {
        if row.saga_seq == 0 {
            return Ok(());
        }
        let entry: JournalEntry = codec
            .decode_journal_entry(&row.entry)
            .map_err(|error| format!("S-6: a journal row cannot be read: {error}"))?;
        let key = row.saga_key.clone();
        let hash = hex(&entry.hash);
        let seq = row.saga_seq.unsigned_abs();
        let (before, mut entries, mut bodies) = match self.sagas.remove(&key) {
            Some(known) => (Some(known.saga), known.entries, known.bodies),
            None => (None, Vec::new(), Vec::new()),
        };
        let saga = Saga::fold(before, &key, seq, entry.at_ms, &entry.body, &hash)
            .map_err(|error| format!("S-6: {error}"))?;
        let body = Entry::read_body(&entry.body).map_err(|error| format!("S-6: {error}"))?;
        self.unpublished.insert((key.clone(), row.saga_seq));
        self.label(&key);
        let before = self.asked.len();
        for change in &body.changes {
            self.change(&key, change, entry.at_ms);
        }
        self.order.push((key.clone(), bodies.len()));
        entries.push((seq, entry.at_ms, entry.body, hash));
        bodies.push(body);
        let watched = Watched {
            saga,
            entries,
            bodies,
        };
        self.sagas.insert(key.clone(), watched);
        if self.asked.len() > before {
            let deadline_ms = self.deadline_of(&key, entry.at_ms);
            for asked in &mut self.asked[before..] {
                asked.deadline_ms = deadline_ms;
            }
        }
        Ok(())
    }

    /// When the time of a saga is up that goes forward, or of the nearest one above it.
    fn deadline_of(&self, key: &str, at_ms: i64) -> Option<i64> {
        let mut at = Some(key);
        while let Some(saga) = at.and_then(|key| self.sagas.get(key)).map(|one| &one.saga) {
            let is_forward = saga.course == Course::Forward && !saga.status.has_ended();
            let deadline_ms = saga.deadline_ms.filter(|due| is_forward && *due > at_ms);
            if deadline_ms.is_some() {
                return deadline_ms;
            }
            at = saga.parent.as_ref().map(|parent| parent.saga.as_str());
        }
        None
    }

    fn change(&mut self, key: &str, change: &Change, at_ms: i64) {
        let (kind, occurrence, due_ms, target) = if let Change::Requested(request) = change {
            self.commands.insert((request.key.clone(), request.attempt));
            if request.attempt > 1 {
                return;
            }
            let kind = match request.direction {
                Direction::Do => AskedKind::Do,
                Direction::Undo => AskedKind::Undo,
            };
            (kind, &request.occurrence, Some(request.due_ms), None)
        } else if let Change::Asked(ask) = change {
            let kind = match ask.kind {
                LineKind::Do => AskedKind::Do,
                LineKind::Wait => AskedKind::Wait,
                LineKind::Sleep => AskedKind::Sleep,
                LineKind::Approve => AskedKind::Approve,
                LineKind::Run => AskedKind::Run,
            };
            (kind, &ask.occurrence, ask.due_ms, ask.target.clone())
        } else {
            return;
        };
        self.asked.push(Asked {
            mark: self.mark(key, occurrence, kind == AskedKind::Undo),
            kind,
            saga: key.to_owned(),
            occurrence: occurrence.clone(),
            at_ms,
            due_ms,
            deadline_ms: None,
            target,
        });
    }

    /// The world is asked for the event that starts the saga.
    pub(super) fn start_is_asked(&mut self, at_ms: i64) {
        self.asked.push(Asked {
            mark: START.to_owned(),
            kind: AskedKind::Start,
            saga: String::new(),
            occurrence: String::new(),
            at_ms,
            due_ms: None,
            deadline_ms: None,
            target: None,
        });
    }

    /// Gives a saga its label: none for the first, then the definition's name, then `name~2`.
    fn label(&mut self, key: &str) {
        if mailbox::is_mailbox(key) || self.labels.contains_key(key) {
            return;
        }
        let name = definition_of(key);
        let same = |label: &&String| label.split('~').next() == Some(name);
        let label = match (
            self.labels.is_empty(),
            self.labels.values().filter(same).count(),
        ) {
            (true, _) => String::new(),
            (false, 0) => name.to_owned(),
            (false, count) => format!("{name}~{}", count + 1),
        };
        self.labels.insert(key.to_owned(), label);
    }

    /// The mark of an occurrence.
    pub(super) fn mark(&self, saga: &str, occurrence: &str, is_undo: bool) -> String {
        let label = self.labels.get(saga).map_or("", String::as_str);
        let joint = if label.is_empty() { "" } else { "/" };
        let undo = if is_undo { ".undo" } else { "" };
        format!("{label}{joint}{occurrence}{undo}")
    }

    /// The label of a saga; `None` for a mailbox.
    pub(super) fn label_of(&self, saga: &str) -> Option<&str> {
        self.labels.get(saga).map(String::as_str)
    }

    /// Holds a command that leaves against what is committed (S-3).
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub(super) fn command_leaves(&self, command: &Command) -> Result<(), String> {
        let attempt = command.attempt.unsigned_abs();
        let key = &command.idempotency_key;
        if self.commands.contains(&(key.clone(), attempt)) {
            return Ok(());
        }
        Err(format!(
            "S-3: attempt {attempt} of {key} left, and no committed row asks for it"
        ))
    }

    /// Notes that an entry arrived on the journal topic.
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub(super) fn entry_arrives(&mut self, entry: &JournalEntry) -> Result<(), String> {
        let at = (entry.saga.clone(), entry.saga_seq);
        let is_committed = self.sagas.get(&entry.saga).is_some_and(|watched| {
            let seq = entry.saga_seq.unsigned_abs();
            watched.entries.iter().any(|known| known.0 == seq)
        });
        self.unpublished.remove(&at);
        if is_committed {
            Ok(())
        } else {
            let (saga, seq) = at;
            Err(format!(
                "S-3: entry {seq} of {saga} was published and is not committed"
            ))
        }
    }

    /// An entry that was committed and never published, if there is one.
    pub(super) fn unpublished(&self) -> Option<&(String, i64)> {
        self.unpublished.first()
    }
}

/// The name of the definition of a saga.
pub(super) fn definition_of(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

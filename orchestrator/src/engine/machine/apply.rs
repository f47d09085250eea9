//! Messages to transitions: what is waiting is applied in memory, into the open batch.

use std::sync::Arc;

use backstitch_saga::core::{Note, NoteBody, Parent, refuse_start};
use backstitch_saga::{Answer, Ignored, Message, Outcome, Saga, Transition, invariant};
use backstitch_schemas::{Codec, DeadLetterReason, Limits};

use super::hear::Heard;
use super::inbox::{self, Arrival};
use super::io::{Effect, Report};
use super::outbox::journal_entry;
use super::shard::{Cached, Hot, Pending};
use super::turn::Machine;
use crate::store::{JournalKind, JournalRow, ShardId};

impl Machine {
    /// Applies what is waiting, up to the batch's limits, and asks for the sagas that are not at
    /// hand.
    pub(super) fn apply_pending(&mut self, now_ms: i64) {
        let ids: Vec<ShardId> = self.shards.keys().copied().collect();
        // Each turn begins with another shard, so that a full batch starves none.
        let shift = self.turn_count % ids.len().max(1);
        for id in ids[shift..].iter().chain(&ids[..shift]) {
            self.apply_shard(*id, now_ms);
        }
        self.ask_for_missing();
    }

    fn apply_shard(&mut self, id: ShardId, now_ms: i64) {
        loop {
            let is_full = self.is_batch_full();
            let Some(shard) = self.shards.get_mut(&id) else {
                return;
            };
            if is_full || !shard.is_open() || shard.outbox_open {
                return;
            }
            let Some(next) = shard.pending.front() else {
                return;
            };
            if let Some(key) = next.key() {
                match shard.cache.get(key) {
                    None => return,
                    Some(Cached::Ended) if next.needs_ended() => {
                        let key = key.to_owned();
                        return shard.cache.forget(&key);
                    }
                    Some(Cached::Hot(_) | Cached::Ended | Cached::Absent | Cached::Unreadable) => {}
                }
            }
            if let Some(name) = next.definition()
                && self.book.latest(name).is_none()
                && self.asks_for_definitions(now_ms)
            {
                return;
            }
            let Some(shard) = self.shards.get_mut(&id) else {
                return;
            };
            let Some(next) = shard.pending.pop_front() else {
                return;
            };
            self.batch.taken += 1;
            match next {
                Pending::Wake(key) => {
                    self.message(id, &key, &Message::Wake, now_ms);
                    self.reset_timer(id, &key);
                }
                Pending::Record {
                    record,
                    arrival,
                    bytes,
                } => {
                    shard.pending_bytes = shard.pending_bytes.saturating_sub(bytes);
                    shard.next_offset = record.offset + 1;
                    let by = "orchestrator";
                    match arrival {
                        Arrival::Dead { reason, detail } => {
                            let letter = inbox::dead_letter(&record, reason, detail, by, now_ms);
                            self.bury(id, letter);
                        }
                        Arrival::Stray { partition } => {
                            let (reason, detail) = (DeadLetterReason::Other, "stray".to_owned());
                            let letter = inbox::dead_letter(&record, reason, detail, by, now_ms);
                            self.send_on(id, letter, partition);
                        }
                        Arrival::Start {
                            key,
                            definition,
                            start,
                        } => {
                            let begun = self.begin(id, &key, &definition, *start, now_ms);
                            if let Err((reason, detail)) = begun {
                                let letter =
                                    inbox::dead_letter(&record, reason, detail, by, now_ms);
                                self.bury(id, letter);
                            }
                        }
                        Arrival::Message { key, message } => {
                            let heard = self.hear(id, &key, message, now_ms);
                            if let Err((reason, detail)) = heard {
                                let letter =
                                    inbox::dead_letter(&record, reason, detail, by, now_ms);
                                self.bury(id, letter);
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn is_batch_full(&self) -> bool {
        self.batch.taken >= self.config.batch_count_max
            || self.batch.bytes >= self.config.batch_bytes_max
    }

    /// Begins a saga, unless it exists: the same key is the same saga. A parent is told why not.
    fn begin(
        &mut self,
        id: ShardId,
        key: &str,
        name: &str,
        start: backstitch_saga::Start,
        now_ms: i64,
    ) -> Result<(), (DeadLetterReason, String)> {
        let Some(shard) = self.shards.get_mut(&id) else {
            return Ok(());
        };
        match shard.cache.get(key) {
            Some(Cached::Absent) => {}
            Some(Cached::Hot(hot)) => {
                self.counters.ignored += 1;
                let refusal = hot.saga.refusal_of(&start);
                let is_other = hot.saga.event != start.event;
                if hot.saga.status.has_ended() && hot.in_batch == 0 {
                    shard.cache.put(key, Cached::Ended);
                }
                if let Some(note) = refusal {
                    self.answer(id, note, now_ms);
                } else if is_other {
                    self.counters.other_events += 1;
                    let saga = key.to_owned();
                    self.effects
                        .push(Effect::Report(Report::OtherEvent { saga }));
                }
                return Ok(());
            }
            Some(Cached::Ended | Cached::Unreadable) | None => {
                self.counters.ignored += 1;
                return Ok(());
            }
        }
        let found = match self.book.latest(name) {
            None => Err((
                DeadLetterReason::UnknownDefinition,
                "unknown_definition",
                format!("no definition is named `{name}`"),
            )),
            Some(definition) => match definition.event_misfit(&start.event) {
                Some(detail) => Err((DeadLetterReason::CannotApply, "input_misfit", detail)),
                None => Ok(Arc::clone(definition)),
            },
        };
        let definition = match found {
            Ok(definition) => definition,
            Err((reason, code, detail)) => {
                if let Some(parent) = &start.parent {
                    let note = refuse_start(parent, key, code, detail.clone());
                    self.answer(id, note, now_ms);
                }
                return Err((reason, detail));
            }
        };
        let Some(shard) = self.shards.get_mut(&id) else {
            return Ok(());
        };
        let (saga, transition) = Saga::start(&definition, start, now_ms);
        self.counters.started += 1;
        shard.cache.put(
            key,
            Cached::Hot(Box::new(Hot {
                saga,
                definition,
                stored_wake_ms: None,
                in_batch: 0,
            })),
        );
        self.take_in(id, key, transition, now_ms);
        Ok(())
    }

    /// Applies a message to a saga or a mailbox.
    pub(super) fn message(
        &mut self,
        id: ShardId,
        key: &str,
        message: &Message,
        now_ms: i64,
    ) -> Heard {
        let Some(shard) = self.shards.get_mut(&id) else {
            return Heard::Yes;
        };
        match shard.cache.get(key) {
            Some(Cached::Hot(_)) => {}
            Some(Cached::Ended) => {
                self.counters.ignored += 1;
                return Heard::Yes;
            }
            Some(Cached::Absent) => {
                if let Some(heard) = self.message_to_nobody(id, key, message, now_ms) {
                    return heard;
                }
            }
            Some(Cached::Unreadable) | None => {
                return match message {
                    Message::Wake => Heard::Yes,
                    Message::Reply(_)
                    | Message::Act(_)
                    | Message::Event(_)
                    | Message::Decision(_)
                    | Message::Want(_)
                    | Message::Undo(_) => Heard::Unknown,
                };
            }
        }
        let Some(shard) = self.shards.get_mut(&id) else {
            return Heard::Yes;
        };
        shard.cache.touch(key);
        let Some(hot) = shard.cache.hot_mut(key) else {
            return Heard::Yes;
        };
        match hot.saga.advance(&hot.definition, message, now_ms) {
            Outcome::Ignored(Ignored::MailboxFull) => return Heard::Full,
            Outcome::Ignored(_) => self.counters.ignored += 1,
            Outcome::Advanced(transition) => self.take_in(id, key, *transition, now_ms),
        }
        Heard::Yes
    }

    /// Takes a transition into the open batch: journal row, saga row, records, timer.
    pub(super) fn take_in(&mut self, id: ShardId, key: &str, transition: Transition, now_ms: i64) {
        let mut too_large = Vec::new();
        let mut refusals = Vec::new();
        {
            let Some(shard) = self.shards.get_mut(&id) else {
                return;
            };
            let horizon_ms = shard.horizon_ms;
            shard.journal_seq += 1;
            let shard_seq = shard.journal_seq;
            let Some(hot) = shard.cache.hot_mut(key) else {
                return;
            };
            if hot.in_batch != self.batch.number {
                hot.in_batch = self.batch.number;
                self.batch.sagas.push((id, key.to_owned()));
            }
            let due = hot.saga.wake_at_ms();
            hot.stored_wake_ms = match (due, hot.stored_wake_ms) {
                (None, _) => None,
                // An early wake-up is harmless; a changed column would cost an index entry.
                (Some(due), Some(stored)) if due <= horizon_ms && stored <= due => Some(stored),
                (Some(due), _) => Some(due),
            };
            let trace = hot.saga.trace.clone();
            let saga_seq = i64::try_from(transition.entry.seq).unwrap_or(i64::MAX);
            let at_ms = transition.entry.at_ms;
            let hash = &hot.definition.hash;
            let parked = hot.saga.parked.clone();
            if let Err(violation) = invariant::never_forgotten(&hot.saga) {
                self.counters.violations += 1;
                let report = Report::Violation(violation.to_string());
                self.effects.push(Effect::Report(report));
            }
            if let Some(parked) = parked {
                self.effects.push(Effect::Report(Report::Parked {
                    saga: key.to_owned(),
                    reason: parked.reason,
                }));
            }
            let record = journal_entry(transition.entry, id, shard_seq, hash, trace.as_deref());
            shard.timers.set(key, due.filter(|due| *due <= horizon_ms));
            for command in transition.commands {
                let named = (command.occurrence.clone(), command.direction);
                let (attempt, idempotency_key) = (command.attempt, command.key.clone());
                match self
                    .names
                    .command(&self.codec, command, trace.as_deref(), id, at_ms)
                {
                    Ok(record) => {
                        self.batch.bytes += record.payload.as_ref().map_or(0, Vec::len);
                        self.batch.records.push((id, record));
                    }
                    Err(error) => {
                        too_large.push((named, attempt, idempotency_key, error.to_string()));
                    }
                }
            }
            let partitions = self.config.partitions;
            for note in transition.notes {
                let child = refusable(&note);
                let to = note.to.clone();
                let trace = trace.as_deref();
                match self.names.note(&self.codec, note, trace, partitions, at_ms) {
                    Ok(record) => {
                        self.batch.bytes += record.payload.as_ref().map_or(0, Vec::len);
                        self.batch.records.push((id, record));
                    }
                    Err(error) => match child {
                        Some(parent) => refusals.push((parent, to, error.to_string())),
                        None => {
                            let what = format!("what {key} says to {to} cannot be sent: {error}");
                            let report = Report::Violation(what);
                            self.effects.push(Effect::Report(report));
                        }
                    },
                }
            }
            let entry = self
                .journal_codec
                .encode_journal_entry(&record)
                .unwrap_or_else(|_| plain_entry(&record));
            let row = JournalRow {
                shard: id,
                seq: shard_seq,
                kind: JournalKind::Transition,
                saga_key: key.to_owned(),
                saga_seq,
                at_ms,
                entry,
            };
            self.batch.bytes += row.entry.len();
            if self.config.publishes_journal {
                let record = self.names.transition(&row, trace.as_deref());
                self.batch.records.push((id, record));
            }
            self.batch.journal.push(row);
            self.counters.transitions += 1;
        }
        // What cannot be sent was not done: the step is refused, and the saga goes its way.
        for ((occurrence, direction), attempt, idempotency_key, reason) in too_large {
            let message = Message::Reply(backstitch_saga::core::Reply {
                occurrence,
                direction,
                key: idempotency_key,
                attempt,
                answer: Answer::Refused {
                    code: "command_not_sendable".to_owned(),
                    reason,
                },
                worker: None,
            });
            self.message(id, key, &message, now_ms);
        }
        for (parent, child, reason) in refusals {
            let note = refuse_start(&parent, &child, "start_not_sendable", reason);
            if let NoteBody::Reply(reply) = note.body {
                self.message(id, key, &Message::Reply(reply), now_ms);
            }
        }
    }

    /// After a wake-up that changed nothing, the timer still has to be set.
    fn reset_timer(&mut self, id: ShardId, key: &str) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.reset_timer(key);
        }
    }

    /// Asks the store for the sagas that wait for being at hand: all of them at once.
    fn ask_for_missing(&mut self) {
        if self.is_loading {
            return;
        }
        let mut keys = Vec::new();
        let mut of = Vec::new();
        let mut unique = std::collections::BTreeSet::new();
        for shard in self
            .shards
            .values()
            .filter(|s| s.is_open() && !s.outbox_open)
        {
            let before = keys.len();
            for key in shard.pending.iter().filter_map(Pending::key) {
                if keys.len() >= self.config.load_count_max {
                    break;
                }
                if shard.cache.get(key).is_none() && unique.insert(key.to_owned()) {
                    keys.push(key.to_owned());
                }
            }
            if keys.len() > before {
                of.push((shard.id, shard.epoch));
            }
        }
        if !keys.is_empty() {
            self.is_loading = true;
            self.counters.loads += 1;
            self.effects.push(Effect::Load { shards: of, keys });
        }
    }
}

/// The parent that is told if a note cannot be sent: one that asks for a child.
fn refusable(note: &Note) -> Option<Parent> {
    match &note.body {
        NoteBody::Start { start, .. } => start.parent.clone(),
        NoteBody::Reply(_) | NoteBody::Event(_) | NoteBody::Want(_) | NoteBody::Undo(_) => None,
    }
}

/// An entry in the framing that needs no registry, whatever its size. Every reader takes it.
fn plain_entry(record: &backstitch_schemas::JournalEntry) -> Vec<u8> {
    Codec::single_object()
        .with_limits(Limits {
            input_bytes_max: usize::MAX / 2,
            ..Limits::default()
        })
        .encode_journal_entry(record)
        .expect("without registry and limit, encoding cannot fail")
}

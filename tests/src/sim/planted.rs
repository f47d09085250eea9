//! Where the planted bugs sit. Without one, everything here passes through as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_broker::{IncomingRecord, OutgoingRecord};
use backstitch_orchestrator::store::{CommitPlan, JournalKind, ShardId};
use backstitch_saga::definition::{Undo, Verb};
use backstitch_saga::{Definition, Entry, LineStatus, Saga};
use backstitch_schemas::{Command, Direction, Reply};

use super::faults::Bug;
use super::scenario::topics;
use super::world::{Life, World};

/// By altered key: the step and the key that were asked for.
pub(super) type Altered = BTreeMap<String, (String, String)>;

/// The definition as a deployment without the undo of its first undoable step has it.
pub(super) fn forget_undo(mut definition: Definition) -> Definition {
    for step in &mut definition.steps {
        let Verb::Do(work) = &mut step.verb else {
            continue;
        };
        if matches!(work.undo, Undo::Same | Undo::Other(_)) {
            work.undo = Undo::Nothing;
            break;
        }
    }
    match definition.checked() {
        Ok((definition, _)) => definition,
        Err(wrong) => panic!("the definition is wrong: {wrong:?}"),
    }
}

impl World {
    /// The plan as a store with fewer guards takes it, if it has fewer.
    pub(super) fn weaken(&mut self, plan: &CommitPlan) -> Option<CommitPlan> {
        let bug = self.bug?;
        if bug == Bug::JournalApart {
            return self.lose_rows(plan);
        }
        let is_unguarded = matches!(bug, Bug::NoGuard | Bug::RetryInDoubtUnguarded);
        let no_epoch = is_unguarded || bug == Bug::NoEpochGuard;
        let no_position = is_unguarded || bug == Bug::NoPositionGuard;
        if !no_epoch && !no_position {
            return None;
        }
        let mut plan = plan.clone();
        for row in self.store.shards_now(&[]) {
            let Some(shard) = plan.shards.iter_mut().find(|s| s.id == row.id) else {
                continue;
            };
            if no_epoch {
                shard.epoch = row.epoch;
            }
            if no_position {
                shard.offset_from = row.inbox_next_offset;
                shard.offset_to = shard.offset_to.max(row.inbox_next_offset);
                shard.journal_seq = row.journal_seq;
                for entry in plan.journal.iter_mut().filter(|e| e.shard == row.id) {
                    shard.journal_seq += 1;
                    entry.seq = shard.journal_seq;
                }
                shard.published_seq = shard.published_seq.min(shard.journal_seq);
            }
        }
        Some(plan)
    }

    fn lose_rows(&mut self, plan: &CommitPlan) -> Option<CommitPlan> {
        if self.is_healed || !self.rng.happens(30) {
            return None;
        }
        let mut plan = plan.clone();
        for row in &mut plan.journal {
            row.saga_key.clear();
            row.saga_seq = 0;
            row.kind = JournalKind::Transition;
            row.entry.clear();
        }
        Some(plan)
    }

    /// A record as it really leaves.
    pub(super) fn garble(&mut self, mut record: OutgoingRecord) -> Option<OutgoingRecord> {
        let is_planted = self.has_bug(Bug::AttemptInKey) || self.has_bug(Bug::ForwardUndo);
        if !is_planted || !record.topic.contains(".commands.") {
            return Some(record);
        }
        let payload = record.payload.as_deref().unwrap_or_default();
        let mut command = self.codec.decode_command(payload).ok()?;
        let asked = (command.step.clone(), command.idempotency_key.clone());
        if self.has_bug(Bug::AttemptInKey) {
            command.idempotency_key += &format!("@{}", command.attempt);
        } else if command.direction == Direction::Undo {
            self.mirror(&mut command);
            record.topic = Arc::from(topics().commands(&command.activity));
        }
        self.altered.insert(command.idempotency_key.clone(), asked);
        record.payload = self.codec.encode_command(&command).ok();
        Some(record)
    }

    /// Makes the undo of the newest step that of the oldest, and so on.
    fn mirror(&self, command: &mut Command) {
        let rows = self.store.load_now(std::slice::from_ref(&command.saga));
        let Some(saga) = rows
            .first()
            .and_then(|row| serde_json::from_slice::<Saga>(&row.state).ok())
        else {
            return;
        };
        let is_undoable = |step: &str| self.scenario.undoable.get(step) == Some(&true);
        let of: Vec<_> = saga
            .lines
            .iter()
            .filter(|l| is_undoable(&l.step))
            .filter(|l| !matches!(l.status, LineStatus::Refused | LineStatus::Waived))
            .collect();
        let Some(place) = of.iter().position(|l| l.occurrence == command.step) else {
            return;
        };
        let line = of[of.len() - 1 - place];
        let step = self
            .scenario
            .definition
            .steps
            .iter()
            .find(|s| s.id == line.step);
        let Some(Verb::Do(work)) = step.map(|step| &step.verb) else {
            return;
        };
        command.activity = match &work.undo {
            Undo::Other(other) => other.activity.clone(),
            Undo::Same | Undo::Nothing | Undo::Absent => work.activity.clone(),
        };
        command.step.clone_from(&line.occurrence);
        command.done_key = Some(format!("{}/{}/do", saga.key, line.occurrence));
        command.idempotency_key = format!("{}/{}/undo", saga.key, line.occurrence);
    }

    /// The answer to an altered command, as one to what was asked for.
    pub(super) fn mirror_reply(&self, mut reply: Reply) -> Reply {
        if let Some((step, key)) = self.altered.get(&reply.idempotency_key) {
            reply.step.clone_from(step);
            reply.idempotency_key.clone_from(key);
        }
        reply
    }

    /// Sends the commands of a plan that is not committed yet.
    pub(super) fn publish_before_commit(&mut self, of: Life, plan: &CommitPlan) {
        let mut commands = Vec::new();
        for row in &plan.journal {
            if row.kind == JournalKind::Transition
                && let Ok(entry) = self.codec.decode_journal_entry(&row.entry)
                && let Ok(body) = Entry::read_body(&entry.body)
            {
                let of_row = Entry::commands(&row.saga_key, &body);
                commands.extend(of_row.into_iter().map(|command| (row.shard, command)));
            }
        }
        for (shard, command) in commands {
            let record = self.record_of(shard, command);
            let partition = self.broker.place(&record);
            let producer = self.processes[of.process].producer;
            self.arrive(of, producer, record, partition);
        }
    }

    fn record_of(&self, shard: ShardId, command: backstitch_saga::Command) -> OutgoingRecord {
        let topic: Arc<str> = Arc::from(topics().commands(&command.activity));
        let record = Command {
            definition: super::scenario::NAME.to_owned(),
            step: command.occurrence,
            direction: match command.direction {
                backstitch_saga::Direction::Do => Direction::Do,
                backstitch_saga::Direction::Undo => Direction::Undo,
            },
            attempt: i32::try_from(command.attempt).unwrap_or(i32::MAX),
            activity: command.activity,
            idempotency_key: command.key,
            done_key: command.done_key,
            input: command.input.as_str().as_bytes().to_vec(),
            output: command.output.map(|o| o.as_str().as_bytes().to_vec()),
            reply_topic: self.broker.inbox.to_string(),
            reply_partition: shard.0,
            sent_at_ms: self.now,
            deadline_ms: command.due_ms,
            heartbeat_ms: command.heartbeat_ms.and_then(|ms| i64::try_from(ms).ok()),
            saga: command.saga,
        };
        let payload = self.codec.encode_command(&record).unwrap_or_default();
        let mut outgoing = OutgoingRecord::new(topic, payload);
        outgoing.key = Some(record.saga.into_bytes());
        outgoing
    }

    /// Records as they really reach the machine, and where reading goes on if not after them.
    pub(super) fn choke(
        &self,
        shard: ShardId,
        mut records: Vec<IncomingRecord>,
    ) -> (Vec<IncomingRecord>, Option<i64>) {
        let is_poison = |r: &IncomingRecord| self.judge.poison.contains_key(&(shard.0, r.offset));
        if self.has_bug(Bug::PoisonSwallowed) {
            records.retain(|record| !is_poison(record));
            return (records, None);
        }
        if self.has_bug(Bug::PoisonBlocks)
            && let Some(place) = records.iter().position(is_poison)
        {
            let back_to = records[place].offset;
            records.truncate(place);
            return (records, Some(back_to));
        }
        (records, None)
    }
}

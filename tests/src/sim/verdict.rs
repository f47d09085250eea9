//! What is checked when all is settled.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_orchestrator::store::{MemorySnapshot, SagaRow, SagaStatus};
use backstitch_saga::{LineStatus, Saga, Status, invariant};
use backstitch_schemas::Direction;

use super::workers::Deed;
use super::world::World;

impl World {
    /// Whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        self.is_healed && self.unrest().is_empty()
    }

    /// What is left to do, in words.
    pub(super) fn unrest(&self) -> String {
        let mut left = Vec::new();
        let keys: Vec<String> = self.ordered.iter().cloned().collect();
        let rows = self.store.load_now(&keys);
        if rows.len() < self.scenario.sagas {
            left.push(format!("{} of {} sagas", rows.len(), self.scenario.sagas));
        }
        for row in rows.iter().filter(|row| row.ended_at_ms.is_none()) {
            left.push(format!("{} is {}", row.key, row.status.name()));
        }
        for shard in self.store.shards_now(&[]) {
            let end = self.broker.end(&self.broker.inbox, shard.id.0);
            if shard.inbox_next_offset < end || shard.published_seq < shard.journal_seq {
                left.push(format!("{shard:?}, its inbox ends at {end}"));
            }
        }
        if self.on_the_way > 0 {
            left.push(format!("{} records are on their way", self.on_the_way));
        }
        if !self.workers_are_idle() {
            left.push("workers are at work".to_owned());
        }
        if !self.group.is_quiet() {
            left.push("partitions are moving".to_owned());
        }
        left.join("; ")
    }

    pub(super) fn judge_all(&mut self) {
        let snapshot = self.store.snapshot();
        let judged = self
            .judge_journal(&snapshot)
            .and_then(|()| self.judge_sagas(&snapshot.sagas))
            .and_then(|()| self.judge_letters());
        for saga in &snapshot.sagas {
            self.mark(match saga.status {
                SagaStatus::Completed => "a saga completed",
                SagaStatus::Compensated => "a saga was compensated",
                SagaStatus::Running
                | SagaStatus::Compensating
                | SagaStatus::Parked
                | SagaStatus::Terminated => "a saga ended otherwise",
            });
            self.mix(saga.seq.unsigned_abs());
            self.mix(saga.ended_at_ms.unwrap_or(0).unsigned_abs());
        }
        if let Err(what) = judged {
            self.fail(what);
        }
    }

    fn judge_journal(&self, snapshot: &MemorySnapshot) -> Result<(), String> {
        let mut last = BTreeMap::new();
        for row in &snapshot.journal {
            let before = last.insert(row.shard, row.seq).unwrap_or(0);
            if row.seq != before + 1 {
                let (shard, seq) = (row.shard.0, row.seq);
                return Err(format!("S-7: shard {shard} goes from {before} to {seq}"));
            }
        }
        if let Some(hash) = self.judge.pinned.difference(&self.judge.told).next() {
            return Err(format!("definition {hash} is not on the journal topic"));
        }
        let missing = self
            .judge
            .entries
            .keys()
            .find(|at| !self.judge.seen.contains(at));
        match missing {
            Some(at) => Err(format!("{at:?} was committed and never published")),
            None => Ok(()),
        }
    }

    fn judge_sagas(&self, rows: &[SagaRow]) -> Result<(), String> {
        let stored: BTreeSet<&String> = rows.iter().map(|row| &row.key).collect();
        if !stored.iter().copied().eq(self.ordered.iter()) {
            return Err(format!("S-8: {stored:?} for {:?}", self.ordered));
        }
        for row in rows {
            let saga: Saga = serde_json::from_slice(&row.state)
                .map_err(|error| format!("{} cannot be read: {error}", row.key))?;
            invariant::never_forgotten(&saga).map_err(|v| v.to_string())?;
            invariant::settled_balances(&saga).map_err(|v| v.to_string())?;
            let Some((folded, history)) = self.judge.folded.get(&row.key) else {
                return Err(format!("S-6: {} has no journal", row.key));
            };
            if *folded != saga {
                return Err(format!("S-6: {} is not what its journal says", row.key));
            }
            invariant::history_is_exact(&saga, history).map_err(|v| v.to_string())?;
            self.judge_deeds(&saga)?;
        }
        Ok(())
    }

    /// Holds the ledger of what was really done against the saga's.
    fn judge_deeds(&self, saga: &Saga) -> Result<(), String> {
        let deeds: Vec<&Deed> = self
            .guild
            .ledger
            .iter()
            .filter(|d| d.saga == saga.key)
            .collect();
        let times = |step: &str, direction| {
            let of = |d: &&&Deed| d.step == step && d.direction == direction;
            deeds.iter().filter(of).count()
        };
        let fails = |what: String| Err(format!("{} ({}): {what}", saga.key, saga.status.name()));
        for line in &saga.lines {
            let step = &line.occurrence;
            let (done, undone) = (times(step, Direction::Do), times(step, Direction::Undo));
            let is_undoable = self.is_undoable(&line.step);
            if done > 1 || undone > 1 {
                return fails(format!(
                    "W-1: `{step}` was done {done} and undone {undone} times"
                ));
            }
            let is_right = match line.status {
                LineStatus::Done => (done, undone) == (1, 0),
                LineStatus::Refused => (done, undone) == (0, 0),
                LineStatus::Undone if is_undoable => done == undone,
                LineStatus::Undone => undone == 0,
                LineStatus::Waived => true,
                LineStatus::InFlight
                | LineStatus::Waiting
                | LineStatus::Ambiguous
                | LineStatus::Undoing
                | LineStatus::UndoWaiting
                | LineStatus::Stuck => saga.status == Status::Terminated,
            };
            if !is_right {
                let status = line.status.name();
                return fails(format!(
                    "S-2: `{step}` is {status}, but was done {done} and undone {undone} times"
                ));
            }
        }
        let unknown = deeds.iter().find(|d| saga.line(&d.step).is_none());
        if let Some(deed) = unknown {
            return fails(format!("nobody asked for `{}`", deed.step));
        }
        self.judge_order(saga, &deeds)
    }

    /// What is undone is the newest that still stands.
    fn judge_order(&self, saga: &Saga, deeds: &[&Deed]) -> Result<(), String> {
        let mut standing: Vec<&str> = Vec::new();
        for deed in deeds {
            let Some(line) = saga.line(&deed.step) else {
                continue;
            };
            if line.status == LineStatus::Waived || !self.is_undoable(&line.step) {
                continue;
            }
            match deed.direction {
                Direction::Do => standing.push(&deed.step),
                Direction::Undo if standing.last() == Some(&deed.step.as_str()) => {
                    standing.pop();
                }
                Direction::Undo => {
                    return Err(format!(
                        "S-2: {} undid `{}` while {standing:?} stood",
                        saga.key, deed.step
                    ));
                }
            }
        }
        Ok(())
    }

    fn is_undoable(&self, step: &str) -> bool {
        self.scenario.undoable.get(step).copied().unwrap_or(false)
    }

    /// Every record that nobody can use is among the dead letters as it was, and no other (S-8).
    fn judge_letters(&self) -> Result<(), String> {
        let mut found = BTreeSet::new();
        for stored in self.broker.all(&self.broker.dead_letters) {
            let payload = stored.payload.as_deref().unwrap_or_default();
            let letter = self
                .codec
                .decode_dead_letter(payload)
                .map_err(|error| format!("a dead letter cannot be read: {error}"))?;
            let at = (letter.partition, letter.offset);
            let Some(poison) = self.judge.poison.get(&at) else {
                return Err(format!(
                    "S-8: the record at {at:?} is a dead letter without need: {}",
                    letter.detail
                ));
            };
            let headers = letter
                .headers
                .iter()
                .map(|h| (h.name.as_str(), h.value.as_deref()));
            let is_whole = letter.key == poison.key
                && letter.value == poison.payload
                && letter.timestamp_ms == poison.timestamp_ms
                && headers.eq(poison.headers.iter());
            if !is_whole {
                return Err(format!("S-8: the dead letter of {at:?} was altered"));
            }
            found.insert(at);
        }
        match self.judge.poison.keys().find(|at| !found.contains(at)) {
            Some(at) => Err(format!("S-8: the record at {at:?} is in no dead letter")),
            None => Ok(()),
        }
    }
}

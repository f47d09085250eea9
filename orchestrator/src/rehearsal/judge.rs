//! What is checked when nothing is left to happen: by the rules of the core, and by the book of
//! what really happened.

use std::collections::BTreeSet;

use backstitch_saga::core::{LineKind, Status, mailbox};
use backstitch_saga::definition::{Undo, Verb};
use backstitch_saga::{Direction, Line, LineStatus, Saga, invariant};

use super::witness::{Watched, definition_of};
use super::world::World;
use crate::store::{MemorySnapshot, SagaRow};

impl World<'_> {
    /// Checks everything. What is wrong already stays the first thing that is.
    pub(super) fn judge(&mut self) {
        if self.wrong.is_some() {
            return;
        }
        let snapshot = self.store.snapshot();
        let judged = self
            .judge_letters()
            .and_then(|()| self.judge_sagas(&snapshot))
            .and_then(|()| self.judge_deeds());
        if let Err(what) = judged {
            self.fail(what);
        }
    }

    /// S-8: nothing here is unreadable, so nothing is put aside; and what is committed is published.
    fn judge_letters(&self) -> Result<(), String> {
        // An event that does not fit is told of by the run itself.
        let letter = self.witness.dead_letters.first();
        if let Some(letter) = letter.filter(|_| self.refusal.is_none()) {
            return Err(format!("S-8: {letter}"));
        }
        match self.witness.unpublished() {
            Some((saga, seq)) => Err(format!(
                "S-8: entry {seq} of {saga} was committed and never published"
            )),
            None => Ok(()),
        }
    }

    fn judge_sagas(&self, snapshot: &MemorySnapshot) -> Result<(), String> {
        for row in &snapshot.sagas {
            let Some(watched) = self.witness.sagas.get(&row.key) else {
                return Err(format!("S-6: {} has no journal", row.key));
            };
            let saga = &watched.saga;
            self.judge_row(row, watched)?;
            invariant::never_forgotten(saga).map_err(|v| v.to_string())?;
            invariant::settled_balances(saga).map_err(|v| v.to_string())?;
            invariant::history_is_exact(saga, &watched.bodies).map_err(|v| v.to_string())?;
            self.judge_children(saga)?;
            if !saga.status.has_ended() && saga.parked.is_none() {
                self.judge_open(saga)?;
            }
        }
        Ok(())
    }

    /// S-6: what is stored is what the journal says, which was folded entry by entry as it came. Only
    /// where the two differ is it folded once more, by the rule itself, to say why.
    fn judge_row(&self, row: &SagaRow, watched: &Watched) -> Result<(), String> {
        let stored: Saga = serde_json::from_slice(&row.state)
            .map_err(|error| format!("S-6: {} cannot be read: {error}", row.key))?;
        if stored == watched.saga {
            return Ok(());
        }
        let entries = watched.entries.iter();
        invariant::fold_gives_state(
            &stored,
            entries.map(|(seq, at_ms, body, hash)| (*seq, *at_ms, &body[..], hash.as_str())),
        )
        .map_err(|violation| violation.to_string())?;
        Err(format!("S-6: {} is not what its journal says", row.key))
    }

    /// S-1 from outside: what is open when nothing is left to happen waits for someone outside.
    fn judge_open(&self, saga: &Saga) -> Result<(), String> {
        if mailbox::is_mailbox(&saga.key) {
            return Ok(());
        }
        let waits = |line: &&Line| match line.kind {
            LineKind::Wait | LineKind::Approve => line.status.awaits().is_some(),
            LineKind::Run => line.status.awaits().is_some() && self.child_is_open(line),
            LineKind::Do | LineKind::Sleep => false,
        };
        if saga.lines.iter().any(|line| waits(&line)) {
            return Ok(());
        }
        Err(format!(
            "S-1: {} is {}, and nothing will ever wake it",
            saga.key,
            saga.status.name()
        ))
    }

    fn child(&self, line: &Line) -> Option<&Saga> {
        let key = line.target.as_ref()?;
        self.witness.sagas.get(key).map(|watched| &watched.saga)
    }

    fn child_is_open(&self, line: &Line) -> bool {
        self.child(line)
            .is_some_and(|child| !child.status.has_ended())
    }

    /// A child ends as its parent has it.
    fn judge_children(&self, saga: &Saga) -> Result<(), String> {
        for line in saga.lines.iter().filter(|line| line.kind == LineKind::Run) {
            let child = self.child(line);
            let is_ours = |child: &&Saga| {
                let parent = child.parent.as_ref();
                parent.is_some_and(|p| p.saga == saga.key && p.occurrence == line.occurrence)
            };
            let status = child.filter(is_ours).map(|child| child.status);
            let is_right = match (line.status, status) {
                (LineStatus::Done, Some(status)) => status == Status::Completed,
                (LineStatus::Done, None) => false,
                (LineStatus::Undone, Some(status)) => status == Status::Compensated,
                (LineStatus::Refused, Some(status)) => status == Status::Compensated,
                (_, _) => true,
            };
            if !is_right {
                let how = status.map_or("not there", Status::name);
                return Err(format!(
                    "S-2: `{}` of {} is {}, and its child is {how}",
                    line.occurrence,
                    saga.key,
                    line.status.name()
                ));
            }
        }
        Ok(())
    }

    /// Holds the book of what really happened against the ledgers (S-2, W-1).
    fn judge_deeds(&self) -> Result<(), String> {
        let mut known = BTreeSet::new();
        for watched in self.witness.sagas.values() {
            let saga = &watched.saga;
            for line in saga.lines.iter().filter(|line| line.kind == LineKind::Do) {
                let key = saga.idempotency_key(&line.occurrence, Direction::Do, 1);
                self.judge_deed(saga, line, &key)?;
                known.insert(key);
            }
            self.judge_order(saga)?;
        }
        let deeds = &self.workers.deeds;
        match deeds.iter().find(|deed| !known.contains(&deed.key)) {
            Some(deed) => Err(format!("S-4: nobody asked for {}", deed.key)),
            None => Ok(()),
        }
    }

    fn judge_deed(&self, saga: &Saga, line: &Line, key: &str) -> Result<(), String> {
        let (done, undone) = self.workers.times(key);
        let (name, how) = (&line.occurrence, saga.status.name());
        if done > 1 || undone > 1 {
            return Err(format!(
                "W-1: `{name}` of {} was done {done} and undone {undone} times",
                saga.key
            ));
        }
        let is_undoable = self.is_undoable(saga, &line.step);
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
            | LineStatus::Stuck => match saga.status {
                Status::Completed | Status::Compensated => false,
                Status::Running | Status::Compensating | Status::Parked | Status::Terminated => {
                    true
                }
            },
        };
        if is_right {
            return Ok(());
        }
        Err(format!(
            "S-2: {} is {how} with `{name}` {}, which was done {done} and undone {undone} times",
            saga.key,
            line.status.name()
        ))
    }

    fn is_undoable(&self, saga: &Saga, step: &str) -> bool {
        let step = self.cast.step(definition_of(&saga.key), step);
        let Some(Verb::Do(work)) = step.map(|step| &step.verb) else {
            return false;
        };
        match work.undo {
            Undo::Same | Undo::Other(_) => true,
            Undo::Nothing | Undo::Absent => false,
        }
    }

    /// Of the steps that are not inside others, what is undone is the newest that still stands.
    fn judge_order(&self, saga: &Saga) -> Result<(), String> {
        let mut standing: Vec<&str> = Vec::new();
        for deed in &self.workers.deeds {
            let line = saga.lines.iter().find(|line| {
                let of = format!("{}/{}/do", saga.key, line.occurrence);
                line.place.len() == 1 && deed.key == of
            });
            let Some(line) = line.filter(|line| self.is_undoable(saga, &line.step)) else {
                continue;
            };
            match deed.direction {
                backstitch_schemas::Direction::Do => standing.push(&line.occurrence),
                backstitch_schemas::Direction::Undo
                    if standing.last() == Some(&line.occurrence.as_str()) =>
                {
                    standing.pop();
                }
                backstitch_schemas::Direction::Undo => {
                    return Err(format!(
                        "S-2: {} undid `{}` while {standing:?} stood",
                        saga.key, line.occurrence
                    ));
                }
            }
        }
        Ok(())
    }
}

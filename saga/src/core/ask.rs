//! Asking workers, the clock, people and the world.

use serde_json::Value;

use super::advance::Turn;
use super::change::{Ask, Change, Request};
use super::fate::describe;
use super::forth::Forth;
use super::ledger::{Failure, FailureKind, LineKind, LineStatus};
use super::mailbox;
use super::message::Direction;
use super::outputs::items_of;
use super::retry::backoff_ms;
use super::state::{Parked, ParkedBy};
use crate::definition::{Approve, Do, Retry, Sleep, Step, Timeout, Undo, Verb, Wait};
use crate::expression::{EvaluationError, Expression, key_text, time_ms};
use crate::payload::Payload;

impl<'d> Turn<'d> {
    // ---- workers ---------------------------------------------------------------------------

    pub(super) fn ask(
        &mut self,
        step: &Step,
        work: &Do,
        place: &[u16],
        occurrence: String,
        input: Payload,
    ) {
        let key = self.saga.idempotency_key(&occurrence, Direction::Do, 1);
        let (due_ms, reply_due_ms) = self.limits(&work.timeout, self.at_ms);
        self.emit(Change::Requested(Box::new(Request {
            step: step.id.clone(),
            occurrence,
            place: place.to_vec(),
            pivot: work.pivot,
            direction: Direction::Do,
            attempt: 1,
            new_round: false,
            activity: work.activity.clone(),
            key,
            done_key: None,
            undo_round: None,
            input,
            output: None,
            due_ms,
            reply_due_ms,
            heartbeat_ms: signs_of_life_ms(&work.timeout),
        })));
    }

    /// When an attempt that is sent now counts as unanswered, and when whatever heartbeats say.
    fn limits(&self, timeout: &Timeout, first_at_ms: i64) -> (i64, Option<i64>) {
        let mut reply = self.after(timeout.reply_ms);
        if let Some(total_ms) = timeout.total_ms {
            reply = reply.min(later(first_at_ms, total_ms));
        }
        let due = match timeout.start_ms {
            Some(start_ms) => reply.min(self.after(start_ms)),
            None => reply,
        };
        let differs = due != reply || timeout.heartbeat_ms.is_some();
        (due, differs.then_some(reply))
    }

    /// The limit after a heartbeat.
    pub(super) fn extended_ms(&self, index: usize) -> i64 {
        let line = &self.saga.lines[index];
        let timeout = self.timeout_of(index);
        let extended = match (timeout.heartbeat_ms, line.reply_due_ms) {
            (Some(heartbeat_ms), Some(reply)) => self.after(heartbeat_ms).min(reply),
            // It has begun: now `reply` counts.
            (None, Some(reply)) => reply,
            (_, None) => self.after(timeout.reply_ms),
        };
        match timeout.total_ms {
            Some(total_ms) => extended.min(later(line.round_at_ms, total_ms)),
            None => extended,
        }
    }

    fn timeout_of(&self, index: usize) -> Timeout {
        let line = &self.saga.lines[index];
        let going_back = line.status.awaits() == Some(Direction::Undo);
        match (&self.step_of(&line.place).verb, self.undo_of(index)) {
            (Verb::Do(_), Undo::Other(other)) if going_back => other.timeout,
            (Verb::Do(work), _) => work.timeout,
            (_, _) => Timeout::of_reply(0),
        }
    }

    /// Sends the next attempt of the same work, under the same key.
    pub(super) fn ask_again(&mut self, index: usize, new_round: bool) {
        let line = &self.saga.lines[index];
        let direction = match line.status {
            LineStatus::Stuck | LineStatus::Undoing | LineStatus::UndoWaiting => Direction::Undo,
            LineStatus::InFlight
            | LineStatus::Waiting
            | LineStatus::Ambiguous
            | LineStatus::Done
            | LineStatus::Refused
            | LineStatus::Undone
            | LineStatus::Waived => Direction::Do,
        };
        match (direction, line.kind) {
            (Direction::Undo, LineKind::Run) => return self.ask_child_back(index),
            (Direction::Undo, _) => return self.ask_undo(index, new_round),
            (Direction::Do, LineKind::Do) => {}
            (Direction::Do, _) => return self.ask_anew(index),
        }
        let step = self.step_of(&line.place);
        let Verb::Do(work) = &step.verb else {
            return;
        };
        let first_at_ms = if new_round {
            self.at_ms
        } else {
            line.round_at_ms
        };
        let (due_ms, reply_due_ms) = self.limits(&work.timeout, first_at_ms);
        let request = Request {
            step: line.step.clone(),
            occurrence: line.occurrence.clone(),
            place: line.place.clone(),
            pivot: line.pivot,
            direction,
            attempt: line.attempt.saturating_add(1),
            new_round,
            activity: work.activity.clone(),
            key: self.saga.idempotency_key(&line.occurrence, direction, 1),
            done_key: None,
            undo_round: None,
            input: line.input.clone(),
            output: None,
            due_ms,
            reply_due_ms,
            heartbeat_ms: signs_of_life_ms(&work.timeout),
        };
        self.emit(Change::Requested(Box::new(request)));
    }

    /// Opens a refused step anew. A refusal is remembered under its key (W-1), so this is new work
    /// under a new one.
    pub(super) fn ask_anew(&mut self, index: usize) {
        self.unwant(index);
        let line = &self.saga.lines[index];
        let (place, input) = (line.place.clone(), line.input.clone());
        let step = self.step_of(&place);
        match &step.verb {
            Verb::Do(work) => {
                let occurrence = self.fresh_occurrence(&step.id, &place);
                self.ask(step, work, &place, occurrence, input);
            }
            Verb::Wait(wait) => {
                self.begin_wait(step, wait, &place);
            }
            Verb::Approve(approve) => {
                self.begin_approve(step, approve, &place);
            }
            Verb::Run(run) => {
                self.begin_run(step, run, &place);
            }
            Verb::Sleep(_)
            | Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Each(_)
            | Verb::Repeat(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
    }

    pub(super) fn ask_undo(&mut self, index: usize, new_round: bool) {
        let line = &self.saga.lines[index];
        let step = self.step_of(&line.place);
        let Verb::Do(work) = &step.verb else {
            return;
        };
        let occurrence = line.occurrence.clone();
        let is_first = line.undo_round == 0;
        let (activity, input, timeout) = match &work.undo {
            // Evaluated once: what is asked for under one key is the same each time (S-4).
            Undo::Other(other) if !is_first => {
                let input = line.undo_input.as_ref().unwrap_or(&line.input);
                (other.activity.clone(), input.clone(), other.timeout)
            }
            Undo::Other(other) => {
                let result = line.output.clone();
                match self.fill(&line.place, &other.with, result.as_ref()) {
                    Ok(input) => (other.activity.clone(), input, other.timeout),
                    Err(error) => {
                        let reason = format!(
                            "`undo.with` of step `{}` cannot be evaluated: {error}",
                            line.step
                        );
                        return self.park(ParkedBy::Expression, Some(occurrence), reason);
                    }
                }
            }
            Undo::Same | Undo::Nothing | Undo::Absent => {
                (work.activity.clone(), line.input.clone(), work.timeout)
            }
        };
        let undo_round = self.undo_round(index);
        let attempt = if is_first {
            1
        } else {
            line.attempt.saturating_add(1)
        };
        let first_at_ms = if new_round {
            self.at_ms
        } else {
            line.round_at_ms
        };
        let (due_ms, reply_due_ms) = self.limits(&timeout, first_at_ms);
        let request = Request {
            step: line.step.clone(),
            occurrence: occurrence.clone(),
            place: line.place.clone(),
            pivot: line.pivot,
            direction: Direction::Undo,
            attempt,
            new_round,
            activity,
            key: self
                .saga
                .idempotency_key(&occurrence, Direction::Undo, undo_round),
            done_key: Some(self.saga.idempotency_key(&occurrence, Direction::Do, 1)),
            undo_round: Some(undo_round),
            input,
            output: line.output.clone(),
            due_ms,
            reply_due_ms,
            heartbeat_ms: signs_of_life_ms(&timeout),
        };
        self.emit(Change::Requested(Box::new(request)));
    }

    /// The number of the key under which an undo is asked for now: a new one after a refusal.
    pub(super) fn undo_round(&self, index: usize) -> u32 {
        let line = &self.saga.lines[index];
        let was_refused = line.status == LineStatus::Stuck
            && line
                .failure
                .as_ref()
                .is_some_and(|failure| failure.kind == FailureKind::Refused);
        line.undo_round.max(1) + u32::from(was_refused && line.undo_round > 0)
    }

    /// An attempt failed or was not answered: plans the next one, or gives up.
    pub(super) fn attempt_failed(&mut self, index: usize, failure: Failure) {
        let line = &self.saga.lines[index];
        let Verb::Do(work) = &self.step_of(&line.place).verb else {
            return;
        };
        let occurrence = line.occurrence.clone();
        let going_back = line.status.awaits() == Some(Direction::Undo);
        let (retry, timeout) = match &work.undo {
            Undo::Other(other) if going_back => (&other.retry, &other.timeout),
            Undo::Other(_) | Undo::Same | Undo::Nothing | Undo::Absent => {
                (&work.retry, &work.timeout)
            }
        };
        let attempts = line
            .attempt
            .saturating_sub(line.round_first)
            .saturating_add(1);
        let seed = format!("{}/{occurrence}/{going_back}", self.saga.key);
        let due_ms = self.after(backoff_ms(retry, attempts, &seed));
        let is_final = retry.not.contains(&failure.code);
        let goes_on = (!going_back && self.never_gives_up(index, &failure))
            || (attempts < retry.attempts_max
                && within_budget(retry, timeout, line.round_at_ms, due_ms));
        if goes_on && !is_final {
            self.emit(Change::Backoff {
                occurrence,
                due_ms,
                failure,
            });
        } else if going_back {
            self.stick(occurrence, failure);
        } else {
            self.emit(Change::Doubted {
                occurrence,
                failure,
            });
        }
    }

    pub(super) fn stick(&mut self, occurrence: String, failure: Failure) {
        let words = describe(&failure);
        self.emit(Change::Stuck {
            occurrence: occurrence.clone(),
            failure,
        });
        self.park_stuck(occurrence, &words);
    }

    fn park_stuck(&mut self, occurrence: String, words: &str) {
        let reason = format!("step `{occurrence}` cannot be undone: its undo was {words}");
        self.park(ParkedBy::Stuck, Some(occurrence), reason);
    }

    /// Of several undos that are stuck a person may have seen to one only: once that is over, the
    /// saga is set aside for the next.
    pub(super) fn park_if_stuck(&mut self) {
        if self.saga.parked.is_some() || self.saga.status.has_ended() {
            return;
        }
        let mut lines = self.saga.lines.iter();
        if lines.any(|line| line.status.awaits() == Some(Direction::Undo)) {
            return;
        }
        let mut lines = self.saga.lines.iter();
        let stuck = lines.find(|line| line.status == LineStatus::Stuck);
        if let Some(line) = stuck {
            let unknown = Failure::unanswered();
            let words = describe(line.failure.as_ref().unwrap_or(&unknown));
            self.park_stuck(line.occurrence.clone(), &words);
        }
    }

    pub(super) fn park(&mut self, by: ParkedBy, at: Option<String>, reason: String) {
        if self.saga.parked.is_none() {
            self.emit(Change::Parked(Parked { by, at, reason }));
        }
    }

    // ---- the world, the clock, people --------------------------------------------------------

    pub(super) fn begin_wait(&mut self, step: &'d Step, wait: &'d Wait, place: &[u16]) -> Forth {
        let value = match &wait.matches {
            None => self.saga.business_key().to_owned(),
            Some(matches) => match self.key(place, matches) {
                Ok(value) => value,
                Err(error) => return self.cannot_evaluate("match", step, &error),
            },
        };
        let target = mailbox::key_of(&self.definition.name, &step.id, &value);
        let due_ms = wait.within_ms.map(|within| self.after(within));
        let ask = self.line_for(LineKind::Wait, step, place, Payload::null());
        self.emit(Change::Asked(Box::new(Ask {
            due_ms,
            target: Some(target),
            ..ask
        })));
        Forth::Waits
    }

    pub(super) fn begin_sleep(&mut self, step: &'d Step, sleep: &Sleep, place: &[u16]) -> Forth {
        let due_ms = match sleep {
            Sleep::For(ms) => self.after(*ms),
            Sleep::Until(until) => {
                let read = self.value(place, until).and_then(|value| {
                    time_ms(&value).map_err(|reason| EvaluationError {
                        expression: until.source().to_owned(),
                        at: String::new(),
                        reason,
                    })
                });
                match read {
                    Ok(due_ms) => due_ms,
                    Err(error) => return self.cannot_evaluate("sleep", step, &error),
                }
            }
        };
        let ask = self.line_for(LineKind::Sleep, step, place, Payload::null());
        let occurrence = ask.occurrence.clone();
        self.emit(Change::Asked(Box::new(Ask {
            due_ms: Some(due_ms),
            ..ask
        })));
        if due_ms > self.at_ms {
            return Forth::Waits;
        }
        let output = None;
        self.emit(Change::Done { occurrence, output });
        Forth::Finished
    }

    pub(super) fn begin_approve(
        &mut self,
        step: &'d Step,
        approve: &'d Approve,
        place: &[u16],
    ) -> Forth {
        let shown = match self.fill(place, &approve.show, None) {
            Ok(shown) => shown,
            Err(error) => return self.cannot_evaluate("show", step, &error),
        };
        let due_ms = approve.within_ms.map(|within| self.after(within));
        let ask = self.line_for(LineKind::Approve, step, place, shown);
        self.emit(Change::Asked(Box::new(Ask { due_ms, ..ask })));
        Forth::Waits
    }

    /// A new line for a step that asks no workers.
    pub(super) fn line_for(
        &self,
        kind: LineKind,
        step: &Step,
        place: &[u16],
        input: Payload,
    ) -> Ask {
        Ask {
            kind,
            step: step.id.clone(),
            occurrence: self.fresh_occurrence(&step.id, place),
            place: place.to_vec(),
            due_ms: None,
            target: None,
            definition: None,
            key: None,
            input,
        }
    }

    /// The value of an expression as the key of something.
    pub(super) fn key(
        &self,
        place: &[u16],
        expression: &Expression,
    ) -> Result<String, EvaluationError> {
        let value: Value = self.value(place, expression)?;
        key_text(&value).map_err(|reason| EvaluationError {
            expression: expression.source().to_owned(),
            at: String::new(),
            reason,
        })
    }

    /// The time of a wait or an approval is up.
    pub(super) fn timed_out(&mut self, index: usize) {
        let line = &self.saga.lines[index];
        let failure = Failure {
            kind: FailureKind::Unanswered,
            code: "timeout".to_owned(),
            reason: match line.kind {
                LineKind::Approve => "nobody decided in time",
                LineKind::Do | LineKind::Wait | LineKind::Sleep | LineKind::Run => {
                    "no event came in time"
                }
            }
            .to_owned(),
        };
        let occurrence = line.occurrence.clone();
        self.emit(Change::Refused {
            occurrence,
            failure,
        });
        // While the saga is set aside for it, a late event still counts.
        if !self.would_park(index) {
            self.unwant(index);
        }
    }

    // ---- small questions -------------------------------------------------------------------

    pub(super) fn after(&self, wait_ms: u64) -> i64 {
        later(self.at_ms, wait_ms)
    }

    /// The occurrence of a step at a place: its id, and the items and rounds it lies in.
    pub(super) fn occurrence_at(&self, id: &str, place: &[u16]) -> String {
        let mut occurrence = id.to_owned();
        for depth in (1..place.len()).step_by(2) {
            let around = self.saga.root.at(&place[..depth]);
            let counts =
                around.is_some_and(|part| items_of(part).is_some() || part.runs_in_order());
            if counts && !super::part::is_reaction(place[depth]) {
                occurrence.push_str(&format!("[{}]", place[depth]));
            }
        }
        occurrence
    }

    /// As [`Turn::occurrence_at`], and its number if it was opened before.
    pub(super) fn fresh_occurrence(&self, id: &str, place: &[u16]) -> String {
        let occurrence = if place.len() > 1 {
            self.occurrence_at(id, place)
        } else {
            id.to_owned()
        };
        let lines = self.saga.lines.iter();
        let earlier = lines.filter(|line| line.step == id && line.place == place);
        match earlier.count() {
            0 => occurrence,
            earlier => format!("{occurrence}#{}", earlier + 1),
        }
    }
}

/// How often workers have to say that they are at it. Who must begin in time has to say so too.
fn signs_of_life_ms(timeout: &Timeout) -> Option<u64> {
    let begun = timeout.start_ms.map(|_| timeout.reply_ms);
    timeout.heartbeat_ms.or(begun)
}

fn later(at_ms: i64, wait_ms: u64) -> i64 {
    at_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))
}

fn within_budget(retry: &Retry, timeout: &Timeout, from_ms: i64, due_ms: i64) -> bool {
    let within = |limit: Option<u64>| limit.is_none_or(|limit| due_ms <= later(from_ms, limit));
    within(retry.budget_ms) && within(timeout.total_ms)
}

//! Going forward and going back through the tree of running parts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::advance::Turn;
use super::change::{Change, Request};
use super::ledger::{Failure, FailureKind, LineStatus};
use super::message::Direction;
use super::part::Part;
use super::retry::backoff_ms;
use super::state::{Course, Outputs, Parked, ParkedBy, Status, TurnedBackBy};
use crate::definition::{Do, OnFailure, Retry, Step, Undo, Verb};
use crate::expression::{EvaluationError, Expression, Scope, Template};
use crate::payload::Payload;

/// How far a part has come on the way forward.
enum Forth {
    /// It waits for someone.
    Waits,
    /// It lies behind.
    Finished,
    /// It did not end *done*, and the saga has to turn back.
    Failed {
        occurrence: String,
        failure: Failure,
    },
}

/// How far a part has come on the way back.
enum Back {
    /// It waits for someone.
    Waits,
    /// Nothing of it is left to undo.
    Undone,
}

impl<'d> Turn<'d> {
    /// Goes on until the saga waits for someone, or has ended.
    pub(super) fn proceed(&mut self) {
        if self.saga.parked.is_some() || self.saga.status.has_ended() {
            return;
        }
        if self.saga.course == Course::Forward {
            let definition = self.definition;
            match self.forth_sequence(&definition.steps, &mut Vec::new()) {
                Forth::Waits => return,
                Forth::Finished => return self.complete(),
                Forth::Failed {
                    occurrence,
                    failure,
                } => self.emit(Change::TurnedBack(TurnedBackBy::Failure {
                    occurrence,
                    failure,
                })),
            }
        }
        let root = self.saga.root.clone();
        match self.back(&root) {
            Back::Waits => {}
            Back::Undone => {
                let (status, output) = (Status::Compensated, None);
                self.emit(Change::Ended { status, output });
            }
        }
    }

    fn complete(&mut self) {
        let definition = self.definition;
        let output = match definition.output.as_ref().map(|o| self.fill(o, None)) {
            None => None,
            // In a journal, null and nothing are the same.
            Some(Ok(output)) => Some(output).filter(|output| !output.is_null()),
            Some(Err(error)) => {
                let reason = format!("the output cannot be evaluated: {error}");
                return self.park(ParkedBy::Expression, None, reason);
            }
        };
        let status = Status::Completed;
        self.emit(Change::Ended { status, output });
    }

    // ---- forward ---------------------------------------------------------------------------

    fn forth_sequence(&mut self, steps: &[Step], place: &mut Vec<u16>) -> Forth {
        loop {
            let Some(Part::Sequence { behind, running }) = self.saga.root.at(place) else {
                unreachable!("a sequence of the definition is a sequence of the tree");
            };
            let next = behind.len();
            let entered = running.is_some();
            let Some(step) = steps.get(next) else {
                return Forth::Finished;
            };
            place.push(u16::try_from(next).expect("a definition has at most 1,000 steps"));
            let forth = if entered {
                self.forth_step(step, place)
            } else {
                self.enter_step(step, place)
            };
            let at = place.clone();
            place.pop();
            match forth {
                Forth::Finished => {
                    // A skipped step has left by itself.
                    if self.is_entered(&at) {
                        self.emit(Change::Left { place: at });
                    }
                }
                Forth::Waits | Forth::Failed { .. } => return forth,
            }
        }
    }

    /// Whether the part at a place is the running one of its sequence.
    fn is_entered(&self, place: &[u16]) -> bool {
        let Some((last, parent)) = place.split_last() else {
            return false;
        };
        match self.saga.root.at(parent) {
            Some(Part::Sequence { behind, running }) => {
                behind.len() == usize::from(*last) && running.is_some()
            }
            Some(Part::Do(_) | Part::Skipped) | None => false,
        }
    }

    fn enter_step(&mut self, step: &Step, place: &[u16]) -> Forth {
        if let Some(when) = &step.when {
            match self.holds(when) {
                Ok(true) => {}
                Ok(false) => {
                    let place = place.to_vec();
                    self.emit(Change::Skipped { place });
                    return Forth::Finished;
                }
                Err(error) => {
                    let reason =
                        format!("`when` of step `{}` cannot be evaluated: {error}", step.id);
                    self.park(ParkedBy::Expression, Some(step.id.clone()), reason);
                    return Forth::Waits;
                }
            }
        }
        let Verb::Do(work) = &step.verb else { todo!() };
        match self.fill(&work.with, None) {
            Ok(input) => {
                let occurrence = self.fresh_occurrence(&step.id);
                self.ask(step, work, place, occurrence, input);
            }
            Err(error) => {
                let reason = format!("`with` of step `{}` cannot be evaluated: {error}", step.id);
                self.park(ParkedBy::Expression, Some(step.id.clone()), reason);
            }
        }
        Forth::Waits
    }

    fn forth_step(&mut self, step: &Step, place: &[u16]) -> Forth {
        let Some(&Part::Do(index)) = self.saga.root.at(place) else {
            unreachable!("a step that was entered is a part of the tree");
        };
        let Verb::Do(work) = &step.verb else { todo!() };
        let line = &self.saga.lines[index];
        match line.status {
            LineStatus::InFlight
            | LineStatus::Waiting
            | LineStatus::Undoing
            | LineStatus::UndoWaiting
            | LineStatus::Stuck => Forth::Waits,
            LineStatus::Done | LineStatus::Waived | LineStatus::Undone => Forth::Finished,
            LineStatus::Refused if step.on_failure == OnFailure::Ignore => Forth::Finished,
            LineStatus::Ambiguous if step.on_failure == OnFailure::Ignore => {
                match self.undo(index, work) {
                    Back::Waits => Forth::Waits,
                    Back::Undone => Forth::Finished,
                }
            }
            LineStatus::Refused | LineStatus::Ambiguous => self.failed(step, index),
        }
    }

    /// Turns back or parks, as the step and the pivot have it.
    fn failed(&mut self, step: &Step, index: usize) -> Forth {
        let line = &self.saga.lines[index];
        let occurrence = line.occurrence.clone();
        let failure = line.failure.clone().unwrap_or_else(Failure::unanswered);
        let why = match (&step.on_failure, self.may_turn_back()) {
            (OnFailure::Park, _) => "it is declared `on_failure: park`",
            (OnFailure::TurnBack | OnFailure::Ignore | OnFailure::Steps(_), Err(reason)) => reason,
            (OnFailure::TurnBack | OnFailure::Ignore | OnFailure::Steps(_), Ok(())) => {
                return Forth::Failed {
                    occurrence,
                    failure,
                };
            }
        };
        let words = describe(&failure);
        let reason = format!("step `{occurrence}` was {words}; the saga waits because {why}");
        self.park(ParkedBy::Step, Some(occurrence), reason);
        Forth::Waits
    }

    // ---- back ------------------------------------------------------------------------------

    fn back(&mut self, part: &Part) -> Back {
        match part {
            Part::Sequence { behind, running } => {
                for child in running.as_deref().into_iter().chain(behind.iter().rev()) {
                    if let Back::Waits = self.back(child) {
                        return Back::Waits;
                    }
                }
                Back::Undone
            }
            Part::Skipped => Back::Undone,
            Part::Do(index) => self.undo(*index, self.work_of(*index)),
        }
    }

    /// Takes a line one move closer to undone.
    fn undo(&mut self, index: usize, work: &Do) -> Back {
        let line = &self.saga.lines[index];
        let occurrence = line.occurrence.clone();
        match line.status {
            LineStatus::Refused | LineStatus::Undone | LineStatus::Waived => return Back::Undone,
            LineStatus::Undoing | LineStatus::UndoWaiting | LineStatus::Stuck => {
                return Back::Waits;
            }
            LineStatus::InFlight | LineStatus::Waiting => self.emit(Change::Doubted {
                occurrence: occurrence.clone(),
                failure: Failure::overtaken(),
            }),
            LineStatus::Ambiguous | LineStatus::Done => {}
        }
        match &work.undo {
            Undo::Nothing | Undo::Absent => {
                let asked = false;
                self.emit(Change::Undone { occurrence, asked });
                Back::Undone
            }
            Undo::Same | Undo::Other(_) => {
                self.ask_undo(index, work, true);
                Back::Waits
            }
        }
    }

    /// Says whether the saga may still turn back, or why not.
    pub(super) fn may_turn_back(&self) -> Result<(), &'static str> {
        if self.saga.is_past_pivot() {
            return Err("the pivot is done: the saga only goes forward");
        }
        for (index, line) in self.saga.lines.iter().enumerate() {
            let work = self.work_of(index);
            if line.status.may_have_run() && work.undo == Undo::Absent {
                return Err(if line.pivot {
                    "the pivot may have run and has no undo: its answer decides"
                } else {
                    "a step without undo may have run"
                });
            }
        }
        Ok(())
    }

    // ---- asking ----------------------------------------------------------------------------

    fn ask(&mut self, step: &Step, work: &Do, place: &[u16], occurrence: String, input: Payload) {
        let key = self.saga.idempotency_key(&occurrence, Direction::Do, 1);
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
            due_ms: self.after(work.timeout.reply_ms),
        })));
    }

    /// Sends the next attempt of the same work, under the same key.
    pub(super) fn ask_again(&mut self, index: usize, new_round: bool) {
        let work = self.work_of(index);
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
        if direction == Direction::Undo {
            return self.ask_undo(index, work, new_round);
        }
        let key = self.saga.idempotency_key(&line.occurrence, direction, 1);
        let request = Request {
            step: line.step.clone(),
            occurrence: line.occurrence.clone(),
            place: line.place.clone(),
            pivot: line.pivot,
            direction,
            attempt: line.attempt.saturating_add(1),
            new_round,
            activity: work.activity.clone(),
            key,
            done_key: None,
            undo_round: None,
            input: line.input.clone(),
            output: None,
            due_ms: self.after(work.timeout.reply_ms),
        };
        self.emit(Change::Requested(Box::new(request)));
    }

    /// Opens a refused step anew. A refusal is remembered under its key (W-1), so this is new work
    /// under a new one.
    pub(super) fn ask_anew(&mut self, index: usize) {
        let line = &self.saga.lines[index];
        let (place, input, id) = (line.place.clone(), line.input.clone(), line.step.clone());
        let definition = self.definition;
        let step = find(&definition.steps, &place);
        let Verb::Do(work) = &step.verb else { todo!() };
        let occurrence = self.fresh_occurrence(&id);
        self.ask(step, work, &place, occurrence, input);
    }

    fn ask_undo(&mut self, index: usize, work: &Do, new_round: bool) {
        let line = &self.saga.lines[index];
        let occurrence = line.occurrence.clone();
        let is_first = line.undo_round == 0;
        let (activity, input, timeout_ms) = match &work.undo {
            // Evaluated once: what is asked for under one key is the same each time (S-4).
            Undo::Other(other) if !is_first => {
                let input = line.undo_input.as_ref().unwrap_or(&line.input);
                (
                    other.activity.clone(),
                    input.clone(),
                    other.timeout.reply_ms,
                )
            }
            Undo::Other(other) => {
                let result = line.output.clone();
                match self.fill(&other.with, result.as_ref()) {
                    Ok(input) => (other.activity.clone(), input, other.timeout.reply_ms),
                    Err(error) => {
                        let reason = format!(
                            "`undo.with` of step `{}` cannot be evaluated: {error}",
                            line.step
                        );
                        return self.park(ParkedBy::Expression, Some(occurrence), reason);
                    }
                }
            }
            Undo::Same | Undo::Nothing | Undo::Absent => (
                work.activity.clone(),
                line.input.clone(),
                work.timeout.reply_ms,
            ),
        };
        let was_refused = line.status == LineStatus::Stuck
            && line
                .failure
                .as_ref()
                .is_some_and(|f| f.kind == FailureKind::Refused);
        let undo_round = line.undo_round.max(1) + u32::from(was_refused && !is_first);
        let attempt = if is_first {
            1
        } else {
            line.attempt.saturating_add(1)
        };
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
            due_ms: self.after(timeout_ms),
        };
        self.emit(Change::Requested(Box::new(request)));
    }

    /// An attempt failed or was not answered: plans the next one, or gives up.
    pub(super) fn attempt_failed(&mut self, index: usize, failure: Failure) {
        let work = self.work_of(index);
        let line = &self.saga.lines[index];
        let occurrence = line.occurrence.clone();
        let going_back = line.status.awaits() == Some(Direction::Undo);
        let retry = match &work.undo {
            Undo::Other(other) if going_back => &other.retry,
            Undo::Other(_) | Undo::Same | Undo::Nothing | Undo::Absent => &work.retry,
        };
        let attempts = line
            .attempt
            .saturating_sub(line.round_first)
            .saturating_add(1);
        let seed = format!("{}/{occurrence}/{going_back}", self.saga.key);
        let due_ms = self.after(backoff_ms(retry, attempts, &seed));
        let is_final = retry.not.contains(&failure.code);
        let goes_on = self.never_gives_up(index, work)
            || (attempts < retry.attempts_max && within_budget(retry, line.round_at_ms, due_ms));
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

    /// After the pivot, and for a pivot that cannot be undone, only an answer ends the asking.
    fn never_gives_up(&self, index: usize, work: &Do) -> bool {
        let line = &self.saga.lines[index];
        if line.status.awaits() != Some(Direction::Do) {
            return false;
        }
        let step = find(&self.definition.steps, &line.place);
        if step.on_failure != OnFailure::TurnBack {
            return false;
        }
        self.saga.is_past_pivot() || work.undo == Undo::Absent
    }

    pub(super) fn stick(&mut self, occurrence: String, failure: Failure) {
        let words = describe(&failure);
        let reason = format!("step `{occurrence}` cannot be undone: its undo was {words}");
        self.emit(Change::Stuck {
            occurrence: occurrence.clone(),
            failure,
        });
        self.park(ParkedBy::Stuck, Some(occurrence), reason);
    }

    pub(super) fn park(&mut self, by: ParkedBy, at: Option<String>, reason: String) {
        if self.saga.parked.is_none() {
            self.emit(Change::Parked(Parked { by, at, reason }));
        }
    }

    // ---- small questions -------------------------------------------------------------------

    pub(super) fn timeout_ms(&self, index: usize) -> i64 {
        let work = self.work_of(index);
        let going_back = self.saga.lines[index].status.awaits() == Some(Direction::Undo);
        let timeout_ms = match &work.undo {
            Undo::Other(other) if going_back => other.timeout.reply_ms,
            Undo::Other(_) | Undo::Same | Undo::Nothing | Undo::Absent => work.timeout.reply_ms,
        };
        i64::try_from(timeout_ms).unwrap_or(i64::MAX)
    }

    pub(super) fn on_failure_of(&self, index: usize) -> OnFailure {
        find(&self.definition.steps, &self.saga.lines[index].place)
            .on_failure
            .clone()
    }

    /// Whether to go on would only set the saga aside at this line again.
    pub(super) fn would_park(&self, index: usize) -> bool {
        let is_open = matches!(
            self.saga.lines[index].status,
            LineStatus::Refused | LineStatus::Ambiguous
        );
        is_open
            && self.saga.course == Course::Forward
            && self.is_running(index)
            && match self.on_failure_of(index) {
                OnFailure::Ignore | OnFailure::Steps(_) => false,
                OnFailure::Park => true,
                OnFailure::TurnBack => self.may_turn_back().is_err(),
            }
    }

    /// Whether a line is that of a step that runs now.
    fn is_running(&self, index: usize) -> bool {
        let place = &self.saga.lines[index].place;
        self.is_entered(place) && self.saga.root.at(place) == Some(&Part::Do(index))
    }

    fn after(&self, wait_ms: u64) -> i64 {
        self.at_ms
            .saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))
    }

    fn fresh_occurrence(&self, id: &str) -> String {
        match self.saga.lines.iter().filter(|l| l.step == id).count() {
            0 => id.to_owned(),
            earlier => format!("{id}#{}", earlier + 1),
        }
    }

    /// What the step of a line asks for. It lives as long as the definition.
    fn work_of(&self, index: usize) -> &'d Do {
        let Verb::Do(work) = &find(&self.definition.steps, &self.saga.lines[index].place).verb
        else {
            todo!()
        };
        work
    }

    pub(super) fn tag(&mut self) {
        let definition = self.definition;
        let mut tags = BTreeMap::new();
        for (name, template) in &definition.tags {
            // A tag that cannot be evaluated is no reason to stop an order.
            let text = match self.in_scope(None, |scope| template.evaluate(scope)) {
                Ok(Value::String(text)) => text,
                Ok(value) => value.to_string(),
                Err(error) => format!("({error})"),
            };
            tags.insert(name.clone(), text);
        }
        if !tags.is_empty() {
            self.emit(Change::Tagged(tags));
        }
    }

    fn holds(&self, condition: &Expression) -> Result<bool, EvaluationError> {
        self.in_scope(None, |scope| condition.holds(scope))
    }

    fn fill(
        &self,
        template: &Template,
        result: Option<&Payload>,
    ) -> Result<Payload, EvaluationError> {
        self.in_scope(result, |scope| template.evaluate(scope))
            .map(|value| Payload::from_value(&value))
    }

    fn in_scope<T>(&self, result: Option<&Payload>, with: impl FnOnce(&Scope<'_>) -> T) -> T {
        let outputs = Outputs(self.saga);
        with(&Scope {
            event: self.saga.event.value(),
            key: self.saga.business_key(),
            steps: &outputs,
            now_ms: self.at_ms,
            result: Some(result.map_or(&Value::Null, Payload::value)),
            failure: None,
            message: None,
            locals: &[],
            vars: &BTreeMap::new(),
        })
    }
}

fn within_budget(retry: &Retry, from_ms: i64, due_ms: i64) -> bool {
    retry.budget_ms.is_none_or(|budget| {
        due_ms <= from_ms.saturating_add(i64::try_from(budget).unwrap_or(i64::MAX))
    })
}

fn find<'d>(steps: &'d [Step], place: &[u16]) -> &'d Step {
    let first = place.first().expect("a line stands somewhere");
    steps
        .get(usize::from(*first))
        .expect("a saga runs under the definition it is pinned to")
}

fn describe(failure: &Failure) -> String {
    match (failure.code.as_str(), failure.reason.as_str()) {
        ("", reason) => format!("{} ({reason})", failure.kind.name()),
        (code, "") => format!("{} ({code})", failure.kind.name()),
        (code, reason) => format!("{} ({code}: {reason})", failure.kind.name()),
    }
}

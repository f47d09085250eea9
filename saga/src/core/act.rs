//! What a person asks of a saga, and what a person decides.

use serde_json::json;

use super::advance::{Ignored, Turn};
use super::change::Change;
use super::ledger::{Failure, FailureKind, LineKind, LineStatus};
use super::message::{Act, ActKind, Decision};
use super::state::{Course, ParkedBy, Status, TurnedBackBy};
use crate::definition::Verb;
use crate::payload::Payload;

impl Turn<'_> {
    /// Does what a person asks, or notes why not.
    pub(super) fn act(&mut self, act: &Act) -> Result<(), Ignored> {
        match act.kind {
            ActKind::Cancel => match (self.saga.course, self.may_turn_back()) {
                (Course::Back, _) => return Err(Ignored::NotApplicable),
                (Course::Forward, Ok(())) => {
                    // An undo that is stuck stays with the person, on the way back as well.
                    if self.saga.parked.is_some() && !self.is_stuck() {
                        self.emit(Change::Unparked);
                    }
                    self.emit(Change::TurnedBack(TurnedBackBy::Cancel(act.clone())));
                }
                (Course::Forward, Err(reason)) => {
                    let (act, reason) = (act.clone(), reason.to_owned());
                    self.emit(Change::Declined { act, reason });
                }
            },
            ActKind::Resume => {
                if self.saga.parked.is_none() {
                    return Err(Ignored::NotApplicable);
                }
                self.emit(Change::Unparked);
                self.reopen_all();
            }
            ActKind::Retry => {
                let index = self.parked_line(act)?;
                self.emit(Change::Unparked);
                self.reopen(index);
            }
            ActKind::Waive => {
                let index = self.parked_line(act)?;
                // A late answer may have settled it. Taken off the ledger all the same, a step
                // that is done would never be undone.
                match (self.saga.lines[index].status, self.saga.course) {
                    // Unless it is to be undone, and what its undo is given cannot be evaluated.
                    (LineStatus::Done, Course::Forward) if !self.is_parked_by_expression() => {
                        return Err(Ignored::NotApplicable);
                    }
                    (LineStatus::Undone | LineStatus::Waived, _) => {
                        return Err(Ignored::NotApplicable);
                    }
                    (
                        LineStatus::InFlight
                        | LineStatus::Waiting
                        | LineStatus::Ambiguous
                        | LineStatus::Done
                        | LineStatus::Refused
                        | LineStatus::Undoing
                        | LineStatus::UndoWaiting
                        | LineStatus::Stuck,
                        _,
                    ) => {}
                }
                if act
                    .reason
                    .as_deref()
                    .is_none_or(|reason| reason.trim().is_empty())
                {
                    let (act, reason) = (act.clone(), "a waiver needs a reason".to_owned());
                    self.emit(Change::Declined { act, reason });
                    return Ok(());
                }
                self.unwant(index);
                let occurrence = self.saga.lines[index].occurrence.clone();
                self.emit(Change::Waived { occurrence });
                if !self.is_stuck() {
                    self.emit(Change::Unparked);
                }
            }
            ActKind::Terminate => {
                for index in 0..self.saga.lines.len() {
                    self.unwant(index);
                }
                self.end(Status::Terminated, None);
            }
        }
        Ok(())
    }

    fn is_parked_by_expression(&self) -> bool {
        let parked = self.saga.parked.as_ref();
        parked.is_some_and(|parked| parked.by == ParkedBy::Expression)
    }

    /// The line of a parked saga that an act names.
    fn parked_line(&self, act: &Act) -> Result<usize, Ignored> {
        let parked = self.saga.parked.as_ref().ok_or(Ignored::NotApplicable)?;
        let named = act.occurrence.as_deref().ok_or(Ignored::NotApplicable)?;
        let index = self.saga.line_index(named).ok_or(Ignored::NotApplicable)?;
        let is_stuck = self.saga.lines[index].status == LineStatus::Stuck;
        if is_stuck || parked.at.as_deref() == Some(named) {
            Ok(index)
        } else {
            Err(Ignored::NotApplicable)
        }
    }

    /// Asks again, in a new round, for what the saga would only be parked on once more.
    fn reopen_all(&mut self) {
        for index in 0..self.saga.lines.len() {
            let is_stuck = self.saga.lines[index].status == LineStatus::Stuck;
            if is_stuck || self.would_park(index) {
                self.reopen(index);
            }
        }
        // Lines whose time ran out while the saga was parked are looked at with the next wake-up.
    }

    /// Asks again for a line. What was ignored is not done again, and nothing is on the way back:
    /// there, to go on is to try the undo again.
    fn reopen(&mut self, index: usize) {
        let may_do = self.may_ask_again(index);
        match self.saga.lines[index].status {
            LineStatus::Stuck => self.ask_again(index, true),
            // A child that was stopped is not run again beside what it has left.
            LineStatus::Ambiguous if self.saga.lines[index].kind == LineKind::Run => {}
            LineStatus::Ambiguous if may_do => self.ask_again(index, true),
            LineStatus::Refused if may_do => self.ask_anew(index),
            LineStatus::Ambiguous
            | LineStatus::Refused
            | LineStatus::InFlight
            | LineStatus::Waiting
            | LineStatus::Done
            | LineStatus::Undoing
            | LineStatus::UndoWaiting
            | LineStatus::Undone
            | LineStatus::Waived => {}
        }
    }

    /// A person decides what an `approve` asks.
    pub(super) fn decide(&mut self, decision: &Decision) -> Result<(), Ignored> {
        let index = self.approval(decision).ok_or(Ignored::NotAwaited)?;
        let line = &self.saga.lines[index];
        let occurrence = line.occurrence.clone();
        let Verb::Approve(approve) = &self.step_of(&line.place).verb else {
            return Err(Ignored::NotAwaited);
        };
        let role = decision.role.as_deref();
        if !approve.by.is_empty() && !role.is_some_and(|role| approve.by.contains(role)) {
            let roles: Vec<&str> = approve.by.iter().map(String::as_str).collect();
            let reason = format!("`{occurrence}` is decided by: {}", roles.join(", "));
            let decision = decision.clone();
            self.emit(Change::NotDecided { decision, reason });
            return Ok(());
        }
        if decision.approved {
            let output = Payload::from_value(&json!({
                "by": decision.by,
                "role": decision.role,
                "at_ms": self.at_ms,
                "reason": decision.reason,
            }));
            let output = Some(output);
            self.emit(Change::Done {
                occurrence: occurrence.clone(),
                output,
            });
        } else {
            let said = decision.reason.as_deref().unwrap_or("no reason given");
            self.emit(Change::Refused {
                occurrence: occurrence.clone(),
                failure: Failure {
                    kind: FailureKind::Refused,
                    code: "not_approved".to_owned(),
                    reason: format!("{}: {said}", decision.by),
                },
            });
        }
        self.unpark_if_settled(&occurrence);
        Ok(())
    }

    /// The approval that a decision is about: the one that it names, or the only one that is open.
    fn approval(&self, decision: &Decision) -> Option<usize> {
        let lines = self.saga.lines.iter().enumerate();
        let mut open = lines.filter(|(index, line)| {
            line.kind == LineKind::Approve
                && self.saga.course == Course::Forward
                && (line.status == LineStatus::InFlight || self.is_late(*index))
                && decision
                    .occurrence
                    .as_deref()
                    .is_none_or(|named| named == line.occurrence)
        });
        match (open.next(), open.next()) {
            (Some((index, _)), None) => Some(index),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// Whether the saga is set aside because the time of this wait or approval was up: an answer
    /// still counts.
    pub(super) fn is_late(&self, index: usize) -> bool {
        let line = &self.saga.lines[index];
        let timed_out = line
            .failure
            .as_ref()
            .is_some_and(|failure| failure.kind == FailureKind::Unanswered);
        line.status == LineStatus::Refused && timed_out && self.would_park(index)
    }

    /// Goes on where what the saga was set aside for has been answered after all.
    pub(super) fn unpark_if_settled(&mut self, occurrence: &str) {
        let Some(parked) = &self.saga.parked else {
            return;
        };
        let Some(at) = parked.at.as_deref() else {
            return;
        };
        let Some(index) = self.saga.line_index(at) else {
            return;
        };
        let is_settled = match (parked.by, self.saga.lines[index].status) {
            (ParkedBy::Expression | ParkedBy::Deadline, _) => false,
            // It may have been settled before, while something else was stuck.
            (ParkedBy::Step, LineStatus::Done) => true,
            (ParkedBy::Stuck, LineStatus::Undone | LineStatus::Waived) => true,
            (ParkedBy::Step | ParkedBy::Stuck, _) => at == occurrence,
        };
        if is_settled && !self.would_park(index) && !self.is_stuck() {
            self.emit(Change::Unparked);
        }
    }
}

//! Which changes a message leads to. Start reading at [`Saga::start`] and [`Saga::advance`].
//!
//! | line is | message | line becomes | then |
//! | --- | --- | --- | --- |
//! | in flight, waiting | done | done | next step |
//! | in flight, waiting | refused | refused | `on_failure` |
//! | in flight | failed, no answer; attempts left | waiting | |
//! | in flight | failed, no answer; none left | ambiguous | `on_failure` |
//! | waiting | its time | in flight again, same key | command |
//! | in flight, waiting | the saga turns back | ambiguous, then as below | |
//! | ambiguous, done | its turn on the way back | undoing, or undone if there is nothing to undo | command |
//! | undoing, undo waiting | done | undone | the one before |
//! | undoing | failed, no answer; attempts left | undo waiting | |
//! | undoing | refused, or none left | stuck | parked |
//! | stuck | resume, waive | undoing again, waived | command, the one before |
//! | any | anything else | unchanged | |

use super::change::Change;
use super::entry::{Cause, Entry};
use super::ledger::{Failure, FailureKind, LineStatus};
use super::message::{Act, ActKind, Answer, Command, Direction, Message, Reply, Start};
use super::state::{Course, ParkedBy, Saga, Status, TurnedBackBy};
use crate::definition::{Definition, OnFailure};

/// A transition: what goes into the journal, and what leaves after the commit, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// For the journal.
    pub entry: Entry,
    /// To be published after the commit, never before (S-3).
    pub commands: Vec<Command>,
}

/// What a message did to a saga.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The saga moved on.
    Advanced(Box<Transition>),
    /// Nothing changed, and that is no error (S-5).
    Ignored(Ignored),
}

/// Why a message changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// The saga has ended.
    Ended,
    /// No such occurrence is awaited in that direction: repeated, late, or never asked.
    NotAwaited,
    /// It answers an attempt that is not the latest.
    OldAttempt,
    /// Nothing was due.
    NothingDue,
    /// The act does not apply, e.g. a resume of a saga that is not parked.
    NotApplicable,
}

impl Ignored {
    /// The word for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::NotAwaited => "not_awaited",
            Self::OldAttempt => "old_attempt",
            Self::NothingDue => "nothing_due",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// A transition in the making.
pub(super) struct Turn<'a> {
    pub(super) saga: &'a mut Saga,
    pub(super) definition: &'a Definition,
    pub(super) at_ms: i64,
    changes: Vec<Change>,
    commands: Vec<Command>,
}

impl Saga {
    /// Begins a saga and takes its first steps.
    ///
    /// An expression that cannot be evaluated parks it: a start is never lost.
    pub fn start(definition: &Definition, start: Start, at_ms: i64) -> (Self, Transition) {
        let deadline_ms = definition
            .deadline_ms
            .map(|limit| at_ms.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX)));
        let began = Change::Began {
            definition_hash: definition.hash.clone(),
            event: start.event,
            trace: start.trace,
            event_time_ms: start.event_time_ms,
            deadline_ms,
        };
        let mut saga = began
            .begin(&start.key, at_ms)
            .expect("`Began` begins a saga");
        let mut turn = Turn {
            saga: &mut saga,
            definition,
            at_ms,
            changes: vec![began],
            commands: Vec::new(),
        };
        turn.tag();
        turn.proceed();
        let transition = turn.seal(Cause::Start { by: start.by });
        (saga, transition)
    }

    /// Applies one message. `at_ms` is the time of the message at hand, in milliseconds since the
    /// Unix epoch; a time before the saga's latest counts as the latest.
    pub fn advance(&mut self, definition: &Definition, message: &Message, at_ms: i64) -> Outcome {
        debug_assert_eq!(self.definition_hash, definition.hash);
        if self.status.has_ended() {
            return Outcome::Ignored(Ignored::Ended);
        }
        let at_ms = at_ms.max(self.changed_at_ms);
        let mut turn = Turn {
            saga: self,
            definition,
            at_ms,
            changes: Vec::new(),
            commands: Vec::new(),
        };
        let decided = match message {
            Message::Reply(reply) => turn.reply(reply),
            Message::Wake => turn.wake(),
            Message::Act(act) => turn.act(act),
        };
        match decided {
            Err(ignored) => Outcome::Ignored(ignored),
            Ok(()) => {
                turn.proceed();
                Outcome::Advanced(Box::new(turn.seal(Cause::of(message))))
            }
        }
    }
}

impl Turn<'_> {
    pub(super) fn emit(&mut self, change: Change) {
        if let Change::Requested(request) = &change {
            self.commands.push(request.command(&self.saga.key));
        }
        self.saga
            .apply(&change, self.at_ms)
            .expect("a change that was decided on this state fits it");
        self.changes.push(change);
    }

    fn seal(self, cause: Cause) -> Transition {
        Transition {
            entry: Entry::seal(self.saga, cause, self.changes, self.at_ms),
            commands: self.commands,
        }
    }

    /// Accepts a worker's answer, or says why it changes nothing.
    fn reply(&mut self, reply: &Reply) -> Result<(), Ignored> {
        let index = self
            .saga
            .line_index(&reply.occurrence)
            .ok_or(Ignored::NotAwaited)?;
        let line = &self.saga.lines[index];
        let awaited = match line.status.awaits() {
            Some(direction) => direction,
            // A late answer to what the saga is parked on still counts.
            None if line.status == LineStatus::Stuck => Direction::Undo,
            None if line.status == LineStatus::Ambiguous && self.saga.course == Course::Forward => {
                Direction::Do
            }
            None => return Err(Ignored::NotAwaited),
        };
        let key = self
            .saga
            .idempotency_key(&line.occurrence, awaited, line.undo_round);
        let is_known = (1..=line.attempt).contains(&reply.attempt);
        if awaited != reply.direction || key != reply.key || !is_known {
            return Err(Ignored::NotAwaited);
        }
        let occurrence = line.occurrence.clone();
        let is_out = matches!(line.status, LineStatus::InFlight | LineStatus::Undoing);
        let is_latest = is_out && reply.attempt == line.attempt;
        match (&reply.answer, awaited) {
            (Answer::Done(output), Direction::Do) => {
                // In a journal, null and nothing are the same.
                let output = output.clone().filter(|output| !output.is_null());
                self.emit(Change::Done { occurrence, output });
            }
            (Answer::Done(_), Direction::Undo) => {
                let asked = true;
                self.emit(Change::Undone { occurrence, asked });
            }
            (Answer::Refused { code, reason }, Direction::Do) => {
                let failure = refused(code, reason);
                self.emit(Change::Refused {
                    occurrence,
                    failure,
                });
            }
            (Answer::Refused { code, reason }, Direction::Undo) => {
                if line.status == LineStatus::Stuck {
                    return Err(Ignored::NotAwaited);
                }
                self.stick(occurrence, refused(code, reason));
            }
            (Answer::Failed { code, reason }, _) if is_latest => {
                let failure = Failure {
                    kind: FailureKind::Failed,
                    code: code.clone(),
                    reason: reason.clone(),
                };
                self.attempt_failed(index, failure);
            }
            (Answer::Heartbeat, _) if is_latest => {
                let due_ms = self.at_ms.saturating_add(self.timeout_ms(index));
                self.emit(Change::Extended { occurrence, due_ms });
            }
            (Answer::Failed { .. } | Answer::Heartbeat, _) => return Err(Ignored::OldAttempt),
        }
        Ok(())
    }

    /// Does what is due.
    fn wake(&mut self) -> Result<(), Ignored> {
        if self.saga.parked.is_some() {
            return Err(Ignored::NothingDue);
        }
        let before = self.changes.len();
        let overdue = self.saga.deadline_ms.is_some_and(|due| due <= self.at_ms)
            && self.saga.course == Course::Forward;
        let turns = overdue && self.may_turn_back().is_ok();
        if turns {
            self.emit(Change::DeadlinePassed);
            self.emit(Change::TurnedBack(TurnedBackBy::Deadline));
        }
        for index in 0..self.saga.lines.len() {
            let line = &self.saga.lines[index];
            if line.due_ms.is_none_or(|due| due > self.at_ms) {
                continue;
            }
            // Nothing is asked for once more only to be undone.
            if turns && line.status.awaits() == Some(Direction::Do) {
                continue;
            }
            match line.status {
                LineStatus::InFlight | LineStatus::Undoing => {
                    self.attempt_failed(index, Failure::unanswered());
                }
                LineStatus::Waiting | LineStatus::UndoWaiting => self.ask_again(index, false),
                LineStatus::Ambiguous
                | LineStatus::Done
                | LineStatus::Refused
                | LineStatus::Undone
                | LineStatus::Stuck
                | LineStatus::Waived => {}
            }
        }
        if overdue && !turns {
            self.emit(Change::DeadlinePassed);
            let reason = "the deadline passed after the pivot".to_owned();
            self.park(ParkedBy::Deadline, None, reason);
        }
        if self.changes.len() == before {
            return Err(Ignored::NothingDue);
        }
        Ok(())
    }

    /// Does what a person asks, or notes why not.
    fn act(&mut self, act: &Act) -> Result<(), Ignored> {
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
                    (LineStatus::Done, Course::Forward)
                    | (LineStatus::Undone | LineStatus::Waived, _) => {
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
                let occurrence = self.saga.lines[index].occurrence.clone();
                self.emit(Change::Waived { occurrence });
                if !self.is_stuck() {
                    self.emit(Change::Unparked);
                }
            }
            ActKind::Terminate => {
                let (status, output) = (Status::Terminated, None);
                self.emit(Change::Ended { status, output });
            }
        }
        Ok(())
    }

    /// Whether an undo waits for a person.
    fn is_stuck(&self) -> bool {
        let mut lines = self.saga.lines.iter();
        lines.any(|line| line.status == LineStatus::Stuck)
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
        let may_do =
            self.saga.course == Course::Forward && self.on_failure_of(index) != OnFailure::Ignore;
        match self.saga.lines[index].status {
            LineStatus::Stuck => self.ask_again(index, true),
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
}

fn refused(code: &str, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

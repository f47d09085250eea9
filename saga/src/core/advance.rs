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
use super::ledger::{Failure, FailureKind, LineKind, LineStatus};
use super::message::{Answer, Command, Direction, Event, Message, Note, Reply, Start};
use super::part::Place;
use super::state::{Course, ParkedBy, Saga, TurnedBackBy};
use crate::definition::Definition;

/// A transition: what goes into the journal, and what leaves after the commit, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// For the journal.
    pub entry: Entry,
    /// For workers; to be published after the commit, never before (S-3).
    pub commands: Vec<Command>,
    /// For other sagas and mailboxes; as the commands.
    pub notes: Vec<Note>,
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
    /// A mailbox keeps no more events: this one belongs into the dead letters.
    MailboxFull,
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
            Self::MailboxFull => "mailbox_full",
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
    notes: Vec<Note>,
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
            parent: start.parent,
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
            notes: Vec::new(),
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
        // Only a parent can move a settled saga: a child is settled for good with its parent.
        if self.status.has_ended() && !matches!(message, Message::Undo(_)) {
            return Outcome::Ignored(Ignored::Ended);
        }
        let at_ms = at_ms.max(self.changed_at_ms);
        let mut turn = Turn {
            saga: self,
            definition,
            at_ms,
            changes: Vec::new(),
            commands: Vec::new(),
            notes: Vec::new(),
        };
        let decided = match message {
            Message::Reply(reply) => turn.reply(reply),
            Message::Wake => turn.wake(),
            Message::Act(act) => turn.act(act),
            Message::Event(event) => turn.event(event),
            Message::Decision(decision) => turn.decide(decision),
            Message::Want(want) => turn.want(want),
            Message::Undo(undo) => turn.undo_by_parent(undo),
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
        } else {
            self.notes.extend(change.note(&self.saga.key, self.at_ms));
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
            notes: self.notes,
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
        // Set aside on the way back, it has not got to what is in flight: that is to be undone.
        if awaited == Direction::Do && self.saga.course == Course::Back {
            return Err(Ignored::NotAwaited);
        }
        let key = self
            .saga
            .idempotency_key(&line.occurrence, awaited, line.undo_round);
        let is_known = (1..=line.attempt).contains(&reply.attempt);
        if awaited != reply.direction || key != reply.key || !is_known {
            return Err(Ignored::NotAwaited);
        }
        let occurrence = line.occurrence.clone();
        let kind = line.kind;
        let is_out = matches!(line.status, LineStatus::InFlight | LineStatus::Undoing);
        let is_latest = is_out && reply.attempt == line.attempt;
        match (&reply.answer, awaited) {
            (Answer::Done(output), Direction::Do) => {
                // In a journal, null and nothing are the same.
                let output = output.clone().filter(|output| !output.is_null());
                self.emit(Change::Done { occurrence, output });
                self.unpark_if_settled(&reply.occurrence);
            }
            (Answer::Done(_), Direction::Undo) => {
                let asked = true;
                self.emit(Change::Undone { occurrence, asked });
                self.unpark_if_settled(&reply.occurrence);
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
            // A child says so once, and for good.
            (Answer::Failed { code, reason }, Direction::Do) if kind == LineKind::Run => {
                let failure = failed(code, reason);
                self.emit(Change::Doubted {
                    occurrence,
                    failure,
                });
            }
            (Answer::Failed { code, reason }, _) if is_latest => {
                self.attempt_failed(index, failed(code, reason));
            }
            (Answer::Heartbeat, _) if is_latest => {
                let due_ms = self.extended_ms(index);
                self.emit(Change::Extended { occurrence, due_ms });
            }
            (Answer::Failed { .. } | Answer::Heartbeat, _) => return Err(Ignored::OldAttempt),
        }
        Ok(())
    }

    /// Accepts an event: a mailbox keeps it or hands it on, a saga has waited for it.
    fn event(&mut self, event: &Event) -> Result<(), Ignored> {
        let Some(occurrence) = &event.occurrence else {
            return self.event_to_mailbox(event);
        };
        let index = self.saga.line_index(occurrence);
        let index = index.ok_or(Ignored::NotAwaited)?;
        let line = &self.saga.lines[index];
        let is_awaited = line.status == LineStatus::InFlight || self.is_late(index);
        if line.kind != LineKind::Wait || !is_awaited || self.saga.course == Course::Back {
            return Err(Ignored::NotAwaited);
        }
        self.emit(Change::Done {
            occurrence: occurrence.clone(),
            output: Some(event.value.clone()).filter(|value| !value.is_null()),
        });
        self.unpark_if_settled(occurrence);
        Ok(())
    }

    /// Does what is due.
    fn wake(&mut self) -> Result<(), Ignored> {
        if self.saga.mailbox().is_some() {
            return self.expire_mail();
        }
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
                LineStatus::InFlight | LineStatus::Undoing => match line.kind {
                    LineKind::Do => self.attempt_failed(index, Failure::unanswered()),
                    LineKind::Sleep => {
                        let (occurrence, output) = (line.occurrence.clone(), None);
                        self.emit(Change::Done { occurrence, output });
                    }
                    LineKind::Wait | LineKind::Approve => self.timed_out(index),
                    LineKind::Run => {}
                },
                LineStatus::Waiting | LineStatus::UndoWaiting => self.ask_again(index, false),
                LineStatus::Ambiguous
                | LineStatus::Done
                | LineStatus::Refused
                | LineStatus::Undone
                | LineStatus::Stuck
                | LineStatus::Waived => {}
            }
        }
        if self.saga.course == Course::Forward {
            let (pauses, at_ms) = (self.saga.pauses.iter(), self.at_ms);
            let over = pauses.filter(|(_, due)| *due <= at_ms);
            let over: Vec<Place> = over.map(|(place, _)| place.clone()).collect();
            for place in over {
                self.emit(Change::NextBegan { place });
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
}

fn failed(code: &str, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::Failed,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

fn refused(code: &str, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

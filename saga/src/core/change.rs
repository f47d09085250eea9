//! What a transition changes. A saga changes in no other way, so that folding a journal gives
//! the same saga on every machine and under every later version of the deciding code (S-6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::{Failure, FailureKind, Line, LineStatus};
use super::message::{Act, Command, Direction};
use super::part::{Part, Place};
use super::state::{Course, Parked, Saga, Status, TurnedBackBy};
use crate::payload::Payload;

/// One fact of a transition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The saga began. Always the first change of the first entry, and only there.
    Began {
        /// The definition it is pinned to.
        definition_hash: String,
        /// What started it.
        event: Payload,
        /// W3C `traceparent`.
        trace: Option<String>,
        /// When the event happened.
        event_time_ms: i64,
        /// When its time is up.
        deadline_ms: Option<i64>,
    },
    /// What the saga is searched by.
    Tagged(BTreeMap<String, String>),
    /// A command was asked for. In the outbox it *is* the command.
    Requested(Box<Request>),
    /// A step was passed over: its condition did not hold.
    Skipped {
        /// Where it stands.
        place: Place,
    },
    /// A step lies behind.
    Left {
        /// Where it stands.
        place: Place,
    },
    /// The next attempt leaves at `due_ms`.
    Backoff {
        /// Which occurrence.
        occurrence: String,
        /// When.
        due_ms: i64,
        /// What went wrong.
        failure: Failure,
    },
    /// A worker is still at it.
    Extended {
        /// Which occurrence.
        occurrence: String,
        /// The new limit.
        due_ms: i64,
    },
    /// It ran.
    Done {
        /// Which occurrence.
        occurrence: String,
        /// What it answered.
        output: Option<Payload>,
    },
    /// It did not run.
    Refused {
        /// Which occurrence.
        occurrence: String,
        /// Why.
        failure: Failure,
    },
    /// It may have run.
    Doubted {
        /// Which occurrence.
        occurrence: String,
        /// Why nobody knows.
        failure: Failure,
    },
    /// It is undone. `asked` is false where there was nothing worth undoing.
    Undone {
        /// Which occurrence.
        occurrence: String,
        /// Whether a worker was asked.
        asked: bool,
    },
    /// It cannot be undone.
    Stuck {
        /// Which occurrence.
        occurrence: String,
        /// Why.
        failure: Failure,
    },
    /// It was taken off the ledger.
    Waived {
        /// Which occurrence.
        occurrence: String,
    },
    /// The saga turned back.
    TurnedBack(TurnedBackBy),
    /// The saga was set aside.
    Parked(Parked),
    /// The saga goes on.
    Unparked,
    /// The deadline has had its effect.
    DeadlinePassed,
    /// A person's act had no effect, for this reason.
    Declined {
        /// What was asked for.
        act: Act,
        /// Why not.
        reason: String,
    },
    /// The saga ended.
    Ended {
        /// How.
        status: Status,
        /// What it answered.
        output: Option<Payload>,
    },
}

/// A command as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The step's id.
    pub step: String,
    /// Names the occurrence.
    pub occurrence: String,
    /// Where the step stands.
    pub place: Place,
    /// Whether it is the pivot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// Doing or undoing.
    pub direction: Direction,
    /// Counts from 1.
    pub attempt: u32,
    /// Whether a round of attempts begins with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_round: bool,
    /// Whose workers.
    pub activity: String,
    /// The idempotency key.
    pub key: String,
    /// For an undo: the key of the do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_key: Option<String>,
    /// For an undo: the number of keys it has been asked under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_round: Option<u32>,
    /// What the workers are given.
    pub input: Payload,
    /// For an undo: what the do answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// No answer by then counts as silence.
    pub due_ms: i64,
}

impl Request {
    /// The command that leaves for it.
    pub fn command(&self, saga: &str) -> Command {
        Command {
            saga: saga.to_owned(),
            occurrence: self.occurrence.clone(),
            direction: self.direction,
            attempt: self.attempt,
            activity: self.activity.clone(),
            key: self.key.clone(),
            done_key: self.done_key.clone(),
            input: self.input.clone(),
            output: self.output.clone(),
            due_ms: self.due_ms,
        }
    }
}

impl Change {
    /// Begins a saga from its first change.
    ///
    /// Returns `None` if this change begins none.
    pub(super) fn begin(&self, key: &str, at_ms: i64) -> Option<Saga> {
        let Self::Began {
            definition_hash,
            event,
            trace,
            event_time_ms,
            deadline_ms,
        } = self
        else {
            return None;
        };
        Some(Saga {
            key: key.to_owned(),
            definition_hash: definition_hash.clone(),
            seq: 0,
            head: String::new(),
            status: Status::Running,
            course: Course::Forward,
            turned_back: None,
            parked: None,
            event: event.clone(),
            trace: trace.clone(),
            tags: BTreeMap::new(),
            deadline_ms: *deadline_ms,
            root: Part::sequence(),
            lines: Vec::new(),
            output: None,
            event_time_ms: *event_time_ms,
            started_at_ms: at_ms,
            ended_at_ms: None,
            changed_at_ms: at_ms,
        })
    }
}

impl Saga {
    /// Applies one change that was decided at `at_ms`.
    ///
    /// Returns `None` if the change does not fit the saga, which no journal of ours can hold.
    #[must_use = "a change that does not fit means a journal that is not this saga's"]
    pub(super) fn apply(&mut self, change: &Change, at_ms: i64) -> Option<()> {
        match change {
            Change::Began { .. } => return None,
            Change::Tagged(tags) => self.tags.clone_from(tags),
            Change::Requested(request) => self.apply_request(request, at_ms)?,
            Change::Skipped { place } => self
                .enter(place, Part::Skipped)
                .and_then(|()| self.leave(place))?,
            Change::Left { place } => self.leave(place)?,
            Change::Backoff {
                occurrence,
                due_ms,
                failure,
            } => {
                let line = self.line_mut(occurrence)?;
                line.status = match line.status.awaits()? {
                    Direction::Do => LineStatus::Waiting,
                    Direction::Undo => LineStatus::UndoWaiting,
                };
                line.due_ms = Some(*due_ms);
                line.failure = Some(failure.clone());
            }
            Change::Extended { occurrence, due_ms } => {
                self.line_mut(occurrence)?.due_ms = Some(*due_ms);
            }
            Change::Done { occurrence, output } => {
                let line = self.rest(occurrence, LineStatus::Done)?;
                line.output.clone_from(output);
                line.failure = None;
            }
            Change::Refused {
                occurrence,
                failure,
            } => {
                self.rest(occurrence, LineStatus::Refused)?.failure = Some(failure.clone());
            }
            Change::Doubted {
                occurrence,
                failure,
            } => {
                self.rest(occurrence, LineStatus::Ambiguous)?.failure = Some(failure.clone());
            }
            Change::Undone { occurrence, .. } => {
                self.rest(occurrence, LineStatus::Undone)?;
            }
            Change::Stuck {
                occurrence,
                failure,
            } => {
                self.rest(occurrence, LineStatus::Stuck)?.failure = Some(failure.clone());
            }
            Change::Waived { occurrence } => {
                self.rest(occurrence, LineStatus::Waived)?;
            }
            Change::TurnedBack(by) => {
                self.course = Course::Back;
                self.turned_back = Some(by.clone());
            }
            Change::Parked(parked) => self.parked = Some(parked.clone()),
            Change::Unparked => self.parked = None,
            Change::DeadlinePassed => self.deadline_ms = None,
            Change::Declined { .. } => {}
            Change::Ended { status, output } => {
                self.parked = None;
                self.output.clone_from(output);
                self.ended_at_ms = Some(at_ms);
                self.status = *status;
                for line in &mut self.lines {
                    line.due_ms = None;
                }
            }
        }
        if !self.status.has_ended() {
            self.status = match (&self.parked, self.course) {
                (Some(_), _) => Status::Parked,
                (None, Course::Forward) => Status::Running,
                (None, Course::Back) => Status::Compensating,
            };
        }
        Some(())
    }

    fn apply_request(&mut self, request: &Request, at_ms: i64) -> Option<()> {
        let status = match request.direction {
            Direction::Do => LineStatus::InFlight,
            Direction::Undo => LineStatus::Undoing,
        };
        if let Some(line) = self.line_mut(&request.occurrence) {
            line.status = status;
            line.attempt = request.attempt;
            line.due_ms = Some(request.due_ms);
            if request.new_round {
                line.round_first = request.attempt;
                line.round_at_ms = at_ms;
            }
            if let Some(round) = request.undo_round {
                line.undo_round = round;
                // An undo by the same activity is given what the step was: kept once.
                line.undo_input = Some(&request.input)
                    .filter(|input| **input != line.input)
                    .cloned();
            }
            return Some(());
        }
        let line = Line {
            step: request.step.clone(),
            occurrence: request.occurrence.clone(),
            place: request.place.clone(),
            pivot: request.pivot,
            status,
            attempt: request.attempt,
            round_first: request.attempt,
            round_at_ms: at_ms,
            due_ms: Some(request.due_ms),
            undo_round: 0,
            undo_input: None,
            input: request.input.clone(),
            output: None,
            failure: None,
        };
        self.lines.push(line);
        self.enter(&request.place, Part::Do(self.lines.len() - 1))
    }

    /// Puts a part where the next one of its sequence runs, or in the place of one that was
    /// opened anew.
    fn enter(&mut self, place: &[u16], part: Part) -> Option<()> {
        let (last, parent) = place.split_last()?;
        match self.root.at_mut(parent)? {
            Part::Sequence { behind, running } if behind.len() == usize::from(*last) => {
                *running = Some(Box::new(part));
                Some(())
            }
            Part::Sequence { .. } | Part::Do(_) | Part::Skipped => None,
        }
    }

    fn leave(&mut self, place: &[u16]) -> Option<()> {
        let (last, parent) = place.split_last()?;
        match self.root.at_mut(parent)? {
            Part::Sequence { behind, running } if behind.len() == usize::from(*last) => {
                behind.push(*running.take()?);
                Some(())
            }
            Part::Sequence { .. } | Part::Do(_) | Part::Skipped => None,
        }
    }

    fn line_mut(&mut self, occurrence: &str) -> Option<&mut Line> {
        self.lines
            .iter_mut()
            .find(|line| line.occurrence == occurrence)
    }

    fn rest(&mut self, occurrence: &str, status: LineStatus) -> Option<&mut Line> {
        let line = self.line_mut(occurrence)?;
        line.status = status;
        line.due_ms = None;
        Some(line)
    }
}

impl Failure {
    /// Nobody answered.
    pub(super) fn unanswered() -> Self {
        Self {
            kind: FailureKind::Unanswered,
            code: String::new(),
            reason: "no answer in time".to_owned(),
        }
    }

    /// The saga turned back while it was in flight.
    pub(super) fn overtaken() -> Self {
        Self {
            kind: FailureKind::Overtaken,
            code: String::new(),
            reason: "the saga turned back before it answered".to_owned(),
        }
    }
}

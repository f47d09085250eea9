//! How a change changes a saga. It needs no decision, and no definition.

use std::collections::BTreeMap;

use super::change::{Ask, Change, Request, Shape};
use super::ledger::{Line, LineKind, LineStatus};
use super::mailbox::MAILBOX_HASH;
use super::message::Direction;
use super::part::Part;
use super::state::{Course, Saga, Status};
use crate::payload::Payload;

impl Shape {
    fn part(&self) -> Part {
        match self {
            Self::Parallel(branches) => {
                Part::Parallel((0..*branches).map(|_| Part::sequence()).collect())
            }
            Self::Choose(case) => Part::Choose {
                case: *case,
                steps: Box::new(Part::sequence()),
            },
            Self::Each { id, items } => Part::Each {
                id: id.clone(),
                items: items.clone(),
                collected: None,
                parts: Vec::new(),
            },
            Self::Repeat => Part::Repeat(Vec::new()),
            Self::Nothing => Part::Skipped,
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
            parent,
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
            parent: parent.clone(),
            undo_key: None,
            vars: BTreeMap::new(),
            pauses: Vec::new(),
            tags: BTreeMap::new(),
            deadline_ms: *deadline_ms,
            root: if definition_hash == MAILBOX_HASH {
                Part::Mailbox(Box::default())
            } else {
                Part::sequence()
            },
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
            Change::Asked(ask) => self.apply_ask(ask, at_ms)?,
            Change::Unwanted { occurrence, .. } => self.line_mut(occurrence)?.wanted = false,
            Change::AskedBack {
                occurrence, round, ..
            } => {
                let line = self.line_mut(occurrence)?;
                line.status = LineStatus::Undoing;
                line.due_ms = None;
                line.undo_round = *round;
            }
            Change::Answered(_) | Change::NotDecided { .. } => {}
            Change::UndoAsked { key } => self.undo_key = Some(key.clone()),
            Change::Entered { place, shape } => self.enter(place, shape.part())?,
            Change::NextBegan { place } => {
                self.pauses.retain(|(known, _)| known != place);
                self.part_mut(place)?.push(Part::sequence());
            }
            Change::Paused { place, due_ms } => self.pauses.push((place.clone(), *due_ms)),
            Change::Collected { place, values } => self.collect(place, values)?,
            Change::Set { place, vars } => {
                for (name, value) in vars {
                    self.vars.insert(name.clone(), value.clone());
                }
                self.enter(place, Part::Skipped)
                    .and_then(|()| self.leave(place))?;
            }
            Change::Reversed { place, caught } => {
                self.pauses.retain(|(known, _)| !known.starts_with(place));
                let part = self.root.at_mut(place)?;
                let inner = std::mem::replace(part, Part::Skipped);
                *part = Part::Reversing {
                    part: Box::new(inner),
                    caught: caught.clone(),
                };
            }
            Change::Recovering {
                place,
                block,
                caught,
            } => {
                let part = self.root.at_mut(place)?;
                let failed = std::mem::replace(part, Part::Skipped);
                *part = Part::Recovering {
                    failed: Box::new(failed),
                    caught: caught.clone(),
                    block: *block,
                    steps: Box::new(Part::sequence()),
                };
            }
            Change::Mail(change) => match &mut self.root {
                Part::Mailbox(mailbox) => mailbox.apply(change)?,
                Part::Sequence { .. }
                | Part::Line(_)
                | Part::Skipped
                | Part::Parallel(_)
                | Part::Choose { .. }
                | Part::Each { .. }
                | Part::Repeat(_)
                | Part::Reversing { .. }
                | Part::Recovering { .. } => return None,
            },
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
                line.wanted = false;
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
                self.pauses.clear();
                // A parent can have taken back what had completed.
                if self.status.has_ended() {
                    self.status = Status::Compensating;
                    self.ended_at_ms = None;
                    self.output = None;
                }
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
                self.pauses.clear();
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
            line.reply_due_ms = request.reply_due_ms;
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
            kind: LineKind::Do,
            pivot: request.pivot,
            status,
            attempt: request.attempt,
            round_first: request.attempt,
            round_at_ms: at_ms,
            due_ms: Some(request.due_ms),
            reply_due_ms: request.reply_due_ms,
            target: None,
            wanted: false,
            undo_round: 0,
            undo_input: None,
            input: request.input.clone(),
            output: None,
            failure: None,
        };
        self.lines.push(line);
        self.enter(&request.place, Part::Line(self.lines.len() - 1))
    }

    fn apply_ask(&mut self, ask: &Ask, at_ms: i64) -> Option<()> {
        self.lines.push(Line {
            step: ask.step.clone(),
            occurrence: ask.occurrence.clone(),
            place: ask.place.clone(),
            kind: ask.kind,
            pivot: false,
            status: LineStatus::InFlight,
            attempt: 1,
            round_first: 1,
            round_at_ms: at_ms,
            due_ms: ask.due_ms,
            reply_due_ms: None,
            target: ask.target.clone(),
            wanted: ask.kind == LineKind::Wait,
            undo_round: 0,
            undo_input: None,
            input: ask.input.clone(),
            output: None,
            failure: None,
        });
        self.enter(&ask.place, Part::Line(self.lines.len() - 1))
    }

    /// The items that have begun of an `each`, or the rounds of a `repeat`.
    fn part_mut(&mut self, place: &[u16]) -> Option<&mut Vec<Part>> {
        match self.root.at_mut(place)? {
            Part::Each { parts, .. } | Part::Repeat(parts) => Some(parts),
            Part::Sequence { .. }
            | Part::Line(_)
            | Part::Skipped
            | Part::Parallel(_)
            | Part::Choose { .. }
            | Part::Reversing { .. }
            | Part::Recovering { .. }
            | Part::Mailbox(_) => None,
        }
    }

    fn collect(&mut self, place: &[u16], values: &Payload) -> Option<()> {
        let Some(Part::Each { collected, .. }) = self.root.at_mut(place) else {
            return None;
        };
        *collected = Some(values.clone());
        Some(())
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
            Part::Sequence { .. }
            | Part::Line(_)
            | Part::Skipped
            | Part::Parallel(_)
            | Part::Choose { .. }
            | Part::Each { .. }
            | Part::Repeat(_)
            | Part::Reversing { .. }
            | Part::Recovering { .. }
            | Part::Mailbox(_) => None,
        }
    }

    fn leave(&mut self, place: &[u16]) -> Option<()> {
        let (last, parent) = place.split_last()?;
        match self.root.at_mut(parent)? {
            Part::Sequence { behind, running } if behind.len() == usize::from(*last) => {
                behind.push(*running.take()?);
                Some(())
            }
            Part::Sequence { .. }
            | Part::Line(_)
            | Part::Skipped
            | Part::Parallel(_)
            | Part::Choose { .. }
            | Part::Each { .. }
            | Part::Repeat(_)
            | Part::Reversing { .. }
            | Part::Recovering { .. }
            | Part::Mailbox(_) => None,
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

//! What a failure leads to.

use super::advance::Turn;
use super::ledger::{Failure, FailureKind, LineKind, LineStatus};
use super::part::{Part, is_reaction};
use super::state::Course;
use crate::definition::{
    Need, ON_FAILURE, ON_REFUSED, ON_TIMEOUT, OnFailure, Step, Undo, Verb, step_at,
};

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The saga turns back, if it may.
    TurnBack,
    /// The saga is set aside.
    Park,
    /// The saga goes on without the step, or without one around it.
    Caught,
}

impl Step {
    /// What is written for a failure, and where its steps stand if it is steps.
    pub(super) fn reaction(&self, failure: &Failure) -> (&OnFailure, u16) {
        let is_asked = matches!(self.verb, Verb::Wait(_) | Verb::Approve(_));
        match (failure.kind, &self.on_timeout, &self.on_refused) {
            (FailureKind::Unanswered, Some(reaction), _) if is_asked => (reaction, ON_TIMEOUT),
            (FailureKind::Refused, _, Some(reaction)) if is_asked => (reaction, ON_REFUSED),
            (
                FailureKind::Failed
                | FailureKind::Refused
                | FailureKind::Unanswered
                | FailureKind::Overtaken,
                _,
                _,
            ) => (&self.on_failure, ON_FAILURE),
        }
    }
}

impl<'d> Turn<'d> {
    /// The step at a place. It lives as long as the definition.
    pub(super) fn step_of(&self, place: &[u16]) -> &'d Step {
        step_at(&self.definition.steps, place)
            .expect("a saga runs under the definition it is pinned to")
    }

    /// What a failure of the step at a place leads to: it goes up until a step catches it.
    pub(super) fn fate(&self, place: &[u16], failure: &Failure) -> Fate {
        let (own, _) = self.step_of(place).reaction(failure);
        if let Some(fate) = self.fate_at(place, own) {
            return fate;
        }
        for depth in (1..place.len()).step_by(2).rev() {
            // What fails on the way of a reaction goes past the step that it belongs to.
            if is_reaction(place[depth]) {
                continue;
            }
            let around = self.step_of(&place[..depth]);
            if let Verb::Parallel(parallel) = &around.verb
                && parallel.need != Need::All
            {
                return Fate::Caught;
            }
            if let Some(fate) = self.fate_at(&place[..depth], &around.on_failure) {
                return fate;
            }
        }
        Fate::TurnBack
    }

    /// What the reaction of the step at a place makes of a failure; `None` where that goes up.
    fn fate_at(&self, place: &[u16], reaction: &OnFailure) -> Option<Fate> {
        match reaction {
            OnFailure::TurnBack => None,
            OnFailure::Park => Some(Fate::Park),
            OnFailure::Ignore | OnFailure::Steps(_) if self.holds_pivot(place) => None,
            OnFailure::Ignore | OnFailure::Steps(_) => Some(Fate::Caught),
        }
    }

    /// Whether the step at a place is a pivot, or has one inside, that is done, or that may have
    /// run and has no undo: it cannot be taken back, so that nothing but its answer ends the asking.
    pub(super) fn holds_pivot(&self, place: &[u16]) -> bool {
        let mut lines = self.saga.lines.iter().enumerate();
        lines.any(|(index, line)| {
            line.pivot
                && line.place.starts_with(place)
                && match line.status {
                    LineStatus::Done | LineStatus::Waived => true,
                    LineStatus::InFlight
                    | LineStatus::Waiting
                    | LineStatus::Ambiguous
                    | LineStatus::Refused
                    | LineStatus::Undoing
                    | LineStatus::UndoWaiting
                    | LineStatus::Undone
                    | LineStatus::Stuck => {
                        line.status.may_have_run() && *self.undo_of(index) == Undo::Absent
                    }
                }
        })
    }

    fn fate_of_line(&self, index: usize) -> Fate {
        let line = &self.saga.lines[index];
        let unknown = Failure::unanswered();
        self.fate(&line.place, line.failure.as_ref().unwrap_or(&unknown))
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
            && match self.fate_of_line(index) {
                Fate::Caught => false,
                Fate::Park => true,
                Fate::TurnBack => self.may_turn_back().is_err(),
            }
    }

    /// Whether a line may be asked for again: nothing is done again that is not missed.
    pub(super) fn may_ask_again(&self, index: usize) -> bool {
        self.saga.course == Course::Forward
            && self.fate_of_line(index) != Fate::Caught
            && !self.is_given_up(&self.saga.lines[index].place)
    }

    /// Whether a line is that of a step that runs now.
    fn is_running(&self, index: usize) -> bool {
        let place = &self.saga.lines[index].place;
        self.is_entered(place)
            && self.saga.root.at(place) == Some(&Part::Line(index))
            && !self.is_given_up(place)
    }

    /// Whether a place lies in what has failed and was caught: nothing goes on there.
    fn is_given_up(&self, place: &[u16]) -> bool {
        (1..=place.len()).any(|len| match self.saga.root.at(&place[..len]) {
            Some(Part::Reversing { .. }) => true,
            Some(Part::Recovering { block, .. }) => place.get(len) != Some(block),
            Some(
                Part::Sequence { .. }
                | Part::Line(_)
                | Part::Skipped
                | Part::Parallel(_)
                | Part::Choose { .. }
                | Part::Each { .. }
                | Part::Repeat(_)
                | Part::Mailbox(_),
            )
            | None => false,
        })
    }

    /// Whether the part at a place is the running one of its sequence.
    pub(super) fn is_entered(&self, place: &[u16]) -> bool {
        let Some((last, parent)) = place.split_last() else {
            return false;
        };
        matches!(
            self.saga.root.at(parent),
            Some(Part::Sequence { behind, running })
                if behind.len() == usize::from(*last) && running.is_some()
        )
    }

    /// How the step of a line is taken back.
    pub(super) fn undo_of(&self, index: usize) -> &'d Undo {
        let line = &self.saga.lines[index];
        match (&self.step_of(&line.place).verb, line.kind) {
            (Verb::Do(work), _) => &work.undo,
            (_, LineKind::Run) => &Undo::Same,
            (_, LineKind::Do | LineKind::Wait | LineKind::Sleep | LineKind::Approve) => {
                &Undo::Nothing
            }
        }
    }

    /// Says whether the saga may still turn back, or why not.
    pub(super) fn may_turn_back(&self) -> Result<(), &'static str> {
        if self.saga.is_past_pivot() {
            return Err("the pivot is done: the saga only goes forward");
        }
        for (index, line) in self.saga.lines.iter().enumerate() {
            if line.status.may_have_run() && *self.undo_of(index) == Undo::Absent {
                return Err(if line.pivot {
                    "the pivot may have run and has no undo: its answer decides"
                } else {
                    "a step without undo may have run"
                });
            }
        }
        Ok(())
    }

    /// After the pivot, and for a pivot that cannot be undone, only an answer ends the asking.
    pub(super) fn never_gives_up(&self, index: usize, failure: &Failure) -> bool {
        let line = &self.saga.lines[index];
        if line.kind != LineKind::Do || self.fate(&line.place, failure) != Fate::TurnBack {
            return false;
        }
        self.saga.is_past_pivot() || *self.undo_of(index) == Undo::Absent
    }

    /// Whether an undo waits for a person.
    pub(super) fn is_stuck(&self) -> bool {
        let mut lines = self.saga.lines.iter();
        lines.any(|line| line.status == LineStatus::Stuck)
    }
}

pub(super) fn describe(failure: &Failure) -> String {
    match (failure.code.as_str(), failure.reason.as_str()) {
        ("", reason) => format!("{} ({reason})", failure.kind.name()),
        (code, "") => format!("{} ({code})", failure.kind.name()),
        (code, reason) => format!("{} ({code}: {reason})", failure.kind.name()),
    }
}

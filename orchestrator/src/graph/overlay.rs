//! How far a saga is, to be drawn over its definition.

use std::collections::BTreeMap;

use backstitch_saga::core::{Line, LineStatus, Saga, Status};

use super::drawing::NodeRole;

/// How a saga stands with a step, or with its undo.
///
/// The order is that of urgency: of several occurrences of a step, the last in this order gives its box the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It was undone.
    Undone,
    /// A person has taken it off the ledger.
    Waived,
    /// It did not run.
    Refused,
    /// It ran.
    Done,
    /// It may have run.
    Ambiguous,
    /// An answer is awaited.
    InFlight,
    /// It is being undone.
    Undoing,
    /// It cannot be undone; a person has to help.
    Stuck,
}

impl State {
    /// The word for it, as the ledger has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undone => "undone",
            Self::Waived => "waived",
            Self::Refused => "refused",
            Self::Done => "done",
            Self::Ambiguous => "ambiguous",
            Self::InFlight => "in flight",
            Self::Undoing => "undoing",
            Self::Stuck => "stuck",
        }
    }

    /// Whether it tells of the undo rather than of the step.
    pub fn is_of_undo(self) -> bool {
        match self {
            Self::Undone | Self::Undoing | Self::Stuck => true,
            Self::Waived | Self::Refused | Self::Done | Self::Ambiguous | Self::InFlight => false,
        }
    }
}

impl From<LineStatus> for State {
    fn from(status: LineStatus) -> Self {
        match status {
            LineStatus::InFlight | LineStatus::Waiting => Self::InFlight,
            LineStatus::Ambiguous => Self::Ambiguous,
            LineStatus::Done => Self::Done,
            LineStatus::Refused => Self::Refused,
            LineStatus::Undoing | LineStatus::UndoWaiting => Self::Undoing,
            LineStatus::Undone => Self::Undone,
            LineStatus::Stuck => Self::Stuck,
            LineStatus::Waived => Self::Waived,
        }
    }
}

/// How far a saga is. The layout keeps room for it in each box, so that the picture does not move with the saga.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// By step, then by occurrence.
    marks: BTreeMap<String, BTreeMap<String, State>>,
    /// The end at which the saga is.
    at: Option<NodeRole>,
}

impl Overlay {
    /// How far this saga is.
    pub fn of_saga(saga: &Saga) -> Self {
        let mut overlay = Self::default();
        for Line {
            step,
            occurrence,
            status,
            ..
        } in &saga.lines
        {
            overlay.mark(step, occurrence, State::from(*status));
        }
        overlay.at = match saga.status {
            Status::Running | Status::Compensating | Status::Terminated => None,
            Status::Parked => Some(NodeRole::Parked),
            Status::Completed => Some(NodeRole::Completed),
            Status::Compensated => Some(NodeRole::Compensated),
        };
        overlay
    }

    /// Says how an occurrence of a step stands; the latest word on it counts.
    pub fn mark(&mut self, step: &str, occurrence: &str, state: State) {
        self.marks
            .entry(step.to_owned())
            .or_default()
            .insert(occurrence.to_owned(), state);
    }

    /// The most urgent state of a step's occurrences, and all of them in words: `2 done, 1 in flight`.
    pub(super) fn of_step(&self, step: &str) -> Option<(State, String)> {
        let marks = self.marks.get(step)?;
        let urgent = marks.values().max()?;
        if marks.len() == 1 {
            return Some((*urgent, urgent.name().to_owned()));
        }
        let mut counts: BTreeMap<State, usize> = BTreeMap::new();
        for state in marks.values() {
            *counts.entry(*state).or_default() += 1;
        }
        let words: Vec<String> = counts
            .iter()
            .rev()
            .map(|(state, count)| format!("{count} {}", state.name()))
            .collect();
        Some((*urgent, words.join(", ")))
    }

    /// Whether the saga is at this end.
    pub(super) fn is_at(&self, role: NodeRole) -> bool {
        self.at == Some(role)
    }
}

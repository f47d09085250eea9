//! The ledger: one line per occurrence that asked someone for something.

use serde::{Deserialize, Serialize};

use super::message::Direction;
use super::part::Place;
use crate::payload::Payload;

/// One occurrence of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The step's id in the definition.
    pub step: String,
    /// Names the occurrence in the saga; part of its idempotency key.
    pub occurrence: String,
    /// Where the step stands in the definition.
    pub place: Place,
    /// Who is asked.
    #[serde(default, skip_serializing_if = "LineKind::is_do")]
    pub kind: LineKind,
    /// Whether the step is the pivot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// How it stands.
    pub status: LineStatus,
    /// The latest attempt in the present direction; it counts from 1 and never restarts.
    pub attempt: u32,
    /// The first attempt of the present round: a resume begins a new round.
    pub round_first: u32,
    /// When that attempt was sent. Milliseconds since the Unix epoch.
    pub round_at_ms: i64,
    /// When silence counts as no answer, or when the next attempt leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<i64>,
    /// When the answer to the present attempt counts as missing whatever heartbeats say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_due_ms: Option<i64>,
    /// Of a `wait`: the mailbox. Of a `run`: the child's saga key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of a `wait`: whether the mailbox still holds that it waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wanted: bool,
    /// Counts the keys under which an undo was asked for; above 1 only after a refused undo.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undo_round: u32,
    /// What the workers who undo it were given, if that is not `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_input: Option<Payload>,
    /// What the workers were given.
    pub input: Payload,
    /// What they answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Who is asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Workers.
    #[default]
    Do,
    /// The world, for an event.
    Wait,
    /// The clock.
    Sleep,
    /// A person.
    Approve,
    /// Another saga.
    Run,
}

impl LineKind {
    /// The verb.
    pub fn name(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Wait => "wait",
            Self::Sleep => "sleep",
            Self::Approve => "approve",
            Self::Run => "run",
        }
    }

    fn is_do(&self) -> bool {
        *self == Self::Do
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineStatus {
    /// A command is out.
    InFlight,
    /// The next attempt leaves when its time comes.
    Waiting,
    /// It may have run: retries used up, no answer, or turned back while in flight.
    Ambiguous,
    /// It ran.
    Done,
    /// It did not run, for certain.
    Refused,
    /// The command to undo it is out.
    Undoing,
    /// The next attempt to undo it leaves when its time comes.
    UndoWaiting,
    /// It was undone, or there is nothing worth undoing.
    Undone,
    /// It cannot be undone; a person has to help.
    Stuck,
    /// A person, or the definition, has taken it off the ledger.
    Waived,
}

impl LineStatus {
    /// The word that is shown; DESIGN's ledger has no words for the two waits.
    pub fn name(self) -> &'static str {
        match self {
            Self::InFlight | Self::Waiting => "in flight",
            Self::Ambiguous => "ambiguous",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Undoing | Self::UndoWaiting => "undoing",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Waived => "waived",
        }
    }

    /// The way in which an answer is awaited, if one is.
    pub fn awaits(self) -> Option<Direction> {
        match self {
            Self::InFlight | Self::Waiting => Some(Direction::Do),
            Self::Undoing | Self::UndoWaiting => Some(Direction::Undo),
            Self::Ambiguous
            | Self::Done
            | Self::Refused
            | Self::Undone
            | Self::Stuck
            | Self::Waived => None,
        }
    }

    /// Whether the step may have changed something that is still there.
    pub fn may_have_run(self) -> bool {
        match self {
            Self::InFlight
            | Self::Waiting
            | Self::Ambiguous
            | Self::Done
            | Self::Undoing
            | Self::UndoWaiting
            | Self::Stuck => true,
            Self::Refused | Self::Undone | Self::Waived => false,
        }
    }

    /// Whether the line is in balance: nobody owes anything on it.
    pub fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Done | Self::Refused | Self::Undone | Self::Waived
        )
    }
}

/// What went wrong on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Of which sort.
    pub kind: FailureKind,
    /// Machine-readable; empty when nobody answered.
    pub code: String,
    /// For people.
    pub reason: String,
}

/// The ways in which work does not end *done*, each told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A worker said that it failed.
    Failed,
    /// A worker refused: nothing was changed.
    Refused,
    /// No answer in time.
    Unanswered,
    /// The saga turned back while it was in flight.
    Overtaken,
}

impl FailureKind {
    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Overtaken => "overtaken",
        }
    }
}

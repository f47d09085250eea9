//! The saga: everything that is known of one run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::{Failure, Line, LineStatus};
use super::message::{Act, Direction, Parent};
use super::part::{Part, Place};
use crate::payload::Payload;

/// One run of a definition. It changes by changes only: see [`Saga::advance`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saga {
    /// `<definition>/<business key>`.
    pub key: String,
    /// The definition it is pinned to.
    pub definition_hash: String,
    /// How many transitions it has had. The first has number 1.
    pub seq: u64,
    /// Hash of its latest journal entry, as lower-case hex.
    pub head: String,
    /// How it stands.
    pub status: Status,
    /// Which way it goes.
    pub course: Course,
    /// Why it turned back, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_back: Option<TurnedBackBy>,
    /// Why it waits for a person, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// What started it.
    pub event: Payload,
    /// W3C `traceparent` of what started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The saga that runs it as a step, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The key under which the parent asked to take it all back, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_key: Option<String>,
    /// What was set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
    /// Where a repetition pauses, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<(Place, i64)>,
    /// What it is searched by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When its time is up. Milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// The tree of running parts.
    pub root: Part,
    /// The ledger, in the order in which the occurrences were first asked for.
    pub lines: Vec<Line>,
    /// What it answered when it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// When the event that started it happened.
    pub event_time_ms: i64,
    /// When its first transition was decided.
    pub started_at_ms: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<i64>,
    /// When its latest transition was decided; never goes back.
    pub changed_at_ms: i64,
}

/// How a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Going forward.
    Running,
    /// Undoing.
    Compensating,
    /// Waiting for a person.
    Parked,
    /// Settled: each step of its path done.
    Completed,
    /// Settled: each step that may have run undone.
    Compensated,
    /// Stopped where it stood, by a person.
    Terminated,
}

impl Status {
    /// Whether the saga emits nothing any more (S-5).
    pub fn has_ended(self) -> bool {
        match self {
            Self::Completed | Self::Compensated | Self::Terminated => true,
            Self::Running | Self::Compensating | Self::Parked => false,
        }
    }

    /// The word that is shown and written to the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Terminated => "terminated",
        }
    }
}

/// Which way a saga goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Doing.
    Forward,
    /// Undoing, newest first.
    Back,
}

/// Why a saga turned back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnedBackBy {
    /// A step did not end *done*.
    Failure {
        /// Which occurrence.
        occurrence: String,
        /// How it ended.
        failure: Failure,
    },
    /// A person asked for it.
    Cancel(Act),
    /// Its time was up.
    Deadline,
    /// The saga that runs it as a step turned back.
    Parent,
}

/// Why a saga waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Of which sort.
    pub by: ParkedBy,
    /// The occurrence or the step that it stopped at, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// In words.
    pub reason: String,
}

/// The sorts of reasons for which a saga waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedBy {
    /// A step did not end *done*, and the saga may not or shall not turn back.
    Step,
    /// A step cannot be undone.
    Stuck,
    /// An expression cannot be evaluated.
    Expression,
    /// Its time was up after the pivot.
    Deadline,
}

impl ParkedBy {
    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Stuck => "stuck",
            Self::Expression => "expression",
            Self::Deadline => "deadline",
        }
    }
}

impl Saga {
    /// The saga key for a business key.
    pub fn key_of(definition: &str, business_key: &str) -> String {
        format!("{definition}/{business_key}")
    }

    /// The business key: what follows the definition's name in the saga key.
    pub fn business_key(&self) -> &str {
        self.key.split_once('/').map_or("", |(_, key)| key)
    }

    /// When it has to be woken, in milliseconds since the Unix epoch; `None` if time alone changes
    /// nothing.
    pub fn wake_at_ms(&self) -> Option<i64> {
        if self.status.has_ended() || self.parked.is_some() {
            return None;
        }
        if let Part::Mailbox(mailbox) = &self.root {
            return mailbox.wake_at_ms();
        }
        let lines = self.lines.iter().filter_map(|line| line.due_ms);
        let pauses = self.pauses.iter().map(|(_, due)| *due);
        let deadline = match self.course {
            Course::Forward => self.deadline_ms,
            Course::Back => None,
        };
        lines.chain(pauses).chain(deadline).min()
    }

    /// The idempotency key of an occurrence. `round` counts the keys under which an undo was asked
    /// for: 1, unless a refused undo was asked for again by a person.
    pub fn idempotency_key(&self, occurrence: &str, direction: Direction, round: u32) -> String {
        let name = direction.name();
        if direction == Direction::Undo && round > 1 {
            format!("{}/{occurrence}/{name}#{round}", self.key)
        } else {
            format!("{}/{occurrence}/{name}", self.key)
        }
    }

    /// Whether the pivot is done, so that the saga only goes forward.
    pub fn is_past_pivot(&self) -> bool {
        self.lines
            .iter()
            .any(|line| line.pivot && matches!(line.status, LineStatus::Done | LineStatus::Waived))
    }

    /// Finds the latest line of an occurrence.
    pub fn line(&self, occurrence: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.occurrence == occurrence)
    }

    pub(super) fn line_index(&self, occurrence: &str) -> Option<usize> {
        self.lines
            .iter()
            .position(|line| line.occurrence == occurrence)
    }
}

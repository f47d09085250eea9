//! What reaches a saga, and what it asks for.

use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// Which way a step is being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The step itself.
    Do,
    /// Its compensation.
    Undo,
}

impl Direction {
    /// As it stands in an idempotency key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

/// Begins a saga.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The saga key, `<definition>/<business key>`.
    pub key: String,
    /// What started it.
    pub event: Payload,
    /// W3C `traceparent` of the event, carried through commands and journal.
    pub trace: Option<String>,
    /// Who asked, when it was a person.
    pub by: Option<String>,
    /// When the event happened. Milliseconds since the Unix epoch.
    pub event_time_ms: i64,
    /// The saga that runs it as a step of its own.
    pub parent: Option<Parent>,
}

/// The step that a saga is run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The saga that asks.
    pub saga: String,
    /// Its occurrence of the step.
    pub occurrence: String,
    /// The idempotency key under which it asks.
    pub key: String,
}

/// Anything else that reaches a saga, or a mailbox.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A worker answered, or a saga that runs as a step.
    Reply(Reply),
    /// Time has passed: something may be due.
    Wake,
    /// A person acts.
    Act(Act),
    /// Something happened outside that a saga waits for.
    Event(Event),
    /// A person decides.
    Decision(Decision),
    /// To a mailbox: a saga waits for an event, or does no more.
    Want(Want),
    /// To a saga that runs as a step: take back whatever you did.
    Undo(ParentUndo),
}

/// An event from outside. Intake gives it to a mailbox, and the mailbox to the saga that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The occurrence that waits; `None` on the way to a mailbox.
    pub occurrence: Option<String>,
    /// The record.
    pub value: Payload,
    /// Where it was read.
    pub source: Source,
    /// To a mailbox: how long it is kept. Milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// W3C `traceparent` of the record.
    pub trace: Option<String>,
}

/// Where a record was read: no two are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What a person says to an `approve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The occurrence; may be left out where only one waits.
    pub occurrence: Option<String>,
    /// Yes or no.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// In which role.
    pub role: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A saga waits for an event, or does no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Which saga.
    pub saga: String,
    /// Its occurrence of the `wait`.
    pub occurrence: String,
    /// It does no more.
    pub cancel: bool,
}

/// A parent turns back: what the child did is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentUndo {
    /// The idempotency key under which it is asked.
    pub key: String,
    /// Who asks.
    pub parent: Parent,
}

/// What a saga or a mailbox says to another. It leaves like a command: by way of the journal, after
/// the commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The key of the saga or mailbox.
    pub to: String,
    /// What is said.
    pub body: NoteBody,
}

/// What is said in a [`Note`].
#[derive(Debug, Clone, PartialEq)]
pub enum NoteBody {
    /// Begin.
    Start {
        /// The name of the definition.
        definition: String,
        /// How.
        start: Start,
    },
    /// A child answers its parent.
    Reply(Reply),
    /// A mailbox hands over an event.
    Event(Event),
    /// To a mailbox.
    Want(Want),
    /// To a child.
    Undo(ParentUndo),
}

/// A worker's answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The occurrence that was asked for, as in the command.
    pub occurrence: String,
    /// Doing or undoing.
    pub direction: Direction,
    /// The idempotency key that is answered, as in the command.
    pub key: String,
    /// The attempt that is answered.
    pub attempt: u32,
    /// What the worker says.
    pub answer: Answer,
    /// Who says it.
    pub worker: Option<String>,
}

/// The four ways in which work ends are these three, and silence.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done.
    Done(Option<Payload>),
    /// It did not work this time; it may have changed something. Worth another attempt.
    Failed {
        /// Machine-readable.
        code: String,
        /// For people.
        reason: String,
    },
    /// It will not be done, and nothing was changed (W-2).
    Refused {
        /// Machine-readable.
        code: String,
        /// For people.
        reason: String,
    },
    /// Still at it: the attempt's timeout starts anew.
    Heartbeat,
}

/// A person's act on a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What is asked for.
    pub kind: ActKind,
    /// The occurrence it is about, where the kind needs one.
    pub occurrence: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// What a person may ask of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Turn back, if the pivot is not done.
    Cancel,
    /// Go on with a parked saga: what it was parked on is tried again.
    Resume,
    /// As resume, for the occurrence that is named.
    Retry,
    /// Take the occurrence off the ledger, and go on.
    Waive,
    /// Stop where it stands.
    Terminate,
}

/// A request to the workers of an activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The saga that asks.
    pub saga: String,
    /// The occurrence, e.g. `charge_payment`, or `charge_payment#2` when it was opened anew.
    pub occurrence: String,
    /// Doing or undoing.
    pub direction: Direction,
    /// Counts from 1 and never restarts.
    pub attempt: u32,
    /// Whose workers.
    pub activity: String,
    /// `saga/occurrence/direction`: the same for every attempt of the same work (S-4).
    pub key: String,
    /// For an undo: the key of the do.
    pub done_key: Option<String>,
    /// What the workers are given.
    pub input: Payload,
    /// For an undo: what the do answered, if it did.
    pub output: Option<Payload>,
    /// No answer by then counts as silence. Milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// Where set: workers say at once that they have begun, and at least this often that they are
    /// still at it.
    pub heartbeat_ms: Option<u64>,
}

//! What a transition changes. A saga changes in no other way, so that folding a journal gives
//! the same saga on every machine and under every later version of the deciding code (S-6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::{Failure, FailureKind, LineKind};
use super::mailbox::MailChange;
use super::message::{Act, Command, Decision, Direction, Parent};
use super::part::{Caught, Place};
use super::state::{Parked, Status, TurnedBackBy};
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
        /// The saga that runs it as a step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
    },
    /// What the saga is searched by.
    Tagged(BTreeMap<String, String>),
    /// A command was asked for. In the outbox it *is* the command.
    Requested(Box<Request>),
    /// A wait, a sleep, an approval or a child was begun. In the outbox it *is* the message to the
    /// mailbox or to the child.
    Asked(Box<Ask>),
    /// A wait is over, and its mailbox is told so.
    Unwanted {
        /// Which occurrence.
        occurrence: String,
        /// The mailbox.
        mailbox: String,
    },
    /// A child was asked to take back whatever it did.
    AskedBack {
        /// Which occurrence of the `run`.
        occurrence: String,
        /// The child.
        child: String,
        /// The idempotency key of this.
        key: String,
        /// The key of the `run`.
        done_key: String,
        /// Counts the keys under which it was asked.
        round: u32,
    },
    /// A child answered its parent.
    Answered(Box<Told>),
    /// The parent asks to take it all back.
    UndoAsked {
        /// Under this key.
        key: String,
    },
    /// A step with others inside it was entered.
    Entered {
        /// Where it stands.
        place: Place,
        /// What it is.
        shape: Shape,
    },
    /// The next item of an `each`, or the next round of a `repeat`, begins.
    NextBegan {
        /// Where the step stands.
        place: Place,
    },
    /// The next round of a `repeat` begins at `due_ms`.
    Paused {
        /// Where the step stands.
        place: Place,
        /// When.
        due_ms: i64,
    },
    /// What the items of an `each` have given.
    Collected {
        /// Where the step stands.
        place: Place,
        /// A list.
        values: Payload,
    },
    /// Variables were set.
    Set {
        /// Where the step stands.
        place: Place,
        /// To which values.
        vars: BTreeMap<String, Value>,
    },
    /// A part failed, and is undone by itself while the saga goes forward.
    Reversed {
        /// Where it stands.
        place: Place,
        /// Why.
        caught: Caught,
    },
    /// What failed is undone, and the steps of `on_failure` are taken.
    Recovering {
        /// Where the step stands.
        place: Place,
        /// Where its steps stand in it.
        block: u16,
        /// Why.
        caught: Caught,
    },
    /// A person's decision had no effect, for this reason.
    NotDecided {
        /// What was said.
        decision: Decision,
        /// Why not.
        reason: String,
    },
    /// Of a mailbox.
    Mail(Box<MailChange>),
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

/// What a step with others inside it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// So many branches, all of which begin.
    Parallel(u16),
    /// The case at this position.
    Choose(u16),
    /// A list.
    Each {
        /// The step's id.
        id: String,
        /// The list.
        items: Payload,
    },
    /// Rounds.
    Repeat,
    /// Nothing of it can begin: it failed at once.
    Nothing,
}

/// What a wait, a sleep, an approval or a child is asked for, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Who is asked.
    pub kind: LineKind,
    /// The step's id.
    pub step: String,
    /// Names the occurrence.
    pub occurrence: String,
    /// Where the step stands.
    pub place: Place,
    /// When its time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<i64>,
    /// Of a `wait`: the mailbox. Of a `run`: the child's saga key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of a `run`: the definition's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Of a `run`: the idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of a `run`: the child's event. Of an `approve`: what is shown. Else null.
    pub input: Payload,
}

/// What a child answered its parent, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Whom.
    pub parent: Parent,
    /// What the answer is about.
    pub direction: Direction,
    /// The idempotency key that is answered.
    pub key: String,
    /// What is said. Only *done*, *failed* and *refused*.
    pub answer: ToldAnswer,
}

/// What a child can answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldAnswer {
    /// It is done.
    Done(Option<Payload>),
    /// It was stopped: what it did, it may have done.
    Stopped {
        /// Machine-readable.
        code: String,
        /// For people.
        reason: String,
    },
    /// It undid what it did, or never began.
    Refused {
        /// Machine-readable.
        code: String,
        /// For people.
        reason: String,
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
    /// The same, whatever heartbeats say; where the two differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_due_ms: Option<i64>,
    /// Workers say at once that they have begun, and at least this often that they are still at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
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
            due_ms: self.reply_due_ms.unwrap_or(self.due_ms),
            heartbeat_ms: self.heartbeat_ms,
        }
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

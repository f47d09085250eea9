//! What a handler is given and what it may answer.

use backstitch_schemas::Direction;
use serde_json::Value;

/// One command, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The saga key: `process-order/4711`. Commands of one saga come one after the other.
    pub saga: String,
    /// The definition that the saga runs.
    pub definition: String,
    /// The step's name.
    pub step: String,
    /// The activity asked for.
    pub activity: String,
    /// Run or undo.
    pub direction: Direction,
    /// Counts from 1; every attempt of the same work has the same key.
    pub attempt: i32,
    /// The idempotency key. What is done under it must be done once.
    pub key: String,
    /// For an undo: the key of the *do* that it undoes.
    pub done_key: Option<String>,
    /// The input, made by the definition.
    pub input: Value,
    /// For an undo: what the *do* answered, from the command or else from the memory of answers. `None` if nobody knows.
    pub output: Option<Value>,
    /// When the command was sent, by the sender's clock; Unix time in milliseconds.
    pub sent_at_ms: i64,
    /// When the sender stops waiting; Unix time in milliseconds.
    pub deadline_ms: i64,
    /// Where set: the kit says at once that the work has begun, and at least this often, in
    /// milliseconds, that it is still at it. Of outside handlers only: others answer in one go.
    pub heartbeat_ms: Option<i64>,
    /// The W3C trace context of the order, if it had one.
    pub traceparent: Option<String>,
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Done, with an output (`Value::Null` if there is none). Remembered.
    Done(Value),
    /// Refused, and nothing has changed (W-2): what the handler wrote in the transaction is taken back. Remembered.
    Refused {
        /// Short, for machines and for the definition's rules: `card_declined`.
        code: String,
        /// For people.
        reason: String,
    },
    /// Failed this time; worth another attempt. What the handler wrote is taken back. Not remembered.
    Failed {
        /// Short, for machines.
        code: String,
        /// For people.
        reason: String,
    },
    /// No answer at all: what the handler wrote is taken back, the command counts as read. For tests of silence.
    Silent,
}

impl Answer {
    /// Refuses: nothing changed and another attempt won't help.
    pub fn refused(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused {
            code: code.into(),
            reason: reason.into(),
        }
    }

    /// Fails: another attempt may do.
    pub fn failed(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed {
            code: code.into(),
            reason: reason.into(),
        }
    }
}

/// A first attempt at a do, for tests.
#[cfg(test)]
pub(crate) fn example(saga: &str, activity: &str) -> Work {
    Work {
        saga: saga.to_owned(),
        definition: "process-order".to_owned(),
        step: "pay".to_owned(),
        activity: activity.to_owned(),
        direction: Direction::Do,
        attempt: 1,
        key: format!("{saga}/pay/do"),
        done_key: None,
        input: serde_json::json!({}),
        output: None,
        sent_at_ms: 0,
        deadline_ms: 0,
        heartbeat_ms: None,
        traceparent: None,
    }
}

//! The structure of a definition, whichever way it was written.

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::{Expression, Template};

/// What a saga does, checked and ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Kebab-case, e.g. `process-order`.
    pub name: String,
    /// Lower-case hex of the BLAKE3 hash of the canonical structure: comments, order of keys and
    /// spelling of durations change nothing.
    pub hash: String,
    /// The text it was read from.
    pub source: String,
    /// Which records start it. May be empty: then it is started by `start` only.
    pub start: Vec<StartRule>,
    /// Path of the Avro schema of the start event, relative to the definition's file.
    pub input: Option<String>,
    /// What sagas are searched by; each evaluates to a scalar.
    pub tags: BTreeMap<String, Template>,
    /// How long a saga may take in all: it turns back then, or parks once the pivot is done.
    pub deadline_ms: Option<u64>,
    /// What it does, in order. At least one.
    pub steps: Vec<Step>,
    /// What it answers when it completes.
    pub output: Option<Template>,
}

/// One kind of record that starts a saga.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRule {
    /// The source topic.
    pub topic: String,
    /// Only records for which this holds; all when absent.
    pub when: Option<Expression>,
    /// The business key; the saga key is `<name>/<key>`.
    pub key: Expression,
}

/// One piece of work in a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Snake_case, unique in the definition.
    pub id: String,
    /// Skipped unless this holds.
    pub when: Option<Expression>,
    /// What happens when it does not end *done*.
    pub on_failure: OnFailure,
    /// What it is.
    pub verb: Verb,
}

/// What a step does. One verb a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Asks the workers of an activity.
    Do(Do),
}

/// A step that asks the workers of an activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Do {
    /// Kebab-case: its command topic is `<prefix>.commands.<activity>`.
    pub activity: String,
    /// What the workers are given.
    pub with: Template,
    /// How it is taken back.
    pub undo: Undo,
    /// How long one attempt may go without an answer.
    pub timeout_ms: u64,
    /// How often it is asked again.
    pub retry: Retry,
    /// Once it is done, the saga only goes forward.
    pub pivot: bool,
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// `undo: yes`: the same activity, direction undo, with its input and its output if any.
    Same,
    /// Another activity.
    Other(Box<OtherUndo>),
    /// `undo: nothing`: nothing worth undoing.
    Nothing,
    /// Not written: only on the pivot and after it.
    Absent,
}

/// An undo by another activity.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherUndo {
    /// Kebab-case.
    pub activity: String,
    /// What its workers are given; `result` is the step's output, or null.
    pub with: Template,
    /// How long one attempt may go without an answer.
    pub timeout_ms: u64,
    /// How often it is asked again.
    pub retry: Retry,
}

/// How often, and how far apart, a step is asked again under the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The first attempt included; at least 1. Default 5.
    pub attempts_max: u32,
    /// The wait after the first attempt; it doubles. Default 200 ms.
    pub backoff_min_ms: u64,
    /// The longest wait. Default 10 s.
    pub backoff_max_ms: u64,
    /// The part of a wait that is drawn, 0 … 100 %. Default 20. The draw is a hash of the
    /// saga, the step and the attempt: the same everywhere.
    pub jitter_percent: u8,
    /// No attempt is sent later than this after the first. Default none.
    pub budget_ms: Option<u64>,
    /// Failures with these codes are not tried again.
    pub not: BTreeSet<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            backoff_min_ms: 200,
            backoff_max_ms: 10_000,
            jitter_percent: 20,
            budget_ms: None,
            not: BTreeSet::new(),
        }
    }
}

/// What happens when a step does not end *done*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The saga undoes, newest first, each step that may have run.
    TurnBack,
    /// The step itself is undone if it may have run, then the saga goes on.
    Ignore,
    /// The saga is set aside for a person.
    Park,
}

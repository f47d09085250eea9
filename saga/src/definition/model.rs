//! The structure of a definition, whichever way it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::contract::Schema;
use crate::expression::{Expression, Template};

/// `timeout` where nothing is written. 30 s.
pub(super) const REPLY_MS_DEFAULT: u64 = 30_000;
/// `at_once` where nothing is written.
pub(super) const AT_ONCE_DEFAULT: u16 = 10;
/// `most` of an `each` where nothing is written.
pub(super) const ITEMS_MAX_DEFAULT: u16 = 1_000;
/// `most` of a `repeat` where nothing is written.
pub(super) const ROUNDS_MAX_DEFAULT: u16 = 100;
/// `early` where nothing is written. 1 h.
pub(super) const EARLY_MS_DEFAULT: u64 = 3_600_000;

/// What a saga does, checked and ready to run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Definition {
    /// Kebab-case, e.g. `process-order`.
    pub name: String,
    /// Lower-case hex of the BLAKE3 hash of the canonical structure: comments, order of keys and
    /// spelling of durations change nothing.
    pub hash: String,
    /// The text it was read from.
    pub source: String,
    /// The files that the text names and that were read with it: schemas, contracts. By the path
    /// that the text has for them.
    pub files: BTreeMap<String, String>,
    /// Which records start it. May be empty: then it is started by `start` only.
    pub start: Vec<StartRule>,
    /// The schema of the start event.
    pub input: Option<SchemaFile>,
    /// What is agreed with the workers of its activities, by activity.
    pub activities: BTreeMap<String, Contract>,
    /// What sagas are searched by; each evaluates to a scalar.
    pub tags: BTreeMap<String, Template>,
    /// How long a saga may take in all: it turns back then, or parks once the pivot is done.
    pub deadline_ms: Option<u64>,
    /// What it does, in order. At least one.
    pub steps: Vec<Step>,
    /// What it answers when it completes.
    pub output: Option<Template>,
}

/// A schema in a file of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFile {
    /// Relative to the definition's file.
    pub path: String,
    /// What it says; `None` where the file was not at hand, which leaves payloads unchecked.
    pub schema: Option<Arc<Schema>>,
}

/// What is agreed with the workers of an activity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contract {
    /// What they are given.
    pub input: Option<SchemaFile>,
    /// What they answer. An output that does not fit is refused where it arrives.
    pub output: Option<SchemaFile>,
    /// The codes with which they may fail or refuse; empty: any.
    pub errors: BTreeSet<String>,
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
    /// The same for a `wait` or an `approve` whose time ran out; `on_failure` when absent.
    pub on_timeout: Option<OnFailure>,
    /// The same for an `approve` that was refused; `on_failure` when absent.
    pub on_refused: Option<OnFailure>,
    /// What it is.
    pub verb: Verb,
}

/// What a step does. One verb a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Asks the workers of an activity.
    Do(Do),
    /// Goes several ways at once.
    Parallel(Parallel),
    /// Goes one of several ways.
    Choose(Choose),
    /// Does the same for each item of a list.
    Each(Each),
    /// Does the same until it is enough.
    Repeat(Repeat),
    /// Waits for an event.
    Wait(Wait),
    /// Lets time pass.
    Sleep(Sleep),
    /// Runs another definition.
    Run(Run),
    /// Asks a person.
    Approve(Approve),
    /// Sets variables: each name under `vars` to the value of its template, all evaluated before
    /// any is set.
    Set(BTreeMap<String, Template>),
    /// Fails.
    Fail(Fail),
    /// Completes the saga here, with this output. Not inside `parallel` and `each`.
    End(Option<Template>),
}

impl Verb {
    /// As it is written: `do`, `parallel`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Do(_) => "do",
            Self::Parallel(_) => "parallel",
            Self::Choose(_) => "choose",
            Self::Each(_) => "each",
            Self::Repeat(_) => "repeat",
            Self::Wait(_) => "wait",
            Self::Sleep(_) => "sleep",
            Self::Run(_) => "run",
            Self::Approve(_) => "approve",
            Self::Set(_) => "set",
            Self::Fail(_) => "fail",
            Self::End(_) => "end",
        }
    }
}

/// Several sequences side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallel {
    /// Name (snake_case) and steps of each branch, in the order in which they are written; 2 or
    /// more.
    pub branches: Vec<(String, Vec<Step>)>,
    /// How many must finish.
    pub need: Need,
}

/// How many branches must finish. Once they have, the others are stopped and undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Each one.
    All,
    /// So many; `need: any` is 1.
    Count(u16),
}

/// One of several sequences: the first of which the condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Choose {
    /// In the order in which they are tried.
    pub cases: Vec<Case>,
    /// Where none holds. Without it the step fails then, with the code `no_case`.
    pub otherwise: Option<Vec<Step>>,
}

/// A way that may be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Taken if this holds.
    pub when: Expression,
    /// May be empty.
    pub steps: Vec<Step>,
}

/// The same steps for each item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Each {
    /// The name of the item in expressions; its position, from 0, is `index`.
    pub item: String,
    /// The list. Evaluated once, when the step is reached.
    pub over: Expression,
    /// How many items are worked on side by side. Default 10.
    pub at_once: u16,
    /// How many items there may be; the step fails with the code `too_many_items` if there are
    /// more. Default 1,000.
    pub items_max: u16,
    /// What is done for an item.
    pub steps: Vec<Step>,
    /// What an item gives; the step's output is the list of these, in the order of the items.
    pub collect: Option<Template>,
}

/// The same steps until a condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// What is done in a round.
    pub steps: Vec<Step>,
    /// Asked after each round; it is over when this holds.
    pub until: Expression,
    /// How many rounds there may be; the step fails with the code `too_many_rounds` after them.
    /// Default 100.
    pub rounds_max: u16,
    /// The wait between two rounds. Default none.
    pub pause_ms: u64,
}

/// An event that has to come from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The source topic.
    pub topic: String,
    /// The key of a record: `message` is the record. Must equal `matches`.
    pub key: Expression,
    /// What the record's key is held against; the saga's business key when absent. Evaluated when
    /// the step is reached.
    pub matches: Option<Expression>,
    /// Only records for which this holds; sees `message` and `now` alone.
    pub accept: Option<Expression>,
    /// The schema of such a record. One that is accepted and does not fit it is no event for anyone:
    /// it goes to the dead letters.
    pub input: Option<SchemaFile>,
    /// How long a record that comes before anyone waits for it is kept. Default 1 h.
    pub early_ms: u64,
    /// How long to wait; for ever when absent. The step ends *unanswered* then.
    pub within_ms: Option<u64>,
}

/// Lets time pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Sleep {
    /// So many milliseconds.
    For(u64),
    /// Until a time: milliseconds since the Unix epoch, or a text as RFC 3339 has it. A time in the
    /// past is over at once.
    Until(Expression),
}

/// Another saga as a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The name of its definition; the latest version that is known when the step is reached.
    pub saga: String,
    /// Its business key. The parent's saga key and the occurrence when absent.
    pub key: Option<Expression>,
    /// Its start event.
    pub with: Template,
}

/// A decision by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Approve {
    /// Who may decide: any of these roles; anybody when empty.
    pub by: BTreeSet<String>,
    /// What is shown to them.
    pub show: Template,
    /// How long they may take; for ever when absent.
    pub within_ms: Option<u64>,
}

/// A failure that the definition asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fail {
    /// Machine-readable, snake_case.
    pub code: String,
    /// For people.
    pub reason: Option<Template>,
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
    /// How long an answer may take.
    pub timeout: Timeout,
    /// How often it is asked again.
    pub retry: Retry,
    /// Once it is done, the saga only goes forward.
    pub pivot: bool,
}

/// How long an answer may take. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    /// From the command until a worker says that it is at it (its first heartbeat) or answers.
    /// Default: `reply` alone counts.
    pub start_ms: Option<u64>,
    /// From the command until the answer, for one attempt. Default 30 s. Without `heartbeat`, a
    /// heartbeat begins it anew.
    pub reply_ms: u64,
    /// From a heartbeat until the next one or the answer. Default: see `reply`.
    pub heartbeat_ms: Option<u64>,
    /// From the first command until the answer, all attempts together. Default: no limit.
    pub total_ms: Option<u64>,
}

impl Timeout {
    /// One limit for an attempt, which a heartbeat begins anew.
    pub fn of_reply(reply_ms: u64) -> Self {
        Self {
            start_ms: None,
            reply_ms,
            heartbeat_ms: None,
            total_ms: None,
        }
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self::of_reply(REPLY_MS_DEFAULT)
    }
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
    /// How long an answer may take.
    pub timeout: Timeout,
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
#[derive(Debug, Clone, PartialEq)]
pub enum OnFailure {
    /// The saga undoes, newest first, each step that may have run.
    TurnBack,
    /// The step itself is undone if it may have run, then the saga goes on.
    Ignore,
    /// The saga is set aside for a person.
    Park,
    /// The step itself is undone if it may have run, then these are taken, and the saga goes on.
    /// They see `failure`.
    Steps(Vec<Step>),
}

//! The verbs that ask someone or let time pass: `do`, `wait`, `sleep`, `run`, `approve`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::faults::Faults;
use super::limits::Limits;
use super::saga::schema_file;
use super::step::StepOf;
use crate::definition::model::{Approve, Do, EARLY_MS_DEFAULT, OtherUndo, Run, Sleep, Undo, Wait};
use crate::expression::Template;

/// `do`: asks the workers of an activity, in kebab-case.
pub fn act(activity: impl Into<String>) -> StepOf<Do> {
    let activity = activity.into();
    let Limits {
        timeout,
        retry,
        faults: _,
    } = Limits::default();
    StepOf::named(
        &activity.clone(),
        Do {
            activity,
            with: Template::empty(),
            undo: Undo::Absent,
            timeout,
            retry,
            pivot: false,
        },
    )
}

impl StepOf<Do> {
    /// What the workers are given. A text that begins with `=` is an expression.
    pub fn with(mut self, input: impl Into<Value>) -> Self {
        self.verb.with = self.faults.template("with", input);
        self
    }

    /// `undo: yes`: the same activity takes it back.
    pub fn undo_same(mut self) -> Self {
        self.verb.undo = Undo::Same;
        self
    }

    /// `undo: nothing`: there is nothing worth undoing.
    pub fn undo_nothing(mut self) -> Self {
        self.verb.undo = Undo::Nothing;
        self
    }

    /// Another activity takes it back.
    pub fn undo(mut self, other: UndoBy) -> Self {
        let UndoBy { undo, faults } = other;
        self.faults.take_in("`undo`", faults);
        self.verb.undo = Undo::Other(Box::new(undo));
        self
    }

    /// How long an answer may take, and how often it is asked for.
    pub fn limits(mut self, limits: Limits) -> Self {
        let Limits {
            timeout,
            retry,
            faults,
        } = limits;
        self.faults.take(faults);
        self.verb.timeout = timeout;
        self.verb.retry = retry;
        self
    }

    /// Once it is done, the saga only goes forward.
    pub fn pivot(mut self) -> Self {
        self.verb.pivot = true;
        self
    }
}

/// Another activity that undoes a step.
#[derive(Debug, Clone)]
#[must_use]
pub struct UndoBy {
    undo: OtherUndo,
    faults: Faults,
}

/// The activity that undoes a step, in kebab-case.
pub fn by(activity: impl Into<String>) -> UndoBy {
    let Limits {
        timeout,
        retry,
        faults,
    } = Limits::default();
    UndoBy {
        undo: OtherUndo {
            activity: activity.into(),
            with: Template::empty(),
            timeout,
            retry,
        },
        faults,
    }
}

impl UndoBy {
    /// What its workers are given. `result` is the step's output, or null.
    pub fn with(mut self, input: impl Into<Value>) -> Self {
        self.undo.with = self.faults.template("with", input);
        self
    }

    /// How long an answer may take, and how often it is asked for.
    pub fn limits(mut self, limits: Limits) -> Self {
        let Limits {
            timeout,
            retry,
            faults,
        } = limits;
        self.faults.take(faults);
        self.undo.timeout = timeout;
        self.undo.retry = retry;
        self
    }
}

/// A wait that does not yet say where the event comes from.
#[derive(Debug, Clone)]
#[must_use]
pub struct WaitFor {
    name: String,
}

/// A wait that does not yet say which event it is for.
#[derive(Debug, Clone)]
#[must_use]
pub struct WaitOn {
    name: String,
    topic: String,
}

/// `wait`: waits for an event from outside; the name becomes the step's id.
pub fn wait(name: impl Into<String>) -> WaitFor {
    WaitFor { name: name.into() }
}

impl WaitFor {
    /// The source topic of the event.
    pub fn topic(self, topic: impl Into<String>) -> WaitOn {
        WaitOn {
            name: self.name,
            topic: topic.into(),
        }
    }
}

impl WaitOn {
    /// The key of a record, an expression that sees `message`. Must equal the saga's key, or what
    /// `matching` gives.
    pub fn key(self, key: impl AsRef<str>) -> StepOf<Wait> {
        let mut faults = Faults::default();
        let wait = Wait {
            topic: self.topic,
            key: faults.logic("key", key.as_ref()),
            matches: None,
            accept: None,
            input: None,
            early_ms: EARLY_MS_DEFAULT,
            within_ms: None,
        };
        StepOf::named(&self.name, wait).with_faults(faults)
    }
}

impl StepOf<Wait> {
    /// What the record's key is held against, an expression, instead of the saga's key: `match` in
    /// YAML.
    pub fn matching(mut self, value: impl AsRef<str>) -> Self {
        self.verb.matches = Some(self.faults.logic("match", value.as_ref()));
        self
    }

    /// Only records for which this expression holds. It sees `message` and `now`.
    pub fn accept(mut self, condition: impl AsRef<str>) -> Self {
        self.verb.accept = Some(self.faults.logic("accept", condition.as_ref()));
        self
    }

    /// The Avro schema of such a record: its text, and the path that the YAML has for it. A record
    /// that is accepted and does not fit becomes a dead letter.
    pub fn input(mut self, path: impl Into<String>, avro: impl AsRef<str>) -> Self {
        let file = schema_file("input", path.into(), avro.as_ref(), &mut self.faults);
        self.verb.input = Some(file);
        self
    }

    /// How long a record is kept that comes before anyone waits for it. Default 1 h.
    pub fn early(mut self, kept: Duration) -> Self {
        self.verb.early_ms = self.faults.ms("early", kept);
        self
    }

    /// How long to wait; for ever without it.
    pub fn within(mut self, limit: Duration) -> Self {
        self.verb.within_ms = Some(self.faults.ms("within", limit));
        self
    }
}

/// `sleep`: lets time pass.
pub fn sleep(time: Duration) -> StepOf<Sleep> {
    let mut faults = Faults::default();
    StepOf::of(Sleep::For(faults.ms("sleep", time))).with_faults(faults)
}

/// `sleep` until a time, an expression: milliseconds since the Unix epoch, or a text as RFC 3339
/// has it.
pub fn sleep_until(time: impl AsRef<str>) -> StepOf<Sleep> {
    let mut faults = Faults::default();
    StepOf::of(Sleep::Until(faults.logic("until", time.as_ref()))).with_faults(faults)
}

/// `run`: runs another definition as a step.
pub fn run(saga: impl Into<String>) -> StepOf<Run> {
    let saga = saga.into();
    StepOf::named(
        &saga.clone(),
        Run {
            saga,
            key: None,
            with: Template::empty(),
        },
    )
}

impl StepOf<Run> {
    /// The business key of the saga that is run, an expression.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.verb.key = Some(self.faults.logic("key", key.as_ref()));
        self
    }

    /// Its start event.
    pub fn with(mut self, event: impl Into<Value>) -> Self {
        self.verb.with = self.faults.template("with", event);
        self
    }
}

/// `approve`: asks a person to decide; the name becomes the step's id.
pub fn approve(name: impl AsRef<str>) -> StepOf<Approve> {
    StepOf::named(
        name.as_ref(),
        Approve {
            by: BTreeSet::new(),
            show: Template::empty(),
            within_ms: None,
        },
    )
}

impl StepOf<Approve> {
    /// Who may decide: any of these roles. Without it: anybody.
    pub fn by<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.verb.by.extend(roles.into_iter().map(Into::into));
        self
    }

    /// What is shown to them.
    pub fn show(mut self, document: impl Into<Value>) -> Self {
        self.verb.show = self.faults.template("show", document);
        self
    }

    /// How long they may take; for ever without it.
    pub fn within(mut self, limit: Duration) -> Self {
        self.verb.within_ms = Some(self.faults.ms("within", limit));
        self
    }
}

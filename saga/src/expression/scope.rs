//! What an expression can see.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// What an expression can see. Only what it names is read.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `event`: what started the saga.
    pub event: &'a Value,
    /// `key`: the business key.
    pub key: &'a str,
    /// `steps.<id>`: the outputs.
    pub steps: &'a dyn Steps,
    /// `now`: the time of the message at hand. Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `result`; `None` outside an undo, where naming it is an error.
    pub result: Option<&'a Value>,
    /// `failure`; `None` outside `on_failure`, where naming it is an error.
    pub failure: Option<&'a Value>,
    /// `message`: the record that is matched; `None` outside a `wait`, where naming it is an error.
    pub message: Option<&'a Value>,
    /// The items and indexes of the `each` around it, outermost first: the last of a name counts.
    pub locals: &'a [(String, Cow<'a, Value>)],
    /// `vars.<name>`: what was set.
    pub vars: &'a BTreeMap<String, Value>,
}

impl<'a> Scope<'a> {
    /// What the key of a `wait` sees: a record, and nothing of a saga.
    pub fn of_message(message: &'a Value, now_ms: i64) -> Self {
        static NO_EVENT: Value = Value::Null;
        Self {
            message: Some(message),
            ..Self::of_event(&NO_EVENT, now_ms)
        }
    }

    /// What a start rule sees: an event, and nothing that has happened yet.
    ///
    /// `key` is empty: it is what such a rule finds out.
    pub fn of_event(event: &'a Value, now_ms: i64) -> Self {
        static NO_VARS: BTreeMap<String, Value> = BTreeMap::new();
        Self {
            event,
            key: "",
            steps: &NoSteps,
            now_ms,
            result: None,
            failure: None,
            message: None,
            locals: &[],
            vars: &NO_VARS,
        }
    }
}

/// The outputs of a saga's steps.
pub trait Steps: std::fmt::Debug + Sync {
    /// Returns the output of a step, or `None` if it has none, which reads as null.
    ///
    /// Asked only for steps that an expression names, once for each place where it does.
    fn output(&self, id: &str) -> Option<Cow<'_, Value>>;
}

/// No step has run.
#[derive(Debug, Clone, Copy)]
pub struct NoSteps;

impl Steps for NoSteps {
    fn output(&self, _id: &str) -> Option<Cow<'_, Value>> {
        None
    }
}

impl Steps for BTreeMap<String, Value> {
    fn output(&self, id: &str) -> Option<Cow<'_, Value>> {
        self.get(id).map(Cow::Borrowed)
    }
}

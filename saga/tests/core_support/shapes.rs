//! Definitions, written as structures.

use std::collections::BTreeMap;

use backstitch_saga::Payload;
use backstitch_saga::core::{Saga, Start};
use backstitch_saga::definition::{
    Definition, Do, OnFailure, OtherUndo, Retry, Step, Timeout, Undo, Verb,
};
use backstitch_saga::expression::{Expression, Template};
use serde_json::{Value, json};

/// When each saga of these tests starts. Milliseconds since the Unix epoch.
pub(crate) const START_MS: i64 = 1_000_000;
/// How long an attempt may take.
pub(crate) const TIMEOUT_MS: u64 = 1_000;
/// How long until the next one.
pub(crate) const BACKOFF_MS: u64 = 100;

pub(crate) fn template(value: Value) -> Template {
    Template::from_value(value).unwrap()
}

/// Three attempts, always the same wait between them.
pub(crate) fn retry(attempts_max: u32) -> Retry {
    Retry {
        attempts_max,
        backoff_min_ms: BACKOFF_MS,
        backoff_max_ms: BACKOFF_MS,
        jitter_percent: 0,
        ..Retry::default()
    }
}

/// A step that asks the activity of its own name, and is undone by it.
pub(crate) fn step(id: &str) -> Step {
    Step {
        id: id.to_owned(),
        when: None,
        on_failure: OnFailure::TurnBack,
        on_timeout: None,
        on_refused: None,
        verb: Verb::Do(Do {
            activity: id.replace('_', "-"),
            with: template(json!({ "order": "=key" })),
            undo: Undo::Same,
            timeout: Timeout::of_reply(TIMEOUT_MS),
            retry: retry(3),
            pivot: false,
        }),
    }
}

/// Another activity as undo; it sees the result.
pub(crate) fn other(activity: &str) -> Undo {
    other_with(activity, json!({ "result": "=result" }))
}

pub(crate) fn other_with(activity: &str, with: Value) -> Undo {
    Undo::Other(Box::new(OtherUndo {
        activity: activity.to_owned(),
        with: template(with),
        timeout: Timeout::of_reply(2 * TIMEOUT_MS),
        retry: retry(2),
    }))
}

/// How a step is written.
pub(crate) trait Written: Sized {
    fn work(self, change: impl FnOnce(&mut Do)) -> Self;
    fn fails(self, how: OnFailure) -> Self;
    fn when(self, condition: &str) -> Self;

    fn undo(self, undo: Undo) -> Self {
        self.work(|work| work.undo = undo)
    }
    fn pivot(self) -> Self {
        self.work(|work| work.pivot = true)
    }
    fn attempts(self, attempts_max: u32) -> Self {
        self.work(|work| work.retry.attempts_max = attempts_max)
    }
    fn budget(self, budget_ms: u64) -> Self {
        self.work(|work| work.retry.budget_ms = Some(budget_ms))
    }
    fn never_again(self, code: &str) -> Self {
        self.work(|work| {
            work.retry.not.insert(code.to_owned());
        })
    }
    fn with(self, with: Value) -> Self {
        self.work(|work| work.with = template(with))
    }
    fn ignored(self) -> Self {
        self.fails(OnFailure::Ignore)
    }
    fn parked(self) -> Self {
        self.fails(OnFailure::Park)
    }
}

impl Written for Step {
    fn work(mut self, change: impl FnOnce(&mut Do)) -> Self {
        let Verb::Do(work) = &mut self.verb else {
            unreachable!("these steps ask workers")
        };
        change(work);
        self
    }

    fn fails(mut self, how: OnFailure) -> Self {
        self.on_failure = how;
        self
    }

    fn when(mut self, condition: &str) -> Self {
        self.when = Some(Expression::compile(condition).unwrap());
        self
    }
}

pub(crate) fn definition(steps: Vec<Step>) -> Definition {
    Definition {
        name: "test".to_owned(),
        hash: "0".repeat(64),
        source: String::new(),
        files: Default::default(),
        activities: Default::default(),
        start: Vec::new(),
        input: None,
        tags: BTreeMap::new(),
        deadline_ms: None,
        steps,
        output: None,
    }
}

pub(crate) fn with_deadline(deadline_ms: u64, definition: Definition) -> Definition {
    Definition {
        deadline_ms: Some(deadline_ms),
        ..definition
    }
}

pub(crate) fn with_output(output: Value, definition: Definition) -> Definition {
    Definition {
        output: Some(template(output)),
        ..definition
    }
}

pub(crate) fn work_of<'d>(definition: &'d Definition, id: &str) -> &'d Do {
    let step = definition.steps.iter().find(|s| s.id == id).unwrap();
    let Verb::Do(work) = &step.verb else {
        unreachable!("these steps ask workers")
    };
    work
}

pub(crate) fn start(definition: &Definition) -> Start {
    Start {
        key: Saga::key_of(&definition.name, "4711"),
        event: Payload::from_value(&json!({ "order_id": "4711", "total": 120, "gift": false })),
        trace: None,
        by: None,
        event_time_ms: START_MS - 5,
        parent: None,
    }
}

/// The order of the documentation: stock, payment (the pivot), label.
pub(crate) fn order() -> Definition {
    definition(vec![
        step("check_fraud").undo(Undo::Nothing),
        step("reserve_stock"),
        step("charge_payment").undo(other("refund-payment")).pivot(),
        step("print_label").undo(Undo::Absent),
    ])
}

/// The shapes that are walked and driven at random, with their names.
pub(crate) fn shapes() -> Vec<(&'static str, Definition)> {
    let four = |ids: [Step; 4]| definition(ids.into());
    vec![
        (
            "no pivot, every undo",
            four([
                step("a"),
                step("b").undo(other("unb")),
                step("c").undo(Undo::Nothing),
                step("d").attempts(2),
            ]),
        ),
        (
            "a pivot with undo in the middle, none after it",
            four([
                step("a").attempts(2),
                step("b").undo(other("unb")).pivot().attempts(2),
                step("c").undo(Undo::Absent).attempts(2),
                step("d").undo(Undo::Absent).never_again("no_use"),
            ]),
        ),
        (
            "a pivot without undo",
            four([
                step("a").attempts(2),
                step("b").attempts(1),
                step("c").undo(Undo::Absent).pivot().never_again("no_use"),
                step("d").undo(Undo::Absent).attempts(2),
            ]),
        ),
        (
            "ignored steps before and after the pivot",
            four([
                step("a").ignored().attempts(2),
                step("b").attempts(1).pivot(),
                step("c").ignored().attempts(2),
                step("d").ignored().undo(Undo::Absent).attempts(2),
            ]),
        ),
        (
            "parked steps before, at and after the pivot",
            four([
                step("a").parked().attempts(1),
                step("b").parked().undo(Undo::Absent).pivot().attempts(1),
                step("c").parked().attempts(1),
                step("d").undo(Undo::Absent).attempts(1),
            ]),
        ),
        (
            "a pivot that is skipped, with no undo after it",
            four([
                step("a").attempts(1),
                step("b").pivot().when("event.gift"),
                step("c").undo(Undo::Absent).attempts(1),
                step("d").attempts(1),
            ]),
        ),
        (
            "a deadline, a pivot without undo",
            with_deadline(
                60_000,
                four([
                    step("a").attempts(1),
                    step("b").ignored().undo(other("unb")).attempts(1),
                    step("c").undo(Undo::Absent).pivot().attempts(1),
                    step("d").undo(Undo::Absent).ignored().attempts(1),
                ]),
            ),
        ),
        (
            "a deadline, a pivot with undo",
            with_deadline(
                60_000,
                four([
                    step("a").attempts(2),
                    step("b").attempts(1).pivot(),
                    step("c").ignored().attempts(1),
                    step("d").parked().attempts(1),
                ]),
            ),
        ),
    ]
}

//! Definitions as they are written: what is read, what is refused and where, and what names them.

use std::collections::BTreeSet;

use backstitch_saga::definition::{
    CODES, Definition, Do, OnFailure, Retry, Severity, Undo, Verb, explain, limits,
};
use backstitch_saga::expression::{Scope, Template};
use serde_json::json;

const ORDER: &str = include_str!("../../orchestrator/definitions/order.yaml");

fn read(source: &str) -> Definition {
    Definition::from_yaml(source).unwrap_or_else(|found| {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        panic!("{}", shown.join("\n"))
    })
}

fn activity(definition: &Definition, step: usize) -> &Do {
    let Verb::Do(done) = &definition.steps[step].verb else {
        panic!("step {step} asks no worker")
    };
    done
}

/// A definition around one step, which begins on line 3.
fn around(step: &str) -> String {
    format!("saga: s\nsteps:\n{step}\n")
}

#[test]
fn the_order_definition_reads_without_a_warning() {
    let (order, warnings) = Definition::check_yaml(Some("order.yaml"), ORDER).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(order.name, "process-order");
    assert_eq!(order.source, ORDER);
    assert_eq!(order.deadline_ms, Some(3_600_000));
    assert_eq!(order.start.len(), 1);
    assert_eq!(order.start[0].topic, "orders");
    let ids: Vec<&str> = order.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "check_fraud",
            "reserve_stock",
            "charge_payment",
            "ship_order"
        ]
    );
    assert_eq!(activity(&order, 0).undo, Undo::Nothing);
    for (step, other) in [
        (1, "release-stock"),
        (2, "refund-payment"),
        (3, "cancel-shipment"),
    ] {
        let Undo::Other(undo) = &activity(&order, step).undo else {
            panic!("step {step} is undone by another activity");
        };
        assert_eq!(undo.activity, other);
        assert_eq!(undo.timeout.reply_ms, 5_000);
        assert!(!activity(&order, step).pivot);
    }
    assert_eq!(activity(&order, 3).timeout.reply_ms, 5_000);
    assert_eq!(activity(&order, 3).retry, Retry::default());
}

#[test]
fn the_order_definition_fits_an_order() {
    let order = read(ORDER);
    let event = json!({
        "type": "OrderPlaced", "order_id": "4711", "customer_id": "c-1", "total": 12_000,
        "currency": "EUR", "lines": [{ "sku": "a", "n": 1 }],
        "address": { "street": "", "city": "", "country": "DE" }, "placed_at_ms": 1,
    });
    let started = Scope::of_event(&event, 0);
    assert_eq!(
        order.start[0].when.as_ref().unwrap().holds(&started),
        Ok(true)
    );
    assert_eq!(order.start[0].key.evaluate(&started), Ok(json!("4711")));
    assert_eq!(order.tags["country"].evaluate(&started), Ok(json!("DE")));
    for step in 0..order.steps.len() {
        let done = activity(&order, step);
        let given = done.with.evaluate(&started).unwrap();
        assert_eq!(given["order_id"], "4711");
        assert_eq!(given["fail_at"], json!(null));
        // An undo of what never answered, and of what did.
        if let Undo::Other(undo) = &done.undo {
            for result in [json!(null), json!({ "payment_id": "p", "tracking": "t" })] {
                let undone = undo.with.evaluate(&Scope {
                    result: Some(&result),
                    ..started
                });
                assert_eq!(undone.unwrap()["order_id"], "4711");
            }
        }
    }
}

#[test]
fn a_step_stands_over_the_defaults_and_they_over_what_is_built_in() {
    let definition = read(
        "saga: s
defaults: { timeout: 7s, retry: { attempts: 9, jitter: 5% } }
steps:
  - do: a
    undo: nothing
  - do: b
    timeout: 200ms
    retry: { attempts: 2, backoff: 1s..2m, budget: 1h, not: [no_such_card] }
    undo: { do: c, timeout: 3d }
",
    );
    let defaults = Retry {
        attempts_max: 9,
        jitter_percent: 5,
        ..Retry::default()
    };
    assert_eq!(activity(&definition, 0).timeout.reply_ms, 7_000);
    assert_eq!(activity(&definition, 0).retry, defaults);
    assert_eq!(activity(&definition, 1).timeout.reply_ms, 200);
    assert_eq!(
        activity(&definition, 1).retry,
        Retry {
            attempts_max: 2,
            backoff_min_ms: 1_000,
            backoff_max_ms: 120_000,
            jitter_percent: 5,
            budget_ms: Some(3_600_000),
            not: BTreeSet::from(["no_such_card".to_owned()]),
        }
    );
    let Undo::Other(undo) = &activity(&definition, 1).undo else {
        panic!("b is undone by c");
    };
    assert_eq!(undo.timeout.reply_ms, 259_200_000);
    assert_eq!(undo.retry, defaults);

    let bare = read("saga: s\nsteps: [{ do: a, undo: yes }]");
    assert_eq!(activity(&bare, 0).timeout.reply_ms, 30_000);
    assert_eq!(activity(&bare, 0).retry, Retry::default());
    assert_eq!(activity(&bare, 0).with, Template::empty());
}

#[test]
fn what_may_be_left_out_or_written_otherwise_is_read() {
    let definition = read(
        "saga: s
start: { topic: shop.orders.v1, key: event.id }
input: schemas/order_placed.avsc
steps:
  - do: check-fraud
    id: checked
    when: event.total > 100
    undo: true
    on_failure: ignore
  - do: check-fraud
    undo: \"yes\"
    on_failure: park
  - do: pay
    pivot: yes
  - do: tell
    with: { text: ==literal, country: NO, zip: 01234, no: 1_000, n: 5 }
",
    );
    assert_eq!(definition.start[0].topic, "shop.orders.v1");
    assert_eq!(
        definition.input.as_ref().map(|file| file.path.as_str()),
        Some("schemas/order_placed.avsc")
    );
    assert_eq!(definition.steps[0].id, "checked");
    assert_eq!(definition.steps[0].on_failure, OnFailure::Ignore);
    assert_eq!(definition.steps[1].on_failure, OnFailure::Park);
    assert_eq!(definition.steps[2].on_failure, OnFailure::TurnBack);
    assert_eq!(activity(&definition, 0).undo, Undo::Same);
    assert_eq!(activity(&definition, 1).undo, Undo::Same);
    assert_eq!(activity(&definition, 2).undo, Undo::Absent);
    assert!(activity(&definition, 2).pivot);
    // `NO` is Norway, and what is no plain number is a text.
    assert_eq!(
        activity(&definition, 3).with,
        Template::Literal(
            json!({ "text": "=literal", "country": "NO", "zip": "01234", "no": "1_000", "n": 5 })
        )
    );
}

/// Code, line and a part of the message; `~` stands where a step of [`around`] begins.
const BROKEN: &[(&str, &str, usize, &str)] = &[
    // The text.
    ("BS0101", "saga: [", 1, "unclosed bracket"),
    (
        "BS0101",
        "saga: s\nsteps:\n  - do: a\n   undo: yes\n",
        4,
        "",
    ),
    ("BS0101", "saga: s\nsteps: &a [*a]\n", 2, ""),
    ("BS0101", "saga: s\ninput: .nan\n", 2, ""),
    (
        "BS0102",
        "saga: s\n---\nsaga: t\n",
        1,
        "more than one document",
    ),
    (
        "BS0106",
        "saga: s\nsteps:\n  - do: a\n    undo: yes\n    undo: nothing\n",
        5,
        "`undo` is written twice",
    ),
    // Its shape.
    (
        "BS0105",
        "",
        1,
        "a definition must be a map, and is nothing",
    ),
    (
        "BS0105",
        "- do: a\n",
        1,
        "a definition must be a map, and is a list",
    ),
    ("BS0104", "saga: s\n", 1, "must have `steps`"),
    (
        "BS0104",
        "steps:\n  - do: a\n    undo: yes\n",
        1,
        "must have `saga`",
    ),
    ("BS0104", "saga: s\nsteps: []\n", 2, "at least one step"),
    (
        "BS0105",
        "saga: s\nsteps: { do: a }\n",
        2,
        "`steps` must be a list, and is a map",
    ),
    (
        "BS0105",
        "saga: s\nsteps:\n  - charge-payment\n",
        3,
        "a step must be a map, and is a text",
    ),
    (
        "BS0105",
        "saga: 5\nsteps: [{ do: a, undo: yes }]\n",
        1,
        "must be a text, and is a number",
    ),
    (
        "BS0103",
        "saga: s\nstep: []\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a definition has no `step`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: yes\n    retries: 5\n",
        5,
        "a step has no `retries`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: yes\n    retry: { attemps: 5 }\n",
        5,
        "`retry` has no `attemps`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: { do: b, whit: {} }\n",
        4,
        "`undo` has no `whit`",
    ),
    (
        "BS0104",
        "saga: s\nstart:\n  - topic: orders\nsteps: [{ do: a, undo: yes }]\n",
        3,
        "a start rule must have `key`",
    ),
    (
        "BS0104",
        "saga: s\nstart: { key: event.id }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a start rule must have `topic`",
    ),
    (
        "BS0104",
        "~  - do: a\n    undo: { with: {} }\n",
        4,
        "`undo` must have `do`",
    ),
    (
        "BS0108",
        "~  - id: a\n    undo: yes\n",
        3,
        "a step without a verb",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: maybe\n",
        4,
        "`undo` is not one of the ways to undo",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: no\n",
        4,
        "`undo` is not one of the ways to undo",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    on_failure: explode\n",
        5,
        "neither `ignore` nor `park`",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    pivot: 5\n",
        5,
        "`pivot` must be true or false",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    retry: { attempts: -1 }\n",
        5,
        "must be a whole number",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    with: { 5: x }\n",
        5,
        "a key must be a text",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    when: [event.x]\n",
        5,
        "`when` must be an expression",
    ),
    // Durations and numbers.
    (
        "BS0109",
        "saga: s\ndeadline: 5\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "its unit is missing",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    timeout: 5 sec\n",
        5,
        "`5 sec` is not a duration",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 1s...2s }\n",
        5,
        "is not a duration",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    timeout: 99999d\n",
        5,
        "longer than 3650 days",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    timeout: 0s\n",
        5,
        "a timeout of no time at all",
    ),
    (
        "BS0110",
        "saga: s\ndeadline: 0ms\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a deadline of no time at all",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { attempts: 0 }\n",
        5,
        "0 attempts",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 10s..1s }\n",
        5,
        "which is less",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 0s }\n",
        5,
        "a backoff of no time",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { jitter: 101 }\n",
        5,
        "not a percentage",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: { do: b, timeout: 0s }\n",
        4,
        "a timeout of no time",
    ),
    (
        "BS0110",
        "saga: s\ndefaults:\n  retry: { attempts: 0 }\nsteps: [{ do: a, undo: yes }, { do: b, undo: yes }]\n",
        3,
        "0 attempts",
    ),
    // Names.
    (
        "BS0201",
        "saga: Process Order\nsteps: [{ do: a, undo: yes }]\n",
        1,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "~  - do: charge_payment\n    undo: yes\n",
        3,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "~  - do: a\n    id: charge-payment\n    undo: yes\n",
        4,
        "is not snake_case",
    ),
    (
        "BS0201",
        "~  - do: return\n    undo: yes\n",
        3,
        "a reserved word of CEL",
    ),
    (
        "BS0201",
        "~  - do: a\n    undo: { do: Refund }\n",
        4,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "saga: s\nstart: { topic: or ders, key: event.id }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "no name of a topic",
    ),
    (
        "BS0201",
        "saga: s\ntags:\n  customer-id: =event.x\nsteps: [{ do: a, undo: yes }]\n",
        3,
        "is not snake_case",
    ),
    (
        "BS0202",
        "~  - do: a\n    undo: yes\n  - do: a\n    undo: yes\n",
        5,
        "two steps have the id `a`",
    ),
    (
        "BS0202",
        "~  - do: a\n    undo: yes\n  - do: b\n    id: a\n    undo: yes\n",
        6,
        "two steps have the id `a`",
    ),
    // Expressions.
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    when: event.total >\n",
        5,
        "it ends too early",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    when: =event.total\n",
        5,
        "not a CEL expression",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    with:\n      x: 1\n      y: =event.\n",
        7,
        "not a CEL expression",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    with: { y: =lenght(event.x) }\n",
        5,
        "there is no function `lenght`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    when: evnt.total > 1\n",
        5,
        "nothing is called `evnt`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =result.id }\n",
        5,
        "`result` is only there in `undo`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =failure.code }\n",
        5,
        "`failure` is only there",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =vars.limit }\n",
        5,
        "no step sets anything",
    ),
    (
        "BS0204",
        "saga: s\nstart: { topic: t, key: key }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`key` is not there yet",
    ),
    (
        "BS0204",
        "saga: s\ntags: { x: =result.y }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`result` is only there",
    ),
    (
        "BS0206",
        "saga: s\ntags: { x: =steps.a.y }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`a` has not run",
    ),
    (
        "BS0205",
        "~  - do: a\n    undo: yes\n  - do: b\n    undo: yes\n    with: { x: =steps.c.y }\n",
        7,
        "there is no step `c`",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: yes\n    with: { x: =steps.b.y }\n  - do: b\n    undo: yes\n",
        5,
        "`b` has not run",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: yes\n    when: has(steps.a.y)\n",
        5,
        "`a` has not run",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: { do: b, with: { x: =steps.c.y } }\n  - do: c\n    undo: yes\n",
        4,
        "`c` has not run",
    ),
    (
        "BS0105",
        "saga: s\ntags: { x: [1] }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "must be one value",
    ),
    // Undoing.
    (
        "BS0207",
        "~  - do: a\n",
        3,
        "`a` may have run when the saga turns back",
    ),
    (
        "BS0207",
        "~  - do: a\n    undo: yes\n  - do: b\n  - do: c\n    pivot: true\n",
        5,
        "`b` may have run when `c` fails",
    ),
    (
        "BS0208",
        "~  - do: a\n    pivot: true\n  - do: b\n    pivot: true\n",
        6,
        "a second pivot",
    ),
];

#[test]
fn what_is_wrong_has_its_code_and_its_line() {
    for (code, source, line, message) in BROKEN {
        let source = match source.strip_prefix('~') {
            Some(step) => around(step),
            None => (*source).to_owned(),
        };
        let found = Definition::from_yaml(&source).expect_err(&source);
        let [only] = found.as_slice() else {
            panic!("{source}\n{found:#?}");
        };
        assert_eq!((only.code, only.line), (*code, *line), "{source}\n{only}");
        assert!(only.message.contains(message), "{source}\n{only}");
        assert!(only.column >= 1 && only.length >= 1, "{only}");
        assert!(explain(only.code).is_some(), "{only}");
        // The carets stay on the line.
        let width = only.snippet.chars().count();
        assert!(only.column + only.length <= width + 2, "{only}");
    }
}

#[test]
fn the_other_verbs_are_known_and_not_available_yet() {
    for verb in [
        "wait", "sleep", "run", "approve", "parallel", "choose", "each", "repeat", "set", "fail",
        "end",
    ] {
        let found = Definition::from_yaml(&around(&format!("  - {verb}: x"))).unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].code, found[0].line, found[0].column),
            ("BS0107", 3, 5)
        );
        let message = format!("the verb `{verb}` is not available yet");
        assert_eq!(found[0].message, message);
    }
    for rest in ["timeout: { reply: 5s }", "on_failure: [{ do: b }]"] {
        let found =
            Definition::from_yaml(&around(&format!("  - do: a\n    undo: yes\n    {rest}")));
        assert_eq!(found.unwrap_err()[0].code, "BS0107", "{rest}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let source = "saga: s
steps:
  - do: a
    undo: yes
    timout: 5s
    retry: { attempts: none }
    when: event.x ==
  - wait: b
";
    let found = Definition::from_yaml(source).unwrap_err();
    let lines: Vec<(usize, &str)> = found.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(
        lines,
        [(5, "BS0103"), (6, "BS0105"), (7, "BS0203"), (8, "BS0107")]
    );
    assert_eq!(found[0].help.as_deref(), Some("did you mean `timeout`?"));
}

#[test]
fn a_diagnostic_shows_the_place() {
    let source = "saga: process-order
steps:
  - do: reserve-stock
  - do: charge-payment
    pivot: true
";
    let found = Definition::from_yaml_named("order.yaml", source).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "error[BS0207]: `reserve_stock` may have run when `charge_payment` fails, and nothing says how to undo it
 ┌─ order.yaml:3:5
3│   - do: reserve-stock
 │     ^^^^^^^^^^^^^^^^^ runs before the pivot (line 4)
 = write `undo: yes` if the worker of `reserve-stock` can take it back, name another activity, or `undo: nothing` if it only reads"
    );
    let program = found[0].to_json();
    assert_eq!(program["code"], "BS0207");
    assert_eq!(program["severity"], "error");
    assert_eq!(program["file"], "order.yaml");
    assert_eq!(
        (&program["line"], &program["column"]),
        (&json!(3), &json!(5))
    );
}

#[test]
fn an_expression_is_pointed_at_within_its_text() {
    for (value, column, length) in [
        ("{ x: =1 + steps.nope.y }", 21, 10),
        ("{ x: '=1 + steps.nope.y' }", 22, 10),
        ("{ x: \"=1 + steps.nope.y\" }", 22, 10),
    ] {
        let source = around(&format!("  - do: a\n    undo: yes\n    with: {value}"));
        let found = Definition::from_yaml(&source).unwrap_err();
        assert_eq!(found[0].code, "BS0205");
        assert_eq!(
            (found[0].column, found[0].length),
            (column, length),
            "{}",
            found[0]
        );
    }
    let source = around("  - do: a\n    undo: yes\n    when: event.total ) 5");
    let found = Definition::from_yaml(&source).unwrap_err();
    assert_eq!((found[0].line, found[0].column), (5, 23), "{}", found[0]);
}

#[test]
fn warnings_do_not_stop_a_definition() {
    let source = "saga: s
steps:
  - do: a
    undo: yes
    when: event.total > 1
    with: { id: event.order_id, other: event, text: 'events. and more' }
  - do: b
    undo: yes
    with: { x: =steps.a.score, y: =steps.a.?score, z: '=has(steps.a.score) ? steps.a.score : 0' }
output: { state: steps.a.state }
";
    let (_, warnings) = Definition::check_yaml(None, source).unwrap();
    let lines: Vec<(usize, &str)> = warnings.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(lines, [(6, "BS0209"), (9, "BS0210"), (10, "BS0209")]);
    assert!(warnings.iter().all(|d| d.severity == Severity::Warning));
    assert!(Definition::from_yaml(source).is_ok());

    // Where there are errors as well, warnings come along with `check_yaml` only.
    let broken = source.replace("saga: s", "saga: S");
    assert_eq!(Definition::check_yaml(None, &broken).unwrap_err().len(), 4);
    assert_eq!(Definition::from_yaml(&broken).unwrap_err().len(), 1);
}

#[test]
fn limits_are_refused_with_their_number() {
    let steps = |count: usize| {
        let steps: Vec<String> = (0..count)
            .map(|n| format!("  - {{ do: a, id: a{n}, undo: yes }}"))
            .collect();
        around(&steps.join("\n"))
    };
    assert_eq!(
        read(&steps(limits::STEPS_MAX)).steps.len(),
        limits::STEPS_MAX
    );
    let refused = |source: &str, part: &str| {
        let found = Definition::from_yaml(source).unwrap_err();
        assert_eq!(found[0].code, "BS0102");
        assert!(found[0].message.contains(part), "{}", found[0]);
    };
    refused(&steps(limits::STEPS_MAX + 1), "at most 1000 are allowed");
    let large = format!(
        "{}#{}",
        around("  - do: a\n    undo: yes"),
        "x".repeat(limits::DEFINITION_BYTES_MAX)
    );
    refused(&large, "at most 1048576 are allowed");
    let deep = format!("saga: s\ninput: {}{}", "[".repeat(70), "]".repeat(70));
    refused(&deep, "64 levels");
    let tags: Vec<String> = (0..33).map(|n| format!("t{n}: 1")).collect();
    refused(
        &format!(
            "saga: s\ntags: {{ {} }}\nsteps: [{{ do: a, undo: yes }}]",
            tags.join(", ")
        ),
        "at most 32 are allowed",
    );
    // Billions of laughs.
    let mut bomb = "saga: s\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let uses = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
    }
    let found = Definition::from_yaml(&bomb).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn errors_without_end_are_counted() {
    let steps: Vec<String> = (0..300).map(|n| format!("  - do: a{n}")).collect();
    let found = Definition::from_yaml(&around(&steps.join("\n"))).unwrap_err();
    assert_eq!(found.len(), limits::DIAGNOSTICS_MAX);
    assert_eq!(
        found.last().unwrap().help.as_deref(),
        Some("200 more are not shown")
    );
}

const HASHED: &str = "saga: s
start:
  - { topic: orders, when: event.a, key: event.id }
tags: { customer: =event.customer }
deadline: 1h
defaults: { timeout: 60s }
steps:
  - do: a
    with: { x: =event.x, y: [1, two, =key] }
    undo: { do: b, with: { z: =result.z } }
    retry: { attempts: 3, backoff: 1s..60s }
  - do: c
    pivot: true
output: { done: true }
";

#[test]
fn the_hash_is_of_the_structure_and_not_of_the_text() {
    let hash = read(HASHED).hash;
    assert_eq!(hash.len(), 64);
    assert!(hash.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    // Pinned: running sagas are bound to it.
    assert_eq!(hash, PINNED);

    for (from, to) in [
        ("saga: s\n", "# why\nsaga: s # name\n"),
        ("deadline: 1h", "deadline: 60m"),
        ("backoff: 1s..60s", "backoff: 1000ms..1m"),
        ("timeout: 60s }", "timeout: 1m, retry: { jitter: 20 } }"),
        (
            "{ attempts: 3, backoff: 1s..60s }",
            "{ backoff: 1s..60s, attempts: 3 }",
        ),
        (
            "{ x: =event.x, y: [1, two, =key] }",
            "{ y: [1, \"two\", '=key'], x: '= event.x ' }",
        ),
        (
            "    pivot: true\n",
            "    id: c\n    pivot: yes\n    timeout: 1m\n    with: {}\n",
        ),
        (
            "  - { topic: orders, when: event.a, key: event.id }\n",
            "  { topic: orders, key: event.id, when: event.a }\n",
        ),
    ] {
        let other = HASHED.replace(from, to);
        assert_ne!(other, HASHED, "{from}");
        assert_eq!(read(&other).hash, hash, "{from} → {to}");
    }

    let mut seen = BTreeSet::from([hash]);
    for (from, to) in [
        ("saga: s", "saga: t"),
        ("topic: orders", "topic: other"),
        ("when: event.a", "when: event.b"),
        ("key: event.id", "key: event.no"),
        ("when: event.a, ", ""),
        ("customer: =", "client: ="),
        ("=event.customer", "event_customer"),
        ("deadline: 1h", "deadline: 61m"),
        ("timeout: 60s", "timeout: 61s"),
        ("do: a\n", "do: d\n    id: a\n"),
        ("do: a\n", "do: a\n    id: d\n"),
        ("do: a\n", "do: a\n    when: event.a\n"),
        ("do: a\n", "do: a\n    on_failure: park\n"),
        ("do: a\n", "do: a\n    on_failure: ignore\n"),
        ("=event.x", "==event.x"),
        ("=event.x", "=event.y"),
        ("[1, two, =key]", "[1, =key, two]"),
        ("[1, two, =key]", "[1.0, two, =key]"),
        ("[1, two, =key]", "['1', two, =key]"),
        ("{ do: b, with: { z: =result.z } }", "yes"),
        ("{ do: b, with: { z: =result.z } }", "nothing"),
        ("{ do: b, with", "{ do: e, with"),
        ("{ do: b, with", "{ do: b, timeout: 1s, with"),
        ("{ do: b, with", "{ do: b, retry: { attempts: 2 }, with"),
        ("attempts: 3", "attempts: 4"),
        ("1s..60s", "2s..60s"),
        ("1s..60s", "1s..61s"),
        ("1s..60s", "1s..60s, jitter: 21"),
        ("1s..60s", "1s..60s, budget: 1h"),
        ("1s..60s", "1s..60s, not: [x]"),
        ("do: c\n", "do: c\n    undo: nothing\n"),
        ("do: c\n", "do: c\n    undo: yes\n"),
        ("    pivot: true\n", "    undo: nothing\n"),
        ("deadline: 1h", "deadline: 1h\ninput: a.avsc"),
        ("output: { done: true }", ""),
        ("done: true", "done: false"),
    ] {
        let other = HASHED.replacen(from, to, 1);
        assert_ne!(other, HASHED, "{from}");
        assert!(seen.insert(read(&other).hash), "{from} → {to}");
    }
}

const PINNED: &str = "a45faf3df0aca3039c7262d853c39953f7be41f454ab08edef9e31357f127c8c";

#[test]
fn a_definition_can_be_built_and_checked_without_a_text() {
    let mut built = read(HASHED);
    let hash = std::mem::take(&mut built.hash);
    let (checked, warnings) = built.clone().checked().unwrap();
    assert_eq!(checked.hash, hash);
    assert_eq!(warnings, []);

    let Verb::Do(first) = &mut built.steps[0].verb else {
        panic!("it asks no worker")
    };
    first.undo = Undo::Absent;
    let found = built.checked().unwrap_err();
    assert_eq!((found[0].code, found[0].line), ("BS0207", 0));
    assert!(found[0].to_string().contains("before the pivot (`c`)"));
}

#[test]
fn each_code_is_explained_once_and_in_order() {
    let codes: Vec<&str> = CODES.iter().map(|code| code.code).collect();
    let sorted: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(codes, sorted.into_iter().collect::<Vec<_>>());
    assert!(
        CODES
            .iter()
            .all(|code| !code.title.ends_with('.') && code.text.ends_with('.'))
    );
    assert_eq!(explain("bs0207").map(|code| code.code), Some("BS0207"));
    assert_eq!(explain("BS9999"), None);
    // Each is shown by a broken definition here, or is one of these.
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(code, ..)| *code).collect();
    let elsewhere = ["BS0107", "BS0209", "BS0210"];
    for code in codes {
        assert!(broken.contains(code) || elsewhere.contains(&code), "{code}");
    }
}

//! What a text means, and what may be left out.

use std::collections::BTreeSet;

use backstitch_saga::definition::{Definition, OnFailure, Retry, Undo};
use backstitch_saga::expression::{Scope, Template};
use serde_json::json;

use super::{ORDER, activity, read};

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

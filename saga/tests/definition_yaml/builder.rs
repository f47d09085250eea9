//! What the builder refuses.

use std::sync::Arc;
use std::time::Duration;

use backstitch_saga::Definition;
use backstitch_saga::contract::Schema;
use backstitch_saga::definition::builder::{
    SagaDraft, act, by, case, choose, contract, each, limits, on, parallel, repeat, saga, set,
    sleep, steps, take, wait,
};
use serde_json::json;

/// The code, the message and the note of each error.
fn refused(draft: SagaDraft) -> Vec<(&'static str, String, String)> {
    let found = draft.build().unwrap_err();
    found
        .into_iter()
        .map(|d| (d.code, d.message, d.note.unwrap_or_default()))
        .collect()
}

#[test]
fn an_expression_that_is_none_is_told_with_its_part() {
    let told = refused(
        saga("s").step(
            act("charge-payment")
                .when("event.total >")
                .undo(by("refund").with(json!({ "x": "=1 +" }))),
        ),
    );
    let [when, undo] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(when.0, "BS0203");
    assert!(when.1.contains("event.total >"), "{}", when.1);
    assert_eq!(when.2, "in `when` of the step `charge_payment`");
    assert_eq!(undo.2, "in `with` of `undo` of the step `charge_payment`");
}

#[test]
fn a_fault_inside_steps_names_the_way_to_it() {
    let wrong = || steps![sleep(Duration::from_secs(1)).when(")")];
    for (draft, way) in [
        (
            saga("s").step(parallel([("a", wrong()), ("b", steps![])])),
            "in `when` of a `sleep` step of a `parallel` step",
        ),
        (
            saga("s").step(choose([case("true", wrong())]).id("which")),
            "in `when` of a `sleep` step of the step `which`",
        ),
        (
            saga("s").step(choose([case("true", steps![])]).otherwise(wrong())),
            "in `when` of a `sleep` step of a `choose` step",
        ),
        (
            saga("s").step(each("x").over("event.xs").steps(wrong())),
            "in `when` of a `sleep` step of an `each` step",
        ),
        (
            saga("s").step(repeat(wrong()).until("true")),
            "in `when` of a `sleep` step of a `repeat` step",
        ),
        (
            saga("s").step(
                wait("w")
                    .topic("t")
                    .key("message.x")
                    .on_timeout(take(wrong())),
            ),
            "in `when` of a `sleep` step of the step `w`",
        ),
    ] {
        let told = refused(draft);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].2, way);
    }
}

#[test]
fn what_is_written_twice_is_refused() {
    let step = || act("a").undo_nothing();
    for draft in [
        saga("s").tag("a", 1).tag("a", 2).step(step()),
        saga("s")
            .contract("a", contract())
            .contract("a", contract())
            .step(step()),
        saga("s").step(set([("a", 1), ("a", 2)])),
        saga("s").step(parallel([("a", steps![step()]), ("a", steps![step()])])),
    ] {
        let told = refused(draft);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, "BS0106");
        assert_eq!(told[0].1, "`a` is written twice");
    }
}

#[test]
fn a_schema_that_is_none_and_a_path_with_two_are_refused() {
    let step = || act("a").undo_nothing();
    let told = refused(saga("s").input("a.avsc", "{").step(step()));
    assert_eq!(told[0].0, "BS0112");
    let two = saga("s")
        .input("a.avsc", "\"string\"")
        .contract("a", contract().input("a.avsc", "\"long\""))
        .step(step());
    assert_eq!(refused(two)[0].0, "BS0112");
}

#[test]
fn a_duration_has_an_end_and_is_rounded_up_to_a_millisecond() {
    let told = refused(
        saga("s")
            .deadline(Duration::MAX)
            .step(act("a").undo_nothing()),
    );
    assert_eq!(told[0].0, "BS0109");
    let built = saga("s")
        .step(sleep(Duration::from_micros(1)))
        .step(
            act("a")
                .undo_nothing()
                .limits(limits().reply(Duration::from_micros(1_001))),
        )
        .build()
        .unwrap();
    assert!(built.source.contains("sleep: 1ms"), "{}", built.source);
    assert!(built.source.contains("timeout: 2ms"), "{}", built.source);
}

#[test]
fn what_is_built_is_checked() {
    let told = refused(saga("s").step(act("charge-payment")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "BS0207");
    let told = refused(saga("s").step(act("a").id("").undo_nothing()));
    assert_eq!(told[0].0, "BS0201");
}

#[test]
fn what_could_not_be_read_again_is_refused() {
    let mut draft = saga("s").step(act("a").undo_nothing());
    for n in 0..=100 {
        draft = draft.start(on(format!("topic-{n}")).key("event.id"));
    }
    let told = refused(draft);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "BS0102");
    assert!(told[0].1.contains("101 start rules"), "{}", told[0].1);
    let large = "x".repeat(60_000);
    let mut draft = saga("s");
    for n in 0..20 {
        let step = act("a").id(format!("a{n}")).undo_nothing();
        draft = draft.step(step.with(json!({ "text": large })));
    }
    assert_eq!(refused(draft)[0].0, "BS0102");
}

#[test]
fn a_schema_that_was_changed_is_stored_as_it_is_now() {
    let built = saga("s")
        .input("a.avsc", "{ \"type\": \"string\" }")
        .step(act("a").undo_nothing())
        .build()
        .unwrap();
    assert_eq!(built.files["a.avsc"], "{ \"type\": \"string\" }");
    let mut changed = built.clone();
    let other = Schema::parse("\"long\"").unwrap();
    changed.input.as_mut().unwrap().schema = Some(Arc::new(other));
    let (changed, _) = changed.checked().unwrap();
    assert_eq!(changed.files["a.avsc"], "\"long\"");
    assert_ne!(changed.hash, built.hash);
    assert_eq!(Definition::from_stored(&changed.stored()).unwrap(), changed);
}

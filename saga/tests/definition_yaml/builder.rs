//! What the builder refuses.

use std::time::Duration;

use backstitch_saga::definition::builder::{
    SagaDraft, act, by, case, choose, contract, each, limits, parallel, repeat, saga, set, sleep,
    steps, take, wait,
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

//! `set`, `fail`, `end`, and what the saga answers.

use backstitch_saga::core::ActKind;
use serde_json::{Value, json};

use super::play::{Seen, play, plays, written};
use super::workers::{gives, refused};

fn answers(output: &str, steps: &str) -> Seen {
    play(
        [written("test", &format!("output: {output}"), steps)],
        |story| {
            story.says("a", [gives(json!({ "n": 7 }))]);
            story.begin();
            story.run();
        },
    )
}

#[test]
fn what_is_set_is_seen_from_then_on() {
    let steps = "
- set: { x: =event.total, y: { z: [=event.gift, =1 + 1] } }
- { do: a, with: { x: =vars.x }, undo: yes }
- set: { x: =vars.x + steps.a.n }
";
    let seen = answers("=vars", steps);
    seen.given("a/do", json!({ "x": 120 }));
    seen.output(json!({ "x": 127, "y": { "z": [false, 2] } }));
}

#[test]
fn all_values_are_found_before_any_is_set() {
    let steps = "
- set: { x: 1, y: 2 }
- set: { x: =vars.y, y: =vars.x }
";
    answers("=vars", steps).output(json!({ "x": 2, "y": 1 }));
}

#[test]
fn numbers_of_any_kind_come_back_as_they_were() {
    // The journal holds them as text.
    let steps = "
- set: { x: =double(event.total) / 3.0 * 0.1, y: =1.0 / 3.0, z: =2.0 / 7.0 * 1e-9 }
- { do: a, undo: yes }
";
    answers("=vars.x", steps).completed();
}

#[test]
fn what_is_set_in_a_branch_is_seen_after_it() {
    let steps = "
- parallel:
    x: [ { set: { x: 1 } } ]
    y: [ { set: { y: 2 } } ]
- { choose: [ { when: vars.x == 1, steps: [ { set: { z: 3 } } ] }, { else: [] } ] }
";
    answers("=vars", steps).output(json!({ "x": 1, "y": 2, "z": 3 }));
}

#[test]
fn a_value_that_cannot_be_found_sets_the_saga_aside() {
    plays("- set: { x: =event.none }", [])
        .left("")
        .parked_at("set_1");
}

#[test]
fn a_fail_turns_back_with_its_code_and_its_reason() {
    let steps = "
- { do: a, undo: yes }
- { fail: too_big, reason: ='at most ' + string(event.total) }
- { do: b, undo: yes }
";
    let seen = plays(steps, []);
    seen.left("a -a").compensated().because("fail_1", "too_big");
    let why = format!("{:?}", seen.saga().turned_back);
    assert!(why.contains("at most 120"), "{why}");
}

#[test]
fn a_fail_whose_condition_does_not_hold_fails_nothing() {
    let steps = "
- { do: a, undo: yes }
- { fail: too_big, when: event.gift }
- { do: b, undo: yes }
";
    plays(steps, []).left("a b").completed();
}

#[test]
fn each_reaction_to_a_fail_is_taken() {
    let reacts = |reaction: &str| {
        let steps = format!("- {{ fail: no, on_failure: {reaction} }}\n- {{ do: b, undo: yes }}");
        plays(&steps, [])
    };
    reacts("ignore").left("b").completed();
    reacts("park").left("").parked_at("fail_1");
    let seen =
        reacts("[ { do: c, with: { code: =failure.code, step: =failure.step }, undo: yes } ]");
    seen.left("c b").completed();
    seen.given("c/do", json!({ "code": "no", "step": "fail_1" }));
}

#[test]
fn an_end_completes_the_saga_where_it_stands() {
    let steps = "
- { do: a, undo: yes }
- { end: { n: =steps.a.n } , when: event.total > 100 }
- { do: b, undo: yes }
";
    let seen = answers("never", steps);
    seen.left("a").completed().output(json!({ "n": 7 }));
}

#[test]
fn an_end_inside_a_choose_a_repeat_and_a_reaction_ends_it_all() {
    let choose = "
- choose: [ { when: event.total > 1, steps: [ { end: 1 } ] }, { else: [] } ]
- { do: b, undo: yes }
";
    plays(choose, []).left("").completed().output(json!(1));
    let repeat = "
- { repeat: [ { do: a, undo: yes }, { end: 2 } ], until: event.gift }
- { do: b, undo: yes }
";
    plays(repeat, []).left("a[0]").completed().output(json!(2));
    let reaction = "
- { do: a, undo: yes, on_failure: [ { end: =failure.code } ] }
- { do: b, undo: yes }
";
    plays(reaction, [("a", vec![refused()])])
        .left("a")
        .completed()
        .output(json!("no"));
}

#[test]
fn an_end_without_output_answers_nothing() {
    plays("- { do: a, undo: yes }\n- { end: null }", [])
        .left("a")
        .completed()
        .output(Value::Null);
}

#[test]
fn an_output_that_cannot_be_found_sets_the_saga_aside() {
    let steps = "- { do: a, undo: yes }";
    let seen = answers("=steps.a.none", steps);
    assert_eq!(seen.saga().parked.as_ref().unwrap().at, None);
    let cancelled = play([written("test", "output: =event.none", steps)], |story| {
        story.begin();
        story.act(ActKind::Cancel);
    });
    cancelled.left("a -a").compensated();
}

#[test]
fn steps_that_have_not_run_are_null() {
    let steps = "
- { do: a, undo: yes, on_failure: ignore }
- { do: b, undo: yes, when: event.gift }
";
    let seen = play(
        [written("test", "output: [=steps.a, =steps.b]", steps)],
        |story| {
            story.says("a", [refused()]);
            story.begin();
        },
    );
    seen.completed().output(json!([null, null]));
}

#[test]
fn now_is_the_time_of_the_message_at_hand() {
    let steps = "
- { sleep: 1m }
- { do: a, with: { at: =now }, undo: yes }
";
    let seen = plays(steps, []);
    seen.completed().given("a/do", json!({ "at": 1_060_000 }));
}

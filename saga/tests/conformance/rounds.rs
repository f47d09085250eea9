//! `repeat`.

use serde_json::json;

use super::play::{play, plays, test, written};
use super::workers::{Say, gives, refused};

const ROUNDS: &str = "
- repeat:
    - { do: a, undo: yes }
    - { do: b, with: { n: =steps.a.n }, undo: yes }
  until: steps.a.n >= 3
  most: 3
- { do: z, undo: yes }
";

fn counts(numbers: &[i64]) -> Vec<Say> {
    numbers.iter().map(|n| gives(json!({ "n": n }))).collect()
}

#[test]
fn it_is_over_when_the_condition_holds_after_a_round() {
    let seen = plays(ROUNDS, [("a", counts(&[1, 3]))]);
    seen.left("a[0] b[0] a[1] b[1] z").completed();
    seen.given("b[1]/do", json!({ "n": 3 }));
    plays(ROUNDS, [("a", counts(&[3]))])
        .left("a[0] b[0] z")
        .completed();
}

#[test]
fn rounds_are_undone_newest_first() {
    let seen = plays(ROUNDS, [("a", counts(&[1, 3])), ("z", vec![refused()])]);
    seen.left("a[0] b[0] a[1] b[1] z -b[1] -a[1] -b[0] -a[0]")
        .compensated();
}

#[test]
fn a_round_that_fails_turns_back_through_those_before() {
    let seen = plays(ROUNDS, [("a", counts(&[1, 2])), ("b[1]", vec![refused()])]);
    seen.left("a[0] b[0] a[1] b[1] -a[1] -b[0] -a[0]")
        .compensated()
        .because("b[1]", "no");
}

#[test]
fn too_many_rounds_fail_the_step() {
    let seen = plays(ROUNDS, [("a", counts(&[1, 1, 1]))]);
    seen.left("a[0] b[0] a[1] b[1] a[2] b[2] -b[2] -a[2] -b[1] -a[1] -b[0] -a[0]");
    seen.compensated().because("repeat_1", "too_many_rounds");
    let caught = ROUNDS.replace("  most: 3", "  most: 2\n  on_failure: ignore");
    let seen = plays(&caught, [("a", counts(&[1, 1]))]);
    seen.left("a[0] b[0] a[1] b[1] -b[1] -a[1] -b[0] -a[0] z")
        .completed();
    let parks = ROUNDS.replace("  most: 3", "  most: 1\n  on_failure: park");
    plays(&parks, [("a", counts(&[1]))])
        .left("a[0] b[0]")
        .parked_at("repeat_1");
}

#[test]
fn between_two_rounds_is_a_pause_that_ends_by_itself() {
    let slow = ROUNDS.replace("  most: 3", "  pause: 10s");
    let seen = play([test(&slow)], |story| {
        story.says("a", counts(&[1, 3]));
        story.begin();
        story.pass(9_999);
    });
    seen.left("a[0] b[0]").is_running();
    let seen = play([test(&slow)], |story| {
        story.says("a", counts(&[1, 3]));
        story.begin();
        story.pass(10_000);
    });
    seen.left("a[0] b[0] a[1] b[1] z").completed();
}

#[test]
fn a_pause_ends_when_the_saga_turns_back() {
    use backstitch_saga::core::ActKind;
    let slow = ROUNDS.replace("  most: 3", "  pause: 10s");
    let seen = play([test(&slow)], |story| {
        story.says("a", counts(&[1, 3]));
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a[0] b[0] -b[0] -a[0]").compensated();
}

#[test]
fn a_pause_of_a_branch_ends_when_the_branch_has_lost() {
    let steps = "
- parallel:
    x: [ { repeat: [ { do: a, undo: yes } ], until: event.gift, pause: 10s } ]
    y: [ { do: y, undo: yes } ]
  need: any
- { do: z, undo: yes }
";
    let seen = plays(steps, []);
    seen.left("a[0] y -a[0] z").completed();
}

#[test]
fn a_list_inside_a_round_is_that_of_the_latest_round() {
    let top = "output: { b: =steps.b, each: =steps.each_1, a: =steps.a.lines }";
    let steps = "
- repeat:
    - { do: a, undo: yes }
    - { each: x, over: steps.a.lines, steps: [ { do: b, undo: yes } ], collect: =x }
  until: size(steps.each_1) == 1 && size(steps.b) == 1
  most: 5
";
    let seen = play([written("test", top, steps)], |story| {
        story.says(
            "a",
            [
                gives(json!({ "lines": [1, 2, 3] })),
                gives(json!({ "lines": [9] })),
            ],
        );
        story.begin();
        story.run();
    });
    seen.completed()
        .output(json!({ "b": [{ "of": "b[1][0]" }], "each": [9], "a": [9] }));
}

#[test]
fn a_round_inside_an_item_is_that_items_latest() {
    let top = "output: =steps.a";
    let steps = "
- each: x
  over: '[1, 2]'
  at_once: 1
  steps:
    - { repeat: [ { do: a, undo: yes } ], until: steps.a.n == x, most: 5 }
";
    let seen = play([written("test", top, steps)], |story| {
        story.says("a", counts(&[1, 1, 2]));
        story.begin();
        story.run();
    });
    seen.left("a[0][0] a[1][0] a[1][1]")
        .output(json!([{ "n": 1 }, { "n": 2 }]));
}

#[test]
fn a_condition_without_a_value_sets_the_saga_aside() {
    let wrong = ROUNDS.replace("steps.a.n >= 3", "steps.a.none >= 3");
    plays(&wrong, []).left("a[0]").parked_at("b");
    let wrong = "
- { repeat: [ { do: a, undo: yes } ], until: steps.a.none }
";
    plays(wrong, []).left("a[0]").parked_at("repeat_1");
}

//! `each`.

use backstitch_saga::core::LineStatus::{Done, Undone};
use serde_json::json;

use super::play::{play, plays, test};
use super::workers::{Say, refused};

const EACH: &str = "
- each: line
  over: event.lines
  at_once: 2
  steps: [ { do: a, with: { line: =line, n: =index }, undo: yes } ]
  collect: { line: =line, of: =steps.a.of }
- { do: z, undo: yes }
";

#[test]
fn each_item_is_done_and_only_so_many_at_once() {
    let seen = plays(EACH, [("a[0]", vec![Say::Silent])]);
    // The first is asked again after a second; the others did not wait for it.
    seen.left("a[0] a[1] a[2] a[0]*2 z").completed();
    seen.given("a[1]/do", json!({ "line": "b", "n": 1 }));
}

#[test]
fn one_at_once_is_one_after_the_other() {
    let one = EACH.replace("at_once: 2", "at_once: 1");
    let seen = plays(&one, [("z", vec![refused()])]);
    seen.left("a[0] a[1] a[2] z -a[2] -a[1] -a[0]")
        .compensated();
    let seen = plays(&one, [("a[1]", vec![refused()])]);
    seen.left("a[0] a[1] -a[0]")
        .compensated()
        .because("a[1]", "no");
}

#[test]
fn what_it_collects_is_its_output_in_the_order_of_the_items() {
    let top = "output: { all: =steps.each_1, each: =steps.a }";
    let seen = play([super::play::written("test", top, EACH)], |story| {
        story.says("a[0]", [Say::Silent]);
        story.begin();
        story.run();
    });
    seen.output(json!({
        "all": [{ "line": "a", "of": "a[0]" }, { "line": "b", "of": "a[1]" }, { "line": "c", "of": "a[2]" }],
        "each": [{ "of": "a[0]" }, { "of": "a[1]" }, { "of": "a[2]" }],
    }));
}

#[test]
fn an_item_that_fails_stops_the_others() {
    let seen = plays(EACH, [("a[1]", vec![refused()])]);
    // When it refuses, the first is done and the third is in flight.
    seen.left("a[0] a[1] a[2] -a[2] -a[0]")
        .compensated()
        .because("a[1]", "no");
}

#[test]
fn items_are_undone_side_by_side_under_the_same_bound() {
    let seen = plays(EACH, [("z", vec![refused()]), ("-a[2]", vec![Say::Silent])]);
    seen.left("a[0] a[1] a[2] z -a[2] -a[1] -a[0] -a[2]*2")
        .compensated();
}

#[test]
fn an_item_whose_turn_to_be_undone_is_later_does_not_go_on_until_then() {
    let steps = "
- each: line
  over: '[1, 2, 3, 4]'
  at_once: 2
  steps: [ { do: a, undo: yes } ]
";
    // The first is in flight when the last refuses; two others are undone before it, and take long.
    let deaf = || vec![Say::Deaf];
    let seen = plays(
        steps,
        [
            ("a[0]", deaf()),
            ("a[3]", vec![refused()]),
            ("-a[2]", deaf()),
            ("-a[1]", deaf()),
        ],
    );
    seen.left("a[0] a[1] a[2] a[3] -a[2] -a[1] -a[1]*2 -a[2]*2 -a[0]")
        .compensated();
}

#[test]
fn a_late_answer_of_such_an_item_is_no_news() {
    let steps = "
- each: line
  over: '[1, 2, 3, 4]'
  at_once: 2
  steps: [ { do: a, undo: yes } ]
  on_failure: ignore
- { do: z, undo: yes }
";
    let seen = play([test(steps)], |story| {
        story.says("a[0]", [Say::Late]);
        story.says("a[3]", [refused()]);
        story.says("-a[2]", [Say::Deaf]);
        story.says("-a[1]", [Say::Deaf]);
        story.begin();
        story.let_late();
        story.run();
    });
    seen.completed().line("a[0]", Undone);
}

#[test]
fn no_items_are_no_work() {
    let top = "output: { all: =steps.each_1, each: =steps.a }";
    let seen = play([super::play::written("test", top, EACH)], |story| {
        story.begin_with(&json!({ "lines": [] }));
        story.run();
    });
    seen.left("z")
        .completed()
        .output(json!({ "all": [], "each": [] }));
}

#[test]
fn null_is_no_items() {
    let seen = play(
        [test(&EACH.replace(
            "over: event.lines",
            "over: event.?lines.orValue(null)",
        ))],
        |story| {
            story.begin_with(&json!({}));
            story.run();
        },
    );
    seen.left("z").completed();
}

#[test]
fn more_items_than_allowed_fail_the_step_before_any_is_done() {
    let few = EACH.replace("at_once: 2", "most: 2");
    plays(&few, [])
        .left("")
        .compensated()
        .because("each_1", "too_many_items");
    let caught = few.replace("  over:", "  on_failure: ignore\n  over:");
    plays(&caught, []).left("z").completed();
}

#[test]
fn what_is_no_list_sets_the_saga_aside() {
    let wrong = EACH.replace("event.lines", "event.total");
    plays(&wrong, []).left("").parked_at("each_1");
}

#[test]
fn from_outside_a_step_of_an_item_that_passed_it_over_is_null() {
    let top = "output: { each: =steps.a }";
    let steps = "
- each: line
  over: event.lines
  steps: [ { do: a, undo: yes, when: index == 1 } ]
";
    let seen = play([super::play::written("test", top, steps)], |story| {
        story.begin();
        story.run();
    });
    seen.left("a[1]")
        .output(json!({ "each": [null, { "of": "a[1]" }, null] }));
}

#[test]
fn from_inside_an_item_a_step_is_that_items_and_from_outside_a_list_of_lists() {
    let top = "output: { flat: =steps.b, lists: =steps.c, sums: =steps.each_2 }";
    let steps = "
- each: x
  over: '[10, 20]'
  steps:
    - { do: b, with: { x: =x }, undo: yes }
    - each: y
      over: '[1, 2]'
      steps: [ { do: c, with: { sum: =x + y, of: =steps.b.of }, undo: yes } ]
      collect: =x + y
    - { do: d, with: { sums: =steps.each_2, own: =steps.c }, undo: yes }
";
    let seen = play([super::play::written("test", top, steps)], |story| {
        story.begin();
        story.run();
    });
    seen.completed()
        .given("c[1][0]/do", json!({ "sum": 21, "of": "b[1]" }));
    let own = json!([{ "of": "c[1][0]" }, { "of": "c[1][1]" }]);
    seen.given("d[1]/do", json!({ "sums": [21, 22], "own": own }));
    seen.output(json!({
        "flat": [{ "of": "b[0]" }, { "of": "b[1]" }],
        "lists": [[{ "of": "c[0][0]" }, { "of": "c[0][1]" }], own],
        "sums": [[11, 12], [21, 22]],
    }));
}

#[test]
fn an_item_that_is_caught_inside_does_not_disturb_the_others() {
    let steps = "
- each: line
  over: event.lines
  steps:
    - { do: a, undo: yes }
    - { do: b, undo: yes, on_failure: [ { do: c, with: { line: =line, code: =failure.code }, undo: yes } ] }
- { do: z, undo: yes }
";
    let seen = plays(steps, [("b[1]", vec![refused()])]);
    seen.left("a[0] a[1] a[2] b[0] b[1] b[2] c[1] z")
        .completed();
    seen.given("c[1]/do", json!({ "line": "b", "code": "no" }))
        .line("b[2]", Done);
}

//! `parallel` and `choose`.

use backstitch_saga::core::LineStatus::{Done, Refused, Undone};
use serde_json::json;

use super::play::{Seen, plays};
use super::workers::{Say, done, failed, refused};

fn side_by_side(need: &str, says: Vec<(&str, Vec<Say>)>) -> Seen {
    let steps = format!(
        "
- {{ do: a, undo: yes }}
- parallel:
    x: [ {{ do: x1, undo: yes }}, {{ do: x2, undo: yes }} ]
    y: [ {{ do: y1, undo: yes }} ]
    z: [ {{ do: z1, undo: yes }} ]
  need: {need}
- {{ do: b, undo: yes }}
"
    );
    super::play::play([super::play::test(&steps)], |story| {
        for (who, says) in &says {
            story.says(who, says.clone());
        }
        story.begin();
        story.run();
    })
}

#[test]
fn all_branches_run_at_once_and_each_in_its_order() {
    side_by_side("all", vec![])
        .left("a x1 y1 z1 x2 b")
        .completed();
}

#[test]
fn what_was_done_side_by_side_is_undone_side_by_side() {
    let seen = side_by_side("all", vec![("b", vec![refused()])]);
    seen.left("a x1 y1 z1 x2 b -z1 -y1 -x2 -x1 -a")
        .compensated();
}

#[test]
fn a_branch_that_fails_stops_the_others() {
    // x1 is done when y1 refuses, and x2 is in flight; z1 has not answered yet.
    let seen = side_by_side("all", vec![("y1", vec![refused()])]);
    seen.left("a x1 y1 z1 x2 -z1 -x2 -x1 -a").compensated();
    seen.because("y1", "no")
        .line("y1", Refused)
        .line("z1", Undone);
}

#[test]
fn a_branch_that_waits_for_its_next_attempt_is_stopped_too() {
    let seen = side_by_side("all", vec![("y1", vec![failed()]), ("z1", vec![refused()])]);
    seen.left("a x1 y1 z1 x2 -y1 -x2 -x1 -a").compensated();
}

#[test]
fn of_any_branch_the_first_is_enough_and_the_others_are_undone() {
    let seen = side_by_side("any", vec![]);
    // y1 is done first: x1 was, and x2 is in flight.
    seen.left("a x1 y1 z1 x2 -x2 -z1 -x1 b").completed();
    seen.line("y1", Done).line("x1", Undone).line("z1", Undone);
}

#[test]
fn of_any_branch_those_that_fail_are_tolerated() {
    let seen = side_by_side(
        "any",
        vec![
            ("y1", vec![refused()]),
            ("x2", vec![refused()]),
            ("z1", vec![Say::Silent]),
        ],
    );
    seen.left("a x1 y1 z1 x2 -x1 z1*2 b").completed();
}

#[test]
fn too_few_branches_fail_the_step() {
    let seen = side_by_side("2", vec![("x1", vec![refused()]), ("y1", vec![refused()])]);
    seen.left("a x1 y1 z1 -z1 -a").compensated();
    seen.because("y1", "no");
}

#[test]
fn a_number_of_branches_is_enough() {
    let seen = side_by_side("2", vec![("z1", vec![Say::Deaf])]);
    // y1 and then x2: z1 is given up.
    seen.left("a x1 y1 z1 x2 -z1 b").completed();
    let seen = side_by_side("2", vec![("z1", vec![refused()])]);
    seen.left("a x1 y1 z1 x2 b").completed();
}

#[test]
fn the_saga_goes_on_only_when_the_losers_are_undone() {
    let seen = side_by_side("any", vec![("-z1", vec![refused()])]);
    seen.parked_at("z1");
    let seen = side_by_side("any", vec![("-z1", vec![failed(), done()])]);
    seen.left("a x1 y1 z1 x2 -x2 -z1 -x1 -z1*2 b").completed();
}

#[test]
fn winners_are_undone_when_the_saga_turns_back_and_losers_only_once() {
    let seen = side_by_side("any", vec![("b", vec![refused()])]);
    seen.left("a x1 y1 z1 x2 -x2 -z1 -x1 b -y1 -a")
        .compensated();
}

#[test]
fn an_answer_of_a_loser_changes_nothing() {
    let seen = side_by_side("any", vec![("z1", vec![Say::Late])]);
    seen.completed().line("z1", Undone);
}

#[test]
fn the_first_case_that_holds_is_taken() {
    let steps = "
- choose:
    - { when: event.gift, steps: [ { do: a, undo: yes } ] }
    - { when: event.total > 100, steps: [ { do: b, undo: yes } ] }
    - { when: event.total > 10, steps: [ { do: c, undo: yes } ] }
    - else: [ { do: d, undo: yes } ]
- { do: z, undo: yes }
";
    plays(steps, []).left("b z").completed();
    plays(steps, [("z", vec![refused()])])
        .left("b z -b")
        .compensated();
}

#[test]
fn otherwise_the_else_is_taken() {
    let steps = "
- choose:
    - { when: event.gift, steps: [ { do: a, undo: yes } ] }
    - else: [ { do: d, undo: yes } ]
- { do: z, undo: yes }
";
    plays(steps, [("z", vec![refused()])])
        .left("d z -d")
        .compensated();
}

#[test]
fn a_case_may_be_empty() {
    let steps = "
- choose:
    - { when: event.total > 1, steps: [] }
    - else: [ { do: d, undo: yes } ]
- { do: z, undo: yes }
";
    plays(steps, []).left("z").completed();
}

#[test]
fn no_case_at_all_fails_the_step() {
    let steps = "
- { do: a, undo: yes }
- choose:
    - { when: event.gift, steps: [ { do: b, undo: yes } ] }
";
    let seen = plays(steps, []);
    seen.left("a -a")
        .compensated()
        .because("choose_1", "no_case");
    let caught =
        format!("{steps}  on_failure: [ {{ do: c, with: {{ why: =failure }}, undo: yes }} ]");
    let seen = plays(&caught, []);
    seen.left("a c").completed();
    seen.given(
        "c/do",
        json!({ "why": {
            "step": "choose_1", "kind": "failed", "code": "no_case",
            "reason": "no condition holds, and there is no `else`",
        } }),
    );
    plays(&format!("{steps}  on_failure: ignore"), [])
        .left("a")
        .completed();
    plays(&format!("{steps}  on_failure: park"), [])
        .left("a")
        .parked_at("choose_1");
}

#[test]
fn a_condition_without_a_value_sets_the_saga_aside() {
    let steps = "
- choose:
    - { when: event.total, steps: [ { do: b, undo: yes } ] }
    - else: []
";
    plays(steps, []).left("").parked_at("choose_1");
}

//! `do`: each way in which work and its undo can end.

use backstitch_saga::core::LineStatus::{Ambiguous, Done, Refused, Stuck, Undone};
use serde_json::json;

use super::play::plays;
use super::workers::{Say, done, failed, gives, refused};

const TWO: &str = "
- { do: a, undo: yes }
- { do: b, undo: yes }
- { do: c, undo: yes }
";

#[test]
fn done_work_is_followed_by_the_next() {
    let seen = plays(TWO, []);
    seen.left("a b c").completed().line("b", Done);
}

#[test]
fn refused_work_is_not_undone_and_what_was_before_it_is() {
    let seen = plays(TWO, [("b", vec![refused()])]);
    seen.left("a b -a").compensated().because("b", "no");
    seen.line("b", Refused).line("a", Undone);
}

#[test]
fn failed_work_is_tried_again_under_its_key() {
    let seen = plays(TWO, [("b", vec![failed(), done()])]);
    seen.left("a b b*2 c").completed();
}

#[test]
fn work_that_failed_too_often_may_have_run_and_is_undone() {
    for says in [failed(), Say::Torn] {
        let seen = plays(TWO, [("b", vec![says.clone(), says])]);
        seen.left("a b b*2 -b -a").compensated().line("b", Undone);
    }
}

#[test]
fn work_that_nobody_answers_may_have_run_and_is_undone() {
    let seen = plays(TWO, [("b", vec![Say::Deaf, Say::Deaf])]);
    seen.left("a b b*2 -b -a").compensated().because("b", "");
}

#[test]
fn work_whose_answer_was_lost_answers_again() {
    let seen = plays(TWO, [("b", vec![Say::Silent])]);
    seen.left("a b b*2 c").completed();
}

#[test]
fn an_undo_sees_what_the_work_has_answered() {
    let steps = "
- { do: a, with: { n: 1 }, undo: { do: un-a, with: { of: =result.id, n: 2 } } }
- { do: b, with: { n: 3 }, undo: yes }
- { do: c, undo: yes }
";
    let seen = plays(
        steps,
        [
            ("a", vec![gives(json!({ "id": 7 }))]),
            ("c", vec![refused()]),
        ],
    );
    seen.left("a b c -b -a").compensated();
    seen.given("a/undo", json!({ "of": 7, "n": 2 }));
    seen.given("b/undo", json!({ "n": 3 }));
}

#[test]
fn an_undo_without_an_answer_sees_null() {
    let steps = "
- { do: a, undo: { do: un-a, with: { of: =result } } }
";
    let seen = plays(steps, [("a", vec![Say::Deaf, Say::Deaf])]);
    seen.left("a a*2 -a").compensated();
    seen.given("a/undo", json!({ "of": null }));
}

#[test]
fn what_is_not_worth_undoing_is_not_asked_back() {
    let steps = "
- { do: a, undo: nothing }
- { do: b, undo: yes }
";
    let seen = plays(steps, [("b", vec![refused()])]);
    seen.left("a b").compensated().line("a", Undone);
}

#[test]
fn an_undo_that_failed_is_tried_again() {
    let seen = plays(TWO, [("c", vec![refused()]), ("-b", vec![failed()])]);
    seen.left("a b c -b -b*2 -a").compensated();
}

#[test]
fn an_undo_that_is_refused_or_never_works_waits_for_a_person() {
    let seen = plays(TWO, [("c", vec![refused()]), ("-b", vec![refused()])]);
    seen.left("a b c -b")
        .parked_at("b")
        .line("b", Stuck)
        .line("a", Done);
    for says in [failed(), Say::Deaf] {
        let seen = plays(
            TWO,
            [("c", vec![refused()]), ("-b", vec![says.clone(), says])],
        );
        seen.left("a b c -b -b*2").parked_at("b").line("b", Stuck);
    }
}

#[test]
fn an_undo_that_cannot_be_evaluated_waits_for_a_person() {
    let steps = "
- { do: a, undo: { do: un-a, with: { of: =result.none.at_all } } }
- { do: b, undo: yes }
";
    let seen = plays(steps, [("b", vec![refused()])]);
    seen.left("a b").parked_at("a").line("a", Done);
}

#[test]
fn a_code_that_is_not_tried_again_fails_at_once() {
    let steps = "
- { do: a, undo: yes, retry: { not: [busy] } }
";
    let seen = plays(steps, [("a", vec![failed()])]);
    seen.left("a -a").compensated().because("a", "busy");
}

#[test]
fn a_step_whose_condition_does_not_hold_is_passed_over() {
    let steps = "
- { do: a, undo: yes }
- { do: b, undo: yes, when: event.gift }
- { do: c, undo: yes }
";
    let seen = plays(steps, [("c", vec![refused()])]);
    seen.left("a c -a").compensated();
}

#[test]
fn an_expression_without_a_value_sets_the_saga_aside() {
    for step in [
        "{ do: b, undo: yes, with: { n: =event.none } }",
        "{ do: b, undo: yes, when: event.total }",
    ] {
        let seen = plays(&format!("- {{ do: a, undo: yes }}\n- {step}"), []);
        seen.left("a").parked_at("b");
    }
}

#[test]
fn of_what_may_have_run_it_is_not_known_which() {
    let steps = "
- { do: a, undo: yes, on_failure: park }
";
    let seen = plays(steps, [("a", vec![Say::Deaf, Say::Deaf])]);
    seen.left("a a*2").parked_at("a").line("a", Ambiguous);
}

//! What a saga does, told as stories. Each one also checks S-1 … S-6 after each transition.

mod core_support;

use backstitch_saga::core::{Answer, Direction, Ignored, LineStatus, ParkedBy, Status};
use backstitch_saga::definition::Undo;
use backstitch_saga::{Payload, Saga};
use core_support::shapes::{
    Written, definition, order, other, other_with, step, with_deadline, with_output,
};
use core_support::story::{Story, given};
use core_support::world::refused;
use serde_json::json;

/// Everything before the pivot is done, and the pivot is asked for.
fn at_the_pivot(pivot_undo: Undo) -> Story {
    given(definition(vec![
        step("reserve_stock"),
        step("charge_payment").undo(pivot_undo).pivot(),
        step("print_label").undo(Undo::Absent),
    ]))
    .sends("reserve_stock")
    .done()
    .sends("charge_payment")
}

fn after_the_pivot() -> Story {
    at_the_pivot(Undo::Absent).done().sends("print_label")
}

/// A stuck undo: its one attempt was answered so.
fn stuck(answer: Answer) -> Story {
    let steps = vec![step("reserve_stock").attempts(1), step("charge_payment")];
    given(definition(steps))
        .sends("reserve_stock")
        .done()
        .sends("charge_payment")
        .refused()
        .sends_undo("reserve_stock")
        .answer(answer)
        .parks(ParkedBy::Stuck, Some("reserve_stock"))
        .stands("reserve_stock", LineStatus::Stuck)
}

fn done() -> Answer {
    Answer::Done(None)
}

// ---- forward -------------------------------------------------------------------------------

#[test]
fn an_order_goes_through() {
    given(order())
        .sends("check_fraud")
        .under("check_fraud/do")
        .giving(json!({ "order": "4711" }))
        .done()
        .sends("reserve_stock")
        .done()
        .sends("charge_payment")
        .done()
        .sends("print_label")
        .done()
        .ends(Status::Completed)
        .undone(&[]);
}

#[test]
fn a_step_is_given_what_an_earlier_one_answered() {
    let label = step("print_label").with(json!({ "stock": "=steps.reserve_stock.shelf" }));
    let steps = vec![step("reserve_stock"), label];
    let output = json!({ "shelf": "=steps.reserve_stock.shelf", "key": "=key" });
    given(with_output(output, definition(steps)))
        .sends("reserve_stock")
        .done_with(json!({ "shelf": 7 }))
        .sends("print_label")
        .giving(json!({ "stock": 7 }))
        .done()
        .ends(Status::Completed)
        .output(json!({ "shelf": 7, "key": "4711" }));
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped() {
    let steps = vec![
        step("wrap_gift").when("event.gift"),
        step("reserve_stock"),
        step("print_label").when("event.gift"),
    ];
    given(definition(steps))
        .sends("reserve_stock")
        .done()
        .ends(Status::Completed)
        .never("wrap_gift")
        .never("print_label");
}

#[test]
fn a_repeated_answer_changes_nothing() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .late("check_fraud", Direction::Do, done())
        .ignored(Ignored::NotAwaited)
        .late("check_fraud", Direction::Do, refused("no"))
        .ignored(Ignored::NotAwaited)
        .sends_nothing();
}

#[test]
fn a_failed_attempt_is_asked_again_under_the_same_key() {
    given(definition(vec![step("reserve_stock")]))
        .sends("reserve_stock")
        .failed()
        .sends_nothing()
        .then_time_passes()
        .sends("reserve_stock")
        .attempt(2)
        .under("reserve_stock/do")
        .done()
        .ends(Status::Completed);
}

#[test]
fn a_failure_that_is_told_twice_counts_once() {
    given(definition(vec![step("reserve_stock")]))
        .sends("reserve_stock")
        .failed()
        .failed()
        .ignored(Ignored::OldAttempt)
        .then_time_passes()
        .sends("reserve_stock")
        .attempt(2);
}

#[test]
fn an_answer_to_an_earlier_attempt_counts_as_the_work_is_the_same() {
    let story = given(definition(vec![step("reserve_stock")]))
        .sends("reserve_stock")
        .then_time_passes()
        .then_time_passes()
        .sends("reserve_stock")
        .attempt(2);
    let first = story.sent[0].clone();
    story.answer_to(&first, done()).ends(Status::Completed);
}

#[test]
fn an_answer_between_two_attempts_counts() {
    given(definition(vec![step("reserve_stock")]))
        .sends("reserve_stock")
        .then_time_passes()
        .done()
        .ends(Status::Completed);
}

#[test]
fn an_answer_to_an_attempt_that_was_never_sent_is_ignored() {
    let story = given(order()).sends("check_fraud");
    let mut early = story.sent[0].clone();
    early.attempt = 2;
    let mut foreign = story.sent[0].clone();
    foreign.key = "test/4712/check_fraud/do".to_owned();
    story
        .answer_to(&early, done())
        .ignored(Ignored::NotAwaited)
        .answer_to(&foreign, done())
        .ignored(Ignored::NotAwaited);
}

#[test]
fn a_heartbeat_gives_the_attempt_its_time_anew() {
    given(order())
        .sends("check_fraud")
        .after_ms(900)
        .heartbeat()
        .advanced()
        .after_ms(900)
        .wake()
        .ignored(Ignored::NothingDue)
        .heartbeat()
        .after_ms(1_000)
        .wake()
        .advanced()
        .stands("check_fraud", LineStatus::Waiting)
        .heartbeat()
        .ignored(Ignored::OldAttempt);
}

#[test]
fn the_time_of_a_message_never_goes_back() {
    let story = given(order())
        .sends("check_fraud")
        .after_ms(500)
        .heartbeat();
    let latest = story.saga.changed_at_ms;
    let story = story.after_ms(-10_000).done().sends("reserve_stock");
    assert_eq!(story.saga.changed_at_ms, latest);
}

// ---- turning back --------------------------------------------------------------------------

#[test]
fn a_refused_payment_releases_the_stock_and_nothing_else() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .done()
        .sends("charge_payment")
        .refused()
        .sends_undo("reserve_stock")
        .under("reserve_stock/undo")
        .done()
        .ends(Status::Compensated)
        .undone(&["reserve_stock"])
        .never("print_label");
}

#[test]
fn a_step_that_nobody_answers_is_undone() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .unanswered()
        .sends_undo("reserve_stock")
        .done()
        .ends(Status::Compensated)
        .undone(&["reserve_stock"]);
}

#[test]
fn an_unanswered_payment_is_undone_as_it_may_have_run() {
    at_the_pivot(other("refund-payment"))
        .unanswered()
        .sends_undo_to("refund-payment", "charge_payment")
        .giving(json!({ "result": null }))
        .done()
        .sends_undo("reserve_stock")
        .done()
        .ends(Status::Compensated)
        .undone(&["charge_payment", "reserve_stock"]);
}

#[test]
fn an_undo_knows_what_its_step_answered() {
    let steps = vec![
        step("reserve_stock").undo(other("release-stock")),
        step("b"),
    ];
    let story = given(definition(steps))
        .sends("reserve_stock")
        .done_with(json!({ "shelf": 7 }))
        .sends("b")
        .refused()
        .sends_undo_to("release-stock", "reserve_stock")
        .giving(json!({ "result": { "shelf": 7 } }));
    let undo = story.sent.last().unwrap();
    assert_eq!(undo.done_key.as_deref(), Some("test/4711/reserve_stock/do"));
    assert_eq!(
        undo.output,
        Some(Payload::from_value(&json!({ "shelf": 7 })))
    );
}

#[test]
fn an_answer_that_comes_after_the_turn_is_ignored() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .unanswered()
        .sends_undo("reserve_stock")
        .late("reserve_stock", Direction::Do, done())
        .ignored(Ignored::NotAwaited)
        .stands("reserve_stock", LineStatus::Undoing)
        .late("reserve_stock", Direction::Do, refused("no"))
        .ignored(Ignored::NotAwaited)
        .late("reserve_stock", Direction::Undo, done())
        .ends(Status::Compensated);
}

#[test]
fn everything_is_undone_newest_first_and_one_after_the_other() {
    let steps = ["a", "b", "c", "d"].map(step).into();
    given(definition(steps))
        .sends("a")
        .done()
        .sends("b")
        .done()
        .sends("c")
        .done()
        .sends("d")
        .refused()
        .sends_undo("c")
        .sends_nothing()
        .done()
        .sends_undo("b")
        .done()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated)
        .undone(&["c", "b", "a"]);
}

#[test]
fn a_code_that_is_not_worth_another_attempt_gets_none() {
    let steps = vec![step("a").never_again("bad_input")];
    given(definition(steps))
        .sends("a")
        .failed_with("bad_input")
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn no_attempt_leaves_after_the_budget() {
    // Attempts leave at 0, 1,100 and 2,200 ms; the third would be too late.
    let steps = vec![step("a").attempts(10).budget(2_000)];
    given(definition(steps))
        .sends("a")
        .then_time_passes()
        .then_time_passes()
        .sends("a")
        .attempt(2)
        .then_time_passes()
        .sends_undo("a");
}

// ---- an undo that does not work ------------------------------------------------------------

#[test]
fn an_undo_that_keeps_failing_is_stuck_and_resumed_under_the_same_key() {
    let steps = vec![step("reserve_stock").attempts(2), step("b")];
    given(definition(steps))
        .sends("reserve_stock")
        .done()
        .sends("b")
        .refused()
        .sends_undo("reserve_stock")
        .failed()
        .then_time_passes()
        .sends_undo("reserve_stock")
        .attempt(2)
        .failed()
        .parks(ParkedBy::Stuck, Some("reserve_stock"))
        .because("busy")
        .wake()
        .ignored(Ignored::NothingDue)
        .resume()
        .sends_undo("reserve_stock")
        .attempt(3)
        .under("reserve_stock/undo")
        .failed()
        .is(Status::Compensating)
        .then_time_passes()
        .sends_undo("reserve_stock")
        .attempt(4)
        .done()
        .ends(Status::Compensated)
        .undone(&["reserve_stock"]);
}

#[test]
fn an_undo_that_nobody_answers_is_stuck() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .unanswered()
        .sends_undo("reserve_stock")
        .unanswered()
        .parks(ParkedBy::Stuck, Some("reserve_stock"))
        .because("no answer in time");
}

#[test]
fn a_refused_undo_is_resumed_under_a_new_key_as_its_refusal_is_remembered() {
    stuck(refused("sold"))
        .because("sold")
        .resume()
        .sends_undo("reserve_stock")
        .attempt(2)
        .under("reserve_stock/undo#2")
        .refused()
        .parks(ParkedBy::Stuck, Some("reserve_stock"))
        .retry("reserve_stock")
        .sends_undo("reserve_stock")
        .attempt(3)
        .under("reserve_stock/undo#3")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn a_late_answer_to_a_stuck_undo_counts() {
    stuck(core_support::world::failed("busy"))
        .late("reserve_stock", Direction::Undo, done())
        .advanced()
        .stands("reserve_stock", LineStatus::Undone)
        .resume()
        .ends(Status::Compensated);
}

#[test]
fn a_waiver_needs_a_reason() {
    stuck(refused("sold"))
        .waive("reserve_stock", "  ")
        .noted("a waiver needs a reason")
        .parks(ParkedBy::Stuck, Some("reserve_stock"))
        .waive("reserve_stock", "given to the customer")
        .noted("given to the customer")
        .ends(Status::Compensated)
        .stands("reserve_stock", LineStatus::Waived)
        .undone(&[]);
}

#[test]
fn only_what_is_parked_can_be_resumed_retried_or_waived() {
    given(order())
        .resume()
        .ignored(Ignored::NotApplicable)
        .retry("check_fraud")
        .ignored(Ignored::NotApplicable)
        .waive("check_fraud", "no")
        .ignored(Ignored::NotApplicable);
    stuck(refused("sold"))
        .retry("charge_payment")
        .ignored(Ignored::NotApplicable)
        .waive("nobody", "no")
        .ignored(Ignored::NotApplicable);
}

#[test]
fn cancelling_a_saga_that_is_stuck_on_its_way_forward_leaves_it_with_a_person() {
    given(definition(vec![
        step("a"),
        step("b").ignored().attempts(1),
        step("c"),
    ]))
    .sends("a")
    .done()
    .sends("b")
    .failed()
    .sends_undo("b")
    .refused()
    .parks(ParkedBy::Stuck, Some("b"))
    .cancel()
    .advanced()
    .parks(ParkedBy::Stuck, Some("b"))
    .resume()
    .sends_undo("b")
    .under("b/undo#2")
    .done()
    .sends_undo("a")
    .done()
    .ends(Status::Compensated)
    .never("c");
}

// ---- the pivot -----------------------------------------------------------------------------

#[test]
fn a_pivot_without_undo_is_asked_until_it_answers() {
    let mut story = at_the_pivot(Undo::Absent);
    for attempt in 2..=20 {
        story = story
            .then_time_passes()
            .then_time_passes()
            .sends("charge_payment")
            .attempt(attempt)
            .under("charge_payment/do");
    }
    story
        .refused()
        .sends_undo("reserve_stock")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn after_the_pivot_a_step_is_asked_until_it_answers() {
    let mut story = after_the_pivot();
    for attempt in 2..=20 {
        story = story
            .failed()
            .then_time_passes()
            .sends("print_label")
            .attempt(attempt);
    }
    story.done().ends(Status::Completed).undone(&[]);
}

#[test]
fn after_the_pivot_a_refusal_is_for_a_person_and_tried_again_as_new_work() {
    after_the_pivot()
        .refused()
        .parks(ParkedBy::Step, Some("print_label"))
        .because("the pivot is done")
        .resume()
        .sends("print_label#2")
        .attempt(1)
        .under("print_label#2/do")
        .done()
        .ends(Status::Completed);
}

#[test]
fn after_the_pivot_a_person_may_waive_what_was_refused() {
    after_the_pivot()
        .refused()
        .waive("print_label", "printed by hand")
        .ends(Status::Completed)
        .stands("print_label", LineStatus::Waived);
}

#[test]
fn a_late_answer_to_what_a_saga_is_parked_on_counts() {
    given(definition(vec![step("a").parked().attempts(1), step("b")]))
        .sends("a")
        .unanswered()
        .parks(ParkedBy::Step, Some("a"))
        .late("a", Direction::Do, done())
        .advanced()
        .stands("a", LineStatus::Done)
        .resume()
        .sends("b")
        .done()
        .ends(Status::Completed);
}

#[test]
fn what_a_late_answer_has_settled_cannot_be_waived() {
    // The person has not seen that it is done; taken off the ledger, it would never be undone.
    given(definition(vec![step("a").parked().attempts(1), step("b")]))
        .sends("a")
        .unanswered()
        .late("a", Direction::Do, done())
        .waive("a", "nobody answers")
        .ignored(Ignored::NotApplicable)
        .stands("a", LineStatus::Done)
        .resume()
        .sends("b")
        .refused()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated)
        .undone(&["a"]);
}

#[test]
fn a_pivot_that_is_refused_late_turns_the_saga_back_when_it_is_resumed() {
    let pivot = step("charge_payment").undo(Undo::Absent).pivot();
    let steps = vec![step("reserve_stock"), pivot.never_again("lost")];
    given(definition(steps))
        .sends("reserve_stock")
        .done()
        .sends("charge_payment")
        .failed_with("lost")
        .parks(ParkedBy::Step, Some("charge_payment"))
        .because("no undo")
        .late("charge_payment", Direction::Do, refused("no"))
        .resume()
        .sends_undo("reserve_stock")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn a_step_without_undo_is_never_passed_over_on_the_way_back() {
    // The pivot is skipped, so nothing says that the saga only goes forward; but `print_label`
    // has run, and nothing says how to undo it.
    let steps = vec![
        step("reserve_stock"),
        step("charge_payment").pivot().when("event.gift"),
        step("print_label").undo(Undo::Absent),
        step("send_notice"),
    ];
    given(definition(steps))
        .sends("reserve_stock")
        .done()
        .sends("print_label")
        .done()
        .sends("send_notice")
        .refused()
        .parks(ParkedBy::Step, Some("send_notice"))
        .because("a step without undo may have run")
        .cancel()
        .noted("a step without undo may have run")
        .waive("send_notice", "told by phone")
        .ends(Status::Completed)
        .undone(&[]);
}

// ---- on_failure ----------------------------------------------------------------------------

#[test]
fn an_ignored_refusal_is_passed_over() {
    given(definition(vec![step("a").ignored(), step("b")]))
        .sends("a")
        .refused()
        .sends("b")
        .done()
        .ends(Status::Completed)
        .undone(&[]);
}

#[test]
fn an_ignored_step_that_may_have_run_is_undone_before_the_saga_goes_on() {
    given(definition(vec![step("a").ignored(), step("b")]))
        .sends("a")
        .unanswered()
        .sends_undo("a")
        .sends_nothing()
        .done()
        .sends("b")
        .done()
        .ends(Status::Completed)
        .undone(&["a"]);
}

#[test]
fn a_step_that_was_undone_on_the_way_forward_is_not_undone_again() {
    given(definition(vec![step("a").ignored().attempts(1), step("b")]))
        .sends("a")
        .failed()
        .sends_undo("a")
        .done()
        .sends("b")
        .refused()
        .ends(Status::Compensated)
        .undone(&["a"]);
}

#[test]
fn a_parked_step_is_resumed_under_the_same_key_if_it_may_have_run() {
    given(definition(vec![step("a").parked().attempts(1), step("b")]))
        .sends("a")
        .failed()
        .parks(ParkedBy::Step, Some("a"))
        .because("on_failure: park")
        .retry("a")
        .sends("a")
        .attempt(2)
        .under("a/do")
        .done()
        .sends("b");
}

#[test]
fn a_parked_step_is_resumed_under_a_new_key_if_it_was_refused() {
    given(definition(vec![step("a").parked(), step("b")]))
        .sends("a")
        .refused()
        .parks(ParkedBy::Step, Some("a"))
        .retry("a")
        .sends("a#2")
        .attempt(1)
        .under("a#2/do")
        .done()
        .sends("b")
        .refused()
        .sends_undo_to("a", "a#2")
        .done()
        .ends(Status::Compensated)
        .undone(&["a#2"]);
}

// ---- cancel, terminate, deadline -----------------------------------------------------------

#[test]
fn a_cancel_before_the_pivot_undoes_what_is_in_flight_too() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .cancel()
        .sends_undo("reserve_stock")
        .cancel()
        .ignored(Ignored::NotApplicable)
        .done()
        .ends(Status::Compensated)
        .undone(&["reserve_stock"]);
}

#[test]
fn a_cancel_while_the_pivot_is_in_flight_undoes_it_if_that_can_be_done() {
    at_the_pivot(other("refund-payment"))
        .cancel()
        .sends_undo_to("refund-payment", "charge_payment")
        .late("charge_payment", Direction::Do, done())
        .ignored(Ignored::NotAwaited)
        .late("charge_payment", Direction::Undo, done())
        .sends_undo("reserve_stock")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn a_cancel_while_a_pivot_without_undo_is_in_flight_is_declined() {
    at_the_pivot(Undo::Absent)
        .cancel()
        .noted("its answer decides")
        .sends_nothing()
        .done()
        .sends("print_label");
}

#[test]
fn a_cancel_after_the_pivot_is_declined_and_noted() {
    after_the_pivot()
        .cancel()
        .noted("the pivot is done")
        .noted("the customer rang")
        .is(Status::Running)
        .sends_nothing()
        .done()
        .ends(Status::Completed);
}

#[test]
fn a_cancel_frees_a_parked_saga() {
    given(definition(vec![step("a").parked().attempts(1), step("b")]))
        .sends("a")
        .unanswered()
        .cancel()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn a_terminated_saga_stops_where_it_stands_and_says_what_is_left() {
    given(order())
        .sends("check_fraud")
        .done()
        .sends("reserve_stock")
        .terminate()
        .ends(Status::Terminated)
        .stands("reserve_stock", LineStatus::InFlight)
        .undone(&[]);
    stuck(refused("sold"))
        .terminate()
        .ends(Status::Terminated)
        .stands("reserve_stock", LineStatus::Stuck);
}

#[test]
fn a_deadline_before_the_pivot_turns_the_saga_back() {
    let steps = vec![step("a"), step("b")];
    given(with_deadline(1_500, definition(steps)))
        .sends("a")
        .done()
        .sends("b")
        .after_ms(800)
        .heartbeat()
        .then_time_passes()
        .sends_undo("b")
        .done()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn nothing_is_asked_again_once_the_deadline_has_turned_the_saga_back() {
    let steps = vec![step("a")];
    given(with_deadline(1_050, definition(steps)))
        .sends("a")
        .then_time_passes()
        .after_ms(5_000)
        .wake()
        .sends_undo("a")
        .sends_nothing();
}

#[test]
fn a_deadline_after_the_pivot_parks_the_saga() {
    let steps = vec![step("a").pivot(), step("b").undo(Undo::Absent)];
    given(with_deadline(500, definition(steps)))
        .sends("a")
        .done()
        .sends("b")
        .then_time_passes()
        .parks(ParkedBy::Deadline, None)
        .done()
        .sends_nothing()
        .resume()
        .ends(Status::Completed);
}

#[test]
fn after_a_deadline_a_resumed_saga_takes_a_silent_step_up_again() {
    let steps = vec![step("a").pivot(), step("b").undo(Undo::Absent)];
    given(with_deadline(500, definition(steps)))
        .sends("a")
        .done()
        .sends("b")
        .then_time_passes()
        .parks(ParkedBy::Deadline, None)
        .after_ms(10_000)
        .wake()
        .ignored(Ignored::NothingDue)
        .resume()
        .sends_nothing()
        .is(Status::Running)
        .wake()
        .then_time_passes()
        .sends("b")
        .attempt(2)
        .done()
        .ends(Status::Completed);
}

#[test]
fn an_ignored_step_stays_ignored_through_a_deadline() {
    let steps = vec![step("a").pivot(), step("b").ignored(), step("c")];
    given(with_deadline(500, definition(steps)))
        .sends("a")
        .done()
        .sends("b")
        .then_time_passes()
        .parks(ParkedBy::Deadline, None)
        .refused()
        .resume()
        .sends("c")
        .done()
        .ends(Status::Completed);
}

#[test]
fn a_pivot_that_is_refused_after_the_deadline_turns_the_saga_back_when_it_is_resumed() {
    let steps = vec![step("a"), step("b").undo(Undo::Absent).pivot()];
    given(with_deadline(500, definition(steps)))
        .sends("a")
        .done()
        .sends("b")
        .then_time_passes()
        .parks(ParkedBy::Deadline, None)
        .refused()
        .resume()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

// ---- expressions ---------------------------------------------------------------------------

#[test]
fn an_expression_without_a_value_parks_the_saga_and_is_tried_again() {
    let label = step("b").with(json!({ "shelf": "=steps.a.shelf" }));
    given(definition(vec![step("a"), label]))
        .sends("a")
        .done()
        .parks(ParkedBy::Expression, Some("b"))
        .because("`with` of step `b`")
        .resume()
        .parks(ParkedBy::Expression, Some("b"))
        .retry("b")
        .ignored(Ignored::NotApplicable)
        .cancel()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

#[test]
fn an_expression_is_evaluated_anew_when_the_saga_is_resumed() {
    // It depends on the time of the message at hand: wrong until a second has passed.
    let late = step("a").with(json!({ "n": "=[1][now > 1000999 ? 0 : 5]" }));
    given(definition(vec![late]))
        .parks(ParkedBy::Expression, Some("a"))
        .after_ms(1_000)
        .resume()
        .sends("a")
        .giving(json!({ "n": 1 }));
}

#[test]
fn a_condition_without_a_value_parks_the_saga() {
    given(definition(vec![step("a").when("event.nowhere > 1")]))
        .parks(ParkedBy::Expression, Some("a"))
        .because("`when` of step `a`")
        .terminate()
        .ends(Status::Terminated);
}

#[test]
fn an_output_without_a_value_parks_the_saga() {
    let output = json!({ "url": "=steps.a.url" });
    given(with_output(output, definition(vec![step("a")])))
        .sends("a")
        .done()
        .parks(ParkedBy::Expression, None)
        .because("the output cannot be evaluated")
        .resume()
        .parks(ParkedBy::Expression, None)
        .cancel()
        .sends_undo("a")
        .done()
        .ends(Status::Compensated);
}

/// `a` cannot be undone, as what its undo is given has no value.
fn undo_without_a_value() -> Undo {
    other_with("un-a", json!({ "shelf": "=result.shelf" }))
}

#[test]
fn an_undo_without_a_value_parks_the_saga_on_the_way_back() {
    let story = || {
        let steps = vec![
            step("z"),
            step("a").undo(undo_without_a_value()).attempts(1),
        ];
        given(definition(steps))
            .sends("z")
            .done()
            .sends("a")
            .unanswered()
            .parks(ParkedBy::Expression, Some("a"))
            .because("`undo.with` of step `a`")
    };
    // Whatever a person asks for: nothing is done again on the way back.
    story().resume().parks(ParkedBy::Expression, Some("a"));
    story().retry("a").parks(ParkedBy::Expression, Some("a"));
    story()
        .late("a", Direction::Do, done())
        .ignored(Ignored::NotAwaited);
    story()
        .waive("a", "taken back by hand")
        .sends_undo("z")
        .done()
        .ends(Status::Compensated)
        .undone(&["z"]);
}

#[test]
fn an_ignored_step_whose_undo_has_no_value_is_not_done_again() {
    let story = || {
        let a = step("a").undo(undo_without_a_value()).ignored().attempts(1);
        given(definition(vec![a, step("b")]))
            .sends("a")
            .unanswered()
            .parks(ParkedBy::Expression, Some("a"))
    };
    story().resume().parks(ParkedBy::Expression, Some("a"));
    story().retry("a").parks(ParkedBy::Expression, Some("a"));
    story().waive("a", "taken back by hand").sends("b");
    story()
        .late("a", Direction::Do, refused("no"))
        .resume()
        .sends("b");
}

#[test]
fn each_attempt_of_an_undo_is_given_the_same() {
    let undo = other_with("un-a", json!({ "at": "=now" }));
    let story = given(definition(vec![step("a").undo(undo), step("b")]))
        .sends("a")
        .done()
        .sends("b")
        .refused()
        .sends_undo_to("un-a", "a")
        .failed()
        .then_time_passes()
        .sends_undo_to("un-a", "a")
        .attempt(2)
        .failed()
        .resume()
        .sends_undo_to("un-a", "a")
        .attempt(3);
    let [.., first, second, third] = story.sent.as_slice() else {
        panic!("three commands and more were sent");
    };
    assert_eq!((&first.key, &first.input), (&second.key, &second.input));
    assert_eq!((&first.key, &first.input), (&third.key, &third.input));
}

#[test]
fn a_tag_without_a_value_stops_no_order() {
    let mut tagged = definition(vec![step("a")]);
    for (name, value) in [
        ("total", "=event.total"),
        ("wrong", "=event.nowhere"),
        ("absent", "=event.?nowhere"),
    ] {
        let value = core_support::shapes::template(json!(value));
        tagged.tags.insert(name.to_owned(), value);
    }
    let story = given(tagged).sends("a");
    assert_eq!(story.saga.tags["total"], "120");
    assert!(story.saga.tags["wrong"].contains("nowhere"));
    assert!(!story.saga.tags.contains_key("absent"));
}

// ---- payloads ------------------------------------------------------------------------------

#[test]
fn an_answer_of_null_is_no_output() {
    let steps = vec![step("a"), step("b")];
    let nothing = || Answer::Done(Some(Payload::null()));
    given(with_output(json!(null), definition(steps)))
        .sends("a")
        .answer(nothing())
        .sends("b")
        .answer(nothing())
        .ends(Status::Completed)
        .output(json!(null));
}

#[test]
fn a_document_that_cannot_be_read_is_no_payload() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for text in [deep.as_str(), "1e999", r#""\ud800""#, "[1,]", "", "\u{1}"] {
        assert!(Payload::from_bytes(text.as_bytes()).is_err(), "{text:.20}");
    }
    for text in [
        "null",
        " [1, 2.5] ",
        r#"{"a": {"b": "\u00fc"}}"#,
        "18446744073709551615",
    ] {
        let payload = Payload::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(payload.as_str(), text.trim());
        assert!(!payload.value().is_string());
    }
}

#[test]
fn a_saga_key_begins_with_the_definition() {
    assert_eq!(Saga::key_of("process-order", "4711"), "process-order/4711");
    let story = given(order());
    assert_eq!(story.saga.business_key(), "4711");
}

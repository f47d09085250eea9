//! `wait` and `sleep`.

use backstitch_saga::core::LineStatus::{Done, Refused};
use backstitch_saga::core::{ActKind, Status};
use serde_json::json;

use super::play::{Story, play, plays, test};
use super::workers::refused;

fn waits(reaction: &str) -> String {
    format!(
        "
- {{ do: a, undo: yes }}
- wait: paid
  topic: payments
  key: message.k
  accept: message.good
  early: 5s
  within: 10s
{reaction}
- {{ do: b, with: {{ got: =steps.paid }}, undo: yes }}
"
    )
}

fn pays(story: &mut Story) {
    story.record("payments", &json!({ "k": "4711", "good": true, "n": 1 }));
}

#[test]
fn a_record_with_the_saga_s_key_ends_the_wait() {
    let seen = play([test(&waits(""))], |story| {
        story.begin();
        story.pass(9_999);
        pays(story);
    });
    seen.left("a ?paid b").completed();
    seen.given(
        "b/do",
        json!({ "got": { "k": "4711", "good": true, "n": 1 } }),
    );
}

#[test]
fn records_of_others_and_records_that_are_not_accepted_do_not() {
    let seen = play([test(&waits(""))], |story| {
        story.begin();
        story.record("payments", &json!({ "k": "4712", "good": true }));
        story.record("payments", &json!({ "k": "4711", "good": false }));
        story.record("elsewhere", &json!({ "k": "4711", "good": true }));
    });
    seen.left("a ?paid").is_running();
}

#[test]
fn a_record_that_comes_early_is_kept() {
    let seen = play([test(&waits(""))], |story| {
        pays(story);
        story.pass(4_999);
        story.begin();
    });
    seen.left("a ?paid b").completed();
}

#[test]
fn a_record_that_comes_too_early_is_not() {
    let seen = play([test(&waits(""))], |story| {
        pays(story);
        story.pass(5_000);
        story.begin();
    });
    seen.left("a ?paid").is_running();
}

#[test]
fn a_wait_that_takes_too_long_turns_the_saga_back() {
    let seen = plays(&waits(""), []);
    seen.left("a ?paid !paid -a")
        .compensated()
        .because("paid", "timeout");
    seen.line("paid", Refused);
}

#[test]
fn each_reaction_to_a_timeout_is_taken() {
    plays(&waits("  on_timeout: turn_back"), [])
        .left("a ?paid !paid -a")
        .compensated();
    plays(&waits("  on_timeout: ignore"), [])
        .left("a ?paid !paid b")
        .completed();
    plays(&waits("  on_timeout: park"), [])
        .left("a ?paid")
        .parked_at("paid");
    let steps = "  on_timeout: [ { do: c, with: { why: =failure }, undo: yes } ]";
    let seen = plays(&waits(steps), [("b", vec![refused()])]);
    seen.left("a ?paid !paid c b -c -a").compensated();
    seen.given(
        "c/do",
        json!({ "why": {
        "step": "paid", "kind": "unanswered", "code": "timeout", "reason": "no event came in time",
    } }),
    );
}

#[test]
fn without_on_timeout_the_reaction_is_that_to_a_failure() {
    plays(&waits("  on_failure: ignore"), [])
        .left("a ?paid !paid b")
        .completed();
    plays(&waits("  on_failure: park"), [])
        .left("a ?paid")
        .parked_at("paid");
}

#[test]
fn on_timeout_goes_before_on_failure() {
    let seen = plays(&waits("  on_failure: park\n  on_timeout: ignore"), []);
    seen.left("a ?paid !paid b").completed();
}

#[test]
fn what_comes_late_still_counts_while_the_saga_is_set_aside_for_it() {
    let seen = play([test(&waits("  on_timeout: park"))], |story| {
        story.begin();
        story.run();
        pays(story);
    });
    seen.left("a ?paid b").completed().line("paid", Done);
}

#[test]
fn a_wait_that_is_opened_anew_waits_as_long_again() {
    let seen = play([test(&waits("  on_timeout: park"))], |story| {
        story.begin();
        story.run();
        story.act(ActKind::Resume);
        story.pass(9_999);
        pays(story);
    });
    seen.left("a ?paid !paid ?paid#2 b").completed();
}

#[test]
fn a_saga_that_turns_back_waits_no_more() {
    let seen = play([test(&waits(""))], |story| {
        story.begin();
        story.act(ActKind::Cancel);
        pays(story);
    });
    seen.left("a ?paid !paid -a").compensated();
}

#[test]
fn a_terminated_saga_waits_no_more() {
    let seen = play([test(&waits(""))], |story| {
        story.begin();
        story.act(ActKind::Terminate);
        pays(story);
    });
    seen.left("a ?paid !paid").ends(Status::Terminated);
}

#[test]
fn another_value_may_be_waited_for_and_each_record_is_given_once() {
    let steps = "
- { wait: paid, topic: payments, key: message.k, match: event.account, within: 1h }
";
    let seen = play([test(steps)], |story| {
        for key in ["4711", "4712"] {
            story.world.begin("test", key, &json!({ "account": 7 }));
            story.settle();
        }
        story.record("payments", &json!({ "k": 7 }));
    });
    seen.completed();
    seen.child("test/4712", Status::Running);
}

#[test]
fn a_record_goes_to_the_wait_of_every_definition() {
    let steps = "
- { wait: paid, topic: payments, key: message.k, within: 1h }
";
    let other = super::play::written("other", "", steps);
    let seen = play([test(steps), other], |story| {
        story.begin();
        story.world.begin("other", "4711", &json!({}));
        story.settle();
        story.record("payments", &json!({ "k": "4711" }));
    });
    seen.completed();
    seen.child("other/4711", Status::Completed);
}

#[test]
fn of_two_waits_the_loser_leaves_the_record_to_others() {
    let steps = "
- parallel:
    x: [ { wait: paid, topic: payments, key: message.k, match: event.account } ]
    y: [ { do: y, undo: yes } ]
  need: any
";
    let seen = play([test(steps)], |story| {
        story.world.begin("test", "4711", &json!({ "account": 7 }));
        story.settle();
        story.world.begin("test", "4712", &json!({ "account": 7 }));
        story.says("y", [super::workers::Say::Deaf, super::workers::Say::Deaf]);
        story.settle();
        story.record("payments", &json!({ "k": 7 }));
    });
    seen.left("?paid y !paid").completed();
    seen.child("test/4712", Status::Completed);
}

#[test]
fn time_passes() {
    let steps = "
- { sleep: 30m }
- { do: a, undo: yes }
";
    let seen = play([test(steps)], |story| {
        story.begin();
        story.pass(1_799_999);
    });
    seen.left("").is_running();
    plays(steps, []).left("a").completed();
}

#[test]
fn a_time_in_the_past_is_over_at_once_and_one_to_come_is_waited_for() {
    let steps = "
- { sleep: { until: event.at } }
- { do: a, undo: yes }
";
    for at in [json!(0), json!("1970-01-01T00:00:00Z")] {
        let seen = play([test(steps)], |story| {
            story.begin_with(&json!({ "at": at }))
        });
        seen.left("a").completed();
    }
    // The story begins at 1,000 s.
    for at in [json!(1_060_000), json!("1970-01-01T00:17:40Z")] {
        let seen = play([test(steps)], |story| {
            story.begin_with(&json!({ "at": at }))
        });
        seen.left("").is_running();
        let seen = play([test(steps)], |story| {
            story.begin_with(&json!({ "at": at }));
            story.pass(60_000);
        });
        seen.left("a").completed();
    }
    let seen = play([test(steps)], |story| {
        story.begin_with(&json!({ "at": "soon" }))
    });
    seen.left("").parked_at("sleep_1");
}

#[test]
fn who_sleeps_can_be_cancelled() {
    let steps = "
- { do: a, undo: yes }
- { sleep: 30m }
";
    let seen = play([test(steps)], |story| {
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a -a").compensated();
}

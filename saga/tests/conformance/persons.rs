//! `approve`.

use backstitch_saga::core::ActKind;
use backstitch_saga::core::LineStatus::{Done, InFlight, Refused};
use serde_json::json;

use super::play::{play, plays, test};

fn asks(reactions: &str) -> String {
    format!(
        "
- {{ do: a, undo: yes }}
- approve: large-order
  by: [boss, owner]
  show: {{ total: =event.total }}
  within: 1m
{reactions}
- {{ do: b, with: {{ said: =steps.large_order }}, undo: yes }}
"
    )
}

#[test]
fn who_when_and_why_are_the_output() {
    let seen = play([test(&asks(""))], |story| {
        story.begin();
        story.pass(5_000);
        story.decide("boss", true);
    });
    seen.left("a b").completed().line("large_order", Done);
    seen.given(
        "b/do",
        json!({ "said": { "by": "boris", "role": "boss", "at_ms": 1_005_000, "reason": "seen" } }),
    );
    let line = seen.saga().line("large_order").unwrap();
    assert_eq!(line.input.value(), &json!({ "total": 120 }));
}

#[test]
fn who_has_none_of_the_roles_decides_nothing() {
    let seen = play([test(&asks(""))], |story| {
        story.begin();
        story.decide("clerk", true);
        story.decide("clerk", false);
    });
    seen.left("a").is_running().line("large_order", InFlight);
    let seen = play([test(&asks(""))], |story| {
        story.begin();
        story.decide("clerk", false);
        story.decide("owner", true);
    });
    seen.left("a b").completed();
}

#[test]
fn without_roles_anybody_decides() {
    let seen = play([test("- { approve: it }")], |story| {
        story.begin();
        story.decide("clerk", true);
    });
    seen.completed();
}

#[test]
fn each_reaction_to_a_no_is_taken() {
    let says_no = |reaction: &str| {
        play([test(&asks(reaction))], |story| {
            story.begin();
            story.decide("boss", false);
            story.run();
        })
    };
    let seen = says_no("");
    seen.left("a -a")
        .compensated()
        .because("large_order", "not_approved");
    seen.line("large_order", Refused);
    says_no("  on_refused: ignore").left("a b").completed();
    says_no("  on_refused: park")
        .left("a")
        .parked_at("large_order");
    says_no("  on_failure: park")
        .left("a")
        .parked_at("large_order");
    says_no("  on_failure: park\n  on_refused: turn_back")
        .left("a -a")
        .compensated();
    let seen = says_no("  on_refused: [ { do: c, with: { why: =failure }, undo: yes } ]");
    seen.left("a c b").completed();
    seen.given(
        "c/do",
        json!({ "why": {
        "step": "large_order", "kind": "refused", "code": "not_approved", "reason": "boris: seen",
    } }),
    );
}

#[test]
fn each_reaction_to_silence_is_taken() {
    let seen = plays(&asks(""), []);
    seen.left("a -a")
        .compensated()
        .because("large_order", "timeout");
    plays(&asks("  on_timeout: ignore"), [])
        .left("a b")
        .completed();
    plays(&asks("  on_timeout: park"), [])
        .left("a")
        .parked_at("large_order");
    plays(&asks("  on_refused: park"), [])
        .left("a -a")
        .compensated();
    let seen = plays(
        &asks("  on_timeout: [ { do: c, with: { why: =failure.kind }, undo: yes } ]"),
        [],
    );
    seen.left("a c b")
        .completed()
        .given("c/do", json!({ "why": "unanswered" }));
}

#[test]
fn a_late_yes_counts_while_the_saga_is_set_aside_for_it() {
    let seen = play([test(&asks("  on_timeout: park"))], |story| {
        story.begin();
        story.run();
        story.decide("boss", true);
    });
    seen.left("a b").completed();
}

#[test]
fn a_decision_after_a_cancel_counts_for_nothing() {
    let seen = play([test(&asks(""))], |story| {
        story.begin();
        story.act(ActKind::Cancel);
        story.decide("boss", true);
    });
    seen.left("a -a").compensated();
}

#[test]
fn of_several_the_decision_names_one() {
    let steps = "
- parallel:
    x: [ { approve: one } ]
    y: [ { approve: two } ]
";
    let seen = play([test(steps)], |story| {
        story.begin();
        story.decide("boss", true);
    });
    seen.line("one", InFlight).line("two", InFlight);
    let seen = play([test(steps)], |story| {
        story.begin();
        story
            .world
            .decide(super::play::SAGA, Some("two"), "boss", true);
        story.settle();
        story.decide("boss", true);
    });
    seen.completed();
}

#[test]
fn what_was_refused_is_asked_anew() {
    let seen = play([test(&asks("  on_refused: park"))], |story| {
        story.begin();
        story.decide("boss", false);
        story.act(ActKind::Resume);
        story.decide("boss", true);
    });
    seen.left("a b").completed().line("large_order#2", Done);
}

//! The pivot, and the deadline.

use backstitch_saga::core::LineStatus::{Ambiguous, Done};
use backstitch_saga::core::{ActKind, TurnedBackBy};

use super::play::{Seen, play, plays, test, written};
use super::workers::{Say, failed, refused};

const PIVOT: &str = "
- { do: a, undo: yes }
- { do: p, undo: yes, pivot: yes }
- { do: b }
- { do: c }
";

#[test]
fn before_the_pivot_the_saga_turns_back() {
    plays(PIVOT, [("a", vec![failed(), failed()])])
        .left("a a*2 -a")
        .compensated();
    plays(PIVOT, [("p", vec![refused()])])
        .left("a p -a")
        .compensated();
}

#[test]
fn an_unanswered_pivot_with_an_undo_is_undone() {
    plays(PIVOT, [("p", vec![Say::Deaf, Say::Torn])])
        .left("a p p*2 -p -a")
        .compensated();
}

#[test]
fn an_unanswered_pivot_without_an_undo_is_asked_until_it_answers() {
    let steps = PIVOT.replace("undo: yes, pivot", "pivot");
    let deaf = || vec![Say::Deaf; 5];
    let seen = plays(&steps, [("p", deaf())]);
    seen.left("a p p*2 p*3 p*4 p*5 p*6 b c").completed();
    let mut says = deaf();
    says.push(refused());
    plays(&steps, [("p", says)])
        .left("a p p*2 p*3 p*4 p*5 p*6 -a")
        .compensated();
}

#[test]
fn that_holds_where_its_failure_is_caught_too() {
    for reaction in ["ignore", "[ { do: r, undo: yes } ]"] {
        let steps = PIVOT.replace(
            "undo: yes, pivot: yes",
            &format!("pivot: yes, on_failure: {reaction}"),
        );
        let steps = steps
            .replace("{ do: b }", "{ do: b, undo: yes }")
            .replace("{ do: c }", "{ do: c, undo: yes }");
        let seen = plays(&steps, [("p", vec![Say::Deaf, Say::Torn, failed()])]);
        seen.left("a p p*2 p*3 p*4 b c").completed().line("p", Done);
    }
}

#[test]
fn after_the_pivot_work_is_asked_until_it_is_done() {
    let seen = plays(
        PIVOT,
        [("b", vec![failed(), Say::Deaf, Say::Torn, failed()])],
    );
    seen.left("a p b b*2 b*3 b*4 b*5 c").completed();
}

#[test]
fn after_the_pivot_a_refusal_waits_for_a_person() {
    let acts = |kind: Option<ActKind>| -> Seen {
        play([test(PIVOT)], move |story| {
            story.says("b", [refused()]);
            story.begin();
            match kind {
                Some(kind @ (ActKind::Retry | ActKind::Waive)) => story.act_on(kind, "b"),
                Some(kind) => story.act(kind),
                None => {}
            }
            story.run();
        })
    };
    acts(None).left("a p b").parked_at("b");
    acts(Some(ActKind::Cancel)).left("a p b").parked_at("b");
    acts(Some(ActKind::Resume)).left("a p b b#2 c").completed();
    acts(Some(ActKind::Retry)).left("a p b b#2 c").completed();
    acts(Some(ActKind::Waive)).left("a p b c").completed();
}

#[test]
fn after_the_pivot_everything_else_that_fails_waits_for_a_person() {
    let after = |step: &str| plays(&format!("- {{ do: p, pivot: yes }}\n{step}"), []);
    after("- { fail: no }").left("p").parked_at("fail_1");
    after("- { wait: w, topic: t, key: message.k, within: 1m }")
        .left("p ?w")
        .parked_at("w");
    after("- { approve: ok, within: 1m }")
        .left("p")
        .parked_at("ok");
    after("- { run: nobody }")
        .left("p +nobody")
        .parked_at("nobody");
    after("- { choose: [ { when: event.gift, steps: [] } ] }")
        .left("p")
        .parked_at("choose_1");
    after("- { repeat: [ { do: b } ], until: event.gift, most: 1 }")
        .left("p b[0]")
        .parked_at("repeat_1");
}

#[test]
fn after_the_pivot_a_cancel_is_declined() {
    let seen = play([test(PIVOT)], |story| {
        story.says("b", [Say::Deaf]);
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a p b b*2 c").completed();
}

#[test]
fn after_the_pivot_what_is_caught_is_undone_alone() {
    let steps = "
- { do: p, pivot: yes }
- parallel:
    x: [ { do: x, undo: yes } ]
    y: [ { do: y, undo: yes } ]
  on_failure: ignore
- { do: c }
";
    plays(steps, [("y", vec![refused()])])
        .left("p x y -x c")
        .completed();
}

#[test]
fn a_choose_that_catches_does_not_take_back_the_pivot_in_it() {
    let steps = "
- { do: a, undo: yes }
- choose:
    - when: event.total > 1
      steps:
        - { do: b, undo: yes }
        - { do: p, undo: yes, pivot: yes }
        - { do: c, undo: yes }
  on_failure: ignore
- { do: d, undo: yes }
";
    // Before it, the choose catches; after it, the saga only goes forward.
    plays(steps, [("p", vec![refused()])])
        .left("a b p -b d")
        .completed();
    let seen = plays(steps, [("c", vec![failed(), failed(), failed()])]);
    seen.left("a b p c c*2 c*3 c*4 d").completed();
    plays(steps, [("c", vec![refused()])])
        .left("a b p c")
        .parked_at("c");
}

fn in_a_minute(steps: &str, says: &[(&str, Vec<Say>)], ms: i64) -> Seen {
    play([written("test", "deadline: 1m", steps)], |story| {
        for (who, says) in says {
            story.says(who, says.clone());
        }
        story.begin();
        story.pass(ms);
    })
}

#[test]
fn at_the_deadline_the_saga_turns_back() {
    let steps = "
- { do: a, undo: yes }
- { sleep: { until: now + 3600000 } }
";
    in_a_minute(steps, &[], 59_999).left("a").is_running();
    let seen = in_a_minute(steps, &[], 60_000);
    seen.left("a -a").compensated();
    assert_eq!(seen.saga().turned_back, Some(TurnedBackBy::Deadline));
}

#[test]
fn at_the_deadline_what_is_in_flight_is_undone_and_not_asked_again() {
    let steps = "
- { do: a, undo: yes, timeout: 1m, retry: { attempts: 3 } }
";
    in_a_minute(steps, &[("a", vec![Say::Deaf])], 60_000)
        .left("a -a")
        .compensated();
}

#[test]
fn after_the_pivot_the_deadline_sets_the_saga_aside() {
    let steps = "
- { do: p, pivot: yes }
- { sleep: { until: now + 3600000 } }
- { do: b }
";
    let seen = in_a_minute(steps, &[], 3_600_000);
    assert!(seen.saga().parked.is_some());
    let seen = play([written("test", "deadline: 1m", steps)], |story| {
        story.begin();
        story.pass(60_000);
        story.act(ActKind::Resume);
        story.run();
    });
    seen.left("p b").completed();
}

#[test]
fn a_pivot_that_is_parked_may_have_run() {
    let steps = PIVOT.replace("undo: yes, pivot: yes", "pivot: yes, on_failure: park");
    let seen = plays(&steps, [("p", vec![Say::Deaf, Say::Deaf])]);
    seen.left("a p p*2").parked_at("p").line("p", Ambiguous);
}

#[test]
fn a_pivot_that_is_passed_over_leaves_the_way_back_open() {
    let steps = "
- { do: a, undo: yes }
- { do: p, undo: yes, pivot: yes, when: event.gift }
- { do: b, undo: yes }
";
    plays(steps, [("b", vec![refused()])])
        .left("a b -a")
        .compensated();
}

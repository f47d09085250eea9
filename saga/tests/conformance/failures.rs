//! Failures: how far up they go, who catches them, and what is undone for it.

use backstitch_saga::core::ActKind;
use backstitch_saga::core::LineStatus::{Refused, Undone, Waived};
use serde_json::json;

use super::play::{play, plays, test};
use super::workers::{Say, failed, refused};

#[test]
fn an_ignored_failure_is_undone_if_it_may_have_run_and_the_saga_goes_on() {
    let steps = "
- { do: a, undo: yes }
- { do: b, undo: yes, on_failure: ignore }
- { do: c, undo: yes }
";
    plays(steps, [("b", vec![refused()])])
        .left("a b c")
        .completed();
    let seen = plays(steps, [("b", vec![Say::Torn, failed()])]);
    seen.left("a b b*2 -b c").completed().line("b", Undone);
    let seen = plays(
        steps,
        [("b", vec![Say::Deaf, Say::Deaf]), ("c", vec![refused()])],
    );
    seen.left("a b b*2 -b c -a").compensated();
}

#[test]
fn steps_for_a_failure_are_taken_once_it_is_undone_and_are_undone_with_the_rest() {
    let steps = "
- { do: a, undo: yes }
- do: b
  undo: yes
  on_failure:
    - { do: c, with: { why: =failure }, undo: yes }
    - { do: d, undo: yes }
- { do: e, undo: yes }
";
    let seen = plays(
        steps,
        [("b", vec![failed(), failed()]), ("e", vec![refused()])],
    );
    seen.left("a b b*2 -b c d e -d -c -a").compensated();
    seen.given(
        "c/do",
        json!({ "why": { "step": "b", "kind": "failed", "code": "busy", "reason": "" } }),
    );
    let seen = plays(steps, [("b", vec![refused()]), ("d", vec![refused()])]);
    seen.left("a b c d -c -a").compensated().because("d", "no");
}

#[test]
fn a_parked_failure_waits_and_is_asked_anew_or_taken_off() {
    let steps = "
- { do: a, undo: yes }
- { do: b, undo: yes, on_failure: park }
- { do: c, undo: yes }
";
    let acts = |kind: Option<ActKind>, say: Say| {
        play([test(steps)], move |story| {
            story.says("b", [say.clone(), say.clone()]);
            story.begin();
            story.run();
            match kind {
                Some(kind @ (ActKind::Retry | ActKind::Waive)) => story.act_on(kind, "b"),
                Some(kind) => story.act(kind),
                None => {}
            }
            // What was refused twice is tried a third time.
            story.run();
        })
    };
    acts(None, refused()).left("a b").parked_at("b");
    acts(Some(ActKind::Resume), refused())
        .left("a b b#2")
        .parked_at("b#2");
    acts(Some(ActKind::Retry), refused())
        .left("a b b#2")
        .parked_at("b#2");
    acts(Some(ActKind::Waive), refused())
        .left("a b c")
        .completed()
        .line("b", Waived);
    acts(Some(ActKind::Cancel), refused())
        .left("a b -a")
        .compensated();
    // What may have run is asked again under its key.
    acts(Some(ActKind::Resume), Say::Deaf)
        .left("a b b*2 b*3 c")
        .completed();
    acts(Some(ActKind::Cancel), Say::Deaf)
        .left("a b b*2 -b -a")
        .compensated();
    acts(Some(ActKind::Waive), Say::Deaf)
        .left("a b b*2 c")
        .completed();
}

const NESTED: &str = "
- { do: a, undo: yes }
- choose:
    - when: event.total > 1
      steps:
        - { do: b, undo: yes }
        - parallel:
            x: [ { do: x1, undo: yes }, { do: x2, undo: yes } ]
            y: [ { do: y1, undo: yes } ]
          on_failure: INNER
        - { do: c, undo: yes }
  on_failure: OUTER
- { do: z, undo: yes }
";

fn nested(inner: &str, outer: &str, says: Vec<(&str, Vec<Say>)>) -> super::play::Seen {
    let steps = NESTED.replace("INNER", inner).replace("OUTER", outer);
    play([test(&steps)], |story| {
        for (who, says) in &says {
            story.says(who, says.clone());
        }
        story.begin();
        story.run();
    })
}

#[test]
fn the_innermost_that_catches_is_undone_alone() {
    let fails = || vec![("x2", vec![refused()])];
    nested("ignore", "ignore", fails())
        .left("a b x1 y1 x2 -y1 -x1 c z")
        .completed();
    let seen = nested(
        "[ { do: r, with: { why: =failure.code }, undo: yes } ]",
        "ignore",
        fails(),
    );
    seen.left("a b x1 y1 x2 -y1 -x1 r c z").completed();
    seen.given("r/do", json!({ "why": "no" }));
    nested("turn_back", "ignore", fails())
        .left("a b x1 y1 x2 -y1 -x1 -b z")
        .completed();
    nested("turn_back", "turn_back", fails())
        .left("a b x1 y1 x2 -y1 -x1 -b -a")
        .compensated();
    nested("park", "ignore", fails())
        .left("a b x1 y1 x2")
        .parked_at("x2");
    nested("turn_back", "park", fails())
        .left("a b x1 y1 x2")
        .parked_at("x2");
    let seen = nested("turn_back", "[ { do: r, undo: yes } ]", fails());
    seen.left("a b x1 y1 x2 -y1 -x1 -b r z")
        .completed()
        .line("x2", Refused);
}

#[test]
fn what_was_caught_is_not_undone_again() {
    let says = || vec![("x2", vec![refused()]), ("z", vec![refused()])];
    nested("ignore", "ignore", says())
        .left("a b x1 y1 x2 -y1 -x1 c z -c -b -a")
        .compensated();
    let seen = nested("[ { do: r, undo: yes } ]", "ignore", says());
    seen.left("a b x1 y1 x2 -y1 -x1 r c z -c -r -b -a")
        .compensated();
}

#[test]
fn a_reaction_that_fails_goes_past_the_step_it_belongs_to() {
    let says = || vec![("x2", vec![refused()]), ("r", vec![refused()])];
    let seen = nested(
        "[ { do: r, undo: yes } ]",
        "[ { do: s, with: { of: =failure.step }, undo: yes } ]",
        says(),
    );
    seen.left("a b x1 y1 x2 -y1 -x1 r -b s z").completed();
    seen.given("s/do", json!({ "of": "r" }));
    let seen = nested("[ { do: r, undo: yes } ]", "turn_back", says());
    seen.left("a b x1 y1 x2 -y1 -x1 r -b -a")
        .compensated()
        .because("r", "no");
}

#[test]
fn an_undo_that_is_stuck_on_the_way_to_a_catch_waits_for_a_person_and_the_saga_goes_on_then() {
    let steps = NESTED
        .replace("INNER", "ignore")
        .replace("OUTER", "turn_back");
    let stuck = |kind: Option<ActKind>| {
        let steps = steps.clone();
        play([test(&steps)], move |story| {
            story.says("x2", [refused()]);
            story.says("-y1", [refused()]);
            story.begin();
            story.run();
            if let Some(kind) = kind {
                story.act_on(kind, "y1");
                story.run();
            }
        })
    };
    stuck(None).left("a b x1 y1 x2 -y1 -x1").parked_at("y1");
    stuck(Some(ActKind::Waive))
        .left("a b x1 y1 x2 -y1 -x1 c z")
        .completed();
    // A refusal is remembered under its key, so the undo has a new one.
    stuck(Some(ActKind::Resume))
        .left("a b x1 y1 x2 -y1 -x1 -y1*2 c z")
        .completed();
    stuck(Some(ActKind::Retry))
        .left("a b x1 y1 x2 -y1 -x1 -y1*2 c z")
        .completed();
}

#[test]
fn a_cancel_while_something_is_caught_undoes_the_rest() {
    let steps = NESTED
        .replace("INNER", "ignore")
        .replace("OUTER", "turn_back");
    let seen = play([test(&steps)], |story| {
        story.says("x2", [refused()]);
        story.says("-y1", [Say::Deaf]);
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a b x1 y1 x2 -y1 -x1 -y1*2 -b -a").compensated();
}

#[test]
fn of_two_undos_that_are_stuck_each_is_seen_to() {
    let steps = "
- parallel:
    x: [ { do: x, undo: yes } ]
    y: [ { do: y, undo: yes } ]
- { do: z, undo: yes }
";
    let seen = play([test(steps)], |story| {
        story.says("z", [refused()]);
        story.says("-x", [refused()]);
        story.says("-y", [refused()]);
        story.begin();
        story.act_on(ActKind::Retry, "y");
        story.run();
    });
    seen.left("x y z -y -x -y*2").parked_at("x");
    let seen = play([test(steps)], |story| {
        story.says("z", [refused()]);
        story.says("-x", [refused()]);
        story.says("-y", [refused()]);
        story.begin();
        story.act(ActKind::Resume);
        story.run();
    });
    seen.left("x y z -y -x -x*2 -y*2").compensated();
}

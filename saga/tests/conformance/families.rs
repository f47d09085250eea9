//! `run`: another saga as a step.

use backstitch_saga::core::LineStatus::{Done, Refused, Stuck, Undone, Waived};
use backstitch_saga::core::{ActKind, Status};
use backstitch_saga::definition::Definition;
use serde_json::json;

use super::play::{Story, play, test, written};
use super::workers::{Say, refused};

const KID: &str = "kid/k";

fn parent() -> Definition {
    test(
        "
- { do: a, undo: yes }
- { run: kid, key: \"'k'\", with: { n: =event.total } }
- { do: b, with: { kid: =steps.kid }, undo: yes }
",
    )
}

fn kid() -> Definition {
    written(
        "kid",
        "output: { x: =steps.x.of, n: =event.n }",
        "
- { do: x, undo: yes }
- { do: y, undo: yes }
",
    )
}

fn says(story: &mut Story, who: &str, say: Say) {
    story.says(who, [say]);
}

#[test]
fn a_child_is_given_its_event_and_gives_its_output() {
    let seen = play([parent(), kid()], |story| {
        story.begin();
        story.run();
    });
    seen.left("a +kid b").completed().left_of(KID, "x y ^done");
    seen.given("b/do", json!({ "kid": { "x": "x", "n": 120 } }));
}

#[test]
fn a_refusal_of_the_child_is_that_of_the_step() {
    let seen = play([parent(), kid()], |story| {
        says(story, "y", refused());
        story.begin();
        story.run();
    });
    seen.left("a +kid -a")
        .compensated()
        .because("kid", "no")
        .line("kid", Refused);
    seen.left_of(KID, "x y -x ^refused:no")
        .child(KID, Status::Compensated);
}

#[test]
fn to_undo_it_compensates_the_child() {
    let seen = play([parent(), kid()], |story| {
        says(story, "b", refused());
        story.begin();
        story.run();
    });
    seen.left("a +kid b -kid -a")
        .compensated()
        .line("kid", Undone);
    seen.left_of(KID, "x y ^done -y -x ^done")
        .child(KID, Status::Compensated);
}

#[test]
fn a_cancel_goes_down_to_a_child_that_runs() {
    let seen = play([parent(), kid()], |story| {
        says(story, "y", Say::Deaf);
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a +kid -kid -a").compensated();
    seen.left_of(KID, "x y -y -x ^done")
        .child(KID, Status::Compensated);
}

#[test]
fn a_child_that_is_set_aside_can_be_taken_back() {
    let parks = written(
        "kid",
        "",
        "
- { do: x, undo: yes }
- { do: y, undo: yes, on_failure: park }
",
    );
    let seen = play([parent(), parks], |story| {
        says(story, "y", refused());
        story.begin();
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a +kid -kid -a").compensated();
    seen.left_of(KID, "x y -x ^done")
        .child(KID, Status::Compensated);
}

#[test]
fn a_child_past_its_pivot_refuses_to_be_taken_back() {
    let pivot = written(
        "kid",
        "",
        "
- { do: x, undo: yes, pivot: yes }
",
    );
    let tell = |story: &mut Story| {
        says(story, "b", refused());
        story.begin();
        story.run();
    };
    let seen = play([parent(), pivot.clone()], tell);
    seen.left("a +kid b -kid")
        .parked_at("kid")
        .line("kid", Stuck);
    seen.child(KID, Status::Completed);
    let seen = play([parent(), pivot], |story| {
        tell(story);
        story.act_on(ActKind::Waive, "kid");
        story.run();
    });
    seen.left("a +kid b -kid -a")
        .compensated()
        .line("kid", Waived);
}

#[test]
fn a_key_that_is_taken_is_a_refusal_and_the_other_child_stays() {
    let two = test(
        "
- { run: kid, id: one, key: \"'k'\", with: { n: 1 } }
- { run: kid, id: two, key: \"'k'\", with: { n: 2 } }
",
    );
    let seen = play([two, kid()], |story| {
        story.begin();
        story.run();
    });
    seen.left("+one +two -one")
        .compensated()
        .because("two", "key_taken");
    seen.child(KID, Status::Compensated);
    let others = play([parent(), kid()], |story| {
        story.world.begin("kid", "k", &json!({ "n": 1 }));
        story.begin();
        story.run();
    });
    others
        .left("a +kid -a")
        .compensated()
        .because("kid", "key_taken");
    others.child(KID, Status::Completed);
}

#[test]
fn a_parent_that_turns_back_leaves_the_child_of_another_alone() {
    let seen = play([parent(), kid()], |story| {
        story.world.begin("kid", "k", &json!({ "n": 1 }));
        story.settle();
        // The cancel comes before the answer that the key is taken.
        story.world.begin("test", "4711", &json!({ "total": 1 }));
        while story.world.left["test/4711"].last().unwrap() != "+kid" {
            story.world.deliver();
        }
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.compensated().child(KID, Status::Completed);
}

#[test]
fn a_definition_that_nobody_knows_is_a_refusal() {
    let seen = play([parent()], |story| {
        story.begin();
        story.run();
    });
    seen.left("a +kid -a")
        .compensated()
        .because("kid", "unknown_saga");
}

#[test]
fn a_child_that_is_terminated_may_have_left_something() {
    let stops = |story: &mut Story| {
        says(story, "y", Say::Deaf);
        story.begin();
        story.world.act(KID, ActKind::Terminate, None);
        story.run();
    };
    let seen = play([parent(), kid()], stops);
    seen.left("a +kid -kid").parked_at("kid").line("kid", Stuck);
    let seen = play([parent(), kid()], |story| {
        stops(story);
        story.act_on(ActKind::Waive, "kid");
        story.run();
    });
    seen.left("a +kid -kid -a").compensated();
}

#[test]
fn a_child_that_was_terminated_is_not_run_again_beside_what_it_has_left() {
    let parks = test(
        "
- { do: a, undo: yes }
- { run: kid, key: \"'k'\", on_failure: park }
- { do: b, undo: yes }
",
    );
    let stops = |story: &mut Story| {
        says(story, "y", Say::Deaf);
        story.begin();
        story.world.act(KID, ActKind::Terminate, None);
        story.run();
        story.act(ActKind::Resume);
        story.run();
    };
    play([parks.clone(), kid()], stops)
        .left("a +kid")
        .parked_at("kid");
    let seen = play([parks, kid()], |story| {
        stops(story);
        story.act_on(ActKind::Waive, "kid");
        story.run();
    });
    seen.left("a +kid b").completed();
}

#[test]
fn a_refused_child_that_is_tried_again_is_another_child() {
    let parks = test(
        "
- { run: kid, key: \"'k'\", with: { n: 1 }, on_failure: park }
",
    );
    let seen = play([parks, kid()], |story| {
        says(story, "y", refused());
        story.begin();
        story.act(ActKind::Resume);
        story.run();
    });
    seen.left("+kid +kid#2").completed().line("kid#2", Done);
    seen.child(KID, Status::Compensated)
        .child("kid/k#2", Status::Completed);
}

#[test]
fn without_a_key_a_child_is_named_by_its_parent_and_the_occurrence() {
    let each = test(
        "
- { each: n, over: '[1, 2]', steps: [ { run: kid, with: { n: =n } } ] }
",
    );
    let seen = play([each, kid()], |story| {
        story.begin();
        story.run();
    });
    seen.left("+kid[0] +kid[1]").completed();
    seen.child("kid/test/4711/kid[1]", Status::Completed);
}

#[test]
fn a_grandchild_is_taken_back_with_them() {
    let middle = written(
        "kid",
        "",
        "
- { do: x, undo: yes }
- { run: grandchild, key: \"'g'\" }
",
    );
    let grandchild = written(
        "grandchild",
        "",
        "
- { do: y, undo: yes }
",
    );
    let seen = play([parent(), middle, grandchild], |story| {
        says(story, "b", refused());
        story.begin();
        story.run();
    });
    seen.left("a +kid b -kid -a").compensated();
    seen.left_of(KID, "x +grandchild ^done -grandchild -x ^done");
    seen.left_of("grandchild/g", "y ^done -y ^done");
}

#[test]
fn each_reaction_to_a_refusing_child_is_taken() {
    let reacts = |reaction: &str| {
        let steps = format!(
            "
- {{ do: a, undo: yes }}
- {{ run: kid, key: \"'k'\", on_failure: {reaction} }}
- {{ do: b, undo: yes }}
"
        );
        play([test(&steps), kid()], |story| {
            says(story, "x", refused());
            story.begin();
            story.run();
        })
    };
    reacts("ignore").left("a +kid b").completed();
    reacts("park").left("a +kid").parked_at("kid");
    let seen = reacts("[ { do: c, with: { code: =failure.code }, undo: yes } ]");
    seen.left("a +kid c b")
        .completed()
        .given("c/do", json!({ "code": "no" }));
}

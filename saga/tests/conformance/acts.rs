//! What people do, at every moment.

use backstitch_saga::core::{ActKind, Status};
use backstitch_saga::definition::Definition;
use serde_json::json;

use super::play::{SAGA, play, test, written};
use super::workers::{Say, refused};
use super::world::World;

/// A bit of everything, with a child.
fn everything() -> [Definition; 2] {
    let steps = "
- { do: a, undo: yes }
- parallel:
    x: [ { do: x1, undo: yes }, { wait: w, topic: t, key: message.k, within: 1m } ]
    y: [ { each: n, over: '[1, 2, 3]', at_once: 2, steps: [ { do: y1, undo: yes }, { do: y2, undo: yes } ] } ]
    z: [ { run: kid }, { sleep: 5s } ]
- { repeat: [ { do: r, undo: yes } ], until: now > 1006000, pause: 3s }
- { approve: ok, by: [boss] }
- { do: b, undo: { do: un-b, with: { of: =result } } }
";
    let kid = written(
        "kid",
        "",
        "
- { do: k1, undo: yes }
- { choose: [ { when: 'true', steps: [ { do: k2, undo: yes } ] } ] }
",
    );
    [test(steps), kid]
}

/// Goes one move on. Returns whether there was one.
fn moves(world: &mut World) -> bool {
    if world.deliver() {
        return true;
    }
    let saga = world.saga(SAGA);
    if saga.status.has_ended() {
        return false;
    }
    let waits = |step: &str| {
        let line = saga.lines.iter().find(|line| line.step == step);
        line.is_some_and(|line| line.status.awaits().is_some())
    };
    if waits("w") {
        world.record("t", &json!({ "k": "4711" }));
    } else if waits("ok") {
        world.decide(SAGA, None, "boss", true);
    } else if let Some(next) = world.next_wake_ms() {
        world.now_ms = next.max(world.now_ms);
        world.wake();
    } else {
        return false;
    }
    true
}

fn after(count: usize) -> (World, bool) {
    let mut world = World::of(everything());
    world.begin("test", "4711", &json!({}));
    let mut is_over = false;
    for _ in 0..count {
        is_over |= !moves(&mut world);
    }
    (world, is_over)
}

#[test]
fn a_cancel_at_any_moment_takes_everything_back() {
    let mut count = 0;
    loop {
        let (mut world, is_over) = after(count);
        if is_over {
            break;
        }
        world.act(SAGA, ActKind::Cancel, None);
        while moves(&mut world) {}
        let saga = world.saga(SAGA);
        let was_over = saga.turned_back.is_none();
        if was_over {
            assert_eq!(saga.status, Status::Completed, "after {count} moves");
        } else {
            assert_eq!(saga.status, Status::Compensated, "after {count} moves");
            assert!(
                world.workers.effects.is_empty(),
                "{:?}",
                world.workers.effects
            );
        }
        world
            .judge()
            .unwrap_or_else(|wrong| panic!("after {count} moves: {wrong}"));
        count += 1;
    }
    assert!(count > 30, "{count} moves");
}

#[test]
fn a_crash_of_all_at_any_moment_changes_nothing_in_the_end() {
    let (mut world, _) = after(0);
    while moves(&mut world) {}
    assert_eq!(world.status(SAGA), Status::Completed);
    let effects = world.workers.effects.clone();
    let mut count = 0;
    loop {
        let (mut world, is_over) = after(count);
        if is_over {
            break;
        }
        let keys: Vec<String> = world.sagas.keys().cloned().collect();
        for key in keys {
            world.crash(&key);
        }
        while moves(&mut world) {}
        assert_eq!(world.status(SAGA), Status::Completed, "after {count} moves");
        assert_eq!(world.workers.effects, effects, "after {count} moves");
        world
            .judge()
            .unwrap_or_else(|wrong| panic!("after {count} moves: {wrong}"));
        count += 1;
    }
}

#[test]
fn a_terminate_at_any_moment_stops_everything_there() {
    let mut count = 0;
    loop {
        let (mut world, is_over) = after(count);
        if is_over {
            break;
        }
        world.act(SAGA, ActKind::Terminate, None);
        while world.deliver() {}
        let status = world.status(SAGA);
        let left = world.left[SAGA].len();
        assert!(status.has_ended(), "after {count} moves");
        while moves(&mut world) {}
        assert_eq!(world.left[SAGA].len(), left, "after {count} moves");
        world
            .judge()
            .unwrap_or_else(|wrong| panic!("after {count} moves: {wrong}"));
        count += 1;
    }
}

#[test]
fn acts_that_do_not_apply_change_nothing() {
    let steps = "
- { do: a, undo: yes }
- { do: b, undo: yes }
";
    let seen = play([test(steps)], |story| {
        story.says("b", [Say::Deaf]);
        story.begin();
        story.act(ActKind::Resume);
        story.act_on(ActKind::Retry, "b");
        story.act_on(ActKind::Waive, "b");
        story.run();
        story.act(ActKind::Cancel);
        story.act(ActKind::Terminate);
    });
    seen.left("a b b*2").completed();
}

#[test]
fn a_second_cancel_changes_nothing() {
    let steps = "
- { do: a, undo: yes }
- { do: b, undo: yes }
";
    let seen = play([test(steps)], |story| {
        story.says("b", [Say::Deaf]);
        story.says("-b", [Say::Deaf]);
        story.begin();
        story.act(ActKind::Cancel);
        story.act(ActKind::Cancel);
        story.run();
    });
    seen.left("a b -b -b*2 -a").compensated();
}

#[test]
fn a_cancel_of_what_is_set_aside_at_an_undo_leaves_it_there_and_lets_nothing_go_on() {
    // One item is stuck on its way back, and in the other branch work is in flight.
    let steps = "
- { do: a, undo: yes }
- parallel:
    x: [ { parallel: { m: [ { do: m, undo: yes } ], n: [ { do: n, undo: yes } ] }, on_failure: ignore } ]
    y: [ { do: y, undo: yes } ]
";
    let seen = play([test(steps)], |story| {
        story.says("n", [refused()]);
        story.says("-m", [refused()]);
        story.says("y", [Say::Late]);
        story.begin();
        story.act(ActKind::Cancel);
        story.let_late();
        story.act_on(ActKind::Waive, "m");
        story.run();
    });
    seen.left("a m n y -m -y -a").compensated();
}

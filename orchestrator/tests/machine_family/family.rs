//! Parents and children.

use backstitch_schemas::{DeadLetterReason, Direction, InboxMessage, Parent, ReplyOutcome, Undo};

use super::world::{World, definition};

const PARENT: &str = "
saga: split
steps:
  - do: book
    undo: yes
  - run: part
    key: event.part
    with: { n: =event.n }
  - do: close
    undo: nothing
output: { part: =steps.part.done }
";

const CHILD: &str = "
saga: part
steps:
  - do: pack
    undo: yes
output: { done: =event.n }
";

fn names(commands: Vec<(String, Direction)>) -> Vec<String> {
    commands
        .into_iter()
        .map(|(activity, direction)| format!("{activity} {}", direction.as_str()))
        .collect()
}

#[test]
fn a_child_answers_its_parent() {
    let mut world = World::new();
    world.starts(&[definition(PARENT), definition(CHILD)], &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("part/a"), "completed");
    assert_eq!(world.status("split/1"), "completed");
    let output = world.saga("split/1").output.unwrap();
    assert_eq!(output.as_str(), r#"{"part":7}"#);
    assert_eq!(names(world.commands()), ["book do", "pack do", "close do"]);
}

#[test]
fn a_parent_that_turns_back_takes_its_completed_child_back() {
    let mut world = World::new();
    world.workers(|command| {
        let outcome = match command.activity.as_str() {
            "close" => ReplyOutcome::Refused,
            _ => ReplyOutcome::Done,
        };
        Some((outcome, None))
    });
    world.starts(&[definition(PARENT), definition(CHILD)], &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("part/a"), "compensated");
    assert_eq!(world.status("split/1"), "compensated");
    assert_eq!(
        names(world.commands()),
        ["book do", "pack do", "close do", "pack undo", "book undo"]
    );
}

#[test]
fn a_child_without_a_definition_is_refused_to_its_parent_and_kept_for_people() {
    let mut world = World::new();
    world.starts(&[definition(PARENT)], &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert!(!world.exists("part/a"));
    assert_eq!(world.status("split/1"), "compensated");
    let line = world.saga("split/1").line("part").unwrap().clone();
    assert_eq!(line.failure.unwrap().code, "unknown_definition");
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, DeadLetterReason::UnknownDefinition);
}

#[test]
fn a_child_that_only_the_store_knows_is_begun() {
    let mut world = World::new();
    world.starts(&[definition(PARENT)], &[0, 1, 2, 3]);
    // Another orchestrator has brought it since.
    world.remembers(&definition(CHILD));
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("split/1"), "completed");
    assert!(world.dead_letters().is_empty());
}

#[test]
fn a_child_whose_key_is_taken_is_refused_to_its_parent_even_if_that_has_ended() {
    let mut world = World::new();
    world.starts(&[definition(PARENT), definition(CHILD)], &[0, 1, 2, 3]);
    world.begins("part/a", r#"{"n":1}"#);
    assert_eq!(world.status("part/a"), "completed");
    let before = world.saga("part/a");
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("split/1"), "compensated");
    let line = world.saga("split/1").line("part").unwrap().clone();
    assert_eq!(line.failure.unwrap().code, "key_taken");
    assert_eq!(world.saga("part/a"), before);
}

#[test]
fn an_undo_for_a_child_that_never_was_is_answered() {
    let mut world = World::new();
    world.starts(&[definition(CHILD)], &[0, 1, 2, 3]);
    let undo = Undo {
        saga: "part/never".to_owned(),
        idempotency_key: "split/1/part/undo".to_owned(),
        parent: Parent {
            saga: "split/1".to_owned(),
            step: "part".to_owned(),
            idempotency_key: "split/1/part/do".to_owned(),
        },
        at_ms: world.now,
    };
    let payload = world.codec.encode_undo(&undo).unwrap();
    world.sends("part/never", payload);
    let said = world.said();
    let [InboxMessage::Reply(reply)] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(reply.idempotency_key, undo.idempotency_key);
    assert_eq!(reply.outcome, ReplyOutcome::Done);
}

#[test]
fn what_was_not_published_is_published_by_the_next_owner_in_the_same_order() {
    let mut world = World::new();
    let own = [definition(PARENT), definition(CHILD)];
    let first = world.starts(&own, &[0, 1, 2, 3]);
    world.workers(|_| None);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    // It commits what the answer leads to, and dies before anything leaves.
    world.is_mute = true;
    world.does("split/1", "book");
    assert_eq!(
        world.saga("split/1").line("part").unwrap().status.name(),
        "in flight"
    );
    world.dies(first);
    assert!(world.said().is_empty());
    world.is_mute = false;
    world.workers(|_| Some((ReplyOutcome::Done, None)));
    world.starts(&own, &[0, 1, 2, 3]);
    assert_eq!(world.status("split/1"), "completed");
    assert_eq!(world.status("part/a"), "completed");
    let said = world.said();
    assert!(matches!(said[0], InboxMessage::Start(_)), "{said:?}");
}

#[test]
fn a_start_that_was_said_twice_is_one_child() {
    let mut world = World::new();
    let own = [definition(PARENT), definition(CHILD)];
    world.starts(&own, &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    let before = world.saga("part/a");
    let again: Vec<_> = world
        .published
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"part/a"))
        .filter(|record| *record.topic == *world.topics.inbox())
        .map(|record| record.payload.clone().unwrap())
        .collect();
    assert_eq!(again.len(), 1);
    for payload in again {
        world.sends("part/a", payload);
    }
    assert_eq!(world.saga("part/a"), before);
    assert_eq!(world.said().len(), 2, "the start and its answer");
}

#[test]
fn an_answer_that_is_too_large_for_the_inbox_reaches_the_parent_as_a_failure() {
    let child = "
saga: part
steps:
  - do: pack
    undo: yes
output: { a: =steps.pack, b: =steps.pack }
";
    let mut world = World::new();
    world.workers(|_| {
        Some((
            ReplyOutcome::Done,
            Some(format!("\"{}\"", "x".repeat(500_000)).into_bytes()),
        ))
    });
    world.starts(&[definition(PARENT), definition(child)], &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("split/1"), "compensated");
    let line = world.saga("split/1").line("part").unwrap().clone();
    assert_eq!(line.failure.unwrap().code, "output_too_large");
    assert_eq!(world.status("part/a"), "compensated");
}

#[test]
fn a_child_that_cannot_be_asked_for_is_refused() {
    let parent = "
saga: split
steps:
  - do: book
    undo: yes
  - run: part
    key: event.part
    with: { a: =steps.book, b: =steps.book }
";
    let mut world = World::new();
    world.workers(|_| {
        Some((
            ReplyOutcome::Done,
            Some(format!("\"{}\"", "x".repeat(500_000)).into_bytes()),
        ))
    });
    world.starts(&[definition(parent), definition(CHILD)], &[0, 1, 2, 3]);
    world.begins("split/1", r#"{"part":"a","n":7}"#);
    assert_eq!(world.status("split/1"), "compensated");
    let line = world.saga("split/1").line("part").unwrap().clone();
    assert_eq!(line.failure.unwrap().code, "start_not_sendable");
}

//! Mailboxes and the events in them; approvals.

use backstitch_schemas::{DeadLetterReason, InboxMessage};

use super::world::{World, definition};

const WAITS: &str = "
saga: deliver
steps:
  - do: ship
    undo: yes
  - wait: arrived
    topic: shipments
    key: message.order
    within: 1h
output: { at: =steps.arrived.at }
";

const MAILBOX: &str = "~deliver.arrived/1";

#[test]
fn an_event_after_the_wait_reaches_the_saga() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.begins("deliver/1", "{}");
    assert_eq!(world.status("deliver/1"), "running");
    world.happens(MAILBOX, r#"{"order":"1","at":"noon"}"#, 5, None);
    assert_eq!(world.status("deliver/1"), "completed");
    let output = world.saga("deliver/1").output.unwrap();
    assert_eq!(output.as_str(), r#"{"at":"noon"}"#);
}

#[test]
fn an_event_before_the_wait_is_kept_and_given_once() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    let until = Some(world.now + 60_000);
    let value = r#"{"order":"1","at":"noon"}"#;
    world.happens(MAILBOX, value, 5, until);
    // Intake may send it again after a crash.
    world.happens(MAILBOX, value, 5, until);
    world.begins("deliver/1", "{}");
    assert_eq!(world.status("deliver/1"), "completed");
    assert!(world.saga(MAILBOX).mailbox().unwrap().kept.is_empty());
    world.happens(MAILBOX, value, 5, until);
    assert!(world.saga(MAILBOX).mailbox().unwrap().kept.is_empty());
}

#[test]
fn an_event_that_nobody_keeps_opens_no_mailbox() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.happens(MAILBOX, r#"{"order":"1"}"#, 5, None);
    let past = Some(world.now - 1);
    world.happens(MAILBOX, r#"{"order":"1"}"#, 6, past);
    assert!(!world.exists(MAILBOX));
    assert!(world.dead_letters().is_empty());
}

#[test]
fn a_kept_event_goes_when_its_time_is_up() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    let until = Some(world.now + 1_000);
    world.happens(MAILBOX, r#"{"order":"1"}"#, 5, until);
    world.passes(2_000);
    assert!(world.saga(MAILBOX).mailbox().unwrap().kept.is_empty());
    world.begins("deliver/1", "{}");
    assert_eq!(world.status("deliver/1"), "running");
}

#[test]
fn what_a_full_mailbox_does_not_keep_is_kept_for_people() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    let until = Some(world.now + 60_000);
    for offset in 0..101 {
        world.happens(MAILBOX, r#"{"order":"1"}"#, offset, until);
    }
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, DeadLetterReason::CannotApply);
    assert!(
        letters[0].detail.contains("100 events"),
        "{}",
        letters[0].detail
    );
}

#[test]
fn a_wait_that_is_over_is_taken_back_from_its_mailbox() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.begins("deliver/1", "{}");
    assert_eq!(world.saga(MAILBOX).mailbox().unwrap().waiting.len(), 1);
    world.passes(3_600_001);
    assert_eq!(world.status("deliver/1"), "compensated");
    assert!(world.saga(MAILBOX).mailbox().unwrap().waiting.is_empty());
}

#[test]
fn who_waits_is_known_to_the_next_owner() {
    let mut world = World::new();
    let first = world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.begins("deliver/1", "{}");
    world.dies(first);
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.happens(MAILBOX, r#"{"order":"1","at":"noon"}"#, 5, None);
    assert_eq!(world.status("deliver/1"), "completed");
}

#[test]
fn the_trace_of_an_event_goes_with_it() {
    let mut world = World::new();
    world.starts(&[definition(WAITS)], &[0, 1, 2, 3]);
    world.begins("deliver/1", "{}");
    world.happens(MAILBOX, r#"{"order":"1","at":"noon"}"#, 5, None);
    let said = world.said();
    let [InboxMessage::Want(want), InboxMessage::Event(event)] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(
        (want.saga.as_str(), want.waiter.as_str()),
        (MAILBOX, "deliver/1")
    );
    assert_eq!(event.saga, "deliver/1");
    assert_eq!(event.step.as_deref(), Some("arrived"));
    assert_eq!(event.source.offset, 5);
}

const ASKS: &str = "
saga: order
steps:
  - do: reserve
    undo: yes
  - approve: large_order
    by: [sales-lead]
    show: { total: =event.total }
";

#[test]
fn a_decision_lets_the_saga_go_on() {
    let mut world = World::new();
    world.starts(&[definition(ASKS)], &[0, 1, 2, 3]);
    world.begins("order/1", r#"{"total":9}"#);
    world.decides("order/1", true, Some("clerk"));
    assert_eq!(world.status("order/1"), "running", "not in that role");
    world.decides("order/1", true, Some("sales-lead"));
    assert_eq!(world.status("order/1"), "completed");
}

#[test]
fn a_refused_approval_turns_the_saga_back() {
    let mut world = World::new();
    world.starts(&[definition(ASKS)], &[0, 1, 2, 3]);
    world.begins("order/1", r#"{"total":9}"#);
    world.decides("order/1", false, Some("sales-lead"));
    assert_eq!(world.status("order/1"), "compensated");
}

#[test]
fn a_decision_about_no_saga_is_kept_for_people() {
    let mut world = World::new();
    world.starts(&[definition(ASKS)], &[0, 1, 2, 3]);
    world.decides("order/none", true, None);
    assert_eq!(
        world.dead_letters()[0].reason,
        DeadLetterReason::UnknownSaga
    );
}

//! Bad records on a source topic.

use std::sync::atomic::Ordering;

use backstitch_broker::OutgoingRecord;
use backstitch_schemas::DeadLetterReason as Reason;
use backstitch_tests::world::World;
use serde_json::json;

use super::{bombs, messages, shared, sizes};

/// A record for one partition of the source topic.
fn record(world: &World, payload: impl Into<Vec<u8>>) -> OutgoingRecord {
    let mut record = OutgoingRecord::new(world.source(), payload).with_key("some-key");
    record.partition = Some(1);
    record
}

#[test]
fn garbage_is_set_aside() {
    let world = shared();
    for (payload, reason) in [
        (&b"\xff\xfe\xfd\xfc"[..], Reason::Undecodable),
        (b"not JSON", Reason::Undecodable),
        (b"{\"type\": \"OrderPlaced\"", Reason::Undecodable),
        (b"\xc3\x01short", Reason::Garbage),
        (b"\x00\x00", Reason::Garbage),
        (b"", Reason::Garbage),
    ] {
        world.sets_aside(record(&world, payload), reason);
    }
}

#[test]
fn a_record_without_a_value_is_set_aside() {
    let world = shared();
    let mut tombstone = record(&world, "");
    tombstone.payload = None;
    world.sets_aside(tombstone, Reason::Garbage);
}

#[test]
fn an_unknown_schema_is_set_aside() {
    let world = shared();
    for frame in [
        &b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08rest"[..],
        b"\x00\x00\x00\x00\x07rest",
    ] {
        world.sets_aside(record(&world, frame), Reason::UnknownSchema);
    }
}

#[test]
fn a_message_of_another_topic_is_set_aside() {
    let world = shared();
    let letter = messages::dead_letter(&world);
    let letter = world.sets_aside(record(&world, letter), Reason::CannotApply);
    // Any schema may be an event's; this one has no field that the rule looks for.
    assert!(letter.detail.contains("type"), "{}", letter.detail);
}

#[test]
fn a_truncated_event_is_set_aside() {
    let world = shared();
    let mut placed = world
        .codec()
        .encode_order_placed(&world.order().placed())
        .unwrap();
    placed.truncate(placed.len() / 2);
    world.sets_aside(record(&world, placed), Reason::Undecodable);
}

#[test]
fn an_event_that_no_start_can_carry_is_set_aside() {
    let world = shared();
    for size in [sizes::ABOVE_OURS, sizes::NEARLY_KAFKAS] {
        let mut event = world.order().event();
        event["note"] = "x".repeat(size).into();
        let bad = record(&world, event.to_string());
        world.sets_aside(bad, Reason::Oversized);
    }
}

#[test]
fn a_key_that_is_not_utf_8_is_set_aside() {
    let world = shared();
    let mut bad = world.event(&world.order());
    bad.key = Some(b"\xff\xfe".to_vec());
    bad.partition = Some(1);
    world.sets_aside(bad, Reason::BadKey);
}

#[test]
fn an_event_without_the_key_field_is_set_aside() {
    let world = shared();
    for order_id in [
        json!(null),
        json!(""),
        json!("  "),
        json!(1.5),
        json!(["a"]),
    ] {
        let mut event = world.order().event();
        event["order_id"] = order_id;
        world.sets_aside(record(&world, event.to_string()), Reason::CannotApply);
        event.as_object_mut().unwrap().remove("order_id");
        world.sets_aside(record(&world, event.to_string()), Reason::CannotApply);
    }
}

#[test]
fn a_business_key_that_no_store_takes_is_set_aside() {
    let world = shared();
    let mut event = world.order().event();
    event["order_id"] = "zero\0inside".into();
    // The event itself can be read; it is its start that cannot be applied, so the start is what lies in the dead letters.
    let at = world.produce(record(&world, event.to_string()));
    let good = world.order();
    let mut next = world.event(&good);
    next.partition = Some(at.0);
    world.produce(next);
    world.completes(&good);
    let saga = "process-order/zero\0inside";
    let letter = world.letter_of(saga);
    assert_eq!(letter.reason, Reason::BadKey);
}

#[test]
fn an_event_that_no_rule_wants_is_no_dead_letter() {
    let world = shared();
    let unmatched = || {
        world.orchestrators()[0]
            .intake_counters()
            .unmatched
            .load(Ordering::Relaxed)
    };
    let before = unmatched();
    let mut event = world.order().event();
    event["type"] = "OrderRenamed".into();
    let at = world.produce(record(&world, event.to_string()));
    let good = world.order();
    let mut next = world.event(&good);
    next.partition = Some(at.0);
    world.produce(next);
    world.completes(&good);
    assert!(unmatched() > before);
    assert_eq!(world.letters_from(world.source(), at), []);
}

#[test]
fn an_event_may_have_any_key_or_none() {
    let world = shared();
    for key in [None, Some(&b""[..]), Some(b"another")] {
        let order = world.order();
        let mut event = world.event(&order);
        event.key = key.map(<[u8]>::to_vec);
        event.partition = Some(2);
        world.produce(event);
        world.completes(&order);
    }
}

#[test]
fn no_bomb_stops_the_stream() {
    let world = shared();
    for bomb in bombs::all() {
        println!("{}", bomb.shape);
        let bad = record(&world, bomb.message());
        let letter = world.sets_aside_as_any_of(&bad, &[Reason::Undecodable, Reason::Oversized]);
        assert_eq!(letter.value, Some(bomb.message()), "{}", bomb.shape);
    }
    let deep = "[".repeat(100_000);
    world.sets_aside(record(&world, deep), Reason::Oversized);
}

/// A few of them, for another ground.
pub(crate) fn short_list(world: &World) {
    world.sets_aside(record(world, "not JSON"), Reason::Undecodable);
    world.sets_aside(
        record(world, bombs::all()[0].message()),
        Reason::Undecodable,
    );
    let mut event = world.order().event();
    event["note"] = "x".repeat(sizes::NEARLY_KAFKAS).into();
    world.sets_aside(record(world, event.to_string()), Reason::Oversized);
}

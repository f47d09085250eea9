//! Bad records on the inbox.

use backstitch_broker::OutgoingRecord;
use backstitch_schemas::{ActKind, DeadLetterReason as Reason};
use backstitch_tests::world::World;

use super::{bombs, messages, shared, sizes};

/// A record for one partition of the inbox, whatever its key.
fn record(world: &World, key: &[u8], payload: impl Into<Vec<u8>>) -> OutgoingRecord {
    let mut record = OutgoingRecord::new(world.topics().inbox(), payload).with_key(key);
    record.partition = Some(1);
    record
}

/// The key of a saga that never began, in its own partition.
fn nobody(world: &World) -> String {
    world.order_in(1, 4).saga()
}

#[test]
fn garbage_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    for payload in [&b""[..], b"not a message", b"\xc3\x01short", b"\x00\x00"] {
        world.sets_aside(record(&world, saga.as_bytes(), payload), Reason::Garbage);
    }
}

#[test]
fn a_record_without_a_value_is_set_aside() {
    let world = shared();
    let mut tombstone = record(&world, nobody(&world).as_bytes(), "");
    tombstone.payload = None;
    world.sets_aside(tombstone, Reason::Garbage);
}

#[test]
fn an_unknown_schema_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    for frame in [
        &b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08rest"[..],
        b"\x00\x00\x00\x00\x07rest",
    ] {
        world.sets_aside(
            record(&world, saga.as_bytes(), frame),
            Reason::UnknownSchema,
        );
    }
}

#[test]
fn a_message_of_another_topic_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let command = messages::command(&world, &saga);
    let command = world.codec().encode_command(&command).unwrap();
    world.sets_aside(record(&world, saga.as_bytes(), command), Reason::WrongType);
    let letter = messages::dead_letter(&world);
    world.sets_aside(record(&world, saga.as_bytes(), letter), Reason::WrongType);
    let placed = world
        .codec()
        .encode_order_placed(&world.order().placed())
        .unwrap();
    world.sets_aside(record(&world, saga.as_bytes(), placed), Reason::WrongType);
}

#[test]
fn a_truncated_or_too_long_message_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    let half = reply[..reply.len() / 2].to_vec();
    world.sets_aside(record(&world, saga.as_bytes(), half), Reason::Undecodable);
    let more = [reply, vec![0]].concat();
    world.sets_aside(record(&world, saga.as_bytes(), more), Reason::Undecodable);
}

#[test]
fn a_message_that_is_too_large_is_set_aside() {
    let world = shared();
    let order = world.order_in(1, 4);
    let mut event = order.event();
    for size in [sizes::ABOVE_OURS, sizes::NEARLY_KAFKAS] {
        event["note"] = "x".repeat(size).into();
        let start = messages::start(&order.saga(), event.to_string());
        let start = world.codec().encode_start(&start).unwrap();
        let bad = record(&world, order.saga().as_bytes(), start);
        world.sets_aside(bad, Reason::Oversized);
    }
    assert_eq!(world.row_of(&order.saga()), None);
}

#[test]
fn a_key_that_is_none_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    let mut keyless = record(&world, b"", reply.clone());
    keyless.key = None;
    world.sets_aside(keyless, Reason::BadKey);
    for key in [&b""[..], b"\xff\xfe", b"zero\0inside"] {
        world.sets_aside(record(&world, key, reply.clone()), Reason::BadKey);
    }
}

#[test]
fn a_key_that_is_not_the_saga_named_inside_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let other = messages::reply(&world.order().saga());
    let other = world.codec().encode_reply(&other).unwrap();
    world.sets_aside(record(&world, saga.as_bytes(), other), Reason::BadKey);
}

#[test]
fn a_message_to_a_saga_that_never_began_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    world.sets_aside(record(&world, saga.as_bytes(), reply), Reason::UnknownSaga);
    for act in [ActKind::Cancel, ActKind::Resume, ActKind::Terminate] {
        let act = world
            .codec()
            .encode_act(&world.an_act(&saga, act, None))
            .unwrap();
        world.sets_aside(record(&world, saga.as_bytes(), act), Reason::UnknownSaga);
    }
}

#[test]
fn a_start_of_an_unknown_definition_is_set_aside() {
    let world = shared();
    let saga = (0..)
        .map(|n| format!("no-such-definition/{n}"))
        .find(|saga| backstitch_broker::partition_of(saga.as_bytes(), 4) == 1)
        .unwrap();
    let start = world
        .codec()
        .encode_start(&messages::start(&saga, "{}"))
        .unwrap();
    world.sets_aside(
        record(&world, saga.as_bytes(), start),
        Reason::UnknownDefinition,
    );
}

#[test]
fn a_start_that_cannot_be_one_is_set_aside() {
    let world = shared();
    let order = world.order_in(1, 4);
    let saga = order.saga();
    let mut nameless = messages::start(&saga, order.event().to_string());
    nameless.definition = "other".to_owned();
    for start in [
        messages::start(&saga, "{ no JSON"),
        messages::start(&saga, ""),
        nameless,
    ] {
        let start = world.codec().encode_start(&start).unwrap();
        world.sets_aside(record(&world, saga.as_bytes(), start), Reason::CannotApply);
    }
    assert_eq!(world.row_of(&saga), None);
}

#[test]
fn a_reply_that_cannot_be_one_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let mut negative = messages::reply(&saga);
    negative.attempt = -1;
    let mut broken = messages::reply(&saga);
    broken.output = Some(b"{ no JSON".to_vec());
    for reply in [negative, broken] {
        let reply = world.codec().encode_reply(&reply).unwrap();
        world.sets_aside(record(&world, saga.as_bytes(), reply), Reason::CannotApply);
    }
}

#[test]
fn a_length_that_nothing_follows_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    for length in [i64::MAX, i64::MIN, -1, 1 << 33] {
        let bomb = [&reply[..10], &bombs::long(length), &[0; 90]].concat();
        world.sets_aside(record(&world, saga.as_bytes(), bomb), Reason::Undecodable);
    }
}

#[test]
fn a_reply_about_a_step_or_an_attempt_that_never_was_changes_nothing() {
    let world = shared();
    let order = world.order_in(1, 4).failing_to_ship("hang");
    world.place(&order);
    // From here it is in flight for as long as its patience lasts, and asked again after that.
    world.wait_for_command(&order.saga(), "ship-order");
    let saga = order.saga();
    let mut step_999 = messages::reply(&saga);
    step_999.step = "step_999".to_owned();
    step_999.idempotency_key = format!("{saga}/step_999/do");
    let mut attempt_999 = messages::reply(&saga);
    attempt_999.step = "ship_order".to_owned();
    attempt_999.idempotency_key = format!("{saga}/ship_order/do");
    attempt_999.attempt = 999;
    let mut other_key = attempt_999.clone();
    other_key.attempt = 1;
    other_key.idempotency_key = "another".to_owned();
    let repeated = messages::reply(&saga);
    let mut places = Vec::new();
    for reply in [step_999, attempt_999, other_key, repeated] {
        let reply = world.codec().encode_reply(&reply).unwrap();
        places.push(world.produce(record(&world, saga.as_bytes(), reply)));
    }
    let next = world.order_in(1, 4);
    world.place(&next);
    world.completes(&next);
    world.completes(&order);
    for at in places {
        assert_eq!(world.letters_from(&world.topics().inbox(), at), []);
    }
}

#[test]
fn a_record_in_the_wrong_partition_is_sent_on_and_applied() {
    let world = shared();
    let order = world.order_in(3, 4);
    let saga = order.saga();
    let start = messages::start(&saga, order.event().to_string());
    let mut stray = record(
        &world,
        saga.as_bytes(),
        world.codec().encode_start(&start).unwrap(),
    );
    stray.headers.push("x-kept", "as it was");
    let at = world.produce(stray);
    world.completes(&order);
    let inbox = world.topics().inbox();
    assert_eq!(world.letters_from(&inbox, at), []);
    let own = world.tape().all(|record| {
        *record.topic == *inbox
            && record.key.as_deref() == Some(saga.as_bytes())
            && record.partition == 3
    });
    assert_eq!(own[0].header("x-kept"), Some(&b"as it was"[..]));
    assert!(world.orchestrators()[0].counters().forwarded > 0);
}

/// A few of them, for another ground.
pub(crate) fn short_list(world: &World) {
    let saga = nobody(world);
    world.sets_aside(
        record(world, saga.as_bytes(), "not a message"),
        Reason::Garbage,
    );
    world.sets_aside(record(world, b"\xff\xfe", "x"), Reason::BadKey);
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    world.sets_aside(record(world, saga.as_bytes(), reply), Reason::UnknownSaga);
    let large = vec![b'x'; sizes::NEARLY_KAFKAS];
    world.sets_aside(record(world, saga.as_bytes(), large), Reason::Oversized);
}

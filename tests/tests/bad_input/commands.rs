//! Bad records on a command topic.

use backstitch_broker::OutgoingRecord;
use backstitch_schemas::{Command, DeadLetterReason as Reason};
use backstitch_tests::world::World;

use super::{messages, shared, sizes};

/// A record for one partition of the topic of payments, whatever its key.
fn record(world: &World, key: &[u8], payload: impl Into<Vec<u8>>) -> OutgoingRecord {
    let topic = world.topics().commands("charge-payment");
    let mut record = OutgoingRecord::new(topic, payload).with_key(key);
    record.partition = Some(1);
    record
}

/// The key of a saga that never began, in its own partition.
fn nobody(world: &World) -> String {
    world.order_in(1, 2).saga()
}

/// A command with something wrong in it.
fn spoilt(world: &World, spoil: impl Fn(&mut Command)) -> OutgoingRecord {
    let saga = nobody(world);
    let mut command = messages::command(world, &saga);
    spoil(&mut command);
    record(
        world,
        saga.as_bytes(),
        world.codec().encode_command(&command).unwrap(),
    )
}

#[test]
fn garbage_is_set_aside() {
    let world = shared();
    let saga = nobody(&world);
    for payload in [&b""[..], b"not a message", b"\xc3\x01short", b"\x00\x00"] {
        world.sets_aside(record(&world, saga.as_bytes(), payload), Reason::Garbage);
    }
    let mut tombstone = record(&world, saga.as_bytes(), "");
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
    let reply = world.codec().encode_reply(&messages::reply(&saga)).unwrap();
    world.sets_aside(record(&world, saga.as_bytes(), reply), Reason::WrongType);
}

#[test]
fn a_truncated_command_is_set_aside() {
    let world = shared();
    let mut bad = spoilt(&world, |_| {});
    let payload = bad.payload.as_mut().unwrap();
    payload.truncate(payload.len() / 2);
    world.sets_aside(bad, Reason::Undecodable);
}

#[test]
fn a_key_that_is_not_the_saga_is_set_aside() {
    let world = shared();
    for key in [Some(&b"\xff\xfe"[..]), Some(b""), Some(b"another"), None] {
        let mut bad = spoilt(&world, |_| {});
        bad.key = key.map(<[u8]>::to_vec);
        world.sets_aside(bad, Reason::BadKey);
    }
}

#[test]
fn a_command_for_an_activity_that_the_worker_does_not_serve_is_set_aside() {
    let world = shared();
    for activity in ["ship-order", "no-such-activity", ""] {
        let bad = spoilt(&world, |command| activity.clone_into(&mut command.activity));
        world.sets_aside(bad, Reason::UnknownActivity);
    }
}

#[test]
fn a_command_that_cannot_be_one_is_set_aside() {
    let world = shared();
    let spoils: [fn(&mut Command); 9] = [
        |command| command.attempt = -1,
        |command| command.attempt = 0,
        |command| command.reply_partition = -1,
        |command| command.input = b"{ no JSON".to_vec(),
        |command| command.output = Some(b"{ no JSON".to_vec()),
        |command| command.idempotency_key = String::new(),
        |command| command.step = "zero\0inside".to_owned(),
        |command| command.reply_topic = String::new(),
        |command| command.done_key = Some(command.idempotency_key.clone()),
    ];
    for spoil in spoils {
        world.sets_aside(spoilt(&world, spoil), Reason::Undecodable);
    }
}

#[test]
fn a_command_older_than_the_memory_of_answers_is_set_aside() {
    let world = shared();
    world.sets_aside(
        spoilt(&world, |command| command.sent_at_ms = 1),
        Reason::CannotApply,
    );
}

#[test]
fn a_large_record_that_is_no_command_is_set_aside_and_tells_where_the_rest_of_it_lies() {
    let world = shared();
    let saga = nobody(&world);
    let large = vec![b'x'; sizes::ABOVE_OURS];
    let (letter, bad, at) =
        world.sets_aside_somehow(record(&world, saga.as_bytes(), large), Reason::Garbage);
    let kept = letter.value.unwrap();
    assert!(kept.len() >= 64 << 10, "{}", kept.len());
    assert!(bad.payload.unwrap().starts_with(&kept));
    let place = format!("lie at {}/{} offset {}", bad.topic, at.0, at.1);
    assert!(letter.detail.contains(&place), "{}", letter.detail);
}

#[test]
fn a_command_whose_reply_has_nowhere_to_go_does_not_stop_its_worker() {
    let world = shared();
    let topic = |command: &mut Command| command.reply_topic = "no.such.topic".to_owned();
    let partition = |command: &mut Command| command.reply_partition = 99;
    for bad in [spoilt(&world, topic), spoilt(&world, partition)] {
        let at = world.produce(bad);
        let next = world.order_in(at.0, 2);
        world.place(&next);
        world.completes(&next);
    }
}

#[test]
fn a_command_of_a_saga_that_never_began_is_answered_and_the_answer_set_aside() {
    let world = shared();
    let bad = spoilt(&world, |command| {
        command.reply_partition = backstitch_broker::partition_of(command.saga.as_bytes(), 4)
    });
    let saga = String::from_utf8(bad.key.clone().unwrap()).unwrap();
    world.produce(bad);
    let letter = world.letter_of(&saga);
    assert_eq!(letter.reason, Reason::UnknownSaga);
    assert_eq!(letter.topic, world.topics().inbox());
}

/// A few of them, for another ground.
pub(crate) fn short_list(world: &World) {
    let saga = nobody(world);
    world.sets_aside(
        record(world, saga.as_bytes(), "not a message"),
        Reason::Garbage,
    );
    let bad = spoilt(world, |command| {
        "ship-order".clone_into(&mut command.activity)
    });
    world.sets_aside(bad, Reason::UnknownActivity);
}

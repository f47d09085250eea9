//! Messages that are right in themselves, to be spoilt.

use backstitch_schemas::{
    Command, DeadLetter, DeadLetterReason, Direction, Reply, ReplyOutcome, Start,
};
use backstitch_tests::world::World;

/// A dead letter that nobody sent.
pub(crate) fn dead_letter(world: &World) -> Vec<u8> {
    let letter = DeadLetter {
        reason: DeadLetterReason::Other,
        detail: "made up".to_owned(),
        topic: "elsewhere".to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 1,
        key: None,
        value: None,
        headers: Default::default(),
        by: "test".to_owned(),
        at_ms: 1,
    };
    world.codec().encode_dead_letter(&letter).unwrap()
}

/// A start of a saga from an event.
pub(crate) fn start(saga: &str, event: impl Into<Vec<u8>>) -> Start {
    Start {
        definition: saga.split('/').next().unwrap_or_default().to_owned(),
        saga: saga.to_owned(),
        event: event.into(),
        source: None,
        event_time_ms: 1,
        by: Some("test".to_owned()),
        at_ms: 1,
        parent: None,
    }
}

/// The answer of a worker that did the first step.
pub(crate) fn reply(saga: &str) -> Reply {
    Reply {
        saga: saga.to_owned(),
        step: "check_fraud".to_owned(),
        direction: Direction::Do,
        attempt: 1,
        idempotency_key: format!("{saga}/check_fraud/do"),
        outcome: ReplyOutcome::Done,
        output: Some(b"{}".to_vec()),
        code: None,
        reason: None,
        worker: Some("test".to_owned()),
        at_ms: 1,
    }
}

/// A command for the worker of payments.
pub(crate) fn command(world: &World, saga: &str) -> Command {
    Command {
        saga: saga.to_owned(),
        definition: "process-order".to_owned(),
        step: "charge_payment".to_owned(),
        direction: Direction::Do,
        attempt: 1,
        activity: "charge-payment".to_owned(),
        idempotency_key: format!("{saga}/charge_payment/do"),
        done_key: None,
        input: br#"{"order_id": "x", "amount": 1, "currency": "EUR"}"#.to_vec(),
        output: None,
        reply_topic: world.topics().inbox(),
        reply_partition: 0,
        sent_at_ms: now_ms(),
        deadline_ms: now_ms() + 60_000,
        heartbeat_ms: None,
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

//! What a record of the inbox is: a message for a saga here, a stray, or a dead letter.

use backstitch_broker::IncomingRecord;
use backstitch_saga::core as saga_core;
use backstitch_saga::{Answer, Direction, Message, Payload};
use backstitch_schemas::{
    Act, ActKind, Codec, DeadLetter, DeadLetterReason, HeaderField, InboxMessage, Reply,
    ReplyOutcome, Start, wire,
};

use crate::store::{ShardId, is_storable};

/// A record of the inbox, understood.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It begins a saga.
    Start {
        key: String,
        definition: String,
        start: saga_core::Start,
    },
    /// It is for a saga.
    Message { key: String, message: Message },
    /// It lies in the wrong partition.
    Stray { partition: i32 },
    /// It cannot be read.
    Dead {
        reason: DeadLetterReason,
        detail: String,
    },
}

/// Reads one record of partition `shard` out of `partitions`.
pub(crate) fn read(
    codec: &Codec,
    record: &IncomingRecord,
    shard: ShardId,
    partitions: i32,
) -> Arrival {
    let dead = |reason, detail: String| Arrival::Dead { reason, detail };
    let Some(key) = record.key.as_deref().filter(|key| !key.is_empty()) else {
        let detail = "it has no key; an inbox record is keyed by its saga".to_owned();
        return dead(DeadLetterReason::BadKey, detail);
    };
    let Ok(key) = std::str::from_utf8(key) else {
        let detail = "its key is not UTF-8".to_owned();
        return dead(DeadLetterReason::BadKey, detail);
    };
    if !is_storable(key) {
        let detail = "its key holds U+0000, which no store takes".to_owned();
        return dead(DeadLetterReason::BadKey, detail);
    }
    let payload = record.payload.as_deref().unwrap_or_default();
    let message = match codec.decode_inbox(payload) {
        Ok(message) => message,
        Err(error) => {
            let reason = error.reason().unwrap_or(DeadLetterReason::Other);
            return dead(reason, error.to_string());
        }
    };
    let named = match &message {
        InboxMessage::Start(start) => &start.saga,
        InboxMessage::Reply(reply) => &reply.saga,
        InboxMessage::Act(act) => &act.saga,
    };
    if named != key {
        let detail = format!("its key is `{key}`, but it is about saga `{named}`");
        return dead(DeadLetterReason::BadKey, detail);
    }
    let partition = wire::partition_of(key.as_bytes(), partitions);
    if partition != shard.0 {
        return Arrival::Stray { partition };
    }
    let arrival = match message {
        InboxMessage::Start(start) => start_of(record, start),
        InboxMessage::Reply(reply) => reply_of(reply),
        InboxMessage::Act(act) => Ok(act_of(act)),
    };
    arrival.unwrap_or_else(|detail| dead(DeadLetterReason::CannotApply, detail))
}

fn start_of(record: &IncomingRecord, start: Start) -> Result<Arrival, String> {
    let event = Payload::from_bytes(&start.event)
        .map_err(|error| format!("its event is not JSON: {error}"))?;
    let expected = format!("{}/", start.definition);
    if !start.saga.starts_with(&expected) || start.saga.len() == expected.len() {
        return Err(format!(
            "a saga of `{}` is named `{expected}…`",
            start.definition
        ));
    }
    let trace = record
        .header(wire::TRACEPARENT)
        .and_then(|value| std::str::from_utf8(value).ok())
        .map(str::to_owned);
    Ok(Arrival::Start {
        key: start.saga.clone(),
        definition: start.definition,
        start: saga_core::Start {
            key: start.saga,
            event,
            trace,
            by: start.by,
            event_time_ms: start.event_time_ms,
            parent: None,
        },
    })
}

fn reply_of(reply: Reply) -> Result<Arrival, String> {
    let attempt = u32::try_from(reply.attempt).map_err(|_| "its attempt is negative".to_owned())?;
    let (code, reason) = (
        reply.code.unwrap_or_default(),
        reply.reason.unwrap_or_default(),
    );
    let answer = match reply.outcome {
        ReplyOutcome::Done => Answer::Done(match reply.output {
            None => None,
            Some(output) => Some(
                Payload::from_bytes(&output)
                    .map_err(|error| format!("its output is not JSON: {error}"))?,
            ),
        }),
        ReplyOutcome::Failed => Answer::Failed { code, reason },
        ReplyOutcome::Refused => Answer::Refused { code, reason },
        ReplyOutcome::Heartbeat => Answer::Heartbeat,
    };
    let message = Message::Reply(saga_core::Reply {
        occurrence: reply.step,
        direction: match reply.direction {
            backstitch_schemas::Direction::Do => Direction::Do,
            backstitch_schemas::Direction::Undo => Direction::Undo,
        },
        key: reply.idempotency_key,
        attempt,
        answer,
        worker: reply.worker,
    });
    Ok(Arrival::Message {
        key: reply.saga,
        message,
    })
}

fn act_of(act: Act) -> Arrival {
    let kind = match act.act {
        ActKind::Cancel => saga_core::ActKind::Cancel,
        ActKind::Resume => saga_core::ActKind::Resume,
        ActKind::Retry => saga_core::ActKind::Retry,
        ActKind::Waive => saga_core::ActKind::Waive,
        ActKind::Terminate => saga_core::ActKind::Terminate,
    };
    Arrival::Message {
        key: act.saga,
        message: Message::Act(saga_core::Act {
            kind,
            occurrence: act.step,
            by: act.by,
            reason: act.reason,
        }),
    }
}

/// Keeps a record whole, with its origin and the reason (S-8).
pub(crate) fn dead_letter(
    record: &IncomingRecord,
    reason: DeadLetterReason,
    detail: String,
    by: &str,
    at_ms: i64,
) -> DeadLetter {
    DeadLetter {
        reason,
        detail,
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.clone(),
        value: record.payload.clone(),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| HeaderField {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        by: by.to_owned(),
        at_ms,
    }
}

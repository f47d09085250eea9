//! What a record of the inbox is: a message for a saga here, a stray, or a dead letter.

use backstitch_broker::{IncomingRecord, partition_of};
use backstitch_saga::core as saga_core;
use backstitch_saga::{Answer, Direction, Message, Payload};
use backstitch_schemas::{
    Act, ActKind, Codec, DeadLetter, DeadLetterReason, Decision, HeaderField, InboxMessage, Parent,
    Reply, ReplyOutcome, Start, Undo, WaitEvent, Want, wire,
};

use crate::store::{ShardId, is_storable};

/// A record of the inbox, understood.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It begins a saga.
    Start {
        key: String,
        definition: String,
        start: Box<saga_core::Start>,
    },
    /// It is for a saga or a mailbox.
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
        InboxMessage::Event(event) => &event.saga,
        InboxMessage::Want(want) => &want.saga,
        InboxMessage::Undo(undo) => &undo.saga,
        InboxMessage::Decision(decision) => &decision.saga,
    };
    if named != key {
        let detail = format!("its key is `{key}`, but it is about saga `{named}`");
        return dead(DeadLetterReason::BadKey, detail);
    }
    let partition = partition_of(key.as_bytes(), partitions);
    if partition != shard.0 {
        return Arrival::Stray { partition };
    }
    let arrival = match message {
        InboxMessage::Start(start) => start_of(record, start),
        InboxMessage::Reply(reply) => reply_of(reply),
        InboxMessage::Act(act) => Ok(act_of(act)),
        InboxMessage::Event(event) => event_of(record, event),
        InboxMessage::Want(want) => Ok(want_of(want)),
        InboxMessage::Undo(undo) => Ok(undo_of(undo)),
        InboxMessage::Decision(decision) => Ok(decision_of(decision)),
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
    Ok(Arrival::Start {
        key: start.saga.clone(),
        definition: start.definition,
        start: Box::new(saga_core::Start {
            key: start.saga,
            event,
            trace: trace_of(record),
            by: start.by,
            event_time_ms: start.event_time_ms,
            parent: start.parent.map(parent_of),
        }),
    })
}

fn trace_of(record: &IncomingRecord) -> Option<String> {
    let value = record.header(wire::TRACEPARENT)?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

fn parent_of(parent: Parent) -> saga_core::Parent {
    saga_core::Parent {
        saga: parent.saga,
        occurrence: parent.step,
        key: parent.idempotency_key,
    }
}

fn event_of(record: &IncomingRecord, event: WaitEvent) -> Result<Arrival, String> {
    let value = Payload::from_bytes(&event.value)
        .map_err(|error| format!("its value is not JSON: {error}"))?;
    Ok(Arrival::Message {
        key: event.saga,
        message: Message::Event(saga_core::Event {
            occurrence: event.step,
            value,
            source: saga_core::Source {
                topic: event.source.topic,
                partition: event.source.partition,
                offset: event.source.offset,
            },
            until_ms: event.until_ms,
            trace: trace_of(record),
        }),
    })
}

fn want_of(want: Want) -> Arrival {
    Arrival::Message {
        key: want.saga,
        message: Message::Want(saga_core::Want {
            saga: want.waiter,
            occurrence: want.step,
            cancel: want.cancel,
        }),
    }
}

fn undo_of(undo: Undo) -> Arrival {
    Arrival::Message {
        key: undo.saga,
        message: Message::Undo(saga_core::ParentUndo {
            key: undo.idempotency_key,
            parent: parent_of(undo.parent),
        }),
    }
}

fn decision_of(decision: Decision) -> Arrival {
    Arrival::Message {
        key: decision.saga,
        message: Message::Decision(saga_core::Decision {
            occurrence: decision.step,
            approved: decision.approved,
            by: decision.by,
            role: decision.role,
            reason: decision.reason,
        }),
    }
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
                name: name.to_owned(),
                value: value.map(<[u8]>::to_vec),
            })
            .collect(),
        by: by.to_owned(),
        at_ms,
    }
}

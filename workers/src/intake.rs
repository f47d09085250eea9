//! Reads records: each is a command for this worker, or a dead letter with its reason.

use std::collections::HashMap;
use std::sync::Arc;

use backstitch_broker::{IncomingRecord, TopicPartition};
use backstitch_schemas::{Codec, Command, DeadLetterReason, DecodeError, wire};
use serde_json::Value;

use crate::lanes::Kind;
use crate::work::Work;

/// Bytes of a saga key, an idempotency key and a step's name.
const NAME_BYTES_MAX: usize = 1_024;

/// A command that waits or is at work.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Arc<Work>,
    /// The saga once more, as the key of its lane.
    pub(crate) saga: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) reply_topic: Arc<str>,
    pub(crate) reply_partition: i32,
    /// The record, kept in case that even its reply has to be set aside.
    pub(crate) record: IncomingRecord,
}

/// A record that is no command for this worker.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) record: IncomingRecord,
    pub(crate) reason: DeadLetterReason,
    pub(crate) detail: String,
}

/// Why a record was not read as a command.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is none, now and ever.
    Rejected(Box<Rejected>),
    /// Its schema can't be had for now. Read it again later.
    NotYet {
        place: TopicPartition,
        error: DecodeError,
    },
}

enum Trouble {
    Reason(DeadLetterReason, String),
    NotYet(DecodeError),
}

/// Reads the records of one worker.
#[derive(Debug)]
pub(crate) struct Intake {
    codec: Codec,
    /// The activity of each command topic, and where its handler runs.
    activities: HashMap<String, (String, Kind)>,
    memory_window_ms: i64,
    /// The reply topic of the last command: it is nearly always the same.
    reply_topic: Arc<str>,
}

impl Intake {
    pub(crate) fn new(
        codec: Codec,
        activities: HashMap<String, (String, Kind)>,
        memory_window_ms: i64,
    ) -> Self {
        Self {
            codec,
            activities,
            memory_window_ms,
            reply_topic: Arc::from(""),
        }
    }

    /// Reads one record. `now_ms` is Unix time.
    pub(crate) fn read(&mut self, record: IncomingRecord, now_ms: i64) -> Result<Job, Unread> {
        match self.understand(&record, now_ms) {
            Ok((work, kind, reply_topic, reply_partition)) => Ok(Job {
                saga: Arc::from(work.saga.as_str()),
                work: Arc::new(work),
                kind,
                reply_topic,
                reply_partition,
                record,
            }),
            Err(Trouble::Reason(reason, detail)) => Err(Unread::Rejected(Box::new(Rejected {
                record,
                reason,
                detail,
            }))),
            Err(Trouble::NotYet(error)) => Err(Unread::NotYet {
                place: TopicPartition {
                    topic: record.topic,
                    partition: record.partition,
                },
                error,
            }),
        }
    }

    fn understand(
        &mut self,
        record: &IncomingRecord,
        now_ms: i64,
    ) -> Result<(Work, Kind, Arc<str>, i32), Trouble> {
        let bytes = record.payload.as_deref().ok_or_else(|| {
            let detail = "the record has no value".to_owned();
            Trouble::Reason(DeadLetterReason::Garbage, detail)
        })?;
        let command = self
            .codec
            .decode_command(bytes)
            .map_err(|error| match error.reason() {
                Some(reason) => Trouble::Reason(reason, error.to_string()),
                None => Trouble::NotYet(error),
            })?;
        let kind = self.kind_of(record, &command)?;
        check(record, &command)?;
        self.check_age(&command, now_ms)?;
        if *self.reply_topic != *command.reply_topic {
            self.reply_topic = Arc::from(command.reply_topic.as_str());
        }
        let reply_partition = command.reply_partition;
        let work = work_of(record, command)?;
        Ok((work, kind, Arc::clone(&self.reply_topic), reply_partition))
    }

    fn kind_of(&self, record: &IncomingRecord, command: &Command) -> Result<Kind, Trouble> {
        match self.activities.get(&*record.topic) {
            Some((activity, kind)) if *activity == command.activity => Ok(*kind),
            Some(_) | None => Err(Trouble::Reason(
                DeadLetterReason::UnknownActivity,
                format!("{} does not belong on {}", command.activity, record.topic),
            )),
        }
    }

    /// An answer that is forgotten can't be repeated, so what is older is not carried out.
    fn check_age(&self, command: &Command, now_ms: i64) -> Result<(), Trouble> {
        let age_ms = now_ms.saturating_sub(command.sent_at_ms);
        if age_ms > self.memory_window_ms {
            return Err(Trouble::Reason(
                DeadLetterReason::CannotApply,
                format!(
                    "older_than_memory: sent {age_ms} ms ago, answers are remembered for {} ms",
                    self.memory_window_ms
                ),
            ));
        }
        Ok(())
    }
}

fn check(record: &IncomingRecord, command: &Command) -> Result<(), Trouble> {
    if record.key.as_deref() != Some(command.saga.as_bytes()) {
        let detail = format!("the record's key is not its saga, {}", command.saga);
        return Err(Trouble::Reason(DeadLetterReason::BadKey, detail));
    }
    let names = [
        ("saga", Some(&command.saga)),
        ("step", Some(&command.step)),
        ("idempotency_key", Some(&command.idempotency_key)),
        ("done_key", command.done_key.as_ref()),
        ("reply_topic", Some(&command.reply_topic)),
    ];
    for (field, name) in names {
        let Some(name) = name else { continue };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Err(undecodable(format!(
                "{field} is empty, longer than {NAME_BYTES_MAX} bytes or has a zero in it"
            )));
        }
    }
    if command.attempt < 1 || command.reply_partition < 0 {
        return Err(undecodable(format!(
            "attempt {} counts from 1, reply_partition {} from 0",
            command.attempt, command.reply_partition
        )));
    }
    if command.done_key.as_ref() == Some(&command.idempotency_key) {
        return Err(undecodable("the command undoes itself".to_owned()));
    }
    Ok(())
}

fn work_of(record: &IncomingRecord, command: Command) -> Result<Work, Trouble> {
    let input = json("input", &command.input)?;
    let output = match &command.output {
        Some(output) => Some(json("output", output)?),
        None => None,
    };
    let traceparent = record
        .header(wire::TRACEPARENT)
        .and_then(|value| std::str::from_utf8(value).ok())
        .map(str::to_owned);
    Ok(Work {
        saga: command.saga,
        definition: command.definition,
        step: command.step,
        activity: command.activity,
        direction: command.direction,
        attempt: command.attempt,
        key: command.idempotency_key,
        done_key: command.done_key,
        input,
        output,
        sent_at_ms: command.sent_at_ms,
        deadline_ms: command.deadline_ms,
        heartbeat_ms: command.heartbeat_ms,
        traceparent,
    })
}

fn json(field: &str, bytes: &[u8]) -> Result<Value, Trouble> {
    serde_json::from_slice(bytes)
        .map_err(|error| undecodable(format!("{field} is not JSON: {error}")))
}

fn undecodable(detail: String) -> Trouble {
    Trouble::Reason(DeadLetterReason::Undecodable, detail)
}

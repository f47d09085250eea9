//! Writes replies and dead letters as records.

use std::sync::Arc;

use backstitch_broker::{Headers, IncomingRecord, OutgoingRecord};
use backstitch_schemas::{Codec, DeadLetter, EncodeError, HeaderField, Reply, ReplyOutcome, wire};

use crate::intake::{Job, Rejected};
use crate::said::Said;
use crate::time;

/// The CloudEvents type of a reply.
const REPLY_TYPE: &str = "backstitch.reply.v1";

/// The CloudEvents type of a dead letter.
const DEAD_LETTER_TYPE: &str = "backstitch.dead-letter.v1";

/// Bytes of a dead letter's value that are kept when the whole is more than a broker takes; the rest lies where it came from.
const CUT_VALUE_BYTES: usize = 64 << 10;

/// Bytes of a dead letter: below the client's limit for a record, headers included.
const LETTER_BYTES_MAX: usize = 900_000;

/// Bytes of the names of a record's headers, and of their values, roughly.
const HEADER_NAMES_LEN: usize = 130;
const HEADER_VALUES_LEN: usize = 320;

/// Writes what one worker sends.
#[derive(Debug)]
pub(crate) struct Outlet {
    codec: Codec,
    worker: String,
    source: String,
    dead_letters: Arc<str>,
}

impl Outlet {
    pub(crate) fn new(codec: Codec, worker: String, topics: &wire::Topics, activity: &str) -> Self {
        Self {
            codec,
            worker,
            source: format!("/{}/workers/{activity}", topics.prefix()),
            dead_letters: Arc::from(topics.dead_letters()),
        }
    }

    /// The reply to a command.
    pub(crate) fn reply(
        &self,
        job: &Job,
        said: &Said,
        now_ms: i64,
    ) -> Result<OutgoingRecord, EncodeError> {
        let (outcome, output, code, reason) = match said {
            Said::Done { output } => (ReplyOutcome::Done, Some(output.clone()), None, None),
            Said::Refused { code, reason } => {
                (ReplyOutcome::Refused, None, Some(code), Some(reason))
            }
            Said::Failed { code, reason } => (ReplyOutcome::Failed, None, Some(code), Some(reason)),
        };
        let mut reply = self.blank(job, outcome, now_ms);
        reply.output = output;
        reply.code = code.cloned();
        reply.reason = reason.cloned();
        self.addressed(job, &reply)
    }

    /// The sign of life of a command that takes long.
    pub(crate) fn heartbeat(&self, job: &Job, now_ms: i64) -> Result<OutgoingRecord, EncodeError> {
        self.addressed(job, &self.blank(job, ReplyOutcome::Heartbeat, now_ms))
    }

    fn blank(&self, job: &Job, outcome: ReplyOutcome, now_ms: i64) -> Reply {
        let work = &job.work;
        Reply {
            saga: work.saga.clone(),
            step: work.step.clone(),
            direction: work.direction,
            attempt: work.attempt,
            idempotency_key: work.key.clone(),
            outcome,
            output: None,
            code: None,
            reason: None,
            worker: Some(self.worker.clone()),
            at_ms: now_ms,
        }
    }

    fn addressed(&self, job: &Job, reply: &Reply) -> Result<OutgoingRecord, EncodeError> {
        let id = format!(
            "{}/{}/{}",
            reply.idempotency_key,
            reply.attempt,
            reply.outcome.as_str()
        );
        let mut headers = self.headers(REPLY_TYPE, &id, reply.at_ms);
        headers.push(wire::CE_SUBJECT, &reply.saga);
        headers.push(wire::SAGA_ID, &reply.saga);
        headers.push(wire::SAGA_STEP, &reply.step);
        headers.push(wire::SAGA_ATTEMPT, reply.attempt.to_string());
        headers.push(wire::SAGA_KIND, "reply");
        for name in [wire::TRACEPARENT, wire::TRACESTATE] {
            if let Some(value) = job.record.header(name) {
                headers.push(name, value);
            }
        }
        Ok(OutgoingRecord {
            topic: Arc::clone(&job.reply_topic),
            partition: Some(job.reply_partition),
            key: Some(reply.saga.clone().into_bytes()),
            payload: Some(self.codec.encode_reply(reply)?),
            headers,
            timestamp_ms: None,
        })
    }

    fn headers(&self, kind: &'static str, id: &str, now_ms: i64) -> Headers {
        let mut headers = Headers::with_capacity(12, HEADER_NAMES_LEN, HEADER_VALUES_LEN);
        headers.push(wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO);
        headers.push(wire::CE_SPECVERSION, wire::CE_SPECVERSION_VALUE);
        headers.push(wire::CE_TYPE, kind);
        headers.push(wire::CE_ID, id);
        headers.push(wire::CE_SOURCE, &self.source);
        headers.push(wire::CE_TIME, time::rfc3339(now_ms));
        headers
    }

    /// The dead letter of a record. One that no broker would take whole is cut, and says so.
    pub(crate) fn dead_letter(
        &self,
        rejected: &Rejected,
        now_ms: i64,
    ) -> Result<OutgoingRecord, EncodeError> {
        let record = &rejected.record;
        let mut letter = self.letter(rejected, now_ms);
        let payload = match self.codec.encode_dead_letter(&letter) {
            Ok(whole) if whole.len() <= LETTER_BYTES_MAX => whole,
            Ok(_) | Err(EncodeError::TooLarge { .. }) => {
                letter = cut(letter);
                self.codec.encode_dead_letter(&letter)?
            }
            Err(error @ EncodeError::Registry(_)) => return Err(error),
        };
        let id = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let mut headers = self.headers(DEAD_LETTER_TYPE, &id, now_ms);
        headers.push(wire::DLQ_REASON, rejected.reason.as_str());
        headers.push(wire::DLQ_ORIGINAL_TOPIC, &*record.topic);
        headers.push(wire::DLQ_ORIGINAL_PARTITION, record.partition.to_string());
        headers.push(wire::DLQ_ORIGINAL_OFFSET, record.offset.to_string());
        headers.push(wire::DLQ_DETAIL, &letter.detail);
        Ok(OutgoingRecord {
            topic: Arc::clone(&self.dead_letters),
            partition: None,
            key: record
                .key
                .clone()
                .filter(|key| key.len() <= CUT_VALUE_BYTES),
            payload: Some(payload),
            headers,
            timestamp_ms: None,
        })
    }

    fn letter(&self, rejected: &Rejected, now_ms: i64) -> DeadLetter {
        let IncomingRecord {
            topic,
            partition,
            offset,
            generation: _,
            key,
            payload,
            headers,
            timestamp_ms,
        } = &rejected.record;
        DeadLetter {
            reason: rejected.reason,
            detail: rejected.detail.clone(),
            topic: topic.as_ref().to_owned(),
            partition: *partition,
            offset: *offset,
            timestamp_ms: *timestamp_ms,
            key: key.clone(),
            value: payload.clone(),
            headers: headers
                .iter()
                .map(|(name, value)| HeaderField {
                    name: name.to_owned(),
                    value: value.map(<[u8]>::to_vec),
                })
                .collect(),
            by: self.worker.clone(),
            at_ms: now_ms,
        }
    }
}

fn cut(mut letter: DeadLetter) -> DeadLetter {
    let value_len = letter.value.as_ref().map_or(0, Vec::len);
    letter.detail = format!(
        "{} (too large for a dead letter: cut, {value_len} bytes of value lie at {}/{} offset {})",
        letter.detail, letter.topic, letter.partition, letter.offset
    );
    letter.headers.clear();
    for bytes in [&mut letter.key, &mut letter.value].into_iter().flatten() {
        bytes.truncate(CUT_VALUE_BYTES);
    }
    letter
}

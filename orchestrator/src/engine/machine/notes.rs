//! What sagas say to each other, and the definitions that go with it, as records.

use std::sync::Arc;

use backstitch_broker::{OutgoingRecord, partition_of};
use backstitch_saga::core::{Note, NoteBody, Parent};
use backstitch_saga::{Answer, Direction, core as saga_core};
use backstitch_schemas::{Codec, EncodeError, ReplyOutcome, SourcePosition, wire};

use super::io::{Effect, Report};
use super::outbox::Names;
use super::turn::Machine;

/// What a note may fall short of the limit by, so that a mailbox can always hand on what it was given:
/// the same value, under another key.
pub(crate) const NOTE_SLACK_BYTES: usize = 8 << 10;

impl Names {
    /// A note as a record for the inbox of the addressee. `partitions` is the inbox's.
    ///
    /// An answer that is too large for the inbox leaves as a failure that says so: a parent shall not
    /// wait for what cannot come.
    pub(super) fn note(
        &self,
        codec: &Codec,
        note: Note,
        trace: Option<&str>,
        partitions: i32,
        at_ms: i64,
    ) -> Result<OutgoingRecord, EncodeError> {
        let Note { to, body } = note;
        let own_trace = match &body {
            NoteBody::Event(event) => event.trace.clone(),
            NoteBody::Start { start, .. } => start.trace.clone(),
            NoteBody::Reply(_) | NoteBody::Want(_) | NoteBody::Undo(_) => None,
        };
        let (kind, id, step) = describe(&to, &body);
        let mut headers = self.headers(own_trace.as_deref().or(trace), &to, kind.0);
        headers.push(wire::CE_ID, &id);
        headers.push(wire::SAGA_KIND, kind.1);
        if let Some(step) = step {
            headers.push(wire::SAGA_STEP, step);
        }
        let payload = match body {
            NoteBody::Start { definition, start } => {
                codec.encode_start(&backstitch_schemas::Start {
                    definition,
                    saga: start.key,
                    event: start.event.as_str().as_bytes().to_vec(),
                    source: None,
                    event_time_ms: start.event_time_ms,
                    by: start.by,
                    at_ms,
                    parent: start.parent.map(parent_record),
                })
            }
            NoteBody::Reply(reply) => encode_reply(codec, &to, reply, at_ms),
            NoteBody::Event(event) => codec.encode_wait_event(&backstitch_schemas::WaitEvent {
                saga: to.clone(),
                step: event.occurrence,
                value: event.value.as_str().as_bytes().to_vec(),
                source: SourcePosition {
                    topic: event.source.topic,
                    partition: event.source.partition,
                    offset: event.source.offset,
                },
                until_ms: event.until_ms,
                at_ms,
            }),
            NoteBody::Want(want) => codec.encode_want(&backstitch_schemas::Want {
                saga: to.clone(),
                waiter: want.saga,
                step: want.occurrence,
                cancel: want.cancel,
                at_ms,
            }),
            NoteBody::Undo(undo) => codec.encode_undo(&backstitch_schemas::Undo {
                saga: to.clone(),
                idempotency_key: undo.key,
                parent: parent_record(undo.parent),
                at_ms,
            }),
        }?;
        Ok(OutgoingRecord {
            topic: Arc::clone(&self.inbox),
            partition: Some(partition_of(to.as_bytes(), partitions)),
            key: Some(to.into_bytes()),
            payload: Some(payload),
            headers,
            timestamp_ms: Some(at_ms),
        })
    }

    /// A definition for the journal, so that the topic alone has all that a saga means.
    pub(super) fn definition(
        &self,
        codec: &Codec,
        definition: &backstitch_saga::Definition,
        at_ms: i64,
    ) -> Result<OutgoingRecord, EncodeError> {
        let record = backstitch_schemas::Definition {
            hash: definition.hash.clone(),
            name: definition.name.clone(),
            source: definition.stored(),
            at_ms,
        };
        let kind = "backstitch.definition.v1";
        let mut headers = self.headers(None, &definition.name, kind);
        headers.push(wire::CE_ID, &definition.hash);
        Ok(OutgoingRecord {
            topic: self.journal(),
            partition: None,
            payload: Some(codec.encode_definition(&record)?),
            key: Some(record.hash.into_bytes()),
            headers,
            timestamp_ms: Some(at_ms),
        })
    }
}

/// CloudEvents type and `saga-kind`, the record's id, and the step that it is about.
fn describe(to: &str, body: &NoteBody) -> ((&'static str, &'static str), String, Option<String>) {
    match body {
        NoteBody::Start { start, .. } => {
            let kind = ("backstitch.start.v1", "start");
            let parent = start.parent.as_ref();
            let id = parent.map_or_else(|| to.to_owned(), |parent| parent.key.clone());
            (kind, id, None)
        }
        NoteBody::Reply(reply) => {
            let kind = ("backstitch.reply.v1", "reply");
            (kind, reply.key.clone(), Some(reply.occurrence.clone()))
        }
        NoteBody::Event(event) => {
            let source = &event.source;
            let id = format!("{}/{}/{}", source.topic, source.partition, source.offset);
            (
                ("backstitch.event.v1", "event"),
                id,
                event.occurrence.clone(),
            )
        }
        NoteBody::Want(want) => {
            let id = format!("{}/{}", want.saga, want.occurrence);
            (
                ("backstitch.want.v1", "want"),
                id,
                Some(want.occurrence.clone()),
            )
        }
        NoteBody::Undo(undo) => (("backstitch.undo.v1", "undo"), undo.key.clone(), None),
    }
}

fn parent_record(parent: Parent) -> backstitch_schemas::Parent {
    backstitch_schemas::Parent {
        saga: parent.saga,
        step: parent.occurrence,
        idempotency_key: parent.key,
    }
}

fn encode_reply(
    codec: &Codec,
    to: &str,
    reply: saga_core::Reply,
    at_ms: i64,
) -> Result<Vec<u8>, EncodeError> {
    let (outcome, output, code, reason) = match reply.answer {
        Answer::Done(output) => {
            let output = output.map(|output| output.as_str().as_bytes().to_vec());
            (ReplyOutcome::Done, output, None, None)
        }
        Answer::Failed { code, reason } => (ReplyOutcome::Failed, None, Some(code), Some(reason)),
        Answer::Refused { code, reason } => (ReplyOutcome::Refused, None, Some(code), Some(reason)),
        Answer::Heartbeat => (ReplyOutcome::Heartbeat, None, None, None),
    };
    let mut record = backstitch_schemas::Reply {
        saga: to.to_owned(),
        step: reply.occurrence,
        direction: match reply.direction {
            Direction::Do => backstitch_schemas::Direction::Do,
            Direction::Undo => backstitch_schemas::Direction::Undo,
        },
        attempt: i32::try_from(reply.attempt).unwrap_or(i32::MAX),
        idempotency_key: reply.key,
        outcome,
        output,
        code,
        reason,
        worker: reply.worker,
        at_ms,
    };
    match codec.encode_reply(&record) {
        Err(error @ EncodeError::TooLarge { .. }) if record.output.is_some() => {
            record.outcome = ReplyOutcome::Failed;
            record.output = None;
            record.code = Some("output_too_large".to_owned());
            record.reason = Some(error.to_string());
            codec.encode_reply(&record)
        }
        encoded => encoded,
    }
}

impl Machine {
    /// Publishes the definitions that the journal's readers may not have seen yet, before anything
    /// that is pinned to them.
    pub(super) fn tell_definitions(&mut self, now_ms: i64) {
        if !self.config.publishes_journal {
            return;
        }
        let mut records = Vec::new();
        for definition in self.book.take_untold() {
            match self
                .names
                .definition(&self.journal_codec, &definition, now_ms)
            {
                Ok(record) => records.push(record),
                Err(error) => {
                    let what = format!(
                        "definition {} cannot be published: {error}",
                        definition.name
                    );
                    self.effects.push(Effect::Report(Report::Violation(what)));
                }
            }
        }
        if !records.is_empty() {
            let batch = self.publishing.begin(Vec::new());
            self.effects.push(Effect::Publish { batch, records });
        }
    }
}

//! Records that leave, made from journal rows: the journal is the outbox.

use std::sync::Arc;

use backstitch_broker::{Headers, OutgoingRecord, partition_of};
use backstitch_saga::{Command, Entry};
use backstitch_schemas::{Codec, DeadLetter, EncodeError, JournalEntry, wire};

use crate::store::{JournalKind, JournalRow, ShardId};

/// Names of the topics, made once.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    topics: wire::Topics,
    pub(crate) inbox: Arc<str>,
    journal: Arc<str>,
    dead_letters: Arc<str>,
    /// Value of `ce_source`.
    source: Vec<u8>,
}

/// Bytes of the names of a record's headers, and of their values, roughly.
const HEADER_NAMES_LEN: usize = 110;
const HEADER_VALUES_LEN: usize = 280;

impl Names {
    pub(crate) fn new(topics: &wire::Topics) -> Self {
        Self {
            inbox: Arc::from(topics.inbox()),
            journal: Arc::from(topics.journal()),
            dead_letters: Arc::from(topics.dead_letters()),
            source: format!("/{}/orchestrator", topics.prefix()).into_bytes(),
            topics: topics.clone(),
        }
    }

    /// A command for the workers of an activity.
    pub(crate) fn command(
        &self,
        codec: &Codec,
        command: Command,
        trace: Option<&str>,
        shard: ShardId,
        at_ms: i64,
    ) -> Result<OutgoingRecord, EncodeError> {
        let definition = command
            .saga
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let attempt = i32::try_from(command.attempt).unwrap_or(i32::MAX);
        let topic = Arc::from(self.topics.commands(&command.activity));
        let mut headers = self.headers(trace, &command.saga, "backstitch.command.v1");
        headers.push(wire::CE_ID, &command.key);
        headers.push(wire::SAGA_STEP, &command.occurrence);
        headers.push(wire::SAGA_ATTEMPT, attempt.to_string());
        let kind = match command.direction {
            backstitch_saga::Direction::Do => "do",
            backstitch_saga::Direction::Undo => "undo",
        };
        headers.push(wire::SAGA_KIND, kind);
        let record = backstitch_schemas::Command {
            definition,
            step: command.occurrence,
            direction: match command.direction {
                backstitch_saga::Direction::Do => backstitch_schemas::Direction::Do,
                backstitch_saga::Direction::Undo => backstitch_schemas::Direction::Undo,
            },
            attempt,
            activity: command.activity,
            idempotency_key: command.key,
            done_key: command.done_key,
            input: command.input.as_str().as_bytes().to_vec(),
            output: command.output.map(|o| o.as_str().as_bytes().to_vec()),
            reply_topic: self.inbox.to_string(),
            reply_partition: shard.0,
            sent_at_ms: at_ms,
            deadline_ms: command.due_ms,
            heartbeat_ms: command
                .heartbeat_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            saga: command.saga,
        };
        Ok(OutgoingRecord {
            topic,
            partition: None,
            key: Some(record.saga.clone().into_bytes()),
            payload: Some(codec.encode_command(&record)?),
            headers,
            timestamp_ms: Some(at_ms),
        })
    }

    /// The journal's copy of a transition.
    pub(crate) fn transition(&self, row: &JournalRow, trace: Option<&str>) -> OutgoingRecord {
        let mut headers = self.headers(trace, &row.saga_key, "backstitch.journal.v1");
        headers.push(wire::CE_ID, format!("{}#{}", row.saga_key, row.saga_seq));
        OutgoingRecord {
            topic: Arc::clone(&self.journal),
            partition: None,
            key: Some(row.saga_key.clone().into_bytes()),
            payload: Some(row.entry.clone()),
            headers,
            timestamp_ms: Some(row.at_ms),
        }
    }

    /// A record for the dead letters; readable in any Kafka tool by its headers.
    pub(crate) fn dead_letter(&self, letter: &DeadLetter, encoded: Vec<u8>) -> OutgoingRecord {
        let headers = Headers::from([
            (wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO),
            (wire::DLQ_REASON, letter.reason.as_str()),
            (wire::DLQ_DETAIL, &letter.detail),
            (wire::DLQ_ORIGINAL_TOPIC, &letter.topic),
            (wire::DLQ_ORIGINAL_PARTITION, &letter.partition.to_string()),
            (wire::DLQ_ORIGINAL_OFFSET, &letter.offset.to_string()),
        ]);
        OutgoingRecord {
            topic: Arc::clone(&self.dead_letters),
            partition: None,
            key: letter.key.clone(),
            payload: Some(encoded),
            headers,
            timestamp_ms: Some(letter.at_ms),
        }
    }

    /// A record that lay in the wrong partition, sent on as it was.
    pub(super) fn forward(&self, letter: DeadLetter, partition: i32) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.inbox),
            partition: Some(partition),
            key: letter.key,
            payload: letter.value,
            headers: letter
                .headers
                .into_iter()
                .map(|field| (field.name, field.value))
                .collect(),
            timestamp_ms: Some(letter.timestamp_ms),
        }
    }

    /// What one journal row says shall leave. Used on take-over; `partitions` is the inbox's.
    ///
    /// A row that cannot be read leaves nothing: it was written by a later version, which will
    /// publish it when it takes over.
    pub(super) fn of_row(
        &self,
        (codec, journal_codec): (&Codec, &Codec),
        row: &JournalRow,
        partitions: i32,
    ) -> Vec<OutgoingRecord> {
        match row.kind {
            JournalKind::Transition => {
                let Ok(entry) = journal_codec.decode_journal_entry(&row.entry) else {
                    return Vec::new();
                };
                let Ok(body) = Entry::read_body(&entry.body) else {
                    return Vec::new();
                };
                let trace = entry.traceparent.as_deref();
                let commands = Entry::commands(&row.saga_key, &body);
                let mut records: Vec<OutgoingRecord> = commands
                    .into_iter()
                    .filter_map(|command| {
                        self.command(codec, command, trace, row.shard, row.at_ms)
                            .ok()
                    })
                    .collect();
                let notes = Entry::notes(&row.saga_key, row.at_ms, &body);
                records.extend(
                    notes.into_iter().filter_map(|note| {
                        self.note(codec, note, trace, partitions, row.at_ms).ok()
                    }),
                );
                records.push(self.transition(row, trace));
                records
            }
            JournalKind::DeadLetter => match journal_codec.decode_dead_letter(&row.entry) {
                Ok(letter) => vec![self.dead_letter(&letter, row.entry.clone())],
                Err(_) => Vec::new(),
            },
            JournalKind::Forward => match journal_codec.decode_dead_letter(&row.entry) {
                Ok(letter) => {
                    let key = letter.key.clone().unwrap_or_default();
                    vec![self.forward(letter, partition_of(&key, partitions))]
                }
                Err(_) => Vec::new(),
            },
        }
    }

    /// The topic of the journal.
    pub(super) fn journal(&self) -> Arc<str> {
        Arc::clone(&self.journal)
    }

    /// What every record of ours says of itself.
    pub(super) fn headers(&self, trace: Option<&str>, saga: &str, kind: &str) -> Headers {
        let mut headers = Headers::with_capacity(10, HEADER_NAMES_LEN, HEADER_VALUES_LEN);
        if let Some(trace) = trace {
            headers.push(wire::TRACEPARENT, trace);
        }
        headers.push(wire::CE_SPECVERSION, wire::CE_SPECVERSION_VALUE);
        headers.push(wire::CE_TYPE, kind);
        headers.push(wire::CE_SOURCE, &self.source);
        headers.push(wire::CE_SUBJECT, saga);
        headers.push(wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO);
        headers
    }
}

/// An entry of the core, as the wire has it.
pub(crate) fn journal_entry(
    entry: Entry,
    shard: ShardId,
    shard_seq: i64,
    definition_hash: &str,
    trace: Option<&str>,
) -> JournalEntry {
    JournalEntry {
        saga_seq: i64::try_from(entry.seq).unwrap_or(i64::MAX),
        shard: shard.0,
        shard_seq,
        at_ms: entry.at_ms,
        definition_hash: definition_hash.to_owned(),
        cause: entry.cause.to_owned(),
        status: entry.status.name().to_owned(),
        body: entry.body,
        previous_hash: bytes_of(&entry.previous_hash),
        hash: bytes_of(&entry.hash),
        traceparent: trace.map(str::to_owned),
        saga: entry.saga,
    }
}

/// Reads lower-case hex; what is none counts as zero, as does the hash before the first entry.
fn bytes_of(hex: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => 0,
        };
        *byte = digit(pair[0]) * 16 + digit(pair[1]);
    }
    bytes
}

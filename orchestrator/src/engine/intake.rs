//! From source topics to the inbox: read, match, start. It keeps no state but the group's offsets.
//!
//! A source offset is committed once the starts of its record are acknowledged. After a crash some
//! records are read again; the same key is the same saga, so their starts change nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use backstitch_broker::{
    BatchDone, BrokerError, Consumer, ConsumerControl, ConsumerError, ConsumerHandler,
    ConsumerOptions, Headers, IncomingRecord, KafkaConfig, OutgoingRecord, Producer, StartAt,
    TopicPartition, partition_of,
};
use backstitch_schemas::{
    Codec, DeadLetterReason, EncodeError, RecordKind, Start, WaitEvent, wire,
};

use super::machine::{MESSAGE_BYTES_MAX, NOTE_SLACK_BYTES, Names, dead_letter};
use super::matching::{Found, Matched, Matcher};
use super::now_ms;
use super::sources::Sources;
use super::topics::DEAD_LETTER_BYTES_MAX;

/// How often a wait that cannot be evaluated is told of. 60 s.
const TROUBLE_EVERY_MS: i64 = 60_000;

/// What an intake has done since it was started.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Source records read.
    pub records: AtomicU64,
    /// Starts sent to the inbox.
    pub starts: AtomicU64,
    /// Events sent to mailboxes.
    pub events: AtomicU64,
    /// Records that no start rule and no wait matched.
    pub unmatched: AtomicU64,
    /// Waits that could not be evaluated on a record: it was passed over for them.
    pub wait_errors: AtomicU64,
    /// Records that went to the dead letters.
    pub dead_letters: AtomicU64,
}

/// A running intake. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Intake {
    _consumer: Consumer,
}

/// What an intake is made of.
#[derive(Debug, Clone)]
pub(super) struct IntakeParts {
    pub(super) kafka: KafkaConfig,
    pub(super) options: ConsumerOptions,
    pub(super) topics: wire::Topics,
    pub(super) partitions: i32,
    pub(super) codec: Codec,
    pub(super) sources: Sources,
    pub(super) counters: Arc<IntakeCounters>,
}

impl Intake {
    /// Starts reading the source topics. When it cannot go on, it says so once through `ended`.
    pub(super) fn start(parts: IntakeParts, ended: Sender<String>) -> Result<Self, BrokerError> {
        let sent: Arc<Mutex<Sent>> = Arc::default();
        let producer = {
            let (sent, ended) = (Arc::clone(&sent), ended.clone());
            // A dead letter holds a whole record, and a client's own limit is below what Kafka takes. Starts
            // are held to theirs by the codec.
            let roomy = parts
                .kafka
                .clone()
                .with("message.max.bytes", DEAD_LETTER_BYTES_MAX.to_string());
            Producer::new(&roomy, move |done| acknowledge(&sent, &ended, &done))?
        };
        let names = Names::new(&parts.topics);
        let (kafka, options) = (parts.kafka.clone(), parts.options.clone());
        let handler = Reader {
            parts,
            names,
            producer,
            sent: Arc::clone(&sent),
            ended,
            trouble_at_ms: 0,
        };
        let consumer = Consumer::start(&kafka, options, handler)?;
        lock(&sent).control = Some(consumer.control());
        Ok(Self {
            _consumer: consumer,
        })
    }
}

/// A batch at the producer.
#[derive(Debug)]
struct SentBatch {
    id: u64,
    is_done: bool,
    /// What may be committed once it is done.
    offsets: Vec<(TopicPartition, i64)>,
}

/// Batches at the producer, oldest first, with the source offsets that they cover.
#[derive(Debug, Default)]
struct Sent {
    next: u64,
    batches: VecDeque<SentBatch>,
    control: Option<ConsumerControl>,
}

fn lock(sent: &Mutex<Sent>) -> std::sync::MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acknowledge(sent: &Mutex<Sent>, ended: &Sender<String>, done: &BatchDone) {
    if let Err(error) = &done.result
        && (error.fatal || error.failed_count > error.refused.len())
    {
        // Nothing of it is committed: the next intake reads it again.
        let _ = ended.send(error.to_string());
        return;
    }
    let mut sent = lock(sent);
    if let Some(batch) = sent
        .batches
        .iter_mut()
        .find(|batch| batch.id == done.batch_id)
    {
        batch.is_done = true;
    }
    while sent.batches.front().is_some_and(|batch| batch.is_done) {
        let Some(SentBatch { offsets, .. }) = sent.batches.pop_front() else {
            return;
        };
        if let Some(control) = &sent.control {
            control.commit(offsets);
        }
    }
}

struct Reader {
    parts: IntakeParts,
    names: Names,
    producer: Producer,
    sent: Arc<Mutex<Sent>>,
    ended: Sender<String>,
    /// When a wait that could not be evaluated was last told of.
    trouble_at_ms: i64,
}

impl ConsumerHandler for Reader {
    fn assigned(&mut self, _partitions: &[TopicPartition]) -> Vec<StartAt> {
        Vec::new()
    }

    fn revoked(&mut self, _partitions: &[TopicPartition], _lost: bool) {}

    fn records(&mut self, records: Vec<IncomingRecord>) {
        let mut out = Vec::with_capacity(records.len());
        let mut offsets = BTreeMap::new();
        let now = now_ms();
        let matcher = self.parts.sources.matcher();
        for record in &records {
            if let Err(reason) = self.read(&matcher, record, now, &mut out) {
                // Nothing after this record is committed: the next intake begins with it.
                let _ = self.ended.send(reason);
                break;
            }
            let partition = TopicPartition::new(Arc::clone(&record.topic), record.partition);
            offsets.insert(partition, record.offset + 1);
        }
        let id = {
            let mut sent = lock(&self.sent);
            sent.next += 1;
            let id = sent.next;
            sent.batches.push_back(SentBatch {
                id,
                is_done: false,
                offsets: offsets.into_iter().collect(),
            });
            id
        };
        if let Err(error) = self.producer.send(id, out) {
            let _ = self.ended.send(error.to_string());
        }
    }

    fn failed(&mut self, error: ConsumerError) {
        if matches!(error, ConsumerError::Fatal { .. }) {
            let _ = self.ended.send(error.to_string());
        } else {
            tracing::warn!(%error, "the intake's consumer");
        }
    }
}

impl Reader {
    fn read(
        &mut self,
        matcher: &Matcher,
        record: &IncomingRecord,
        now: i64,
        out: &mut Vec<OutgoingRecord>,
    ) -> Result<(), String> {
        let counters = Arc::clone(&self.parts.counters);
        counters.records.fetch_add(1, Ordering::Relaxed);
        match matcher.matches(record, now) {
            Matched::Later(reason) => return Err(reason),
            Matched::Dead { reason, detail } => self.bury(record, reason, detail, now, out)?,
            Matched::Found(found) => {
                let Found {
                    starts,
                    events,
                    troubles,
                    misfits,
                    traceparent,
                } = found;
                if starts.is_empty() && events.is_empty() && misfits.is_empty() {
                    counters.unmatched.fetch_add(1, Ordering::Relaxed);
                }
                self.tell_of(record, &troubles, now);
                if !misfits.is_empty() {
                    let reason = DeadLetterReason::CannotApply;
                    self.bury(record, reason, misfits.join("; "), now, out)?;
                }
                let trace = traceparent.as_deref();
                let starts = starts.into_iter().map(|start| {
                    let record = self.start_record(start, trace);
                    (&counters.starts, record)
                });
                let events = events.into_iter().map(|event| {
                    let record = self.event_record(event, trace);
                    (&counters.events, record)
                });
                for (counter, made) in starts.chain(events) {
                    match made {
                        Ok(made) => {
                            counter.fetch_add(1, Ordering::Relaxed);
                            out.push(made);
                        }
                        Err(EncodeError::Registry(error)) => return Err(error.to_string()),
                        Err(error) => {
                            let reason = DeadLetterReason::Oversized;
                            self.bury(record, reason, error.to_string(), now, out)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts waits that could not be evaluated, and shows one of them now and then.
    fn tell_of(&mut self, record: &IncomingRecord, troubles: &[String], now: i64) {
        let Some(first) = troubles.first() else {
            return;
        };
        let count = u64::try_from(troubles.len()).unwrap_or(u64::MAX);
        let counter = &self.parts.counters.wait_errors;
        let before = counter.fetch_add(count, Ordering::Relaxed);
        if now.saturating_sub(self.trouble_at_ms) < TROUBLE_EVERY_MS {
            return;
        }
        self.trouble_at_ms = now;
        tracing::warn!(
            topic = &*record.topic,
            partition = record.partition,
            offset = record.offset,
            so_far = before + count,
            "nobody can tell whether a record is for a wait, and it was passed over: {first}"
        );
    }

    fn event_record(
        &self,
        event: WaitEvent,
        traceparent: Option<&str>,
    ) -> Result<OutgoingRecord, EncodeError> {
        let payload = self.parts.codec.encode_wait_event(&event)?;
        let limit = MESSAGE_BYTES_MAX - NOTE_SLACK_BYTES;
        if payload.len() > limit {
            return Err(EncodeError::TooLarge {
                record: RecordKind::Event.name(),
                size: payload.len(),
                limit,
            });
        }
        Ok(self.inbox_record(event.saga, payload, traceparent, event.at_ms))
    }

    fn start_record(
        &self,
        start: Start,
        traceparent: Option<&str>,
    ) -> Result<OutgoingRecord, EncodeError> {
        let payload = self.parts.codec.encode_start(&start)?;
        Ok(self.inbox_record(start.saga, payload, traceparent, start.at_ms))
    }

    fn inbox_record(
        &self,
        key: String,
        payload: Vec<u8>,
        traceparent: Option<&str>,
        at_ms: i64,
    ) -> OutgoingRecord {
        let partition = partition_of(key.as_bytes(), self.parts.partitions);
        let mut headers = Headers::new();
        if let Some(trace) = traceparent {
            headers.push(wire::TRACEPARENT, trace);
        }
        OutgoingRecord {
            topic: Arc::clone(&self.names.inbox),
            partition: Some(partition),
            key: Some(key.into_bytes()),
            payload: Some(payload),
            headers,
            timestamp_ms: Some(at_ms),
        }
    }

    fn bury(
        &self,
        record: &IncomingRecord,
        reason: DeadLetterReason,
        detail: String,
        now: i64,
        out: &mut Vec<OutgoingRecord>,
    ) -> Result<(), String> {
        tracing::warn!(
            topic = &*record.topic,
            partition = record.partition,
            offset = record.offset,
            %reason,
            detail,
            "to the dead letters"
        );
        self.parts
            .counters
            .dead_letters
            .fetch_add(1, Ordering::Relaxed);
        let mut letter = dead_letter(record, reason, detail, "intake", now);
        let mut encoded = self.parts.codec.encode_dead_letter(&letter);
        if let Err(EncodeError::TooLarge { .. }) = encoded {
            letter.value = None;
            letter.headers.clear();
            letter.detail.push_str(" (its value was too large to keep)");
            encoded = self.parts.codec.encode_dead_letter(&letter);
        }
        let encoded = encoded.map_err(|error| error.to_string())?;
        out.push(self.names.dead_letter(&letter, encoded));
        Ok(())
    }
}

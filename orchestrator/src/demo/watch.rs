//! How each saga settled, as read from the journal topic by a consumer of its own.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstitch_broker::{
    Admin, BrokerError, Consumer, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord,
    KafkaConfig, StartAt, TopicPartition,
};
use backstitch_schemas::{Codec, Limits, wire};

use crate::engine::machine::JOURNAL_BYTES_MAX;
use crate::engine::now_ms;

/// How long a new partition may take to get a leader.
const LEADER_WAIT: Duration = Duration::from_secs(10);

/// How one saga settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// `completed`, `compensated`, `parked` or `terminated`.
    pub status: String,
    /// When the journal's entry was read. Milliseconds since the Unix epoch.
    pub seen_at_ms: i64,
}

/// A reader of the journal topic, from its present end on. Dropping it stops it.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Seen>,
    _consumer: Consumer,
}

#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    settled: HashMap<String, Settled>,
    assigned: usize,
    records: u64,
    entries: u64,
}

struct Reader {
    seen: Arc<Seen>,
    codec: Codec,
    ends: HashMap<i32, i64>,
}

impl Watch {
    /// Begins to watch. Returns once every partition is being read.
    ///
    /// # Errors
    ///
    /// If Kafka cannot be reached.
    pub fn start(kafka: &KafkaConfig, topics: &wire::Topics) -> Result<Self, BrokerError> {
        let admin = Admin::new(kafka)?;
        let journal = topics.journal();
        let partitions = admin.partition_count(&journal)?.unwrap_or(1);
        let mut ends = HashMap::new();
        for partition in 0..partitions {
            ends.insert(partition, end_of(&admin, &journal, partition)?);
        }
        let seen = Arc::new(Seen::default());
        let codec = Codec::single_object().with_limits(Limits {
            input_bytes_max: JOURNAL_BYTES_MAX,
            ..Limits::default()
        });
        let group = format!("{}.watch.{}", topics.prefix(), uuid::Uuid::now_v7());
        let handler = Reader {
            seen: Arc::clone(&seen),
            codec,
            ends,
        };
        let consumer = Consumer::start(kafka, ConsumerOptions::new(group, [journal]), handler)?;
        let watch = Self {
            seen,
            _consumer: consumer,
        };
        let wanted = usize::try_from(partitions).unwrap_or(1);
        watch.wait(Duration::from_secs(30), |state| state.assigned >= wanted);
        Ok(watch)
    }

    /// How many sagas are seen settled.
    pub fn count(&self) -> usize {
        self.lock().settled.len()
    }

    /// How many journal records were read.
    pub fn record_count(&self) -> u64 {
        self.lock().records
    }

    /// Waits until so many sagas are settled; says whether they are.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.settled.len() >= count)
    }

    /// How a saga settled, if it did.
    pub fn settled(&self, saga: &str) -> Option<Settled> {
        self.lock().settled.get(saga).cloned()
    }

    /// All that settled so far.
    pub fn all(&self) -> HashMap<String, Settled> {
        self.lock().settled.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.seen
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, timeout: Duration, is_there: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        while !is_there(&state) {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self
                .seen
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// The end of a partition. One that was made just now may not have a leader yet.
fn end_of(admin: &Admin, topic: &str, partition: i32) -> Result<i64, BrokerError> {
    let until = Instant::now() + LEADER_WAIT;
    loop {
        match admin.watermarks(topic, partition) {
            Ok((_, high)) => return Ok(high),
            Err(error) if error.is_transient() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error),
        }
    }
}

impl ConsumerHandler for Reader {
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt> {
        let mut state = self
            .seen
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.assigned += partitions.len();
        self.seen.changed.notify_all();
        partitions
            .iter()
            .map(|partition| StartAt {
                partition: partition.clone(),
                offset: self.ends.get(&partition.partition).copied(),
                generation: 1,
                paused: false,
            })
            .collect()
    }

    fn revoked(&mut self, partitions: &[TopicPartition], _lost: bool) {
        let mut state = self
            .seen
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.assigned = state.assigned.saturating_sub(partitions.len());
    }

    fn records(&mut self, records: Vec<IncomingRecord>) {
        let now = now_ms();
        let mut state = self
            .seen
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for record in records {
            // A restarted reader goes on where it was, not where the topic ended at first.
            self.ends.insert(record.partition, record.offset + 1);
            state.records += 1;
            let payload = record.payload.as_deref().unwrap_or_default();
            let Ok(entry) = self.codec.decode_journal_entry(payload) else {
                continue;
            };
            state.entries += 1;
            match entry.status.as_str() {
                "completed" | "compensated" | "parked" | "terminated" => {
                    let settled = Settled {
                        status: entry.status,
                        seen_at_ms: now,
                    };
                    state.settled.entry(entry.saga).or_insert(settled);
                }
                // It was parked, and goes on.
                _ => {
                    if state
                        .settled
                        .get(&entry.saga)
                        .is_some_and(|s| s.status == "parked")
                    {
                        state.settled.remove(&entry.saga);
                    }
                }
            }
        }
        self.seen.changed.notify_all();
    }

    fn failed(&mut self, error: ConsumerError) {
        tracing::warn!(%error, "the journal's reader");
    }
}

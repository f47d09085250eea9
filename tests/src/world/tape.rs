//! Everything that was written to some topics, read as it comes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backstitch_broker::{
    BrokerError, Consumer, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord,
    KafkaConfig, StartAt, TopicPartition,
};

use super::WAIT_MAX;

/// How often a condition is looked at that gives no signal.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
///
/// # Panics
///
/// If it finds nothing within [`WAIT_MAX`]; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    let (lock, never) = (Mutex::new(()), Condvar::new());
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = never.wait_timeout(guard, LOOK);
    }
}

/// All records of some topics from their oldest on, in the order of each partition. Dropping it stops it.
#[derive(Debug)]
pub struct Tape {
    recorded: Arc<Recorded>,
    _consumer: Consumer,
}

#[derive(Debug, Default)]
struct Recorded {
    records: Mutex<Vec<IncomingRecord>>,
    more: Condvar,
}

struct Ear(Arc<Recorded>);

impl Recorded {
    fn records(&self) -> MutexGuard<'_, Vec<IncomingRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tape {
    /// Begins to record.
    ///
    /// # Errors
    ///
    /// If Kafka cannot be reached.
    pub fn start(
        kafka: &KafkaConfig,
        group: &str,
        topics: Vec<String>,
    ) -> Result<Self, BrokerError> {
        let recorded = Arc::new(Recorded::default());
        let options = ConsumerOptions::new(group, topics);
        let consumer = Consumer::start(kafka, options, Ear(Arc::clone(&recorded)))?;
        Ok(Self {
            recorded,
            _consumer: consumer,
        })
    }

    /// Waits until `look` finds something among all records so far.
    ///
    /// # Panics
    ///
    /// If it finds nothing within [`WAIT_MAX`]; `what` says what was waited for.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[IncomingRecord]) -> Option<T>) -> T {
        let until = Instant::now() + WAIT_MAX;
        let mut records = self.recorded.records();
        loop {
            if let Some(found) = look(&records) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {what}");
            records = self
                .recorded
                .more
                .wait_timeout(records, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The records so far that are wanted.
    pub fn all(&self, is_wanted: impl Fn(&IncomingRecord) -> bool) -> Vec<IncomingRecord> {
        let records = self.recorded.records();
        records.iter().filter(|r| is_wanted(r)).cloned().collect()
    }
}

impl ConsumerHandler for Ear {
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt> {
        partitions
            .iter()
            .map(|partition| StartAt {
                partition: partition.clone(),
                offset: Some(0),
                generation: 1,
                paused: false,
            })
            .collect()
    }

    fn revoked(&mut self, _partitions: &[TopicPartition], _lost: bool) {}

    fn records(&mut self, new: Vec<IncomingRecord>) {
        let mut records = self.0.records();
        for record in new {
            // An assignment that comes again begins again.
            let is_known = records.iter().rev().any(|known| {
                known.offset == record.offset
                    && known.partition == record.partition
                    && known.topic == record.topic
            });
            if !is_known {
                records.push(record);
            }
        }
        self.0.more.notify_all();
    }

    fn failed(&mut self, error: ConsumerError) {
        // A test that waits for what never comes says so itself.
        let _ = error;
    }
}

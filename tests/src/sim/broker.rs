//! Topics as logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_broker::{Headers, IncomingRecord, OutgoingRecord};

use super::scenario::topics;

/// Partitions of each command topic.
pub(super) const COMMAND_PARTITIONS: i32 = 2;

/// One record as it lies on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: Headers,
    pub(super) timestamp_ms: i64,
}

impl Stored {
    pub(super) fn new(key: &[u8], payload: Vec<u8>, timestamp_ms: i64) -> Self {
        Self {
            key: Some(key.to_vec()),
            payload: Some(payload),
            headers: Headers::new(),
            timestamp_ms,
        }
    }
}

impl From<OutgoingRecord> for Stored {
    fn from(record: OutgoingRecord) -> Self {
        Self {
            key: record.key,
            payload: record.payload,
            headers: record.headers,
            timestamp_ms: record.timestamp_ms.unwrap_or(-1),
        }
    }
}

/// All topics, each a list of logs.
#[derive(Debug)]
pub(super) struct Broker {
    logs: BTreeMap<String, Vec<Vec<Stored>>>,
    pub(super) inbox: Arc<str>,
    pub(super) journal: String,
    pub(super) dead_letters: String,
}

impl Broker {
    pub(super) fn new(partitions: i32, activities: &[String]) -> Self {
        let names = topics();
        let inbox = names.inbox();
        let (journal, dead_letters) = (names.journal(), names.dead_letters());
        let empty = |count: i32| vec![Vec::new(); usize::try_from(count).unwrap_or(1)];
        let mut logs = BTreeMap::new();
        logs.insert(inbox.clone(), empty(partitions));
        logs.insert(journal.clone(), empty(partitions));
        logs.insert(dead_letters.clone(), empty(1));
        for activity in activities {
            logs.insert(names.commands(activity), empty(COMMAND_PARTITIONS));
        }
        Self {
            logs,
            inbox: Arc::from(inbox),
            journal,
            dead_letters,
        }
    }

    /// Where a record goes: the partition it names, or that of its key.
    pub(super) fn place(&self, record: &OutgoingRecord) -> i32 {
        let count = self.logs.get(&*record.topic).map_or(1, Vec::len);
        let count = i32::try_from(count).unwrap_or(1);
        let key = record.key.as_deref().unwrap_or_default();
        let by_key = || backstitch_broker::partition_of(key, count);
        record.partition.unwrap_or_else(by_key)
    }

    /// Appends a record; returns its offset. `None`: there is no such topic or partition.
    pub(super) fn append(&mut self, topic: &str, partition: i32, record: Stored) -> Option<i64> {
        let log = self
            .logs
            .get_mut(topic)?
            .get_mut(usize::try_from(partition).ok()?)?;
        log.push(record);
        i64::try_from(log.len() - 1).ok()
    }

    pub(super) fn log(&self, topic: &str, partition: i32) -> &[Stored] {
        let of = |partition| usize::try_from(partition).ok();
        self.logs
            .get(topic)
            .and_then(|logs| logs.get(of(partition)?))
            .map_or(&[], Vec::as_slice)
    }

    /// The records of a topic, over all partitions.
    pub(super) fn all(&self, topic: &str) -> impl Iterator<Item = &Stored> {
        self.logs.get(topic).into_iter().flatten().flatten()
    }

    pub(super) fn end(&self, topic: &str, partition: i32) -> i64 {
        i64::try_from(self.log(topic, partition).len()).unwrap_or(i64::MAX)
    }

    /// Reads the inbox from an offset on.
    pub(super) fn read_inbox(
        &self,
        partition: i32,
        offset: i64,
        count_max: usize,
        generation: u64,
    ) -> Vec<IncomingRecord> {
        let from = usize::try_from(offset).unwrap_or(0);
        let log = self.log(&self.inbox, partition);
        let read = log.iter().enumerate().skip(from).take(count_max);
        read.map(|(n, stored)| IncomingRecord {
            topic: Arc::clone(&self.inbox),
            partition,
            offset: i64::try_from(n).unwrap_or(i64::MAX),
            generation,
            key: stored.key.clone(),
            payload: stored.payload.clone(),
            headers: stored.headers.clone(),
            timestamp_ms: stored.timestamp_ms,
        })
        .collect()
    }
}

//! Reading a topic from offsets to its present end, without a group: for lists, audits and tests.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::admin::Admin;
use super::config::KafkaConfig;
use super::error::{BrokerError, ErrorCode};
use super::record::IncomingRecord;
use super::settings::Role;

/// How long a read waits for the next record before it gives up.
const RECORD_WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads a topic's partitions from given offsets up to where each ended when the reader was opened.
///
/// It is an iterator; records of one partition come in order, those of different partitions mixed. It joins no group and commits
/// nothing (where groups need a right, it is the one to read group `backstitch-reader`).
pub struct TopicReader {
    native: BaseConsumer<Silent>,
    topic: Arc<str>,
    /// Where each partition that isn't read to its end will have ended.
    ends: BTreeMap<i32, i64>,
}

impl TopicReader {
    /// Opens all partitions of a topic; `from` gives first offsets, partitions that it leaves out are read from their oldest record. An
    /// offset before the oldest record is moved to it.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] if there is no such topic; or if the broker doesn't answer.
    pub fn open(
        config: &KafkaConfig,
        topic: &str,
        from: &BTreeMap<i32, i64>,
    ) -> Result<TopicReader, BrokerError> {
        let admin = Admin::new(config)?;
        let count = admin.partition_count(topic)?.ok_or_else(|| {
            BrokerError::from_kafka(
                format!("read topic {topic}"),
                KafkaError::MetadataFetch(ErrorCode::UnknownTopicOrPartition),
            )
        })?;
        let mut ranges = BTreeMap::new();
        for partition in 0..count {
            let (low, high) = admin.watermarks(topic, partition)?;
            let start = from.get(&partition).map_or(low, |from| low.max(*from));
            ranges.insert(partition, start..high);
        }
        TopicReader::open_ranges(config, topic, &ranges)
    }

    /// Opens some partitions of a topic, each from the first offset of its range up to the end of it. What isn't there any more
    /// or not yet is passed over: the end of a partition ends its range.
    ///
    /// # Errors
    ///
    /// If a setting is wrong or refused.
    pub fn open_ranges(
        config: &KafkaConfig,
        topic: &str,
        ranges: &BTreeMap<i32, Range<i64>>,
    ) -> Result<TopicReader, BrokerError> {
        let ranges = ranges.iter().filter(|(_, range)| !range.is_empty());
        let from: BTreeMap<i32, i64> = ranges
            .clone()
            .map(|(partition, range)| (*partition, range.start))
            .collect();
        let ends = ranges
            .map(|(partition, range)| (*partition, range.end))
            .collect();
        let native = assigned(config, topic, &from, true)?;
        Ok(TopicReader {
            native,
            topic: topic.into(),
            ends,
        })
    }

    fn read(&mut self) -> Result<Option<IncomingRecord>, BrokerError> {
        let deadline = Instant::now() + RECORD_WAIT_MAX;
        let mut last_error = KafkaError::MessageConsumption(ErrorCode::OperationTimedOut);
        while !self.ends.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(BrokerError::Unavailable {
                    attempted: format!("read topic {}", self.topic),
                    source: last_error,
                });
            }
            match self.native.poll(left.min(Duration::from_millis(100))) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ends.remove(&partition);
                }
                Some(Err(error)) => last_error = self.survive(error)?,
                Some(Ok(message)) => {
                    let Some(end) = self.ends.get(&message.partition()).copied() else {
                        continue;
                    };
                    let (partition, offset) = (message.partition(), message.offset());
                    let record = (offset < end)
                        .then(|| IncomingRecord::read(&message, self.topic.clone(), 0));
                    drop(message);
                    if offset + 1 >= end {
                        self.leave(partition);
                    }
                    if record.is_some() {
                        return Ok(record);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads no more of a partition, and doesn't fetch it for nothing.
    pub fn leave(&mut self, partition: i32) {
        self.ends.remove(&partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.native.pause(&list) {
            tracing::debug!(%error, partition, "kafka reader: a partition is read on for nothing");
        }
    }

    /// A disturbance is worth waiting out; anything else isn't.
    fn survive(&self, error: KafkaError) -> Result<KafkaError, BrokerError> {
        let error = BrokerError::from_kafka(format!("read topic {}", self.topic), error);
        if let BrokerError::Unavailable { source, .. } = error {
            Ok(source)
        } else {
            Err(error)
        }
    }
}

impl Iterator for TopicReader {
    type Item = Result<IncomingRecord, BrokerError>;

    /// The next record; `None` at the end. After an error it ends.
    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if result.is_err() {
            self.ends.clear();
        }
        result.transpose()
    }
}

impl fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicReader")
            .field("topic", &self.topic)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Reads a whole topic, ordered by partition and offset, but no more than `records_max` records.
///
/// # Errors
///
/// As for [`TopicReader`].
pub fn read_all(
    config: &KafkaConfig,
    topic: &str,
    records_max: usize,
) -> Result<Vec<IncomingRecord>, BrokerError> {
    let mut records = TopicReader::open(config, topic, &BTreeMap::new())?
        .take(records_max)
        .collect::<Result<Vec<_>, _>>()?;
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// A consumer that joins no group, with these partitions, each from this offset on. `tells_ends` makes it tell when it has come
/// to the end of a partition.
pub(super) fn assigned(
    config: &KafkaConfig,
    topic: &str,
    from: &BTreeMap<i32, i64>,
    tells_ends: bool,
) -> Result<BaseConsumer<Silent>, BrokerError> {
    let attempted = || format!("read topic {topic}");
    let mut list = TopicPartitionList::with_capacity(from.len());
    for (partition, offset) in from {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
    }
    let own = [
        ("group.id", "backstitch-reader".to_owned()),
        // A partition's last offsets may hold no record (compacted, a transaction's marker): its end is told.
        ("enable.partition.eof", tells_ends.to_string()),
        ("auto.offset.reset", "earliest".to_owned()),
    ];
    let native: BaseConsumer<Silent> = config
        .native(Role::Consumer, &own)?
        .create_with_context(Silent)
        .map_err(|error| BrokerError::from_kafka("start a reader", error))?;
    native
        .assign(&list)
        .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
    Ok(native)
}

/// Keeps the library from logging the end of a partition as an error.
pub(super) struct Silent;

impl ClientContext for Silent {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka reader");
    }
}

impl ConsumerContext for Silent {}

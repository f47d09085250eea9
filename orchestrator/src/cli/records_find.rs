//! Which records of a topic are meant: the first from a point on, or the latest before one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use backstitch_broker::{BrokerError, IncomingRecord, KafkaConfig, TopicReader};

/// Records read at once where most of them are passed over.
const STRIDE_MIN: i64 = 1_000;
/// How much further each look back goes than the one before.
const STRIDE_GROWTH: i64 = 4;

/// Records of each partition, in order.
type Found = BTreeMap<i32, VecDeque<IncomingRecord>>;

/// The first `limit` records that are wanted within these ranges, by their times.
pub(crate) fn first(
    kafka: &KafkaConfig,
    topic: &str,
    ranges: &BTreeMap<i32, Range<i64>>,
    limit: usize,
    mut is_wanted: impl FnMut(&IncomingRecord) -> bool,
) -> Result<Vec<IncomingRecord>, BrokerError> {
    let mut found = Found::new();
    let mut reader = TopicReader::open_ranges(kafka, topic, ranges)?;
    while let Some(record) = reader.next() {
        let record = record?;
        if is_wanted(&record) {
            let partition = record.partition;
            let of_partition = found.entry(partition).or_default();
            of_partition.push_back(record);
            if of_partition.len() >= limit {
                reader.leave(partition);
            }
        }
    }
    let mut records = by_time(found);
    records.truncate(limit);
    Ok(records)
}

/// The latest `limit` records that are wanted within these ranges, by their times, the newest last.
///
/// Looks back in strides that grow, and in each partition no further than where all is older than what was found already.
pub(crate) fn latest(
    kafka: &KafkaConfig,
    topic: &str,
    ranges: &BTreeMap<i32, Range<i64>>,
    limit: usize,
    takes_all: bool,
    mut is_wanted: impl FnMut(&IncomingRecord) -> bool,
) -> Result<Vec<IncomingRecord>, BrokerError> {
    let mut found = Found::new();
    let mut open = ranges.clone();
    let mut stride = i64::try_from(limit).unwrap_or(i64::MAX);
    if !takes_all {
        stride = stride.max(STRIDE_MIN);
    }
    loop {
        open.retain(|_, range| !range.is_empty());
        if open.is_empty() {
            break;
        }
        let strides: BTreeMap<i32, Range<i64>> = open
            .iter()
            .map(|(partition, range)| {
                let from = range.end.saturating_sub(stride).max(range.start);
                (*partition, from..range.end)
            })
            .collect();
        let mut older = Found::new();
        let mut oldest_ms: BTreeMap<i32, i64> = BTreeMap::new();
        for record in TopicReader::open_ranges(kafka, topic, &strides)? {
            let record = record?;
            let time = oldest_ms.entry(record.partition).or_insert(i64::MAX);
            *time = record.timestamp_ms.min(*time);
            if is_wanted(&record) {
                let of_partition = older.entry(record.partition).or_default();
                of_partition.push_back(record);
                if of_partition.len() > limit {
                    of_partition.pop_front();
                }
            }
        }
        for (partition, mut records) in older {
            let of_partition = found.entry(partition).or_default();
            records.append(of_partition);
            *of_partition = records;
            let surplus = of_partition.len().saturating_sub(limit);
            drop(of_partition.drain(..surplus));
        }
        let enough_since_ms = nth_newest_ms(&found, limit);
        for (partition, range) in &mut open {
            range.end = strides[partition].start;
            let has_limit = found.get(partition).is_some_and(|of| of.len() >= limit);
            let is_older = enough_since_ms
                .zip(oldest_ms.get(partition))
                .is_some_and(|(since, oldest)| *oldest < since);
            if has_limit || is_older {
                range.start = range.end;
            }
        }
        stride = stride.saturating_mul(STRIDE_GROWTH);
    }
    let records = by_time(found);
    let surplus = records.len().saturating_sub(limit);
    Ok(records.into_iter().skip(surplus).collect())
}

/// The time of the `limit`th newest record, if there are as many.
fn nth_newest_ms(found: &Found, limit: usize) -> Option<i64> {
    let mut times: Vec<i64> = found
        .values()
        .flatten()
        .map(|record| record.timestamp_ms)
        .collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.get(limit.checked_sub(1)?).copied()
}

/// All records by their times; those of one partition stay in their order, whatever times they claim.
fn by_time(mut found: Found) -> Vec<IncomingRecord> {
    let mut records = Vec::with_capacity(found.values().map(VecDeque::len).sum());
    loop {
        let next = found
            .iter()
            .filter_map(|(partition, of)| Some((of.front()?.timestamp_ms, *partition)))
            .min();
        let Some((_, partition)) = next else {
            return records;
        };
        records.extend(found.get_mut(&partition).and_then(VecDeque::pop_front));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64, timestamp_ms: i64) -> IncomingRecord {
        IncomingRecord {
            topic: "t".into(),
            partition,
            offset,
            generation: 0,
            key: None,
            payload: None,
            headers: Default::default(),
            timestamp_ms,
        }
    }

    #[test]
    fn partitions_are_brought_together_by_time_and_keep_their_order() {
        let found = Found::from([
            (
                0,
                VecDeque::from([record(0, 0, 10), record(0, 1, 5), record(0, 2, 30)]),
            ),
            (1, VecDeque::from([record(1, 7, 20)])),
        ]);
        assert_eq!(nth_newest_ms(&found, 2), Some(20));
        assert_eq!(nth_newest_ms(&found, 5), None);
        let places: Vec<(i32, i64)> = by_time(found)
            .iter()
            .map(|record| (record.partition, record.offset))
            .collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 7), (0, 2)]);
    }
}

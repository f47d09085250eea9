//! What is too old goes, and what a newer record of the same key replaces.

use std::time::{SystemTime, UNIX_EPOCH};

use backstitch_broker::{OutgoingRecord, read_all};

use crate::wire::{FetchLimits, Wire};
use crate::world::{admin, bootstrap, config, eventually, send, to, topic_with};

const OFFSET_OUT_OF_RANGE: i16 = 1;

fn put(record: OutgoingRecord) {
    assert_eq!(send(&config(), vec![record]).result, Ok(()));
}

#[test]
fn records_past_the_retention_of_their_topic_go_and_a_reader_from_before_is_told() {
    // Kafka begins a new segment with a record that is so much younger than the first one.
    let settings = [("retention.ms", "60000"), ("segment.ms", "600000")];
    let topic = topic_with("retention", 1, &settings);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(since.as_millis()).unwrap();
    for timestamp_ms in [now_ms - 3_600_000, now_ms] {
        put(OutgoingRecord {
            timestamp_ms: Some(timestamp_ms),
            ..to(&topic, 0, "x")
        });
    }
    eventually("the old record is gone", || {
        admin().watermarks(&topic, 0).unwrap() == (1, 2)
    });
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let limits = || FetchLimits {
        wait_ms_max: 100,
        bytes_min: 1,
        bytes_max: 1_000_000,
        partition_bytes_max: 1_000_000,
    };
    assert_eq!(
        wire.fetch(&topic, 0, limits()).error_code,
        OFFSET_OUT_OF_RANGE
    );
    let data = wire.fetch(&topic, 1, limits());
    assert_eq!((data.error_code, data.high_watermark), (0, 2));
    assert!(data.records.is_some_and(|records| !records.is_empty()));
}

#[test]
fn a_compacted_topic_keeps_the_newest_record_of_each_key_where_it_was() {
    // Kafka compacts segments that are closed, here after 100 ms, and the record after that.
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "100"),
    ];
    let topic = topic_with("compacted", 1, &settings);
    let tombstone = |key: &str| OutgoingRecord {
        payload: None,
        ..to(&topic, 0, "").with_key(key)
    };
    put(to(&topic, 0, "1").with_key("a"));
    put(to(&topic, 0, "1").with_key("b"));
    put(to(&topic, 0, "2").with_key("a"));
    put(tombstone("b"));
    put(to(&topic, 0, "1").with_key("c"));
    let mut left = Vec::new();
    eventually("what was replaced is gone", || {
        put(to(&topic, 0, "x").with_key("filler"));
        left = read_all(&config(), &topic, 10_000).unwrap();
        left.retain(|record| record.key.as_deref() != Some(b"filler"));
        left.first().is_some_and(|record| record.offset == 2)
    });
    let left: Vec<(i64, Option<&[u8]>)> = left
        .iter()
        .map(|record| (record.offset, record.payload.as_deref()))
        .collect();
    assert_eq!(
        left,
        [(2, Some(&b"2"[..])), (3, None), (4, Some(&b"1"[..]))],
        "offsets stay, and the tombstone is there to be read"
    );
}

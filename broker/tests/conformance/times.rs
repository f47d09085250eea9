//! Times: records are found by theirs, and topics can have the broker's.

use std::time::{SystemTime, UNIX_EPOCH};

use backstitch_broker::OutgoingRecord;

use crate::wire::{FetchLimits, NOBODY, Plain, Wire, batch_of};
use crate::world::{bootstrap, config, send, to, topic, topic_with};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Asks for the record with the newest time.
const NEWEST: i64 = -3;
const FIRST_MS: i64 = 1_700_000_000_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Times that go up and down.
fn time_of(record: i64) -> i64 {
    FIRST_MS + (record * 7) % 30 * 1_000
}

#[test]
fn a_time_is_found_record_by_record_in_every_compression() {
    for codec in CODECS {
        let topic = topic("by-time", 1);
        let config = config()
            .with("compression.type", codec)
            .with("linger.ms", "50");
        let records = (0..30)
            .map(|n| OutgoingRecord {
                timestamp_ms: Some(time_of(n)),
                ..to(&topic, 0, format!("{n} {}", "a".repeat(100)))
            })
            .collect();
        assert_eq!(send(&config, records).result, Ok(()), "{codec}");
        let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
        for asked in (FIRST_MS - 500..FIRST_MS + 30_000).step_by(500) {
            let first = (0..30).find(|n| time_of(*n) >= asked);
            let expected = first.map_or((0, -1, -1), |n| (0, n, time_of(n)));
            assert_eq!(
                wire.offset_at(&topic, asked, 0),
                expected,
                "{codec} {asked}"
            );
        }
        let newest = (0..30).max_by_key(|n| time_of(*n)).unwrap();
        assert_eq!(
            wire.offset_at(&topic, NEWEST, 0),
            (0, newest, time_of(newest)),
            "{codec}"
        );
    }
}

#[test]
fn records_of_a_topic_with_the_brokers_time_have_it_and_the_producer_is_told() {
    let topic = topic_with(
        "append-time",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    );
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let records = [("a", 5), ("b", 9_999_999_999_999)].map(|(payload, timestamp_ms)| Plain {
        key: None,
        payload,
        timestamp_ms,
    });
    let before = now_ms();
    let answer = wire.offer(&topic, 0, batch_of(NOBODY, -1, false, records), 8);
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    let given = answer.log_append_time_ms;
    assert!((before..=now_ms()).contains(&given), "{given}");

    let config = config().with("compression.type", "lz4");
    let later = vec![to(&topic, 0, "c"), to(&topic, 0, "d")];
    assert_eq!(send(&config, later).result, Ok(()));
    let read = backstitch_broker::read_all(&config, &topic, 10).unwrap();
    assert_eq!(read.len(), 4, "each checksum is right");
    assert_eq!((read[0].timestamp_ms, read[1].timestamp_ms), (given, given));
    assert!(read[2].timestamp_ms >= given);
    assert_eq!(wire.offset_at(&topic, given, 0), (0, 0, given));
    assert_eq!(wire.offset_at(&topic, 5, 0), (0, 0, given));
}

#[test]
fn where_records_keep_their_time_the_producer_is_told_none() {
    let topic = topic("own-time", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let record = Plain {
        key: None,
        payload: "a",
        timestamp_ms: FIRST_MS,
    };
    let answer = wire.offer(&topic, 0, batch_of(NOBODY, -1, false, [record]), 8);
    assert_eq!((answer.error_code, answer.log_append_time_ms), (0, -1));
}

#[test]
fn records_before_the_start_of_the_log_are_not_found_by_time() {
    let topic = topic("cut", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let records = (0..5).map(|n| Plain {
        key: None,
        payload: "a",
        timestamp_ms: FIRST_MS + n,
    });
    let batch = batch_of(NOBODY, -1, false, records);
    assert_eq!(wire.offer(&topic, 0, batch, 8).error_code, 0);
    assert_eq!(wire.delete_before(&topic, 3), (0, 3));
    let limits = FetchLimits {
        wait_ms_max: 0,
        bytes_min: 0,
        bytes_max: 1 << 20,
        partition_bytes_max: 1 << 20,
    };
    assert_eq!(
        wire.fetch(&topic, 3, limits).log_start_offset,
        -1,
        "version 4 has none"
    );
    assert_eq!(wire.offset_at(&topic, FIRST_MS, 0), (0, 3, FIRST_MS + 3));
}

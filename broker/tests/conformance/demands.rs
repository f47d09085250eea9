//! What topics demand of records, and how the refused ones are named.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use backstitch_broker::read_all;

use crate::wire::{NOBODY, Plain, Wire, batch, batch_of, seal};
use crate::world::{bootstrap, config, send, to, topic, topic_with};

const HOUR_MS: i64 = 3_600_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// What became of a batch: the error code, the words, and the records that are named.
fn refusal(topic: &str, batch: Bytes) -> (i16, String, Vec<i32>) {
    let mut wire = Wire::to_leader(&bootstrap(), topic, 0);
    let answer = wire.offer(topic, 0, batch, 8);
    let named = answer.record_errors.iter();
    let named = named.map(|error| error.batch_index).collect();
    let message = answer.error_message.map(|message| message.to_string());
    (answer.error_code, message.unwrap_or_default(), named)
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key_and_names_them() {
    let topic = topic_with("keyed", 1, &[("cleanup.policy", "compact")]);
    let records = [Some("k"), None, Some("l"), None].map(|key| Plain {
        key,
        payload: "v",
        timestamp_ms: now_ms(),
    });
    let (code, message, named) = refusal(&topic, batch_of(NOBODY, -1, false, records));
    assert_eq!(code, ResponseError::InvalidRecord.code());
    assert_eq!(named, [1, 3]);
    assert!(message.contains("2 record errors in total"), "{message}");
    assert!(
        message.contains("Compacted topic cannot accept message without key"),
        "{message}"
    );
    assert!(
        read_all(&config(), &topic, 10).unwrap().is_empty(),
        "all or nothing"
    );
    let (code, ..) = refusal(
        &topic,
        batch_of(NOBODY, -1, false, [records[0], records[2]]),
    );
    assert_eq!(code, 0);
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key_in_every_compression() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic_with("keyed", 1, &[("cleanup.policy", "compact,delete")]);
        let config = config().with("compression.type", codec);
        let payload = || "a".repeat(1_000);
        let keyed = vec![to(&topic, 0, payload()).with_key("k")];
        assert_eq!(send(&config, keyed).result, Ok(()), "{codec}");
        let keyless = send(&config, vec![to(&topic, 0, payload())]);
        let error = keyless.result.unwrap_err();
        assert_eq!(error.failed_count, 1, "{codec}: {error:?}");
        assert_eq!(read_all(&config, &topic, 10).unwrap().len(), 1, "{codec}");
    }
}

#[test]
fn records_too_old_or_too_new_are_refused_and_named() {
    let settings = [
        ("message.timestamp.before.max.ms", "60000"),
        ("message.timestamp.after.max.ms", "60000"),
    ];
    let topic = topic_with("timely", 1, &settings);
    let now = now_ms();
    let records = [0, -120_000, 30_000, 120_000, -30_000].map(|ahead| Plain {
        key: None,
        payload: "v",
        timestamp_ms: now + ahead,
    });
    let (code, message, named) = refusal(&topic, batch_of(NOBODY, -1, false, records));
    assert_eq!(code, ResponseError::InvalidTimestamp.code());
    assert_eq!(named, [1, 3]);
    assert_eq!(
        message,
        "One or more records have been rejected due to invalid timestamp"
    );
    let timely = [records[0], records[2], records[4]];
    assert_eq!(refusal(&topic, batch_of(NOBODY, -1, false, timely)).0, 0);
}

#[test]
fn a_record_of_tomorrow_is_refused_by_default_and_one_of_1970_is_not() {
    let topic = topic("default-times", 1);
    let at = |timestamp_ms| {
        let record = Plain {
            key: None,
            payload: "v",
            timestamp_ms,
        };
        refusal(&topic, batch_of(NOBODY, -1, false, [record])).0
    };
    let tomorrow = now_ms() + 24 * HOUR_MS;
    assert_eq!(at(tomorrow), ResponseError::InvalidTimestamp.code());
    assert_eq!(at(1), 0);
}

#[test]
fn a_batch_whose_records_are_not_what_it_says_is_refused() {
    let topic = topic("broken", 1);
    let mut broken = batch(NOBODY, -1, &["aaaa", "bbbb"]).to_vec();
    // The first record says that it is longer than all of them.
    broken[61] = 0x7e;
    seal(&mut broken);
    let (code, ..) = refusal(&topic, broken.into());
    assert_ne!(code, 0);
    assert!(read_all(&config(), &topic, 10).unwrap().is_empty());
}

//! What is produced is what is consumed.

use std::collections::BTreeMap;

use backstitch_broker::{BrokerError, ErrorCode, OutgoingRecord, Producer, TopicReader, read_all};

use crate::probe::Plan;
use crate::world::{PATIENCE, config, eventually, fill, send, text, to, topic, topic_with, unique};

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let topic = topic("roundtrip", 2);
    let sent = vec![
        OutgoingRecord {
            partition: Some(1),
            key: Some(vec![0xff, 0x00, 0xfe]),
            headers: [
                ("traceparent", Some(b"00-1-2-01".as_slice())),
                ("twice", Some(b"a")),
                ("twice", Some(b"")),
                ("null", None),
                ("bytes", Some(&[0, 159, 146, 150])),
            ]
            .into_iter()
            .collect(),
            timestamp_ms: Some(1_700_000_000_123),
            ..OutgoingRecord::new(topic.as_str(), "payload")
        },
        OutgoingRecord {
            key: Some(Vec::new()),
            ..to(&topic, 1, Vec::new())
        },
        OutgoingRecord {
            payload: None,
            ..to(&topic, 1, "").with_key("tombstone")
        },
        to(&topic, 1, vec![0u8; 70_000]),
    ];
    assert_eq!(send(&config(), sent.clone()).result, Ok(()));

    let got = read_all(&config(), &topic, 100).unwrap();
    assert_eq!(got.len(), sent.len());
    for (index, (sent, got)) in sent.iter().zip(&got).enumerate() {
        assert_eq!(
            (&*got.topic, got.partition, got.offset),
            (topic.as_str(), 1, i64::try_from(index).unwrap())
        );
        assert_eq!(
            (&got.key, &got.payload),
            (&sent.key, &sent.payload),
            "record {index}"
        );
        assert_eq!(got.headers, sent.headers, "record {index}");
        assert!(sent.timestamp_ms.is_none_or(|at| at == got.timestamp_ms));
        assert!(
            got.timestamp_ms > 1_600_000_000_000,
            "record {index} has no time"
        );
    }
}

#[test]
fn every_compression_is_read_back() {
    let topic = topic("compression", 1);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let config = config().with("compression.type", codec);
        let records = (0..50)
            .map(|n| to(&topic, 0, format!("{codec} {n} {}", "a".repeat(500))))
            .collect();
        assert_eq!(send(&config, records).result, Ok(()), "{codec}");
    }
    let got = read_all(&config(), &topic, 1_000).unwrap();
    let expected: Vec<String> = codecs
        .iter()
        .flat_map(|codec| (0..50).map(move |n| format!("{codec} {n} {}", "a".repeat(500))))
        .collect();
    assert_eq!(
        got.iter()
            .map(|record| text(record.payload.as_ref()))
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn many_batches_in_flight_keep_the_order_of_the_calls() {
    let topic = topic("order", 3);
    let (done, wait) = std::sync::mpsc::channel();
    let producer = Producer::new(&config(), move |batch| done.send(batch).unwrap()).unwrap();
    for batch in 0..100 {
        let records = (0..60)
            .map(|n| to(&topic, n % 3, format!("{:06}", batch * 60 + n)))
            .collect();
        producer
            .send(u64::try_from(batch).unwrap(), records)
            .unwrap();
    }
    let mut ended: Vec<u64> = (0..100)
        .map(|_| {
            let batch = wait.recv_timeout(PATIENCE).unwrap();
            assert_eq!(batch.result, Ok(()));
            batch.batch_id
        })
        .collect();
    ended.sort_unstable();
    assert_eq!(
        ended,
        (0..100).collect::<Vec<u64>>(),
        "each batch ends once"
    );

    let mut by_partition: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    for record in read_all(&config(), &topic, 10_000).unwrap() {
        by_partition
            .entry(record.partition)
            .or_default()
            .push((record.offset, text(record.payload.as_ref())));
    }
    for (partition, records) in by_partition {
        assert_eq!(records.len(), 2_000, "partition {partition}");
        assert!(
            records
                .iter()
                .zip(0..)
                .all(|((offset, _), expected)| *offset == expected),
            "offsets have no gap"
        );
        assert!(
            records.windows(2).all(|pair| pair[0].1 < pair[1].1),
            "partition {partition} is in order"
        );
    }
    eventually("the statistics count the requests", || {
        producer.produce_request_count() > 0
    });
    assert!(
        producer.produce_request_count() <= 600,
        "{} requests",
        producer.produce_request_count()
    );
}

#[test]
fn an_empty_batch_is_done_at_once() {
    let (done, wait) = std::sync::mpsc::channel();
    let producer = Producer::new(&config(), move |batch| done.send(batch).unwrap()).unwrap();
    producer.send(7, Vec::new()).unwrap();
    let batch = wait.try_recv().expect("no broker is asked");
    assert_eq!((batch.batch_id, batch.result), (7, Ok(())));
}

#[test]
fn one_record_is_told_where_it_lies() {
    let topic = topic("one", 2);
    let producer = Producer::new(&config(), |_| panic!("single records have no batch")).unwrap();
    assert_eq!(producer.send_one(to(&topic, 1, "a")).unwrap(), (1, 0));
    assert_eq!(producer.send_one(to(&topic, 1, "b")).unwrap(), (1, 1));
    assert_eq!(
        producer
            .deliver(to(&topic, 0, "c"))
            .unwrap()
            .wait(PATIENCE)
            .unwrap(),
        (0, 0)
    );
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.queued_count(), 0);
}

#[test]
fn a_record_too_large_is_refused_here_and_the_others_are_delivered() {
    let topic = topic("refused", 1);
    let records = vec![
        to(&topic, 0, "before"),
        to(&topic, 0, vec![1; 2_000_000]),
        to(&topic, 0, "after"),
    ];
    let error = send(&config(), records).result.unwrap_err();
    assert_eq!(
        (error.fatal, error.code, error.failed_count),
        (false, ErrorCode::MessageSizeTooLarge, 1)
    );
    assert_eq!(error.refused, [1]);
    let got: Vec<String> = read_all(&config(), &topic, 10)
        .unwrap()
        .iter()
        .map(|r| text(r.payload.as_ref()))
        .collect();
    assert_eq!(got, ["before", "after"]);
}

#[test]
fn a_refusal_by_the_broker_ends_a_producer_that_promised_no_gaps() {
    let topic = topic_with("gapless", 1, &[("max.message.bytes", "2000")]);
    let (done, wait) = std::sync::mpsc::channel();
    let producer = Producer::new(&config().with("compression.type", "none"), move |batch| {
        done.send(batch).unwrap()
    })
    .unwrap();
    producer
        .send(1, vec![to(&topic, 0, vec![1; 5_000])])
        .unwrap();
    let error = wait.recv_timeout(PATIENCE).unwrap().result.unwrap_err();
    assert!(error.fatal, "{error:?}");
    assert_eq!(error.failed_count, 1);
    let error = producer.send(2, vec![to(&topic, 0, "small")]).unwrap_err();
    assert!(matches!(error, BrokerError::Fatal { .. }), "{error:?}");
    assert!(read_all(&config(), &topic, 10).unwrap().is_empty());
}

#[test]
fn producing_to_no_topic_fails_and_makes_none() {
    let nowhere = unique("nowhere");
    let config = config().with("topic.metadata.propagation.max.ms", "0");
    let error = send(&config, vec![to(&nowhere, 0, "lost")])
        .result
        .unwrap_err();
    assert!(!error.fatal, "{error:?}");
    assert_eq!(
        crate::world::admin().partition_count(&nowhere).unwrap(),
        None
    );
}

#[test]
fn large_records_travel_when_topic_and_clients_allow_them() {
    let topic = topic_with("large", 1, &[("max.message.bytes", "12000000")]);
    let config = config()
        .with("message.max.bytes", "10000000")
        .with("compression.type", "none");
    let sizes = [9_000_000, 10, 900_000, 3_000_000];
    let records = sizes
        .iter()
        .map(|size| to(&topic, 0, pattern(*size)))
        .collect();
    assert_eq!(send(&config, records).result, Ok(()));
    let got = read_all(&config, &topic, 10).unwrap();
    for (record, size) in got.iter().zip(sizes) {
        let payload = record.payload.as_ref().unwrap();
        assert_eq!(payload.len(), size);
        assert!(*payload == pattern(size));
    }
    assert_eq!(got.len(), sizes.len());
}

#[test]
fn fetch_limits_below_a_records_size_slow_down_but_lose_nothing() {
    let topic = topic("limits", 2);
    for partition in 0..2 {
        fill(
            &topic,
            partition,
            (0..20).map(|n| format!("{n:04}{}", "x".repeat(20_000))),
        );
    }
    let config = config()
        .with("fetch.message.max.bytes", "1000")
        .with("message.max.bytes", "1000")
        .with("fetch.max.bytes", "1000");
    assert_eq!(read_all(&config, &topic, 100).unwrap().len(), 40);
}

#[test]
fn a_slow_consumer_keeps_its_memory_bounded_and_misses_nothing() {
    let topic = topic("bounded", 1);
    fill(
        &topic,
        0,
        (0..3_000).map(|n| format!("{n:06}{}", "y".repeat(1_000))),
    );
    let mut plan = Plan::new(&unique("group"), &topic).options(|options| options.chunk_max = 7);
    plan.config = plan
        .config
        .with("queued.max.messages.kbytes", "64")
        .with("queued.min.messages", "10");
    let probe = plan.start();
    probe.await_records(3_000);
    let seen = probe.stop();
    assert!(
        seen.records()
            .zip(0..)
            .all(|(record, offset)| record.offset == offset)
    );
    assert!(
        seen.events.iter().all(
            |event| !matches!(event, crate::probe::Event::Records(records) if records.len() > 7)
        )
    );
}

#[test]
fn a_reader_begins_where_it_is_told_and_ends_where_the_topic_ended() {
    let topic = topic("reader", 3);
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    fill(&topic, 2, (0..5).map(|n| n.to_string()));
    let from = BTreeMap::from([(0, 7), (2, 99)]);
    let got: Vec<_> = TopicReader::open(&config(), &topic, &from)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        got.iter()
            .map(|r| (r.partition, r.offset))
            .collect::<Vec<_>>(),
        [(0, 7), (0, 8), (0, 9)]
    );
    assert_eq!(read_all(&config(), &topic, 4).unwrap().len(), 4);
    assert_eq!(read_all(&config(), &topic, 99).unwrap().len(), 15);
    let error = TopicReader::open(&config(), &unique("nowhere"), &from).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
}

/// Bytes that show where they were cut or swapped.
fn pattern(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

//! The embedded broker takes away what may go, while it serves: by age, by size, by key; and gives the space back.

#![expect(
    clippy::unwrap_used,
    reason = "in a test's own tools too, a failure is the test's"
)]

mod embedded_support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backstitch_broker::embedded::EmbeddedBroker;
use embedded_support::process::Process;
use embedded_support::{
    Deliveries, PATIENCE, SPILL, admin, block_on, client, create_topic, create_topic_with, held_by,
    member, producer, read, segments, send, spill, start_with, until,
};
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const AN_HOUR_MS: i64 = 3_600_000;

/// Settings that let compaction begin with the first record that another replaces.
const EAGER: [(&str, &str); 2] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.0"),
];

/// Cleaning is the same wherever records are, and more happens where they are in segments.
fn start(folder: &tempfile::TempDir) -> EmbeddedBroker {
    start_with(folder.path(), |config| {
        spill(config);
        config.clean_every = Duration::from_millis(20);
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Sends a record and waits for it, so that it is a batch of its own.
fn put(producer: &BaseProducer<Deliveries>, topic: &str, key: Option<&str>, value: Option<&str>) {
    put_at(producer, topic, key, value, now_ms());
}

fn put_at(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    key: Option<&str>,
    value: Option<&str>,
    timestamp_ms: i64,
) {
    let mut record = BaseRecord::<str, str>::to(topic)
        .partition(0)
        .timestamp(timestamp_ms);
    record.key = key;
    record.payload = value;
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.context().failed(), Vec::<String>::new());
}

/// Reads a topic's one partition from its start to its end, as it is now: offset, key, value.
fn all(bootstrap: &str, topic: &str, isolation: &str) -> Vec<(i64, String, Option<String>)> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut records = Vec::new();
    until("the end of the partition", || {
        match consumer.poll(Duration::from_millis(100))? {
            Ok(message) => {
                let key = text(message.key().unwrap_or_default());
                records.push((message.offset(), key, message.payload().map(text)));
                None
            }
            Err(KafkaError::PartitionEOF(_)) => Some(()),
            Err(error) => panic!("{error}"),
        }
    });
    records
}

fn offsets(bootstrap: &str, topic: &str) -> Vec<i64> {
    all(bootstrap, topic, "read_committed")
        .into_iter()
        .map(|(offset, ..)| offset)
        .collect()
}

/// Waits until the partition holds records at these offsets and no others.
fn until_left(bootstrap: &str, topic: &str, expected: &[i64]) {
    let mut last = Vec::new();
    until(&format!("{topic} to hold {expected:?}"), || {
        last = offsets(bootstrap, topic);
        (last == expected).then_some(())
    });
}

fn first_offset(bootstrap: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client(bootstrap).create().unwrap();
    consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap().0
}

#[test]
fn records_older_than_their_topic_keeps_them_go_and_a_reader_from_before_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "orders", &[("retention.ms", "60000")]);
    let writer = producer(&bootstrap, &[]);
    let old = now_ms() - AN_HOUR_MS;
    for timestamp in [old, old, now_ms(), now_ms()] {
        put_at(&writer, "orders", None, Some("x"), timestamp);
    }
    until("the old records to go", || {
        (first_offset(&bootstrap, "orders") == 2).then_some(())
    });
    assert_eq!(offsets(&bootstrap, "orders"), [2, 3]);
    let late: BaseConsumer = client(&bootstrap)
        .set("group.id", "late")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("orders", 0, Offset::Offset(1))
        .unwrap();
    late.assign(&list).unwrap();
    let refusal = until("the refusal", || late.poll(Duration::from_millis(100)));
    let code = refusal.err().and_then(|error| error.rdkafka_error_code());
    assert_eq!(code, Some(RDKafkaErrorCode::AutoOffsetReset));
    put(&writer, "orders", None, Some("next"));
    assert_eq!(
        offsets(&bootstrap, "orders"),
        [2, 3, 4],
        "offsets go on as before"
    );
}

#[test]
fn records_become_too_old_while_nothing_else_happens_and_the_end_stays_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "orders", &[("retention.ms", "500")]);
    let writer = producer(&bootstrap, &[]);
    for _ in 0..3 {
        put(&writer, "orders", None, Some("x"));
    }
    until("every record to go", || {
        (first_offset(&bootstrap, "orders") == 3).then_some(())
    });
    drop(writer);
    broker.stop();
    let broker = start(&folder);
    let consumer: BaseConsumer = client(&broker.bootstrap_servers()).create().unwrap();
    assert_eq!(
        consumer.fetch_watermarks("orders", 0, PATIENCE).unwrap(),
        (3, 3)
    );
}

#[test]
fn a_partition_over_its_size_loses_its_oldest_records() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "orders", &[("retention.bytes", "10000")]);
    let writer = producer(&bootstrap, &[]);
    let payload = "x".repeat(3_000);
    for _ in 0..10 {
        put(&writer, "orders", None, Some(&payload));
    }
    // Four batches of a little over 3,000 bytes: three would be less than 10,000.
    until_left(&bootstrap, "orders", &[6, 7, 8, 9]);
}

#[test]
fn the_brokers_own_limit_holds_where_a_topic_has_none_and_a_topic_that_wants_all_keeps_all() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), |config| {
        config.clean_every = Duration::from_millis(20);
        config.retention = Some(Duration::from_secs(60));
    });
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    create_topic_with(&bootstrap, "kept", &[("retention.ms", "-1")]);
    let writer = producer(&bootstrap, &[]);
    for topic in ["kept", "orders"] {
        put_at(&writer, topic, None, Some("x"), now_ms() - AN_HOUR_MS);
    }
    until_left(&bootstrap, "orders", &[]);
    assert_eq!(offsets(&bootstrap, "kept"), [0]);
}

#[test]
fn an_open_transaction_keeps_its_records_whatever_their_age() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "orders", &[("retention.ms", "60000")]);
    let writer = producer(&bootstrap, &[("transactional.id", "writer")]);
    let old = now_ms() - AN_HOUR_MS;
    put_at(&producer(&bootstrap, &[]), "orders", None, Some("x"), old);
    writer.init_transactions(PATIENCE).unwrap();
    writer.begin_transaction().unwrap();
    put_at(&writer, "orders", None, Some("x"), old);
    until("the record before to go", || {
        (first_offset(&bootstrap, "orders") == 1).then_some(())
    });
    writer.commit_transaction(PATIENCE).unwrap();
    until("its records to go", || {
        (first_offset(&bootstrap, "orders") == 2).then_some(())
    });
}

#[test]
fn the_newest_record_of_each_key_is_left_at_its_offset_whatever_compresses_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        create_topic_with(&bootstrap, codec, &EAGER);
        let settings = [("compression.type", codec), ("linger.ms", "50")];
        let writer = producer(&bootstrap, &settings);
        let value = "v".repeat(300);
        for _ in 0..4 {
            for key in 0..25 {
                let key = format!("key-{key}");
                let record = BaseRecord::<str, str>::to(codec).partition(0);
                let record = record.key(&key).payload(&value);
                writer.send(record).map_err(|(error, _)| error).unwrap();
            }
            writer.flush(PATIENCE).unwrap();
        }
        put(&writer, codec, Some("last"), Some("batch"));
    }
    for codec in codecs {
        let expected: Vec<i64> = (75..=100).collect();
        until_left(&bootstrap, codec, &expected);
        let keys: Vec<String> = all(&bootstrap, codec, "read_committed")
            .into_iter()
            .map(|(_, key, _)| key)
            .collect();
        let names = (0..25).map(|key| format!("key-{key}"));
        assert_eq!(keys, names.chain(["last".to_owned()]).collect::<Vec<_>>());
    }
}

#[test]
fn a_reader_gets_on_over_the_gaps_from_memory_and_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "table", &EAGER);
    let writer = producer(&bootstrap, &[]);
    for (key, value) in [
        ("a", "0"),
        ("b", "1"),
        ("a", "2"),
        ("c", "3"),
        ("a", "4"),
        ("d", "5"),
    ] {
        put(&writer, "table", Some(key), Some(value));
    }
    let from_each = |bootstrap: &str| -> Vec<i64> {
        let consumer: BaseConsumer = client(bootstrap).set("group.id", "r").create().unwrap();
        let first_from = |offset| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset("table", 0, Offset::Offset(offset))
                .unwrap();
            consumer.assign(&list).unwrap();
            let message = until("a record", || consumer.poll(Duration::from_millis(100)));
            message.unwrap().offset()
        };
        (0..6).map(first_from).collect()
    };
    until_left(&bootstrap, "table", &[1, 3, 4, 5]);
    assert_eq!(from_each(&bootstrap), [1, 1, 3, 3, 4, 5]);
    drop(writer);
    broker.stop();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    assert_eq!(from_each(&bootstrap), [1, 1, 3, 3, 4, 5]);
    put(&producer(&bootstrap, &[]), "table", Some("e"), Some("6"));
    assert_eq!(offsets(&bootstrap, "table"), [1, 3, 4, 5, 6]);
}

#[test]
fn a_tombstone_deletes_its_key_and_goes_itself_when_its_time_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    let slow = [&EAGER[..], &[("delete.retention.ms", "3600000")]].concat();
    let quick = [&EAGER[..], &[("delete.retention.ms", "100")]].concat();
    create_topic_with(&bootstrap, "slow", &slow);
    create_topic_with(&bootstrap, "quick", &quick);
    let writer = producer(&bootstrap, &[]);
    for topic in ["slow", "quick"] {
        for (key, value) in [("a", Some("0")), ("a", None), ("b", Some("2"))] {
            put(&writer, topic, Some(key), value);
        }
    }
    until_left(&bootstrap, "quick", &[2]);
    until_left(&bootstrap, "slow", &[1, 2]);
    assert_eq!(all(&bootstrap, "slow", "read_committed")[0].2, None);
}

#[test]
fn records_given_up_go_even_for_those_who_read_everything_and_committed_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    let settings = [&EAGER[..], &[("delete.retention.ms", "100")]].concat();
    create_topic_with(&bootstrap, "table", &settings);
    let writer = producer(&bootstrap, &[("transactional.id", "writer")]);
    writer.init_transactions(PATIENCE).unwrap();
    for commits in [true, false, true, false] {
        writer.begin_transaction().unwrap();
        let value = if commits { "kept" } else { "given up" };
        for key in ["a", "b"] {
            put(&writer, "table", Some(key), Some(value));
        }
        if commits {
            writer.commit_transaction(PATIENCE).unwrap();
        } else {
            writer.abort_transaction(PATIENCE).unwrap();
        }
    }
    put(&producer(&bootstrap, &[]), "table", Some("end"), Some("x"));
    until("what was given up to go", || {
        let seen = all(&bootstrap, "table", "read_uncommitted");
        (seen.iter().map(|seen| seen.0).collect::<Vec<_>>() == [6, 7, 12]).then_some(())
    });
    // What comes after is not taken for given up, though markers have gone.
    writer.begin_transaction().unwrap();
    put(&writer, "table", Some("c"), Some("later"));
    writer.commit_transaction(PATIENCE).unwrap();
    until_left(&bootstrap, "table", &[6, 7, 12, 13]);
}

#[test]
fn nothing_younger_than_the_lag_is_compacted_and_what_is_too_old_is_whatever_the_ratio() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    let young = [&EAGER[..], &[("min.compaction.lag.ms", "3600000")]].concat();
    let lazy = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "1.0"),
        ("max.compaction.lag.ms", "60000"),
    ];
    create_topic_with(&bootstrap, "young", &young);
    create_topic_with(&bootstrap, "lazy", &lazy);
    let writer = producer(&bootstrap, &[]);
    let old = now_ms() - 2 * AN_HOUR_MS;
    for (topic, times) in [
        ("young", [old, old, now_ms(), now_ms(), now_ms()]),
        ("lazy", [old; 5]),
    ] {
        for timestamp in times {
            put_at(&writer, topic, Some("a"), Some("x"), timestamp);
        }
    }
    until_left(&bootstrap, "lazy", &[4]);
    until_left(&bootstrap, "young", &[1, 2, 3, 4]);
}

#[test]
fn a_compacted_topic_that_also_deletes_loses_what_is_old_and_a_changed_policy_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "table", &[]);
    let writer = producer(&bootstrap, &[]);
    put_at(
        &writer,
        "table",
        Some("old"),
        Some("0"),
        now_ms() - AN_HOUR_MS,
    );
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "3")] {
        put(&writer, "table", Some(key), Some(value));
    }
    assert_eq!(offsets(&bootstrap, "table"), [0, 1, 2, 3]);
    let config = AlterConfig::new(ResourceSpecifier::Topic("table"))
        .set("cleanup.policy", "compact,delete")
        .set("retention.ms", "60000")
        .set("min.cleanable.dirty.ratio", "0.0");
    let altered = block_on(admin(&bootstrap).alter_configs([&config], &AdminOptions::new()));
    assert!(altered.unwrap().iter().all(Result::is_ok));
    until_left(&bootstrap, "table", &[2, 3]);
    assert_eq!(first_offset(&bootstrap, "table"), 1);
}

#[test]
fn an_idempotent_producer_goes_on_after_its_batches_are_compacted_away() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(&folder);
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "table", &EAGER);
    let (first, second) = (producer(&bootstrap, &[]), producer(&bootstrap, &[]));
    for _ in 0..3 {
        put(&first, "table", Some("a"), Some("first"));
    }
    for _ in 0..2 {
        put(&second, "table", Some("a"), Some("second"));
    }
    until_left(&bootstrap, "table", &[3, 4]);
    put(&first, "table", Some("a"), Some("again"));
    assert_eq!(
        first.context().0.lock().unwrap().last().unwrap().1,
        Ok((0, 5))
    );
}

#[test]
fn the_file_and_its_log_get_smaller_while_the_broker_serves() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), |config| {
        config.inline_bytes_max = usize::MAX;
        config.clean_every = Duration::from_millis(20);
    });
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "orders", &[("retention.bytes", "100000000")]);
    let writer = producer(&bootstrap, &[("compression.type", "none")]);
    let payload = "x".repeat(100_000);
    for _ in 0..300 {
        send(&writer, "orders", 0, &payload);
        writer.poll(Duration::ZERO);
    }
    writer.flush(PATIENCE).unwrap();
    let size = || {
        let length = |name| {
            folder
                .path()
                .join(name)
                .metadata()
                .map_or(0, |file| file.len())
        };
        length("broker.db") + length("broker.db-wal")
    };
    assert!(size() > 30_000_000);
    let config =
        AlterConfig::new(ResourceSpecifier::Topic("orders")).set("retention.bytes", "1000000");
    block_on(admin(&bootstrap).alter_configs([&config], &AdminOptions::new())).unwrap();
    until("the space to be given back", || {
        // A look at the broker from time to time does not keep it from tidying up.
        first_offset(&bootstrap, "orders");
        (size() < 10_000_000).then_some(())
    });
    assert_eq!(offsets(&bootstrap, "orders").last(), Some(&299));
}

#[test]
fn files_of_records_go_with_their_records_and_what_lives_moves_out_of_those_that_are_mostly_dead() {
    let folder = tempfile::tempdir().unwrap();
    let serve = || {
        start_with(folder.path(), |config| {
            (config.inline_bytes_max, config.segment_bytes) = (0, 200_000);
            config.clean_every = Duration::from_millis(20);
        })
    };
    let size = || -> u64 {
        let length = |path: PathBuf| path.metadata().map_or(0, |file| file.len());
        segments(folder.path()).into_iter().map(length).sum()
    };
    let broker = serve();
    let bootstrap = broker.bootstrap_servers();
    create_topic_with(&bootstrap, "dropped", &[("retention.bytes", "100000000")]);
    create_topic(&bootstrap, "kept", 1);
    let writer = producer(&bootstrap, &[("compression.type", "none")]);
    let kept: Vec<String> = (0..50)
        .map(|number| format!("{number:06}{}", "k".repeat(3_000)))
        .collect();
    for value in &kept {
        put(&writer, "kept", None, Some(value));
        for _ in 0..3 {
            put(&writer, "dropped", None, Some(&"d".repeat(9_000)));
        }
    }
    assert!(size() > 1_500_000, "{}", size());
    let config =
        AlterConfig::new(ResourceSpecifier::Topic("dropped")).set("retention.bytes", "10000");
    block_on(admin(&bootstrap).alter_configs([&config], &AdminOptions::new())).unwrap();
    until("the files to go", || {
        assert_eq!(read(&bootstrap, "kept", 0, 50, &[]), kept);
        (size() < 600_000).then_some(())
    });
    drop(writer);
    broker.stop();
    let broker = serve();
    assert_eq!(read(&broker.bootstrap_servers(), "kept", 0, 50, &[]), kept);
}

#[test]
fn many_starts_leave_few_files_of_records() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |segment_bytes| {
        start_with(folder.path(), |config| {
            (config.inline_bytes_max, config.segment_bytes) = (0, segment_bytes);
            config.clean_every = Duration::from_millis(20);
        })
    };
    let count = 20;
    for number in 0..count {
        let broker = serve(1 << 20);
        let bootstrap = broker.bootstrap_servers();
        if number == 0 {
            create_topic(&bootstrap, "orders", 1);
        }
        let writer = producer(&bootstrap, &[]);
        put(&writer, "orders", None, Some(&number.to_string()));
        drop(writer);
        broker.stop();
    }
    let broker = serve(1 << 20);
    let bootstrap = broker.bootstrap_servers();
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    until("the files to be few", || {
        assert_eq!(read(&bootstrap, "orders", 0, count, &[]), expected);
        (segments(folder.path()).len() <= 10).then_some(())
    });
}

#[test]
fn offsets_of_a_group_without_members_are_forgotten_in_time_and_those_of_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), |config| {
        config.clean_every = Duration::from_millis(20);
        config.offsets_retention = Duration::from_millis(800);
    });
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let writer = producer(&bootstrap, &[]);
    put(&writer, "orders", None, Some("x"));
    let commit = |group: &str, consumer: &BaseConsumer| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("orders", 0, Offset::Offset(1))
            .unwrap();
        consumer
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
            .unwrap_or_else(|error| panic!("{group}: {error}"));
    };
    let tool = |group: &str| -> BaseConsumer {
        client(&bootstrap).set("group.id", group).create().unwrap()
    };
    let committed = |group: &str| {
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", 0);
        let found = tool(group).committed_offsets(list, PATIENCE).unwrap();
        found.elements()[0].offset()
    };
    let member = member(&bootstrap, "alive", "orders", &[]);
    until("the member to own the partition", || {
        member.poll(Duration::from_millis(50));
        (held_by(&member).len() == 1).then_some(())
    });
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("orders", 0, Offset::Offset(1))
        .unwrap();
    member
        .commit(&list, rdkafka::consumer::CommitMode::Sync)
        .unwrap();
    commit("gone", &tool("gone"));
    assert_eq!(committed("gone"), Offset::Offset(1));
    until("the offsets to be forgotten", || {
        member.poll(Duration::from_millis(50));
        (committed("gone") == Offset::Invalid).then_some(())
    });
    assert_eq!(committed("alive"), Offset::Offset(1));
    drop(member);
    until("those of the other too, once its member is gone", || {
        (committed("alive") == Offset::Invalid).then_some(())
    });
}

#[test]
fn producers_and_transactional_ids_that_rest_are_forgotten_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), |config| {
        config.clean_every = Duration::from_millis(20);
        config.producers_retention = Duration::from_millis(1_500);
    });
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let writer = producer(&bootstrap, &[("transactional.id", "writer")]);
    writer.init_transactions(PATIENCE).unwrap();
    writer.begin_transaction().unwrap();
    put(&writer, "orders", None, Some("x"));
    let file = rusqlite::Connection::open(folder.path().join("broker.db")).unwrap();
    let number = |query: &str| -> i64 { file.query_row(query, [], |row| row.get(0)).unwrap() };
    let id = number("select producer_id from txn");
    let known = format!("select count(*) from producer where producer_id = {id}");
    assert_eq!(number(&known), 1);
    writer.commit_transaction(PATIENCE).unwrap();
    until("both to be forgotten", || {
        // Other producers come and go.
        put(&producer(&bootstrap, &[]), "orders", None, Some("other"));
        (number(&known) == 0 && number("select count(*) from txn") == 0).then_some(())
    });
    let heir = producer(&bootstrap, &[("transactional.id", "writer")]);
    heir.init_transactions(PATIENCE).unwrap();
    heir.begin_transaction().unwrap();
    put(&heir, "orders", None, Some("y"));
    heir.commit_transaction(PATIENCE).unwrap();
}

/// The last value of each key that was acknowledged, or one that was on its way then, is there after each kill.
#[test]
fn killed_while_it_cleans_it_keeps_the_newest_record_of_each_key_and_cleans_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let clean = [&["--clean-every", "1"], &SPILL[..]].concat();
    let mut process = Process::start_with(&file, 0, &clean);
    let (bootstrap, port) = (process.bootstrap.clone(), process.port());
    let settings = [&EAGER[..], &[("delete.retention.ms", "1")]].concat();
    create_topic_with(&bootstrap, "table", &settings);
    let retry = [
        ("message.timeout.ms", "60000"),
        ("retry.backoff.ms", "20"),
        ("retry.backoff.max.ms", "50"),
    ];
    let writer = producer(&bootstrap, &retry);
    let mut expected = BTreeMap::new();
    let mut sent = 0_usize;
    for kill in 0..6 {
        let wanted = writer.context().acked().len() + 400 + kill * 70;
        until("deliveries", || {
            for _ in 0..20 {
                let key = format!("key-{}", sent * 7 % 31);
                let value = format!("{sent:06}");
                let tombstone = sent % 13 == 5;
                let mut record = BaseRecord::<str, str>::to("table").partition(0).key(&key);
                record.payload = Some(value.as_str()).filter(|_| !tombstone);
                writer.send(record).map_err(|(error, _)| error).unwrap();
                if tombstone {
                    expected.remove(&key);
                } else {
                    expected.insert(key, value);
                }
                sent += 1;
            }
            writer.poll(Duration::from_millis(1));
            (writer.context().acked().len() >= wanted).then_some(())
        });
        drop(process);
        process = Process::start_with(&file, port, &clean);
    }
    writer.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(writer.context().failed(), Vec::<String>::new());
    put(&writer, "table", Some("end"), Some("end"));
    expected.insert("end".to_owned(), "end".to_owned());
    until("compaction to come to its end", || {
        let records = all(&bootstrap, "table", "read_committed");
        assert!(records.is_sorted_by(|one, next| one.0 < next.0));
        let mut table = BTreeMap::new();
        for (_, key, value) in &records {
            match value {
                Some(value) => drop(table.insert(key.clone(), value.clone())),
                None => drop(table.remove(key)),
            }
        }
        assert_eq!(table, expected);
        (records.len() <= expected.len() + 20).then_some(())
    });
    assert_eq!(
        all(&bootstrap, "table", "read_committed").last().unwrap().0,
        i64::try_from(sent).unwrap()
    );
}

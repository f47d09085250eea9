//! The embedded broker, seen through a Kafka client.

mod embedded_support;

use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, EmbeddedError};
use embedded_support::{
    block_on, client, create_topic, held_by, member, numbered, produce, producer, read, send,
    start, start_on, until, until_shared,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

#[test]
fn what_is_produced_is_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 2);
    produce(&bootstrap, "orders", 1, numbered(0..5_000));
    assert_eq!(
        read(&bootstrap, "orders", 1, 5_000, &[]),
        numbered(0..5_000).collect::<Vec<_>>()
    );
    broker.stop();
}

#[test]
fn every_compression_passes_through() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create_topic(&bootstrap, codec, 1);
        let producer = producer(
            &bootstrap,
            &[("compression.type", codec), ("linger.ms", "20")],
        );
        for payload in numbered(0..500) {
            send(&producer, codec, 0, &payload);
        }
        producer.flush(embedded_support::PATIENCE).unwrap();
        assert_eq!(
            read(&bootstrap, codec, 0, 500, &[]),
            numbered(0..500).collect::<Vec<_>>(),
            "{codec}"
        );
    }
}

#[test]
fn a_restart_keeps_topics_records_and_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let (bootstrap, port) = (broker.bootstrap_servers(), broker.port());
    create_topic(&bootstrap, "orders", 3);
    produce(&bootstrap, "orders", 2, numbered(0..1_000));
    let reader = member(&bootstrap, "readers", "orders", &[]);
    until_shared(&[&reader], 3);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("orders", 2, Offset::Offset(400))
        .unwrap();
    reader.commit(&list, CommitMode::Sync).unwrap();
    drop(reader);
    broker.stop();

    let broker = start_on(folder.path(), port);
    produce(&bootstrap, "orders", 2, numbered(1_000..1_100));
    assert_eq!(
        read(&bootstrap, "orders", 2, 1_100, &[]),
        numbered(0..1_100).collect::<Vec<_>>()
    );
    let tool: BaseConsumer = client(&bootstrap)
        .set("group.id", "readers")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("orders", 2);
    let committed = tool
        .committed_offsets(list, embedded_support::PATIENCE)
        .unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(400));
    broker.stop();
}

#[test]
fn a_group_shares_partitions_whether_it_rebalances_eagerly_or_cooperatively() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 4);
    for strategy in ["range", "roundrobin", "cooperative-sticky"] {
        let settings = [("partition.assignment.strategy", strategy)];
        let first = member(&bootstrap, strategy, "orders", &settings);
        until_shared(&[&first], 4);
        let second = member(&bootstrap, strategy, "orders", &settings);
        let held = until_shared(&[&first, &second], 4);
        assert_eq!(
            held.iter().map(Vec::len).collect::<Vec<_>>(),
            [2, 2],
            "{strategy}"
        );
        drop(second);
        until_shared(&[&first], 4);
    }
}

#[test]
fn a_static_member_that_restarts_keeps_its_partitions_and_the_other_notices_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 4);
    for strategy in ["range", "cooperative-sticky"] {
        let settings = |instance| {
            [
                ("group.instance.id", instance),
                ("partition.assignment.strategy", strategy),
                ("session.timeout.ms", "20000"),
            ]
        };
        let stays = member(&bootstrap, strategy, "orders", &settings("a"));
        until_shared(&[&stays], 4);
        let goes = member(&bootstrap, strategy, "orders", &settings("b"));
        let held = until_shared(&[&stays, &goes], 4);
        let seen_before = stays.context().0.lock().unwrap().clone();
        drop(goes);
        let back = member(&bootstrap, strategy, "orders", &settings("b"));
        until("the member to be back", || {
            for member in [&stays, &back] {
                assert!(!matches!(
                    member.poll(Duration::from_millis(20)),
                    Some(Err(_))
                ));
            }
            (held_by(&back) == held[1]).then_some(())
        });
        // A rebalance would reach the other with one of its next heartbeats.
        let heard = std::time::Instant::now() + Duration::from_secs(1);
        until("five heartbeats", || {
            assert!(!matches!(
                stays.poll(Duration::from_millis(50)),
                Some(Err(_))
            ));
            (std::time::Instant::now() > heard).then_some(())
        });
        assert_eq!(held_by(&stays), held[0], "{strategy}");
        assert_eq!(
            *stays.context().0.lock().unwrap(),
            seen_before,
            "{strategy}"
        );
    }
}

#[test]
fn a_second_holder_of_an_instance_fences_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let first = member(
        &bootstrap,
        "readers",
        "orders",
        &[("group.instance.id", "a")],
    );
    until_shared(&[&first], 1);
    let second = member(
        &bootstrap,
        "readers",
        "orders",
        &[("group.instance.id", "a")],
    );
    until_shared(&[&second], 1);
    let error = until("the first to be told", || {
        match first.poll(Duration::from_millis(50)) {
            Some(Err(error)) => Some(error),
            Some(Ok(_)) | None => None,
        }
    });
    assert_eq!(
        error.rdkafka_error_code(),
        Some(rdkafka::types::RDKafkaErrorCode::FencedInstanceId),
        "{error}"
    );
}

#[test]
fn a_member_that_dies_is_replaced_after_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 2);
    let settings = [
        ("session.timeout.ms", "1000"),
        ("group.instance.id", "dies"),
    ];
    let dies = member(&bootstrap, "readers", "orders", &settings);
    until_shared(&[&dies], 2);
    let lives = member(&bootstrap, "readers", "orders", &[]);
    until_shared(&[&dies, &lives], 2);
    drop(dies); // A static member does not say goodbye.
    until_shared(&[&lives], 2);
}

#[test]
fn fetch_limits_hold_and_a_large_batch_still_comes() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let large: Vec<String> = (0..20).map(|number| format!("{number:050000}")).collect();
    produce(&bootstrap, "orders", 0, large.clone());
    let limits = [
        ("fetch.max.bytes", "1000"),
        ("message.max.bytes", "1000"),
        ("max.partition.fetch.bytes", "1000"),
    ];
    assert_eq!(read(&bootstrap, "orders", 0, 20, &limits), large);
}

#[test]
fn offsets_are_found_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let producer = producer(&bootstrap, &[("linger.ms", "50")]);
    for number in 0..10_i64 {
        let record = rdkafka::producer::BaseRecord::<(), str>::to("orders")
            .partition(0)
            .timestamp(1_000 + number * 10)
            .payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(embedded_support::PATIENCE).unwrap();
    let tool: BaseConsumer = client(&bootstrap).set("group.id", "tool").create().unwrap();
    let at = |time| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("orders", 0, Offset::Offset(time))
            .unwrap();
        tool.offsets_for_times(list, embedded_support::PATIENCE)
            .unwrap()
            .elements()[0]
            .offset()
    };
    assert_eq!(at(1), Offset::Offset(0));
    assert_eq!(at(1_045), Offset::Offset(5));
    assert_eq!(at(2_000), Offset::End);
    assert_eq!(
        tool.fetch_watermarks("orders", 0, embedded_support::PATIENCE)
            .unwrap(),
        (0, 10)
    );
}

#[test]
fn topics_are_widened_deleted_and_never_made_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    let admin = embedded_support::admin(&bootstrap);
    let options = rdkafka::admin::AdminOptions::new();
    create_topic(&bootstrap, "orders", 1);
    block_on(admin.create_partitions(&[rdkafka::admin::NewPartitions::new("orders", 3)], &options))
        .unwrap()[0]
        .as_ref()
        .unwrap();
    let metadata = admin
        .inner()
        .fetch_metadata(Some("orders"), embedded_support::PATIENCE)
        .unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    produce(&bootstrap, "orders", 2, numbered(0..10));
    block_on(admin.delete_topics(&["orders"], &options)).unwrap()[0]
        .as_ref()
        .unwrap();
    let metadata = admin
        .inner()
        .fetch_metadata(None, embedded_support::PATIENCE)
        .unwrap();
    assert_eq!(metadata.topics().len(), 0);
    let metadata = admin
        .inner()
        .fetch_metadata(Some("orders"), embedded_support::PATIENCE)
        .unwrap();
    assert!(metadata.topics()[0].error().is_some());
}

#[test]
fn settings_are_described_with_defaults_changed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let admin = embedded_support::admin(&bootstrap);
    let options = rdkafka::admin::AdminOptions::new();
    // The client's wrapper drops the broker's refusal, so what counts is what is described afterwards.
    for value in ["2000", "much"] {
        let change = rdkafka::admin::AlterConfig::new(topic()).set("max.message.bytes", value);
        block_on(admin.alter_configs(&[change], &options)).unwrap();
    }
    let described = block_on(admin.describe_configs(&[topic()], &options))
        .unwrap()
        .remove(0)
        .unwrap();
    let value = |name| described.get(name).unwrap().value.clone().unwrap();
    assert_eq!(value("max.message.bytes"), "2000");
    assert_eq!(value("cleanup.policy"), "delete");
    let producer = producer(&bootstrap, &[]);
    send(&producer, "orders", 0, &"x".repeat(3_000));
    producer.flush(embedded_support::PATIENCE).unwrap();
    assert_eq!(producer.context().failed().len(), 1);
}

fn topic() -> rdkafka::admin::ResourceSpecifier<'static> {
    rdkafka::admin::ResourceSpecifier::Topic("orders")
}

#[test]
fn a_port_and_a_file_have_one_broker() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let listen = ([127, 0, 0, 1], broker.port()).into();
    let config = |folder: &std::path::Path, listen| EmbeddedConfig {
        path: folder.join("broker.db"),
        listen,
        ..EmbeddedConfig::default()
    };
    let taken = EmbeddedBroker::start(config(other.path(), listen)).unwrap_err();
    assert!(matches!(taken, EmbeddedError::PortTaken { .. }), "{taken}");
    let in_use =
        EmbeddedBroker::start(config(folder.path(), ([127, 0, 0, 1], 0).into())).unwrap_err();
    assert!(
        in_use
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{in_use}"
    );
    let open = EmbeddedBroker::start(config(other.path(), ([0, 0, 0, 0], 0).into())).unwrap_err();
    assert!(matches!(open, EmbeddedError::NotLoopback { .. }), "{open}");
    broker.stop();
    start(folder.path()).stop();
}

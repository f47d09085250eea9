//! The embedded broker when its process is killed, and when its file refuses.

mod embedded_support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use embedded_support::process::{Process, example};
use embedded_support::{
    PATIENCE, SPILL, client, create_topic, inline, numbered, producer, read, read_with_offsets,
    send, start, start_with, tally, until,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let mut process = Process::start_with(&file, 0, &SPILL);
    let (bootstrap, port) = (process.bootstrap.clone(), process.port());
    create_topic(&bootstrap, "orders", 3);
    let producer = producer(
        &bootstrap,
        &[
            ("message.timeout.ms", "60000"),
            ("retry.backoff.ms", "20"),
            ("retry.backoff.max.ms", "50"),
        ],
    );
    let mut sent = 0;
    for kill in 0..4 {
        // Killed while requests are on their way: after some of them are acknowledged, not after all.
        let wanted = producer.context().acked().len() + 150 + kill * 40;
        until("deliveries", || {
            for _ in 0..20 {
                send(
                    &producer,
                    "orders",
                    i32::try_from(sent % 3).unwrap(),
                    &format!("{sent:06}"),
                );
                sent += 1;
            }
            producer.poll(Duration::from_millis(1));
            (producer.context().acked().len() >= wanted).then_some(())
        });
        drop(process);
        process = Process::start_with(&file, port, if kill % 2 == 0 { &[] } else { &SPILL });
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(producer.context().failed(), Vec::<String>::new());
    assert_eq!(producer.context().acked().len(), sent);
    for partition in 0..3_usize {
        let expected: Vec<String> = numbered(0..sent).skip(partition).step_by(3).collect();
        let records = read(
            &bootstrap,
            "orders",
            i32::try_from(partition).unwrap(),
            expected.len(),
            &[],
        );
        assert_eq!(records, expected, "partition {partition}");
    }
    let delivered = producer.context().0.lock().unwrap().clone();
    let there: std::collections::BTreeMap<i64, String> =
        read_with_offsets(&bootstrap, "orders", 0, sent.div_ceil(3), &[])
            .into_iter()
            .collect();
    for (payload, place) in delivered {
        if let Ok((0, offset)) = place {
            assert_eq!(
                there[&offset], payload,
                "an acknowledgement named another offset"
            );
        }
    }
}

#[test]
fn a_second_process_is_kept_off_the_file_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let first = Process::start(&file, 0);
    let second = Command::new(example())
        .args(["--path", file.to_str().unwrap(), "--port", "0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        message.contains("InUse") && message.contains(&first.child.id().to_string()),
        "{message}"
    );
    drop(first);
    Process::start(&file, 0);
}

#[test]
fn only_committed_transactions_are_read_also_when_the_broker_is_killed_amid_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let mut process = Process::start(&file, 0);
    let (bootstrap, port) = (process.bootstrap.clone(), process.port());
    create_topic(&bootstrap, "orders", 1);
    let settings = [
        ("transactional.id", "writer"),
        ("transaction.timeout.ms", "30000"),
    ];
    let writer = producer(&bootstrap, &settings);
    writer.init_transactions(PATIENCE).unwrap();
    let mut committed = Vec::new();
    for round in 0..12 {
        writer.begin_transaction().unwrap();
        for number in 0..5 {
            send(&writer, "orders", 0, &format!("{round}-{number}"));
        }
        if round % 5 == 2 {
            writer.flush(PATIENCE).unwrap();
            drop(process);
            process = Process::start(&file, port);
        }
        // The client wants its deliveries seen before it ends a transaction.
        writer.flush(PATIENCE).unwrap();
        if round % 3 == 1 {
            writer.abort_transaction(PATIENCE).unwrap();
        } else {
            writer.commit_transaction(PATIENCE).unwrap();
            committed.extend((0..5).map(|number| format!("{round}-{number}")));
        }
    }
    assert_eq!(
        read(
            &bootstrap,
            "orders",
            0,
            committed.len(),
            &[("isolation.level", "read_committed")]
        ),
        committed
    );
    let all = tally(read(
        &bootstrap,
        "orders",
        0,
        60,
        &[("isolation.level", "read_uncommitted")],
    ));
    assert_eq!((all.len(), all.values().sum::<usize>()), (60, 60));
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits_and_a_new_holder_fences_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let settings = [("transactional.id", "writer")];
    let writer = producer(&bootstrap, &settings);
    writer.init_transactions(PATIENCE).unwrap();
    let tool: BaseConsumer = client(&bootstrap)
        .set("group.id", "readers")
        .create()
        .unwrap();
    let group: ConsumerGroupMetadata = tool.group_metadata().unwrap();
    let committed = || {
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", 0);
        tool.committed_offsets(list, PATIENCE).unwrap().elements()[0].offset()
    };
    for (offset, commits, expected) in [
        (5, false, Offset::Invalid),
        (7, true, Offset::Offset(7)),
        (9, false, Offset::Offset(7)),
    ] {
        writer.begin_transaction().unwrap();
        send(&writer, "orders", 0, "x");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("orders", 0, Offset::Offset(offset))
            .unwrap();
        writer
            .send_offsets_to_transaction(&list, &group, PATIENCE)
            .unwrap();
        writer.flush(PATIENCE).unwrap();
        if commits {
            writer.commit_transaction(PATIENCE)
        } else {
            writer.abort_transaction(PATIENCE)
        }
        .unwrap();
        assert_eq!(committed(), expected);
    }
    writer.begin_transaction().unwrap();
    send(&writer, "orders", 0, "late");
    writer.flush(PATIENCE).unwrap();
    let heir = producer(&bootstrap, &settings);
    heir.init_transactions(PATIENCE).unwrap();
    let error = writer.commit_transaction(PATIENCE).unwrap_err();
    assert!(
        matches!(&error, KafkaError::Transaction(error) if error.is_fatal()),
        "{error:?}"
    );
    heir.begin_transaction().unwrap();
    send(&heir, "orders", 0, "heir");
    heir.commit_transaction(PATIENCE).unwrap();
    assert_eq!(
        read(
            &bootstrap,
            "orders",
            0,
            2,
            &[("isolation.level", "read_committed")]
        ),
        ["x", "heir"]
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let slow = producer(
        &bootstrap,
        &[
            ("transactional.id", "slow"),
            ("transaction.timeout.ms", "1000"),
            ("message.timeout.ms", "1000"),
        ],
    );
    slow.init_transactions(PATIENCE).unwrap();
    slow.begin_transaction().unwrap();
    send(&slow, "orders", 0, "slow");
    slow.flush(PATIENCE).unwrap();
    embedded_support::produce(&bootstrap, "orders", 0, ["quick".to_owned()]);
    // The reader waits behind the open transaction, and gets on when it is given up.
    assert_eq!(
        read(
            &bootstrap,
            "orders",
            0,
            1,
            &[("isolation.level", "read_committed")]
        ),
        ["quick"]
    );
    assert!(slow.commit_transaction(PATIENCE).is_err());
}

/// Another connection that holds SQLite's write lock is a file that refuses every change.
#[test]
fn a_file_that_refuses_is_told_to_clients_and_memory_keeps_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), inline);
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    embedded_support::produce(&bootstrap, "orders", 0, ["before".to_owned()]);
    let rival = rusqlite::Connection::open(folder.path().join("broker.db")).unwrap();
    rival.execute_batch("begin immediate").unwrap();
    let settings = [
        ("message.timeout.ms", "60000"),
        ("retries", "0"),
        ("enable.idempotence", "false"),
    ];
    let writer = producer(&bootstrap, &settings);
    writer
        .send(
            BaseRecord::<(), str>::to("orders")
                .partition(0)
                .payload("refused"),
        )
        .map_err(|(error, _)| error)
        .unwrap();
    let began = Instant::now();
    let refusals = until("the refusal", || {
        writer.poll(Duration::from_millis(50));
        Some(writer.context().failed()).filter(|failed| !failed.is_empty())
    });
    assert!(began.elapsed() < PATIENCE);
    assert!(refusals[0].contains("Disk error"), "{refusals:?}");
    rival.execute_batch("rollback").unwrap();
    let after = embedded_support::produce(&bootstrap, "orders", 0, ["after".to_owned()]);
    assert_eq!(
        after.0.lock().unwrap()[0].1,
        Ok((0, 1)),
        "the refused record took no offset"
    );
    assert_eq!(read(&bootstrap, "orders", 0, 2, &[]), ["before", "after"]);
}

//! `kill -9` of the embedded broker, and what it had acknowledged.
//!
//! The facts play both parts: they start themselves as another process, which is the broker. They are about the embedded broker whatever
//! the suite runs against.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use backstitch_broker::{KafkaConfig, NewTopicSpec, Producer, TopicPartition, read_all};

use crate::probe::Plan;
use crate::wire::{Wire, batch};
use crate::world::{PATIENCE, embedded, eventually, text, to, unique};

const FILE: &str = "BACKSTITCH_TEST_BROKER_FILE";
const LISTEN: &str = "BACKSTITCH_TEST_BROKER_LISTEN";

/// If this process was started as a broker, is one until it is killed.
fn be_the_broker() -> bool {
    let (Ok(file), Ok(listen)) = (std::env::var(FILE), std::env::var(LISTEN)) else {
        return false;
    };
    let broker = embedded(Path::new(&file), &listen);
    println!("listening {}", broker.bootstrap_servers());
    loop {
        std::thread::park();
    }
}

/// A broker in a process of its own.
struct Victim {
    process: Child,
    bootstrap: String,
    /// Kept open: the test harness in that process ends it when it can't print.
    _stdout: BufReader<ChildStdout>,
}

impl Victim {
    fn start(fact: &str, file: &Path, listen: &str) -> Victim {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", fact, "--nocapture"])
            .env(FILE, file)
            .env(LISTEN, listen)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let bootstrap = stdout
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("listening ")
                    .map(|(_, address)| address.to_owned())
            })
            .expect("the broker starts");
        Victim {
            process,
            bootstrap,
            _stdout: stdout,
        }
    }

    /// Ends it as a crash would.
    fn kill(self) {}
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_killed_broker_comes_back_with_all_that_it_acknowledged() {
    if be_the_broker() {
        return;
    }
    const FACT: &str = "crash::a_killed_broker_comes_back_with_all_that_it_acknowledged";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let (topic, group) = (unique("crash"), unique("group"));
    let mut broker = Victim::start(FACT, &file, "127.0.0.1:0");
    let listen = broker.bootstrap.clone();
    let config = KafkaConfig::new(&listen);
    backstitch_broker::Admin::new(&config)
        .unwrap()
        .create_topics(&[NewTopicSpec::new(&topic, 2)])
        .unwrap();

    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let producer = Producer::new(&config, {
        let acknowledged = acknowledged.clone();
        move |batch| acknowledged.lock().unwrap().push(batch)
    })
    .unwrap();
    let mut plan = Plan::new(&group, &topic);
    plan.config = config.clone();
    let probe = plan.start();

    // Three times: batches are on their way while the broker dies, and go on after it is back.
    let mut sent = 0;
    for round in 1..=3 {
        for _ in 0..50 {
            let records = (0..20)
                .map(|n| to(&topic, n % 2, format!("{sent:04}-{n:02}")))
                .collect();
            producer.send(sent, records).unwrap();
            sent += 1;
        }
        eventually("some batches are through", || {
            acknowledged.lock().unwrap().len() > usize::try_from(sent).unwrap() - 50
        });
        let offset = 10 * round;
        probe.await_records(usize::try_from(2 * offset).unwrap());
        let admin = backstitch_broker::Admin::new(&config).unwrap();
        eventually("the commit", || {
            // Again and again, for the member has to join anew after a crash.
            probe
                .control()
                .commit(vec![(TopicPartition::new(topic.as_str(), 0), offset)]);
            admin
                .committed_offsets(&group, &[TopicPartition::new(topic.as_str(), 0)])
                .unwrap()[0]
                .1
                == Some(offset)
        });
        broker.kill();
        broker = Victim::start(FACT, &file, &listen);
        assert_eq!(
            backstitch_broker::Admin::new(&config)
                .unwrap()
                .committed_offsets(&group, &[TopicPartition::new(topic.as_str(), 0)])
                .unwrap()[0]
                .1,
            Some(offset)
        );
    }
    producer.flush(PATIENCE).unwrap();
    let done = acknowledged.lock().unwrap().clone();
    assert_eq!(done.len(), usize::try_from(sent).unwrap());
    assert!(done.iter().all(|batch| batch.result.is_ok()), "{done:?}");

    let stored = read_all(&config, &topic, 100_000).unwrap();
    for partition in 0..2 {
        let got: Vec<String> = stored
            .iter()
            .filter(|r| r.partition == partition)
            .map(|r| text(r.payload.as_ref()))
            .collect();
        let expected: Vec<String> = (0..sent)
            .flat_map(|batch| (0..10).map(move |n| format!("{batch:04}-{:02}", 2 * n + partition)))
            .collect();
        assert_eq!(
            got, expected,
            "each record once and in order, partition {partition}"
        );
    }
    probe.await_until("the member sees it all, across the crashes", |seen| {
        let offsets: std::collections::BTreeSet<(i32, i64)> =
            seen.records().map(|r| (r.partition, r.offset)).collect();
        offsets.len() == stored.len()
    });
}

#[test]
fn a_killed_broker_still_knows_the_sequences_it_had_acknowledged() {
    if be_the_broker() {
        return;
    }
    const FACT: &str = "crash::a_killed_broker_still_knows_the_sequences_it_had_acknowledged";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.db");
    let topic = unique("sequences");
    let broker = Victim::start(FACT, &file, "127.0.0.1:0");
    let listen = broker.bootstrap.clone();
    let admin = backstitch_broker::Admin::new(&KafkaConfig::new(&listen)).unwrap();
    admin
        .create_topics(&[NewTopicSpec::new(&topic, 1)])
        .unwrap();
    let mut wire = Wire::connect(&listen);
    let producer = wire.producer_id();
    assert_eq!(
        wire.produce(&topic, 0, batch(producer, 0, &["a", "b"])),
        (0, 0)
    );
    broker.kill();

    let broker = Victim::start(FACT, &file, &listen);
    let mut wire = Wire::connect(&broker.bootstrap);
    let (code, offset) = wire.produce(&topic, 0, batch(producer, 0, &["a", "b"]));
    assert!(code == 46 || (code, offset) == (0, 0), "{code} {offset}");
    assert_eq!(wire.produce(&topic, 0, batch(producer, 2, &["c"])), (0, 2));
    assert_ne!(wire.producer_id().0, producer.0, "ids are not given twice");
}

#[test]
fn a_consumer_whose_broker_dies_stops_in_time() {
    if be_the_broker() {
        return;
    }
    const FACT: &str = "crash::a_consumer_whose_broker_dies_stops_in_time";
    let folder = tempfile::tempdir().unwrap();
    let topic = unique("orphan");
    let broker = Victim::start(FACT, &folder.path().join("broker.db"), "127.0.0.1:0");
    let config = KafkaConfig::new(&broker.bootstrap);
    backstitch_broker::Admin::new(&config)
        .unwrap()
        .create_topics(&[NewTopicSpec::new(&topic, 1)])
        .unwrap();
    let mut plan = Plan::new(&unique("group"), &topic);
    plan.config = config;
    let probe = plan.start();
    probe.await_owned(1);
    broker.kill();
    probe
        .control()
        .commit(vec![(TopicPartition::new(topic.as_str(), 0), 0)]);
    let begun = std::time::Instant::now();
    probe.stop();
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
}

//! What the tests of the embedded broker share: brokers in temporary folders, short-lived clients, waits with a deadline.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and a failure is the test's"
)]

pub mod asks;
pub mod diary;
pub mod frames;
pub mod process;
pub mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, TopicPartitionList};

/// Longest wait for anything that should happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Where a broker in a folder has its segments.
pub const RECORDS: &str = "broker.db-records";
/// What has a broker put all records into segments, and begin new ones often.
pub const SPILL: [&str; 4] = ["--inline-bytes", "0", "--segment-bytes", "4096"];

/// The same as [`SPILL`].
pub fn spill(config: &mut EmbeddedConfig) {
    (config.inline_bytes_max, config.segment_bytes) = (0, 4_096);
}

/// Has a broker keep all records in its SQLite file.
pub fn inline(config: &mut EmbeddedConfig) {
    config.inline_bytes_max = usize::MAX;
}

pub fn start(folder: &Path) -> EmbeddedBroker {
    start_on(folder, 0)
}

pub fn start_on(folder: &Path, port: u16) -> EmbeddedBroker {
    start_with(folder, |config| config.listen.set_port(port))
}

/// A broker on a free port, with settings of its own.
pub fn start_with(folder: &Path, set: impl FnOnce(&mut EmbeddedConfig)) -> EmbeddedBroker {
    let mut config = EmbeddedConfig {
        path: folder.join("broker.db"),
        listen: ([127, 0, 0, 1], 0).into(),
        ..EmbeddedConfig::default()
    };
    set(&mut config);
    EmbeddedBroker::start(config).unwrap()
}

/// All that a broker keeps in a folder, as a kill leaves it.
pub fn copy_files(from: &Path, to: &Path) {
    for name in ["broker.db", "broker.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
    let (records, copied) = (from.join(RECORDS), to.join(RECORDS));
    let Ok(segments) = fs::read_dir(&records) else {
        return;
    };
    fs::create_dir_all(&copied).unwrap();
    for segment in segments {
        let name = segment.unwrap().file_name();
        // One that is done with may go meanwhile.
        let _ = fs::copy(records.join(&name), copied.join(&name));
    }
}

/// The segments of a broker in a folder.
pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder.join(RECORDS)) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// Polls `done` until it gives something. `done` must block for a moment itself, as a client's poll does.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

pub fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    client(bootstrap).create().unwrap()
}

pub fn create_topic(bootstrap: &str, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let created = block_on(admin(bootstrap).create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert_eq!(created, vec![Ok(name.to_owned())]);
}

/// A topic of one partition with these settings.
pub fn create_topic_with(bootstrap: &str, name: &str, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    for (setting, value) in settings {
        topic = topic.set(setting, value);
    }
    let created = block_on(admin(bootstrap).create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert_eq!(created, vec![Ok(name.to_owned())]);
}

/// A payload, and its partition and offset or the error.
pub type Delivered = (String, Result<(i32, i64), String>);

/// Notes every delivery.
#[derive(Clone, Default)]
pub struct Deliveries(pub Arc<Mutex<Vec<Delivered>>>);

impl Deliveries {
    pub fn acked(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter(|(_, result)| result.is_ok())
            .map(|(payload, _)| payload.clone())
            .collect()
    }

    pub fn failed(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter_map(|(_, result)| result.clone().err())
            .collect()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (message, result) = match result {
            Ok(message) => (message, Ok((message.partition(), message.offset()))),
            Err((error, message)) => (message, Err(error.to_string())),
        };
        let payload = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
        self.0.lock().unwrap().push((payload, result));
    }
}

pub fn producer(bootstrap: &str, settings: &[(&str, &str)]) -> BaseProducer<Deliveries> {
    let mut config = client(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "0");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create_with_context(Deliveries::default()).unwrap()
}

pub fn send(producer: &BaseProducer<Deliveries>, topic: &str, partition: i32, payload: &str) {
    producer
        .send(
            BaseRecord::<(), str>::to(topic)
                .partition(partition)
                .payload(payload),
        )
        .map_err(|(error, _)| error)
        .unwrap();
}

pub fn produce(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    payloads: impl IntoIterator<Item = String>,
) -> Deliveries {
    let producer = producer(bootstrap, &[]);
    for payload in payloads {
        send(&producer, topic, partition, &payload);
    }
    producer.flush(PATIENCE).unwrap();
    let deliveries = Deliveries::clone(producer.context());
    assert_eq!(deliveries.failed(), Vec::<String>::new());
    deliveries
}

/// Reads a partition from its start until `count` records are there: their payloads in order.
pub fn read(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    count: usize,
    settings: &[(&str, &str)],
) -> Vec<String> {
    read_with_offsets(bootstrap, topic, partition, count, settings)
        .into_iter()
        .map(|(_, payload)| payload)
        .collect()
}

pub fn read_with_offsets(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    count: usize,
    settings: &[(&str, &str)],
) -> Vec<(i64, String)> {
    let mut config = client(bootstrap);
    config
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    until("records", || {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let payload =
                String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
            records.push((message.offset(), payload));
        }
        (records.len() >= count).then_some(())
    });
    records
}

/// Counts what a rebalance does to a member.
#[derive(Clone, Default)]
pub struct Rebalances(pub Arc<Mutex<Vec<String>>>);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.0.lock().unwrap().push(match rebalance {
            Rebalance::Assign(list) => format!("assign {}", list.count()),
            Rebalance::Revoke(list) => format!("revoke {}", list.count()),
            Rebalance::Error(error) => format!("error {error}"),
        });
    }
}

pub fn member(
    bootstrap: &str,
    group: &str,
    topic: &str,
    settings: &[(&str, &str)],
) -> BaseConsumer<Rebalances> {
    let mut config = client(bootstrap);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "200");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer<Rebalances> =
        config.create_with_context(Rebalances::default()).unwrap();
    consumer.subscribe(&[topic]).unwrap();
    consumer
}

/// Polls all members until together they hold `count` partitions of the topic, each of them at least one.
pub fn until_shared(members: &[&BaseConsumer<Rebalances>], count: usize) -> Vec<Vec<i32>> {
    until("every partition to have its member", || {
        let mut held = Vec::new();
        for member in members {
            if let Some(Err(error)) = member.poll(Duration::from_millis(20)) {
                panic!("a member fails: {error}");
            }
            held.push(held_by(member));
        }
        let all: usize = held.iter().map(Vec::len).sum();
        (all == count && held.iter().all(|partitions| !partitions.is_empty())).then_some(held)
    })
}

pub fn held_by(member: &BaseConsumer<Rebalances>) -> Vec<i32> {
    let mut held: Vec<i32> = member
        .assignment()
        .unwrap()
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect();
    held.sort_unstable();
    held
}

/// Payloads, numbered.
pub fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("{number:06}"))
}

/// How often each payload is there.
pub fn tally(payloads: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for payload in payloads {
        *tally.entry(payload).or_default() += 1;
    }
    tally
}

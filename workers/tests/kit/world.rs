//! A world for one test: an embedded broker with topics, a sender of commands, and a collector of what workers send.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use backstitch_broker::{
    Admin, Consumer, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord, KafkaConfig,
    NewTopicSpec, OutgoingRecord, Producer, StartAt, TopicPartition,
};
use backstitch_schemas::wire::Topics;
use backstitch_schemas::{Codec, Command, DeadLetter, Direction, Reply, ReplyOutcome};
use backstitch_workers::order::{OrderWorkerOptions, order_activities_with_undo};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Longer than anything here should take on a machine that is busy with other builds.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) kafka: KafkaConfig,
    pub(crate) topics: Topics,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) codec: Codec,
    heard: Arc<Heard>,
    producer: Producer,
    _collector: Consumer,
    _broker: EmbeddedBroker,
}

#[derive(Default)]
struct Heard {
    records: Mutex<Vec<IncomingRecord>>,
    more: Notify,
}

struct Collector(Arc<Heard>);

impl ConsumerHandler for Collector {
    fn assigned(&mut self, _: &[TopicPartition]) -> Vec<StartAt> {
        Vec::new()
    }
    fn revoked(&mut self, _: &[TopicPartition], _: bool) {}
    fn records(&mut self, records: Vec<IncomingRecord>) {
        self.0.records.lock().unwrap().extend(records);
        self.0.more.notify_waiters();
    }
    fn failed(&mut self, _: ConsumerError) {
        // What matters shows as a wait in vain.
    }
}

impl World {
    /// A world with two partitions a command topic.
    pub(crate) fn new() -> Self {
        Self::with_partitions(2)
    }

    pub(crate) fn with_partitions(partitions: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::start(EmbeddedConfig {
            path: folder.path().join("broker.db"),
            listen: ([127, 0, 0, 1], 0).into(),
            ..EmbeddedConfig::default()
        })
        .unwrap();
        let kafka = KafkaConfig::new(broker.bootstrap_servers());
        let topics = Topics::default();
        let mut specs = vec![
            NewTopicSpec::new(topics.inbox(), 2),
            NewTopicSpec::new(topics.dead_letters(), 1),
        ];
        for activity in order_activities_with_undo() {
            specs.push(NewTopicSpec::new(topics.commands(activity), partitions));
        }
        Admin::new(&kafka).unwrap().create_topics(&specs).unwrap();
        let heard = Arc::new(Heard::default());
        let options = ConsumerOptions::new("collector", [topics.inbox(), topics.dead_letters()]);
        let collector = Consumer::start(&kafka, options, Collector(Arc::clone(&heard))).unwrap();
        let producer = Producer::new(&kafka, |_| {}).unwrap();
        Self {
            kafka,
            topics,
            folder,
            codec: Codec::single_object(),
            heard,
            producer,
            _collector: collector,
            _broker: broker,
        }
    }

    pub(crate) fn order_options(&self) -> OrderWorkerOptions {
        OrderWorkerOptions::new(self.kafka.clone(), self.folder.path())
    }

    /// A command as an orchestrator would send it; the reply goes to inbox partition 1, whatever the key.
    pub(crate) fn command(&self, saga: &str, activity: &str, direction: Direction) -> Command {
        let now = now_ms();
        Command {
            saga: saga.to_owned(),
            definition: "process-order".to_owned(),
            step: "step".to_owned(),
            direction,
            attempt: 1,
            activity: activity.to_owned(),
            idempotency_key: format!("{saga}/step/{}", direction.as_str()),
            done_key: (direction == Direction::Undo).then(|| format!("{saga}/step/do")),
            input: json!({ "order_id": saga, "amount": 12 })
                .to_string()
                .into_bytes(),
            output: None,
            reply_topic: self.topics.inbox(),
            reply_partition: 1,
            sent_at_ms: now,
            deadline_ms: now + 60_000,
            heartbeat_ms: None,
        }
    }

    pub(crate) fn send(&self, command: &Command) {
        self.send_all(std::slice::from_ref(command));
    }

    pub(crate) fn send_all(&self, commands: &[Command]) {
        let records = commands
            .iter()
            .map(|command| self.record(command))
            .collect();
        self.send_records(records);
    }

    /// The record of a command, keyed by its saga.
    pub(crate) fn record(&self, command: &Command) -> OutgoingRecord {
        let payload = self.codec.encode_command(command).unwrap();
        OutgoingRecord::new(self.topics.commands(&command.activity), payload)
            .with_key(command.saga.as_str())
    }

    pub(crate) fn send_records(&self, records: Vec<OutgoingRecord>) {
        self.producer.send(0, records).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Waits until what was collected satisfies, and returns what the question returns.
    async fn until<T>(&self, what: &str, ask: impl Fn(&[IncomingRecord]) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let more = self.heard.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(answer) = ask(&self.heard.records.lock().unwrap()) {
                    return answer;
                }
                more.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(answer) => answer,
            Err(_) => panic!(
                "waited in vain for {what}; there are {:#?} and {:#?}",
                self.replies_of(&self.heard.records.lock().unwrap()),
                self.letters_of(&self.heard.records.lock().unwrap())
            ),
        }
    }

    fn replies_of(&self, records: &[IncomingRecord]) -> Vec<(i32, Reply)> {
        records
            .iter()
            .filter(|record| *record.topic == *self.topics.inbox())
            .map(|record| {
                let bytes = record.payload.as_deref().unwrap();
                (record.partition, self.codec.decode_reply(bytes).unwrap())
            })
            .collect()
    }

    fn letters_of(&self, records: &[IncomingRecord]) -> Vec<DeadLetter> {
        records
            .iter()
            .filter(|record| *record.topic == *self.topics.dead_letters())
            .map(|record| {
                self.codec
                    .decode_dead_letter(record.payload.as_deref().unwrap())
                    .unwrap()
            })
            .collect()
    }

    /// Waits for so many final replies and returns them; each must lie in the partition that the command named.
    pub(crate) async fn replies(&self, count: usize) -> Vec<Reply> {
        self.until(&format!("{count} replies"), |records| {
            let replies: Vec<Reply> = self
                .replies_of(records)
                .into_iter()
                .inspect(|(partition, _)| assert_eq!(*partition, 1))
                .map(|(_, reply)| reply)
                .filter(|reply| reply.outcome != ReplyOutcome::Heartbeat)
                .collect();
            (replies.len() >= count).then_some(replies)
        })
        .await
    }

    pub(crate) async fn heartbeats(&self, count: usize) -> Vec<Reply> {
        self.until(&format!("{count} heartbeats"), |records| {
            let replies: Vec<Reply> = self
                .replies_of(records)
                .into_iter()
                .map(|(_, reply)| reply)
                .filter(|reply| reply.outcome == ReplyOutcome::Heartbeat)
                .collect();
            (replies.len() >= count).then_some(replies)
        })
        .await
    }

    pub(crate) async fn letters(&self, count: usize) -> Vec<DeadLetter> {
        self.until(&format!("{count} dead letters"), |records| {
            let letters = self.letters_of(records);
            (letters.len() >= count).then_some(letters)
        })
        .await
    }

    /// The raw records of the inbox so far.
    pub(crate) fn inbox_records(&self) -> Vec<IncomingRecord> {
        let records = self.heard.records.lock().unwrap();
        records
            .iter()
            .filter(|record| *record.topic == *self.topics.inbox())
            .cloned()
            .collect()
    }

    /// What the group of an activity's workers has committed, in all.
    pub(crate) fn committed(&self, activity: &str, partitions: i32) -> i64 {
        let topic = self.topics.commands(activity);
        let partitions: Vec<TopicPartition> = (0..partitions)
            .map(|number| TopicPartition::new(topic.as_str(), number))
            .collect();
        Admin::new(&self.kafka)
            .unwrap()
            .committed_offsets(&self.topics.worker_group(activity), &partitions)
            .unwrap()
            .into_iter()
            .filter_map(|(_, offset)| offset)
            .sum()
    }
}

pub(crate) fn output(reply: &Reply) -> Value {
    serde_json::from_slice(reply.output.as_deref().unwrap()).unwrap()
}

pub(crate) fn now_ms() -> i64 {
    i64::try_from(
        std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

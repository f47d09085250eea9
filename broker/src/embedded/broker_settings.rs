//! The settings of the broker as tools see them: Kafka's names where they mean the same, its own beside them.

use super::broker::{Broker, NODE};
use super::config::EmbeddedConfig;
use super::fetch::ANSWER_BYTES_MAX;
use super::membership::SESSION_MAX;
use super::offsets::METADATA_MAX;
use super::settings::{Kind, MAX_MESSAGE_BYTES_DEFAULT};

/// One setting. None can be changed while the broker serves.
#[derive(Debug)]
pub(crate) struct BrokerSetting {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) value: String,
    pub(crate) doc: &'static str,
}

/// Every setting, with the value that holds.
pub(crate) fn broker_settings(broker: &Broker) -> Vec<BrokerSetting> {
    let config = &broker.config;
    let listener = format!("PLAINTEXT://{}:{}", broker.host, broker.port);
    let of = |name, kind, value: String, doc| BrokerSetting {
        name,
        kind,
        value,
        doc,
    };
    let int = Kind::Int(0);
    let long = Kind::Long(0);
    vec![
        of(
            "advertised.listeners",
            Kind::Text,
            listener.clone(),
            "Where clients are told to connect.",
        ),
        of(
            "answers.bytes.max",
            long,
            config.answers_bytes_max.to_string(),
            "Record bytes that answers to all connections may hold together until they are sent.",
        ),
        of(
            "auto.create.topics.enable",
            Kind::Boolean,
            config.auto_create_topics.to_string(),
            "Whether a topic that a producer asks for is made.",
        ),
        of(
            "connections.max.idle.ms",
            long,
            config.idle_max.as_millis().to_string(),
            "How long a connection may ask nothing, or leave an answer unread, before it is closed.",
        ),
        of(
            "default.replication.factor",
            int,
            "1".to_owned(),
            "Copies of a partition: there is one broker.",
        ),
        of(
            "fetch.max.bytes",
            int,
            ANSWER_BYTES_MAX.to_string(),
            "Record bytes in one answer, whatever the reader would take.",
        ),
        of(
            "group.initial.rebalance.delay.ms",
            int,
            config.initial_rebalance_delay.as_millis().to_string(),
            "How long the first member of an empty group waits for others.",
        ),
        of(
            "group.max.session.timeout.ms",
            int,
            SESSION_MAX.as_millis().to_string(),
            "Longest session that a member may ask for.",
        ),
        of(
            "listeners",
            Kind::Text,
            listener,
            "Where the broker listens; loopback only.",
        ),
        of(
            "log.dirs",
            Kind::Text,
            config.path.display().to_string(),
            "The file that holds everything; large commits are in the folder beside it, -records.",
        ),
        of(
            "log.retention.bytes",
            Kind::Long(-1),
            retention_bytes(config).unwrap_or_else(|| "-1".to_owned()),
            "Bytes that a partition keeps of a topic that says nothing else; -1 is no limit.",
        ),
        of(
            "log.retention.ms",
            Kind::Long(-1),
            retention_ms(config).unwrap_or_else(|| "-1".to_owned()),
            "How long the records of a topic are kept that says nothing else; -1 is for ever.",
        ),
        of(
            "max.connections",
            int,
            config.connections_max.to_string(),
            "Connections served at once; a further one is told so and closed.",
        ),
        of(
            "message.max.bytes",
            int,
            MAX_MESSAGE_BYTES_DEFAULT.to_string(),
            "Largest batch of a topic that says nothing else.",
        ),
        of(
            "node.id",
            int,
            NODE.0.to_string(),
            "The number of this broker.",
        ),
        of(
            "num.partitions",
            int,
            config.default_partitions.to_string(),
            "Partitions of a topic that is made without a count.",
        ),
        of(
            "offset.metadata.max.bytes",
            int,
            METADATA_MAX.to_string(),
            "Bytes that may be committed beside an offset.",
        ),
        of(
            "offsets.retention.minutes",
            int,
            (config.offsets_retention.as_secs() / 60).to_string(),
            "How long the offsets of a group without members are kept.",
        ),
        of(
            "producer.id.expiration.ms",
            int,
            config.producers_retention.as_millis().to_string(),
            "How long a producer that writes no more is remembered.",
        ),
        of(
            "queued.max.request.bytes",
            long,
            config.requests_bytes_max.to_string(),
            "Bytes that the requests of all connections may hold together; further ones wait to be read.",
        ),
        of(
            "socket.request.max.bytes",
            int,
            config.request_bytes_max.to_string(),
            "Largest request; a larger one closes its connection.",
        ),
        of(
            "transaction.max.timeout.ms",
            int,
            config.transaction_timeout_max.as_millis().to_string(),
            "Longest time that a transaction may stay open.",
        ),
        of(
            "transactional.id.expiration.ms",
            int,
            config.producers_retention.as_millis().to_string(),
            "How long a transactional id that is not used is remembered.",
        ),
    ]
}

/// What the broker was started with for a setting that a topic leaves open; `None` where the default holds.
pub(crate) fn started_with(config: &EmbeddedConfig, topic_setting: &str) -> Option<String> {
    match topic_setting {
        "retention.ms" => retention_ms(config),
        "retention.bytes" => retention_bytes(config),
        _ => None,
    }
}

fn retention_ms(config: &EmbeddedConfig) -> Option<String> {
    config.retention.map(|age| age.as_millis().to_string())
}

fn retention_bytes(config: &EmbeddedConfig) -> Option<String> {
    config.retention_bytes.map(|bytes| bytes.to_string())
}

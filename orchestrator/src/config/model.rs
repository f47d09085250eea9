//! The sections of the configuration, with their defaults. What each key means is in `keys.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value;

/// Everything that can be configured. See [`super::KEYS`] for what each value means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// Where sagas rest.
    pub store: Store,
    /// The broker inside the process, for one machine.
    pub embedded: Embedded,
    /// What sagas do.
    pub definitions: Definitions,
    /// How topics are made.
    pub topics: TopicPlan,
    /// What bounds the engine.
    pub engine: Engine,
    /// How a process that stays begins.
    pub startup: Startup,
    /// How messages are framed, and what source events may be written with.
    pub schemas: Schemas,
    /// Logs and spans.
    pub telemetry: Telemetry,
    /// The reference order workers.
    pub workers: Workers,
}

/// How to reach Kafka.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, separated by commas; empty: the embedded broker.
    pub bootstrap_servers: String,
    /// Begins the names of all topics and groups.
    pub prefix: String,
    /// How the process is named to the broker.
    pub client_id: String,
    /// Static membership; empty: dynamic.
    pub instance_id: String,
    /// Silence after which partitions move.
    #[serde(with = "value::duration")]
    pub session_timeout: Duration,
    /// How long a fetch may be held back for company.
    #[serde(with = "value::duration")]
    pub fetch_pacing: Duration,
    /// librdkafka's own settings.
    pub settings: BTreeMap<String, String>,
}

/// Where sagas rest.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The store's address.
    pub url: String,
}

/// The broker inside the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// The folder of its file.
    pub dir: PathBuf,
    /// Where it listens, on loopback.
    pub port: u16,
    /// Longest age of records of topics that say nothing of it; zero: any.
    #[serde(with = "value::duration")]
    pub retention: Duration,
    /// Bytes that a partition keeps of topics that say nothing of it; 0: any number.
    #[serde(with = "value::size")]
    pub retention_bytes: u64,
    /// Bytes of records from which on a commit that does more than append puts them into a file of records.
    #[serde(with = "value::size")]
    pub inline_bytes: u64,
    /// Size of such a file.
    #[serde(with = "value::size")]
    pub segment_bytes: u64,
}

/// What sagas do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// YAML files; none: the built-in order.
    pub files: Vec<PathBuf>,
}

/// How topics are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPlan {
    /// Partitions of the inbox: the shards.
    pub inbox_partitions: i32,
    /// Partitions of each command topic.
    pub command_partitions: i32,
    /// Partitions of the journal.
    pub journal_partitions: i32,
    /// Partitions of source topics, where these are made.
    pub source_partitions: i32,
    /// Copies of each record; -1: the broker's default.
    pub replication: i32,
}

/// What bounds the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Records of the inbox in one commit.
    pub batch_count_max: usize,
    /// Bytes of journal and commands in one commit.
    #[serde(with = "value::size")]
    pub batch_bytes_max: u64,
    /// Records of one shard that wait.
    pub pending_count_max: usize,
    /// Bytes of one shard that wait.
    #[serde(with = "value::size")]
    pub pending_bytes_max: u64,
    /// Sagas at hand, a shard.
    pub cache_count_max: usize,
    /// Sagas asked for in one load.
    pub load_count_max: usize,
    /// Batches at the producer, not yet acknowledged.
    pub publish_batches_max: usize,
    /// Journal rows read at once on take-over.
    pub outbox_rows_max: u32,
    /// Due sagas read at once.
    pub due_rows_max: u32,
    /// Timers up to so far ahead are kept in memory.
    #[serde(with = "value::duration")]
    pub horizon: Duration,
    /// Without other work, the published watermark is written after this.
    #[serde(with = "value::duration")]
    pub watermark_idle: Duration,
    /// Wait until a shard that another owner took is claimed again.
    #[serde(with = "value::duration")]
    pub fenced_wait: Duration,
    /// First wait until an unavailable store is asked again.
    #[serde(with = "value::duration")]
    pub store_wait: Duration,
    /// How long a shard that is given up may take to finish.
    #[serde(with = "value::duration")]
    pub closing: Duration,
    /// Whether transitions go to the journal topic.
    pub publishes_journal: bool,
}

/// How a process that stays begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Startup {
    /// How long it waits for Kafka and the store if they are away.
    #[serde(with = "value::duration")]
    pub patience: Duration,
}

/// How messages are framed, and what source events may be written with.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// A registry that speaks Confluent's API; empty: none.
    pub registry_url: String,
    /// Basic authentication.
    pub registry_user: String,
    /// Basic authentication.
    pub registry_password: String,
    /// Longest wait for one answer.
    #[serde(with = "value::duration")]
    pub registry_timeout: Duration,
    /// Whether missing schemas are registered.
    pub registry_auto_register: bool,
    /// Avro schemas of source events.
    pub files: Vec<PathBuf>,
}

/// Logs and spans.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged: a level, or directives as `RUST_LOG` has them.
    pub log: String,
    /// How a line of the log looks.
    pub log_format: LogFormat,
    /// Where spans go by OTLP; empty: nowhere.
    pub otlp_endpoint: String,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The reference order workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// The folder of their databases, one `<activity>.db` each.
    pub data_dir: PathBuf,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            prefix: "backstitch".to_owned(),
            client_id: "backstitch".to_owned(),
            instance_id: String::new(),
            session_timeout: Duration::from_secs(10),
            fetch_pacing: Duration::ZERO,
            settings: BTreeMap::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "sqlite://.backstitch/store.db".to_owned(),
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(".backstitch"),
            port: 9092,
            retention: Duration::ZERO,
            retention_bytes: 0,
            inline_bytes: 64 << 10,
            segment_bytes: 16 << 20,
        }
    }
}

impl Default for TopicPlan {
    fn default() -> Self {
        Self {
            inbox_partitions: 4,
            command_partitions: 2,
            journal_partitions: 4,
            source_partitions: 4,
            replication: -1,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            batch_count_max: 1_000,
            batch_bytes_max: 4 << 20,
            pending_count_max: 5_000,
            pending_bytes_max: 16 << 20,
            cache_count_max: 20_000,
            load_count_max: 2_000,
            publish_batches_max: 64,
            outbox_rows_max: 1_000,
            due_rows_max: 1_000,
            horizon: Duration::from_mins(1),
            watermark_idle: Duration::from_secs(1),
            fenced_wait: Duration::from_secs(5),
            store_wait: Duration::from_millis(50),
            closing: Duration::from_secs(3),
            publishes_journal: true,
        }
    }
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            patience: Duration::from_mins(10),
        }
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            registry_url: String::new(),
            registry_user: String::new(),
            registry_password: String::new(),
            registry_timeout: Duration::from_secs(5),
            registry_auto_register: true,
            files: Vec::new(),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: String::new(),
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(".backstitch/workers"),
        }
    }
}

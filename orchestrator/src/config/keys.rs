//! The table of keys: the one place that says what each is. Help, `config keys`, `docs/configuration.md` and the checks
//! of values are made from it; the defaults come from the sections themselves.

/// One key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its dotted name; one that ends in `.*` takes any name in its last place.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What it does, in a sentence.
    pub what: &'static str,
    /// Whether its value may hold something that must not be shown.
    pub secret: Secret,
}

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A path of a file or folder; a relative one is relative to the working folder.
    Path,
    /// Paths; in the environment and in flags separated by commas.
    Paths,
    /// A whole number, within these bounds.
    Number(i64, i64),
    /// `true` or `false`.
    Switch,
    /// A duration: `250ms`, `10s`, `5m`, `1h`, `7d`; not below the first nor above the second, in milliseconds.
    Duration(u64, u64),
    /// A size: a number of bytes, or `KiB`, `MiB`, `GiB`; not below the first, in bytes.
    Size(u64),
    /// One of these.
    Choice(&'static [&'static str]),
}

/// What of a value must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// Nothing.
    No,
    /// The password in a URL.
    InUrl,
    /// All of it.
    Whole,
    /// All of it, where the name of a librdkafka setting says so.
    ByName,
}

impl Kind {
    /// What a table of keys says of it.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Paths => "list of paths".to_owned(),
            Self::Number(min, max) if max >= i64::from(i32::MAX) => {
                format!("number, at least {min}")
            }
            Self::Number(min, max) => format!("number, {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::Duration(min, max) => {
                let write = |ms| super::value::write_duration(std::time::Duration::from_millis(ms));
                format!("duration, {} to {}", write(min), write(max))
            }
            Self::Size(min) => format!("size, at least {}", super::value::write_size(min)),
            Self::Choice(choices) => choices.join(" or "),
        }
    }
}

const fn key(name: &'static str, kind: Kind, what: &'static str) -> Key {
    Key {
        name,
        kind,
        what,
        secret: Secret::No,
    }
}

const fn secret(name: &'static str, secret: Secret, what: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Text,
        what,
        secret,
    }
}

const COUNT: Kind = Kind::Number(1, i64::MAX);
const PARTITIONS: Kind = Kind::Number(1, 10_000);
const DECADE_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// Every key, section by section.
pub const KEYS: &[Key] = &[
    key(
        "kafka.bootstrap_servers",
        Kind::Text,
        "Brokers to begin with, as host:port, separated by commas. Empty: the embedded broker.",
    ),
    key(
        "kafka.prefix",
        Kind::Text,
        "Begins the names of all topics and consumer groups: a-z, 0-9, dot and hyphen. Several installations can share a cluster.",
    ),
    key(
        "kafka.client_id",
        Kind::Text,
        "How this process is named in the broker's logs, quotas and metrics.",
    ),
    key(
        "kafka.instance_id",
        Kind::Text,
        "A name that outlives the process, unique in its consumer group (static membership): a restart within the session timeout moves no partition. Empty: none.",
    ),
    key(
        "kafka.session_timeout",
        Kind::Duration(1_000, 1_800_000),
        "After this long without a heartbeat to the broker, a process's partitions move to others. The broker has bounds of its own (Kafka: 6s to 30m).",
    ),
    key(
        "kafka.fetch_pacing",
        Kind::Duration(0, 500),
        "How long the broker may hold a fetch back for company. 2ms to 5ms trade latency for CPU.",
    ),
    Key {
        name: "kafka.settings.*",
        kind: Kind::Text,
        what: "Any librdkafka setting by its own name, such as security.protocol. In the environment dots become underscores (BACKSTITCH_KAFKA__SETTINGS__SECURITY_PROTOCOL). Settings that correctness rests on are refused.",
        secret: Secret::ByName,
    },
    secret(
        "store.url",
        Secret::InUrl,
        "Where sagas rest: postgres://…, sqlite://FILE or memory://. A relative file is relative to the working folder.",
    ),
    key(
        "embedded.dir",
        Kind::Path,
        "The folder of the embedded broker's file.",
    ),
    key(
        "embedded.port",
        Kind::Number(1, 65_535),
        "Where the embedded broker listens, on loopback; and where commands look for it.",
    ),
    key(
        "embedded.retention",
        Kind::Duration(0, DECADE_MS),
        "How long the embedded broker keeps the records of a topic without retention.ms of its own, the journal's too. 0ms: for ever.",
    ),
    key(
        "embedded.retention_bytes",
        Kind::Size(0),
        "Bytes that a partition of the embedded broker keeps of a topic without retention.bytes of its own. 0: all.",
    ),
    key(
        "embedded.inline_bytes",
        Kind::Size(0),
        "A commit of the embedded broker that does more than append, such as a transaction's, keeps its records in the SQLite file when they are fewer bytes than this: one wait for the disk instead of two. From embedded.segment_bytes on, every commit does.",
    ),
    key(
        "embedded.segment_bytes",
        Kind::Size(4_096),
        "Size of a file of records, from which on the next one is begun.",
    ),
    key(
        "definitions.files",
        Kind::Paths,
        "The definitions of sagas, YAML. Empty: the built-in process-order.",
    ),
    key(
        "topics.inbox_partitions",
        PARTITIONS,
        "Partitions of the inbox, which are the shards. Can't be changed later: keys would move.",
    ),
    key(
        "topics.command_partitions",
        PARTITIONS,
        "Partitions of each command topic: at most so many workers of an activity share its work.",
    ),
    key(
        "topics.journal_partitions",
        PARTITIONS,
        "Partitions of the journal topic. No more than the inbox: partitions cost requests.",
    ),
    key(
        "topics.source_partitions",
        PARTITIONS,
        "Partitions of source topics, where these are made: on the embedded broker, and by `topics apply --sources`.",
    ),
    key(
        "topics.replication",
        Kind::Number(-1, 1_000),
        "On how many brokers each record is kept. -1: the broker's default.",
    ),
    key(
        "engine.batch_count_max",
        COUNT,
        "Records of the inbox taken into one commit.",
    ),
    key(
        "engine.batch_bytes_max",
        Kind::Size(1 << 10),
        "Journal and commands in one commit.",
    ),
    key(
        "engine.pending_count_max",
        COUNT,
        "Records of one shard that wait; above it, its partition is paused.",
    ),
    key(
        "engine.pending_bytes_max",
        Kind::Size(1 << 10),
        "The same in bytes.",
    ),
    key(
        "engine.cache_count_max",
        COUNT,
        "Sagas kept at hand, for each shard; colder ones are read back from the store.",
    ),
    key(
        "engine.load_count_max",
        COUNT,
        "Sagas asked for in one load.",
    ),
    key(
        "engine.publish_batches_max",
        COUNT,
        "Batches at the producer that are not acknowledged yet; above it, nothing is committed.",
    ),
    key(
        "engine.outbox_rows_max",
        Kind::Number(1, 1_000_000),
        "Journal rows read at once when a shard is taken over.",
    ),
    key(
        "engine.due_rows_max",
        Kind::Number(1, 1_000_000),
        "Due sagas read at once.",
    ),
    key(
        "engine.horizon",
        Kind::Duration(1_000, 86_400_000),
        "Timers up to so far ahead are kept in memory; later ones are in the store only.",
    ),
    key(
        "engine.watermark_idle",
        Kind::Duration(10, 3_600_000),
        "Without other work, the published watermark is written after this.",
    ),
    key(
        "engine.fenced_wait",
        Kind::Duration(10, 3_600_000),
        "How long to wait until a shard that another owner took is claimed again, if the group still gives it to us.",
    ),
    key(
        "engine.store_wait",
        Kind::Duration(1, 60_000),
        "The first wait until an unavailable store is asked again; it doubles up to 2s.",
    ),
    key(
        "engine.closing",
        Kind::Duration(10, 60_000),
        "How long a shard that is given up may take to finish what runs.",
    ),
    key(
        "engine.publishes_journal",
        Kind::Switch,
        "Whether transitions are published to the journal topic.",
    ),
    key(
        "startup.patience",
        Kind::Duration(0, 604_800_000),
        "How long `serve` waits for Kafka and the store, all in all, if they are away when it starts; it logs what it waits for. 0s: it ends at once.",
    ),
    secret(
        "schemas.registry_url",
        Secret::InUrl,
        "A schema registry that speaks Confluent's API, such as http://localhost:8081. Empty: none, and the single-object framing of Avro.",
    ),
    key(
        "schemas.registry_user",
        Kind::Text,
        "The registry's basic authentication. Empty: none.",
    ),
    secret(
        "schemas.registry_password",
        Secret::Whole,
        "The registry's basic authentication.",
    ),
    key(
        "schemas.registry_timeout",
        Kind::Duration(10, 300_000),
        "The longest wait for one answer of the registry.",
    ),
    key(
        "schemas.registry_auto_register",
        Kind::Switch,
        "Whether schemas are registered where they are missing.",
    ),
    key(
        "schemas.files",
        Kind::Paths,
        "Avro schemas (.avsc) of source events in the single-object framing.",
    ),
    key(
        "telemetry.log",
        Kind::Text,
        "What is logged: error, warn, info, debug, trace, or directives as RUST_LOG has them. RUST_LOG wins. librdkafka's own warnings are left out unless librdkafka=warn is among them. Commands that only ask or act log from warn on where nothing is set.",
    ),
    key(
        "telemetry.log_format",
        Kind::Choice(&["text", "json"]),
        "How a line of the log looks. Logs go to stderr.",
    ),
    secret(
        "telemetry.otlp_endpoint",
        Secret::InUrl,
        "Where spans are sent by OTLP over HTTP (protobuf), such as http://localhost:4318. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT says, or nowhere.",
    ),
    key(
        "workers.data_dir",
        Kind::Path,
        "The folder of the reference order workers' databases, one <activity>.db each. Processes of one activity share it.",
    ),
];

/// Finds the key that a dotted name belongs to.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| match key.name.strip_suffix('*') {
        Some(stem) => name.len() > stem.len() && name.starts_with(stem),
        None => key.name == name,
    })
}

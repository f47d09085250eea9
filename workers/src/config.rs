//! How a worker runs: every limit with its default.

use std::path::PathBuf;
use std::time::Duration;

use backstitch_broker::KafkaConfig;
use backstitch_schemas::Codec;

use crate::memory::VolatileMemory;

/// Where a worker remembers its answers.
#[derive(Debug, Clone)]
pub enum MemoryUrl {
    /// In the process; forgotten with it. For tests, and where doing the work twice does no harm.
    Volatile(VolatileMemory),
    /// In a SQLite file, made if it is not there; shared by the processes of the activity on this machine.
    Sqlite(PathBuf),
    /// In Postgres, by URL; shared by the processes of the activity on every machine.
    Postgres(String),
}

/// How a worker runs. Start from [`WorkerConfig::new`] and set what differs.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Begins the names of all topics and groups. Default `backstitch`.
    pub prefix: String,
    /// The activity that names the consumer group. Further ones that are served share it.
    pub activity: String,
    /// Where answers are remembered.
    pub memory: MemoryUrl,
    /// Reads commands and writes replies. Default: single-object framing, no registry.
    pub codec: Codec,
    /// How this worker names itself in replies and dead letters. Default: the activity and the process id.
    pub worker: String,
    /// A name that outlives the process, unique in the group: a restart within the session timeout moves no partition. Default none.
    pub instance_id: Option<String>,
    /// After this long without a heartbeat to the broker, the partitions move to other workers. Default 10 s.
    pub session_timeout: Duration,
    /// How long the broker may hold a fetch back for company, up to 500 ms. Default 0; 2 to 5 ms trade latency for CPU.
    pub fetch_pacing: Duration,
    /// Outside handlers that run at once, each for another key. Default 64; at least 1.
    pub concurrency: usize,
    /// Commands in one transaction. Default 256; at least 1.
    pub batch_len_max: usize,
    /// Commands read and not yet answered and acknowledged; above it reading pauses, below half of it it goes on. Default 4,096.
    pub commands_max: usize,
    /// The same in bytes, of their records. Default 64 MiB.
    pub bytes_max: usize,
    /// How long one local handler may take before its command counts as failed. Default 10 s.
    pub handler_timeout: Duration,
    /// The shortest time between two heartbeats of one command. Default 100 ms.
    pub heartbeat_min: Duration,
    /// Time between two commits of offsets. Default 250 ms. What a crash leaves uncommitted is answered from memory.
    pub commit_every: Duration,
    /// How long partitions that move away may hold up a rebalance until what is at work for them is through. Default 3 s.
    pub revoke_wait: Duration,
    /// How long a drain waits for what is at work before it is dropped. Default 20 s.
    pub drain_max: Duration,
    /// How long answers are remembered, and how old a command may be to be carried out. Default 7 days. Must be longer than any
    /// time between two attempts of the same work.
    pub memory_window: Duration,
    /// Time between two purges of old answers. Default 1 min.
    pub purge_every: Duration,
    /// Answers purged at once. Default 1,000; at least 1.
    pub purge_len_max: u32,
}

impl WorkerConfig {
    /// The defaults for an activity.
    pub fn new(kafka: KafkaConfig, activity: impl Into<String>, memory: MemoryUrl) -> Self {
        let activity = activity.into();
        Self {
            kafka,
            prefix: "backstitch".to_owned(),
            worker: format!("{activity}-{}", std::process::id()),
            activity,
            memory,
            codec: Codec::single_object(),
            instance_id: None,
            session_timeout: Duration::from_secs(10),
            fetch_pacing: Duration::ZERO,
            concurrency: 64,
            batch_len_max: 256,
            commands_max: 4_096,
            bytes_max: 64 << 20,
            handler_timeout: Duration::from_secs(10),
            heartbeat_min: Duration::from_millis(100),
            commit_every: Duration::from_millis(250),
            revoke_wait: Duration::from_secs(3),
            drain_max: Duration::from_secs(20),
            memory_window: Duration::from_hours(7 * 24),
            purge_every: Duration::from_mins(1),
            purge_len_max: 1_000,
        }
    }
}

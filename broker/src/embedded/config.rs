//! What the embedded broker can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How an embedded broker runs. Start from [`EmbeddedConfig::default`] and set what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The SQLite file; made when it is not there, as is the folder `<path>-records` beside it. Default `backstitch-broker.db` in the current folder.
    pub path: PathBuf,
    /// Where to listen; loopback only. Default 127.0.0.1:9092; port 0 takes a free one. The other loopback
    /// address (`::1`) is served too where the machine has one.
    pub listen: SocketAddr,
    /// Whether a topic that a producer asks for is made. Default false.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made without a count. Default 4; at least 1.
    pub default_partitions: i32,
    /// Largest request, in bytes; a larger one closes its connection, and the log says whose it was. Default 64 MiB.
    pub request_bytes_max: usize,
    /// Bytes that the requests of all connections may hold together, until they are committed or answered; further
    /// ones wait to be read. Default 256 MiB. A request holds what has arrived of it; one at a time may go over the
    /// limit, so that those that were begun come to their end.
    pub requests_bytes_max: usize,
    /// Bytes of memory that answers to all connections may hold together until they are sent, those of their records first of all;
    /// beyond it a reader gets a batch at a time. What is sent from files holds next to none. Default 256 MiB.
    pub answers_bytes_max: usize,
    /// Connections served at once. Default 1,000; fewer where the process may not open as many files (`ulimit -n`),
    /// which is logged at start. A further one is told so, in the answer to its first request, and closed.
    pub connections_max: usize,
    /// How long a connection may ask nothing, or leave an answer unread, before it is closed. Default 10 minutes, as
    /// Kafka's `connections.max.idle.ms`; clients connect again when they need to. At least 1 ms.
    pub idle_max: Duration,
    /// Newest records kept in memory per partition, in bytes; older ones are read from the file. Default 4 MiB.
    pub tail_bytes_max: usize,
    /// Newest records kept in memory over all partitions, in bytes. Default 128 MiB.
    pub tails_bytes_max: usize,
    /// How long the first member of an empty group waits for others. Default 150 ms.
    pub initial_rebalance_delay: Duration,
    /// Longest time that a transaction may stay open; a producer that asks for more is refused. Default 15 minutes.
    pub transaction_timeout_max: Duration,
    /// Bytes of records from which on a commit that does more than append, such as a transaction's, puts them into a file beside
    /// the SQLite file, in the folder `<path>-records`, where appends go. A smaller one stays in the SQLite file: that is
    /// one wait for the disk instead of two. Default 64 KiB; 0 puts all records there, `segment_bytes` or more none.
    pub inline_bytes_max: usize,
    /// Size of such a file, from which on the next one is begun. Default 16 MiB.
    pub segment_bytes: u64,
    /// Whether an acknowledgement waits until the disk has the records. Default true. Without it they survive the end of the
    /// process, not that of the machine: for scratch data.
    pub durable: bool,
    /// Longest age of the records of a topic that sets no `retention.ms` of its own. Default `None`: nothing is deleted
    /// because of its age. A laptop is opened again after weeks, and fixtures have the times of their day: both would
    /// lose records to Kafka's seven days.
    pub retention: Option<Duration>,
    /// Bytes that a partition keeps whose topic sets no `retention.bytes`. Default `None`: any number.
    pub retention_bytes: Option<u64>,
    /// Rest between two rounds of cleaning (deletion by age and size, compaction, space given back), at least. There is
    /// a round only when something was committed or something is due. Default 1 s.
    pub clean_every: Duration,
    /// How long a group's offsets are kept after its last member has left and its last commit. Default 7 days.
    pub offsets_retention: Duration,
    /// How long a producer that writes no more is remembered, by its id or its transactional id. Default 7 days.
    pub producers_retention: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> EmbeddedConfig {
        EmbeddedConfig {
            path: PathBuf::from("backstitch-broker.db"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
            auto_create_topics: false,
            default_partitions: 4,
            request_bytes_max: 64 << 20,
            requests_bytes_max: 256 << 20,
            answers_bytes_max: 256 << 20,
            connections_max: 1_000,
            idle_max: Duration::from_mins(10),
            tail_bytes_max: 4 << 20,
            tails_bytes_max: 128 << 20,
            initial_rebalance_delay: Duration::from_millis(150),
            transaction_timeout_max: Duration::from_mins(15),
            inline_bytes_max: 64 << 10,
            segment_bytes: 16 << 20,
            durable: true,
            retention: None,
            retention_bytes: None,
            clean_every: Duration::from_secs(1),
            offsets_retention: Duration::from_hours(7 * 24),
            producers_retention: Duration::from_hours(7 * 24),
        }
    }
}

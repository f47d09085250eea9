//! What the embedded broker can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How an embedded broker runs. Start from [`EmbeddedConfig::default`] and set what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The SQLite file; made when it is not there. Default `backstitch-broker.db` in the current folder.
    pub path: PathBuf,
    /// Where to listen; loopback only. Default 127.0.0.1:9092; port 0 takes a free one. The other loopback
    /// address (`::1`) is served too where the machine has one.
    pub listen: SocketAddr,
    /// Whether a topic that a producer asks for is made. Default false.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made without a count. Default 4; at least 1.
    pub default_partitions: i32,
    /// Largest request, in bytes; a larger one closes its connection. Default 64 MiB.
    pub request_bytes_max: usize,
    /// Connections served at once; a further one is closed at once. Default 1,000.
    pub connections_max: usize,
    /// Newest records kept in memory per partition, in bytes; older ones are read from the file. Default 4 MiB.
    pub tail_bytes_max: usize,
    /// Newest records kept in memory over all partitions, in bytes. Default 128 MiB.
    pub tails_bytes_max: usize,
    /// How long the first member of an empty group waits for others. Default 150 ms.
    pub initial_rebalance_delay: Duration,
    /// Longest time that a transaction may stay open; a producer that asks for more is refused. Default 15 minutes.
    pub transaction_timeout_max: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> EmbeddedConfig {
        EmbeddedConfig {
            path: PathBuf::from("backstitch-broker.db"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
            auto_create_topics: false,
            default_partitions: 4,
            request_bytes_max: 64 << 20,
            connections_max: 1_000,
            tail_bytes_max: 4 << 20,
            tails_bytes_max: 128 << 20,
            initial_rebalance_delay: Duration::from_millis(150),
            transaction_timeout_max: Duration::from_mins(15),
        }
    }
}

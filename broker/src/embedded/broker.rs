//! What all connections of one broker share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;

use super::config::EmbeddedConfig;
use super::coordinator::Coordinator;
use super::error::{Unavailable, is_damage};
use super::memory::Memory;
use super::partition::Partition;
use super::spare::Spare;
use super::storage::Readers;
use super::topics::Topics;
use super::writer::WriteQueue;

/// The id of the one broker there is.
pub(crate) const NODE: BrokerId = BrokerId(1);

/// One broker. Requests are methods, each beside its like: `produce`, `fetch`, `metadata`, `membership`, …
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) config: EmbeddedConfig,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) cluster_id: String,
    pub(crate) topics: Arc<Topics>,
    pub(crate) queue: Arc<WriteQueue>,
    pub(crate) readers: Readers,
    pub(crate) spare: Arc<Spare>,
    pub(crate) coordinator: Coordinator,
    /// What requests hold from when they are read until they are committed or answered.
    pub(crate) requests: Arc<Memory>,
    /// What answers hold until they are sent.
    pub(crate) answers: Arc<Memory>,
    /// Set once, when the broker stops.
    pub(crate) stopping: AtomicBool,
}

impl Broker {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Returns when the file has everything of these partitions that was acknowledged before, for whoever reads it there. A file
    /// that refuses is read as it is.
    pub(crate) fn settle<'a>(&self, partitions: impl IntoIterator<Item = &'a Arc<Partition>>) {
        if partitions.into_iter().any(|partition| partition.is_ahead()) {
            // The writer has said why.
            let _ = self.queue.settle();
        }
    }

    /// The host that clients are told to connect to.
    pub(crate) fn advertised_host(&self) -> StrBytes {
        StrBytes::from_string(self.host.to_string())
    }
}

/// The storage error that a client sees: worth another try.
pub(crate) fn storage_error(_: Unavailable) -> ResponseError {
    ResponseError::KafkaStorageError
}

/// A read that failed, logged and turned into what a client sees.
///
/// A client keeps still about a storage error and tries for ever; of damage it tells its user.
pub(crate) fn read_error(error: rusqlite::Error) -> ResponseError {
    if is_damage(&error) {
        tracing::error!(
            %error,
            "embedded broker: the file is damaged; put a copy in its place, or let readers go on behind the damage"
        );
        return ResponseError::CorruptMessage;
    }
    tracing::error!(%error, "embedded broker: the file cannot be read");
    ResponseError::KafkaStorageError
}

//! The topics as everybody sees them: committed, and read without waiting for the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use super::partition::Partition;

/// Names of topics to topics.
pub(crate) type TopicMap = BTreeMap<String, Arc<Topic>>;

/// A topic. Changed by replacing it whole.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    /// The row in the file.
    pub(crate) id: i64,
    pub(crate) uuid: Uuid,
    /// What was set; everything else has its default (see `configs`).
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// Returns the partition of that index, counted from 0.
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

/// The registry of topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    map: RwLock<TopicMap>,
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<Arc<Partition>> {
        self.get(name)?.partition(index).cloned()
    }

    pub(crate) fn all(&self) -> TopicMap {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn replace(&self, map: TopicMap) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = map;
    }
}

//! Following a topic: what is there from some offsets on, and what comes, until nobody asks any more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::config::KafkaConfig;
use super::error::BrokerError;
use super::reader::{Silent, assigned};
use super::record::IncomingRecord;

/// Follows partitions of a topic from given offsets on, without an end.
///
/// Records of one partition come in order, those of different partitions mixed. It joins no group and commits nothing. A
/// partition that the topic gets later isn't followed; records that are deleted before they were read are passed over.
pub struct TopicTail {
    native: BaseConsumer<Silent>,
    topic: Arc<str>,
}

impl TopicTail {
    /// Follows the partitions that are named, each from this offset on.
    ///
    /// # Errors
    ///
    /// If a setting is wrong or refused.
    pub fn open(
        config: &KafkaConfig,
        topic: &str,
        from: &BTreeMap<i32, i64>,
    ) -> Result<TopicTail, BrokerError> {
        Ok(TopicTail {
            native: assigned(config, topic, from, false)?,
            topic: topic.into(),
        })
    }

    /// Waits for the next record, at most so long; `None` if none came.
    ///
    /// # Errors
    ///
    /// If the broker is away ([`BrokerError::is_transient`]): ask again, and it goes on where it was. Or if the topic is gone,
    /// or we may not read it.
    pub fn next_within(&mut self, wait: Duration) -> Result<Option<IncomingRecord>, BrokerError> {
        match self.native.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                let topic = Arc::clone(&self.topic);
                Ok(Some(IncomingRecord::read(&message, topic, 0)))
            }
            Some(Err(error)) => Err(BrokerError::from_kafka(
                format!("read topic {}", self.topic),
                error,
            )),
        }
    }
}

impl fmt::Debug for TopicTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicTail")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

//! Administration: topics made and deleted, offsets, watermarks. Every call blocks its thread, up to the admin's timeout.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, KafkaError};
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::config::KafkaConfig;
use super::error::{BrokerError, ErrorCode};
use super::offsets::{offsets_for_times, once_led, read_offsets};
use super::record::TopicPartition;
use super::settings::Role;
use super::wait::block_on;

/// How long a call waits for the broker.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(15);

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopicSpec {
    /// Its name.
    pub name: String,
    /// Its number of partitions, at least 1.
    pub partitions: i32,
    /// On how many brokers each record is kept; -1 is the broker's default.
    pub replication: i32,
    /// Topic settings by Kafka's names, e.g. `retention.ms`.
    pub config: Vec<(String, String)>,
}

impl NewTopicSpec {
    /// A topic with the broker's defaults.
    pub fn new(name: impl Into<String>, partitions: i32) -> NewTopicSpec {
        NewTopicSpec {
            name: name.into(),
            partitions,
            replication: -1,
            config: Vec::new(),
        }
    }
}

/// What became of a topic that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It is new.
    Created,
    /// It was there, with whatever partitions and settings it has.
    AlreadyExists,
}

/// Asks about topics and offsets and changes them. Blocking: from an async task, call it on a blocking thread.
pub struct Admin {
    config: KafkaConfig,
    pub(super) native: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// Connects in the background; the broker needn't be there yet.
    ///
    /// # Errors
    ///
    /// If a setting is wrong or refused.
    pub fn new(config: &KafkaConfig) -> Result<Admin, BrokerError> {
        let native = config
            .native(Role::Admin, &[])?
            .create()
            .map_err(|error| BrokerError::from_kafka("start an admin client", error))?;
        Ok(Admin {
            config: config.clone(),
            native,
        })
    }

    /// Creates topics and says, in the same order, what became of each. Twice is once.
    ///
    /// A fresh topic may take a moment until every broker knows it; this waits until the broker asked knows its partitions.
    ///
    /// # Errors
    ///
    /// The first topic's that couldn't be created; those before and after it may have been.
    pub fn create_topics(&self, topics: &[NewTopicSpec]) -> Result<Vec<TopicOutcome>, BrokerError> {
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| NewTopic {
                name: &topic.name,
                num_partitions: topic.partitions,
                replication: TopicReplication::Fixed(topic.replication),
                config: topic
                    .config
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .collect(),
            })
            .collect();
        let results = block_on(self.native.create_topics(&new, &options()))
            .map_err(|error| BrokerError::from_kafka("create topics", error))?;
        // The library gives the results in an order of its own.
        let mut by_name: BTreeMap<String, Result<TopicOutcome, ErrorCode>> = results
            .into_iter()
            .map(|result| match result {
                Ok(name) => (name, Ok(TopicOutcome::Created)),
                Err((name, ErrorCode::TopicAlreadyExists)) => {
                    (name, Ok(TopicOutcome::AlreadyExists))
                }
                Err((name, code)) => (name, Err(code)),
            })
            .collect();
        let mut outcomes = Vec::with_capacity(topics.len());
        for topic in topics {
            let attempted = || format!("create topic {}", topic.name);
            let outcome = by_name
                .remove(&topic.name)
                .unwrap_or(Err(ErrorCode::Unknown))
                .map_err(|code| BrokerError::from_kafka(attempted(), KafkaError::AdminOp(code)))?;
            if outcome == TopicOutcome::Created {
                self.await_partitions(&topic.name, topic.partitions)?;
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Grows a topic to this number of partitions.
    ///
    /// Keys move to other partitions by it: the inbox of a running system must not be grown this way.
    ///
    /// # Errors
    ///
    /// If it has as many already, or more.
    pub fn add_partitions(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        let attempted = || format!("grow topic {topic} to {partitions} partitions");
        let count = usize::try_from(partitions).map_err(|_| BrokerError::Setting {
            key: topic.to_owned(),
            reason: format!("cannot have {partitions} partitions"),
        })?;
        let results = block_on(
            self.native
                .create_partitions(&[NewPartitions::new(topic, count)], &options()),
        )
        .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        first_failure(results, attempted)?;
        self.await_partitions(topic, partitions)
    }

    /// Deletes topics; one that isn't there counts as deleted. Deletion goes on in the background.
    ///
    /// # Errors
    ///
    /// The first topic's that couldn't be deleted.
    pub fn delete_topics(&self, topics: &[&str]) -> Result<(), BrokerError> {
        let attempted = || format!("delete topics {}", topics.join(", "));
        let results = block_on(self.native.delete_topics(topics, &options()))
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?
            .into_iter()
            .filter(|result| !matches!(result, Err((_, ErrorCode::UnknownTopicOrPartition))))
            .collect();
        first_failure(results, attempted)
    }

    /// How many partitions a topic has; `None` if there is no such topic.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer or doesn't let us.
    pub fn partition_count(&self, topic: &str) -> Result<Option<i32>, BrokerError> {
        let metadata = self.metadata(Some(topic))?;
        match metadata.topics().iter().find(|found| found.name() == topic) {
            Some(found) => counted(found),
            None => Ok(None),
        }
    }

    /// All topics with their numbers of partitions, by name. Kafka's own (`__consumer_offsets`) are among them.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer.
    pub fn list_topics(&self) -> Result<BTreeMap<String, i32>, BrokerError> {
        let metadata = self.metadata(None)?;
        let mut topics = BTreeMap::new();
        for topic in metadata.topics() {
            if let Some(count) = counted(topic)? {
                topics.insert(topic.name().to_owned(), count);
            }
        }
        Ok(topics)
    }

    /// The offset of a partition's oldest record and the one that its next record will get.
    ///
    /// # Errors
    ///
    /// If there is no such partition, or no answer.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), BrokerError> {
        once_led(|left| {
            self.native
                .inner()
                .fetch_watermarks(topic, partition, left)
                .map_err(|error| {
                    BrokerError::from_kafka(
                        format!("read the watermarks of {topic}/{partition}"),
                        error,
                    )
                })
        })
    }

    /// What a group has committed for these partitions: the offset of the next record to be read, `None` if nothing.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer or doesn't let us.
    pub fn committed_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, BrokerError> {
        let attempted = || format!("read the offsets of group {group}");
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let list = self
            .bystander(group)?
            .committed_offsets(list, ANSWER_WAIT_MAX)
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        read_offsets(&list, attempted)
    }

    /// For each partition, the offset of the first record at or after this time (milliseconds since the Unix epoch); `None` if all are older.
    ///
    /// # Errors
    ///
    /// If there is no such partition, or no answer.
    pub fn offsets_at(
        &self,
        timestamp_ms: i64,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, BrokerError> {
        let attempted = || "look up offsets by time".to_owned();
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(timestamp_ms),
            )
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        }
        offsets_for_times(&self.bystander("backstitch-admin")?, &list, attempted)
    }

    /// The cluster's id, if the broker has told one.
    pub fn cluster_id(&self) -> Option<String> {
        self.native.inner().fetch_cluster_id(ANSWER_WAIT_MAX)
    }

    /// How many brokers the cluster has now.
    ///
    /// # Errors
    ///
    /// If none answers.
    pub fn broker_count(&self) -> Result<usize, BrokerError> {
        Ok(self.metadata(None)?.brokers().len())
    }

    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, BrokerError> {
        self.native
            .inner()
            .fetch_metadata(topic, ANSWER_WAIT_MAX)
            .map_err(|error| {
                BrokerError::from_kafka(
                    format!("ask {} for its metadata", self.config.bootstrap_servers),
                    error,
                )
            })
    }

    /// A consumer that never joins the group it names, for what only a consumer may ask.
    pub(super) fn bystander(&self, group: &str) -> Result<BaseConsumer, BrokerError> {
        self.config
            .native(Role::Consumer, &[("group.id", group.to_owned())])?
            .create()
            .map_err(|error| BrokerError::from_kafka("start a client", error))
    }

    fn await_partitions(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        let deadline = Instant::now() + ANSWER_WAIT_MAX;
        while self.partition_count(topic)?.unwrap_or(0) < partitions {
            if Instant::now() > deadline {
                return Err(BrokerError::Unavailable {
                    attempted: format!("see topic {topic} with its {partitions} partitions"),
                    source: KafkaError::MetadataFetch(ErrorCode::OperationTimedOut),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER_WAIT_MAX))
        .operation_timeout(Some(ANSWER_WAIT_MAX))
}

pub(super) fn first_failure(
    results: Vec<Result<String, (String, ErrorCode)>>,
    attempted: impl Fn() -> String,
) -> Result<(), BrokerError> {
    match results.into_iter().find_map(Result::err) {
        Some((_, code)) => Err(BrokerError::from_kafka(
            attempted(),
            KafkaError::AdminOp(code),
        )),
        None => Ok(()),
    }
}

/// The topic's partitions, `None` if the broker says that there is no such topic.
pub(super) fn counted(topic: &MetadataTopic) -> Result<Option<i32>, BrokerError> {
    match topic.error().filter(IsError::is_error).map(ErrorCode::from) {
        None => Ok(i32::try_from(topic.partitions().len())
            .ok()
            .filter(|count| *count > 0)),
        Some(
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopic
            | ErrorCode::LeaderNotAvailable,
        ) => Ok(None),
        Some(code) => Err(BrokerError::from_kafka(
            format!("look up topic {}", topic.name()),
            KafkaError::MetadataFetch(code),
        )),
    }
}

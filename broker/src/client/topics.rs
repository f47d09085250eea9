//! What the brokers say about topics: where partitions are led, what they hold, how they are set.

use std::collections::BTreeMap;
use std::ops::Range;

use rdkafka::admin::{ConfigSource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::IsError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{ANSWER_WAIT_MAX, Admin, counted, options};
use super::error::{BrokerError, ErrorCode};
use super::offsets::offsets_for_times;
use super::record::TopicPartition;
use super::wait::block_on;

/// Partitions asked for in one request, so that neither it nor its answer is out of proportion.
const PARTITIONS_A_REQUEST: usize = 2_000;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The partition, counted from 0.
    pub partition: i32,
    /// The broker that leads it; `None` while none does, and it can neither be read nor written.
    pub leader: Option<i32>,
    /// The brokers that keep it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// It was set for the topic.
    Topic,
    /// It was set for a broker or for all of them.
    Broker,
    /// Nobody has set it.
    Default,
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Kafka's name of it, e.g. `retention.ms`.
    pub name: String,
    /// What is in force; `None` where the broker keeps it to itself.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: SettingOrigin,
}

impl Admin {
    /// All topics, by name. Kafka's own (`__consumer_offsets`) are among them.
    ///
    /// # Errors
    ///
    /// If no broker answers.
    pub fn describe_topics(&self) -> Result<Vec<TopicDescription>, BrokerError> {
        let metadata = self.metadata(None)?;
        let mut topics = Vec::new();
        for topic in metadata.topics() {
            if counted(topic)?.is_some() {
                topics.push(described(topic));
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic; `None` if there is no such topic.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer or doesn't let us.
    pub fn describe_topic(&self, name: &str) -> Result<Option<TopicDescription>, BrokerError> {
        let metadata = self.metadata(Some(name))?;
        match metadata.topics().iter().find(|found| found.name() == name) {
            Some(found) => Ok(counted(found)?.map(|_| described(found))),
            None => Ok(None),
        }
    }

    /// The settings of a topic, by name; none if there is no such topic, or we may not see them: the library doesn't tell which.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer.
    pub fn topic_settings(&self, topic: &str) -> Result<Vec<TopicSetting>, BrokerError> {
        let attempted = || format!("read the settings of topic {topic}");
        let asked = [ResourceSpecifier::Topic(topic)];
        let resources = block_on(self.native.describe_configs(&asked, &options()))
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        let mut settings = Vec::new();
        for resource in resources {
            let resource = resource.map_err(|code| {
                BrokerError::from_kafka(attempted(), rdkafka::error::KafkaError::AdminOp(code))
            })?;
            settings.extend(resource.entries.into_iter().map(|entry| TopicSetting {
                origin: match entry.source {
                    ConfigSource::DynamicTopic => SettingOrigin::Topic,
                    ConfigSource::DynamicBroker
                    | ConfigSource::DynamicDefaultBroker
                    | ConfigSource::StaticBroker => SettingOrigin::Broker,
                    ConfigSource::Default => SettingOrigin::Default,
                    ConfigSource::Unknown if entry.is_default => SettingOrigin::Default,
                    ConfigSource::Unknown => SettingOrigin::Topic,
                },
                name: entry.name,
                value: entry.value,
            }));
        }
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(settings)
    }

    /// For each partition, the offset of its oldest record and the one behind the newest that can be read. Asks each broker
    /// once, however many partitions it leads.
    ///
    /// A range may hold fewer records than offsets: compaction leaves gaps, transactions leave marks.
    ///
    /// # Errors
    ///
    /// If one of the partitions isn't there or has no leader, or there is no answer.
    pub fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Range<i64>>, BrokerError> {
        let mut bounds = BTreeMap::new();
        if partitions.is_empty() {
            return Ok(bounds);
        }
        let asker = self.bystander("backstitch-admin")?;
        for chunk in partitions.chunks(PARTITIONS_A_REQUEST) {
            let ask = |place: Offset| {
                let attempted = || format!("read the first and last offsets of {}", named(chunk));
                let mut list = TopicPartitionList::with_capacity(chunk.len());
                for partition in chunk {
                    list.add_partition_offset(&partition.topic, partition.partition, place)
                        .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
                }
                // Kafka takes `earliest` and `latest` for times of their own.
                offsets_for_times(&asker, &list, attempted)
            };
            let first = ask(Offset::Beginning)?;
            let next: BTreeMap<_, _> = ask(Offset::End)?.into_iter().collect();
            for (partition, first) in first {
                let next = next.get(&partition).copied().flatten().unwrap_or(0);
                bounds.insert(partition, first.unwrap_or(next)..next);
            }
        }
        Ok(bounds)
    }

    /// Everything that a group has committed, on whatever topic: for each partition, the offset of the next record to be read.
    ///
    /// Partitions that we may not see are left out.
    ///
    /// # Errors
    ///
    /// If the broker doesn't answer, or doesn't let us see the group.
    pub fn all_committed(
        &self,
        group: &str,
        topics: &[TopicDescription],
    ) -> Result<BTreeMap<TopicPartition, i64>, BrokerError> {
        let attempted = || format!("read the offsets of group {group}");
        let partitions: Vec<(&str, i32)> = topics
            .iter()
            .flat_map(|topic| {
                let name = topic.name.as_str();
                topic.partitions.iter().map(move |p| (name, p.partition))
            })
            .collect();
        let asker = self.bystander(group)?;
        let mut committed = BTreeMap::new();
        for chunk in partitions.chunks(PARTITIONS_A_REQUEST) {
            let mut list = TopicPartitionList::with_capacity(chunk.len());
            for (topic, partition) in chunk {
                list.add_partition(topic, *partition);
            }
            let list = asker
                .committed_offsets(list, ANSWER_WAIT_MAX)
                .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
            for element in list.elements() {
                if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                    let partition = TopicPartition::new(element.topic(), element.partition());
                    committed.insert(partition, offset);
                }
            }
        }
        Ok(committed)
    }
}

fn described(topic: &MetadataTopic) -> TopicDescription {
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions()
        .iter()
        .map(|partition| {
            let is_led = partition
                .error()
                .filter(IsError::is_error)
                .map(ErrorCode::from)
                .is_none_or(|code| code == ErrorCode::ReplicaNotAvailable);
            PartitionDescription {
                partition: partition.id(),
                leader: Some(partition.leader()).filter(|leader| is_led && *leader >= 0),
                replicas: partition.replicas().to_vec(),
                in_sync: partition.isr().to_vec(),
            }
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicDescription {
        name: topic.name().to_owned(),
        partitions,
    }
}

/// The partitions' topics, as far as they fit a message.
fn named(partitions: &[TopicPartition]) -> String {
    let mut topics: Vec<&str> = partitions.iter().map(|p| p.topic.as_ref()).collect();
    topics.dedup();
    match topics.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("{} topics", several.len()),
    }
}

//! Where things are: brokers, topics, coordinators, epochs.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, TopicName,
};

use super::broker::{Broker, NODE};
use super::protocol::{count, once, text};
use super::topic_change::is_valid_name;
use super::topics::{Topic, TopicMap};

impl Broker {
    pub(crate) fn metadata(&self, request: MetadataRequest, version: i16) -> MetadataResponse {
        let map = self.topics.all();
        let may_create =
            self.config.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
        let topics = match request.topics {
            // In version 0 an empty list asks for all.
            Some(asked) if !(version == 0 && asked.is_empty()) => {
                once(asked, |topic| (topic.name.clone(), topic.topic_id))
                    .into_iter()
                    .map(|topic| match topic.name {
                        Some(name) => self.topic_metadata(&map, name, may_create),
                        None => match map.iter().find(|(_, known)| known.uuid == topic.topic_id) {
                            Some((name, known)) => described(TopicName(text(name)), known),
                            None => MetadataResponseTopic::default()
                                .with_topic_id(topic.topic_id)
                                .with_error_code(ResponseError::UnknownTopicId.code()),
                        },
                    })
                    .collect()
            }
            Some(_) | None => map
                .iter()
                .map(|(name, topic)| described(TopicName(text(name)), topic))
                .collect(),
        };
        let node = MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(self.advertised_host())
            .with_port(i32::from(self.port));
        MetadataResponse::default()
            .with_brokers(vec![node])
            .with_cluster_id(Some(text(&self.cluster_id)))
            .with_controller_id(NODE)
            .with_topics(topics)
    }

    pub(crate) fn find_coordinator(
        &self,
        request: FindCoordinatorRequest,
        version: i16,
    ) -> FindCoordinatorResponse {
        let response = FindCoordinatorResponse::default();
        if version < 4 {
            return response
                .with_node_id(NODE)
                .with_host(self.advertised_host())
                .with_port(i32::from(self.port));
        }
        let here = |key| {
            Coordinator::default()
                .with_key(key)
                .with_node_id(NODE)
                .with_host(self.advertised_host())
                .with_port(i32::from(self.port))
        };
        response.with_coordinators(request.coordinator_keys.into_iter().map(here).collect())
    }

    pub(crate) fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
    ) -> DescribeClusterResponse {
        let node = DescribeClusterBroker::default()
            .with_broker_id(NODE)
            .with_host(self.advertised_host())
            .with_port(i32::from(self.port));
        DescribeClusterResponse::default()
            .with_endpoint_type(request.endpoint_type)
            .with_cluster_id(text(&self.cluster_id))
            .with_controller_id(NODE)
            .with_brokers(vec![node])
    }

    /// There was only ever one leader: its epoch is 0 and ends where the log ends.
    pub(crate) fn offset_for_leader_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let end = EpochEndOffset::default().with_partition(asked.partition);
                match self.topics.partition(&topic.topic, asked.partition) {
                    None => end.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                    Some(_) if asked.current_leader_epoch > 0 => {
                        end.with_error_code(ResponseError::UnknownLeaderEpoch.code())
                    }
                    Some(_) if asked.leader_epoch != 0 => end,
                    Some(partition) => end
                        .with_leader_epoch(0)
                        .with_end_offset(partition.bounds().next),
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    fn topic_metadata(
        &self,
        map: &TopicMap,
        name: TopicName,
        may_create: bool,
    ) -> MetadataResponseTopic {
        if let Some(topic) = map.get(name.as_str()) {
            return described(name, topic);
        }
        let error = if !is_valid_name(&name) {
            ResponseError::InvalidTopicException
        } else if may_create {
            match self.create_missing(&name) {
                Ok(()) => match self.topics.get(&name) {
                    Some(topic) => return described(name, &topic),
                    None => ResponseError::LeaderNotAvailable,
                },
                Err(error) => error,
            }
        } else {
            ResponseError::UnknownTopicOrPartition
        };
        MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(error.code())
    }
}

fn described(name: TopicName, topic: &Topic) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(count(index))
            .with_leader_id(NODE)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    };
    MetadataResponseTopic::default()
        .with_name(Some(name))
        .with_topic_id(topic.uuid)
        .with_partitions((0..topic.partitions.len()).map(partition).collect())
}

//! Topics made, deleted, widened; records deleted.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
};
use uuid::Uuid;

use super::broker::{Broker, storage_error};
use super::configs::in_force;
use super::protocol::{count, text};
use super::settings;
use super::topic_change::{NewTopic, Refusal, create, delete, delete_before, widen};

/// Partitions that one request may make, as in Kafka: each is written and described.
const CREATED_AT_ONCE_MAX: usize = 10_000;

impl Broker {
    pub(crate) fn create_topics(
        &self,
        request: CreateTopicsRequest,
        version: i16,
    ) -> CreateTopicsResponse {
        let mut named: HashMap<String, usize> = HashMap::with_capacity(request.topics.len());
        let mut partitions = 0;
        for topic in &request.topics {
            *named.entry(topic.name.to_string()).or_default() += 1;
            partitions += usize::try_from(topic.num_partitions).unwrap_or(1).max(1);
        }
        let results = request.topics.into_iter().map(|topic| {
            let repeated = named
                .get(topic.name.as_str())
                .is_some_and(|count| *count > 1);
            let result = CreatableTopicResult::default().with_name(topic.name.clone());
            let created = if partitions > CREATED_AT_ONCE_MAX {
                Err((
                    ResponseError::PolicyViolation,
                    format!(
                        "{partitions} partitions at once: ask for {CREATED_AT_ONCE_MAX} at most"
                    ),
                ))
            } else if repeated {
                Err((
                    ResponseError::InvalidRequest,
                    "the topic is named twice in the request".to_owned(),
                ))
            } else {
                self.create_topic(topic, request.validate_only)
            };
            match created {
                Err((error, message)) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(text(&message)))
                    .with_configs((version >= 5).then(Vec::new)),
                Ok(_) if version < 5 => result,
                Ok((ref new, uuid)) => {
                    let configs = settings::TOPIC_SETTINGS.iter().map(|(name, ..)| {
                        let (value, source) = in_force(name, &new.configs, &self.config);
                        CreatableTopicConfigs::default()
                            .with_name(text(name))
                            .with_value(Some(text(&value)))
                            .with_config_source(source)
                    });
                    let result = result
                        .with_num_partitions(new.partition_count)
                        .with_replication_factor(1)
                        .with_configs(Some(configs.collect()));
                    if version >= 7 {
                        result.with_topic_id(uuid)
                    } else {
                        result
                    }
                }
            }
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    /// Makes a topic with the default number of partitions because somebody asked for it.
    pub(crate) fn create_missing(&self, name: &str) -> Result<(), ResponseError> {
        let new = NewTopic {
            name: name.to_owned(),
            partition_count: self.config.default_partitions.max(1),
            configs: BTreeMap::new(),
        };
        match self
            .queue
            .write(move |ledger| create(ledger, &new, false))
            .map_err(storage_error)?
        {
            Ok(_) => Ok(()),
            Err((ResponseError::TopicAlreadyExists, _)) => Ok(()), // Somebody else asked too.
            Err((error, _)) => Err(error),
        }
    }

    pub(crate) fn delete_topics(
        &self,
        request: DeleteTopicsRequest,
        version: i16,
    ) -> DeleteTopicsResponse {
        let results = request.topic_names.into_iter().map(|name| {
            let topic = name.to_string();
            let deleted = self.queue.free(move |ledger| delete(ledger, &topic));
            let result = DeletableTopicResult::default().with_name(Some(name));
            match flatten(deleted) {
                Ok(()) => result,
                Err((error, message)) => result
                    .with_error_code(error.code())
                    .with_error_message((version >= 5).then(|| text(&message))),
            }
        });
        DeleteTopicsResponse::default().with_responses(results.collect())
    }

    pub(crate) fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let validate_only = request.validate_only;
        let results = request.topics.into_iter().map(|topic| {
            let name = topic.name.clone();
            let widened = self
                .queue
                .write(move |ledger| widen(ledger, &topic, validate_only));
            let result = CreatePartitionsTopicResult::default().with_name(name);
            match flatten(widened) {
                Ok(()) => result,
                Err((error, message)) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(text(&message))),
            }
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    pub(crate) fn delete_records(&self, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let (name, index, offset) =
                    (topic.name.to_string(), asked.partition_index, asked.offset);
                let deleted = self
                    .queue
                    .free(move |ledger| delete_before(ledger, &name, index, offset));
                let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
                match deleted.map_err(storage_error).and_then(|result| result) {
                    Ok(start) => result.with_low_watermark(start),
                    Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    }

    fn create_topic(
        &self,
        topic: CreatableTopic,
        validate_only: bool,
    ) -> Result<(NewTopic, Uuid), Refusal> {
        let new = self.plan(topic)?;
        let planned = new.clone();
        let uuid = flatten(
            self.queue
                .write(move |ledger| create(ledger, &planned, validate_only)),
        )?;
        Ok((new, uuid))
    }

    /// Checks what can be checked without looking at the other topics.
    fn plan(&self, topic: CreatableTopic) -> Result<NewTopic, Refusal> {
        let refuse = |error, message: &str| Err((error, message.to_owned()));
        let assigned = !topic.assignments.is_empty();
        if assigned && (topic.num_partitions != -1 || topic.replication_factor != -1) {
            return refuse(
                ResponseError::InvalidRequest,
                "both a count and an assignment of partitions were given",
            );
        }
        if assigned
            && topic.assignments.iter().any(|assignment| {
                assignment.broker_ids.iter().any(|id| id.0 != 1) || assignment.broker_ids.len() != 1
            })
        {
            return refuse(
                ResponseError::InvalidReplicaAssignment,
                "there is one broker, number 1",
            );
        }
        if !matches!(topic.replication_factor, -1 | 1) {
            let message = format!(
                "replication factor {} is not possible: the embedded broker is one broker, use 1",
                topic.replication_factor
            );
            return Err((ResponseError::InvalidReplicationFactor, message));
        }
        let partition_count = match (assigned, topic.num_partitions) {
            (true, _) => count(topic.assignments.len()),
            (false, -1) => self.config.default_partitions.max(1),
            (false, given) => given,
        };
        let mut configs = BTreeMap::new();
        for config in topic.configs {
            let Some(value) = config.value else {
                return refuse(ResponseError::InvalidConfig, "a setting without a value");
            };
            settings::check(&config.name, &value)
                .map_err(|message| (ResponseError::InvalidConfig, message))?;
            configs.insert(config.name.to_string(), value.to_string());
        }
        Ok(NewTopic {
            name: topic.name.to_string(),
            partition_count,
            configs,
        })
    }
}

fn flatten<T>(result: Result<Result<T, Refusal>, super::error::Unavailable>) -> Result<T, Refusal> {
    result.map_err(|unavailable| {
        (
            storage_error(unavailable),
            "the broker's file took no change".to_owned(),
        )
    })?
}

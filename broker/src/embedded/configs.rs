//! Settings of topics and of the broker: what there is, its default, what may be set.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    incremental_alter_configs_response,
};
use kafka_protocol::protocol::StrBytes;
use rusqlite::params;

use super::broker::{Broker, NODE, storage_error};
use super::ledger::Ledger;
use super::protocol::text;
use super::settings::{Change, Kind, MAX_MESSAGE_BYTES_DEFAULT, TOPIC_SETTINGS};
use super::topics::Topic;

/// What the protocol calls a topic among the resources that have settings.
const TOPIC: i8 = 2;
/// What it calls a broker.
const BROKER: i8 = 4;
/// A value that was set on the topic.
const SOURCE_TOPIC: i8 = 1;
/// A value that the broker was started with.
const SOURCE_BROKER: i8 = 4;
/// A value that nobody set.
const SOURCE_DEFAULT: i8 = 5;

type Outcome = (i16, Option<StrBytes>);

impl Broker {
    pub(crate) fn describe_configs(
        &self,
        request: DescribeConfigsRequest,
    ) -> DescribeConfigsResponse {
        let synonyms = request.include_synonyms;
        let results = request.resources.into_iter().map(|resource| {
            let wanted = |name: &str| {
                resource.configuration_keys.as_ref().is_none_or(|keys| {
                    keys.is_empty() || keys.iter().any(|key| key.as_str() == name)
                })
            };
            let result =
                DescribeConfigsResult::default().with_resource_type(resource.resource_type);
            let result = match resource.resource_type {
                TOPIC => match self.topics.get(&resource.resource_name) {
                    None => failed(
                        result,
                        ResponseError::UnknownTopicOrPartition,
                        "no such topic",
                    ),
                    Some(topic) => {
                        let settings = TOPIC_SETTINGS.iter().filter(|(name, ..)| wanted(name));
                        result.with_configs(
                            settings
                                .map(|setting| described(setting, &topic, synonyms))
                                .collect(),
                        )
                    }
                },
                BROKER => {
                    let named = resource.resource_name.parse::<i32>().ok();
                    if named.is_some_and(|id| id != NODE.0) {
                        failed(
                            result,
                            ResponseError::InvalidRequest,
                            "there is one broker, number 1",
                        )
                    } else {
                        let settings = self
                            .broker_settings()
                            .into_iter()
                            .filter(|(name, ..)| wanted(name));
                        result.with_configs(
                            settings
                                .map(|(name, kind, value)| fixed(name, kind, &value))
                                .collect(),
                        )
                    }
                }
                _ => failed(
                    result,
                    ResponseError::InvalidRequest,
                    "only topics and brokers have settings here",
                ),
            };
            result.with_resource_name(resource.resource_name)
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    pub(crate) fn alter_configs(&self, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let validate_only = request.validate_only;
        let responses = request.resources.into_iter().map(|resource| {
            let changes = resource.configs.into_iter().map(|config| {
                let value = config
                    .value
                    .map(|value| value.to_string())
                    .unwrap_or_default();
                Ok(Change::Set(config.name.to_string(), value))
            });
            let changes: Result<Vec<_>, String> = changes.collect();
            let (error_code, message) = self.alter(
                resource.resource_type,
                &resource.resource_name,
                changes,
                true,
                validate_only,
            );
            alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(error_code)
                .with_error_message(message)
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    pub(crate) fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let validate_only = request.validate_only;
        let responses = request.resources.into_iter().map(|resource| {
            let changes = resource.configs.into_iter().map(|config| {
                let name = config.name.to_string();
                let value = config
                    .value
                    .map(|value| value.to_string())
                    .unwrap_or_default();
                match config.config_operation {
                    0 => Ok(Change::Set(name, value)),
                    1 => Ok(Change::Unset(name)),
                    2 => Ok(Change::Append(name, value)),
                    3 => Ok(Change::Subtract(name, value)),
                    other => Err(format!("unknown operation {other} on {name}")),
                }
            });
            let changes: Result<Vec<_>, String> = changes.collect();
            let (error_code, message) = self.alter(
                resource.resource_type,
                &resource.resource_name,
                changes,
                false,
                validate_only,
            );
            incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(error_code)
                .with_error_message(message)
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    /// Changes a topic's settings; `replace` forgets those that are not named.
    fn alter(
        &self,
        kind: i8,
        name: &str,
        changes: Result<Vec<Change>, String>,
        replace: bool,
        validate_only: bool,
    ) -> Outcome {
        let refuse = |error: ResponseError, message: &str| (error.code(), Some(text(message)));
        if kind != TOPIC {
            return refuse(
                ResponseError::InvalidRequest,
                "only topics can be changed while the embedded broker serves",
            );
        }
        let changes = match changes {
            Ok(changes) => changes,
            Err(message) => return refuse(ResponseError::InvalidRequest, &message),
        };
        let topic = name.to_owned();
        match self
            .queue
            .write(move |ledger| set_configs(ledger, &topic, changes, replace, validate_only))
        {
            Ok(Ok(())) => (0, None),
            Ok(Err((error, message))) => refuse(error, &message),
            Err(unavailable) => refuse(
                storage_error(unavailable),
                "the broker's file took no change",
            ),
        }
    }

    fn broker_settings(&self) -> Vec<(&'static str, Kind, String)> {
        let config = &self.config;
        vec![
            (
                "advertised.listeners",
                Kind::Text,
                format!("PLAINTEXT://{}:{}", self.host, self.port),
            ),
            (
                "auto.create.topics.enable",
                Kind::Boolean,
                config.auto_create_topics.to_string(),
            ),
            ("default.replication.factor", Kind::Int, "1".to_owned()),
            ("log.dirs", Kind::Text, config.path.display().to_string()),
            (
                "log.retention.ms",
                Kind::Long,
                config
                    .retention
                    .map_or("-1".to_owned(), |age| age.as_millis().to_string()),
            ),
            (
                "log.retention.bytes",
                Kind::Long,
                config
                    .retention_bytes
                    .map_or("-1".to_owned(), |bytes| bytes.to_string()),
            ),
            (
                "offsets.retention.minutes",
                Kind::Int,
                (config.offsets_retention.as_secs() / 60).to_string(),
            ),
            (
                "producer.id.expiration.ms",
                Kind::Int,
                config.producers_retention.as_millis().to_string(),
            ),
            (
                "transactional.id.expiration.ms",
                Kind::Int,
                config.producers_retention.as_millis().to_string(),
            ),
            (
                "max.connections",
                Kind::Int,
                config.connections_max.to_string(),
            ),
            (
                "message.max.bytes",
                Kind::Int,
                MAX_MESSAGE_BYTES_DEFAULT.to_string(),
            ),
            (
                "num.partitions",
                Kind::Int,
                config.default_partitions.to_string(),
            ),
            (
                "socket.request.max.bytes",
                Kind::Int,
                config.request_bytes_max.to_string(),
            ),
            (
                "transaction.max.timeout.ms",
                Kind::Int,
                config.transaction_timeout_max.as_millis().to_string(),
            ),
        ]
    }
}

fn set_configs(
    ledger: &mut Ledger,
    name: &str,
    changes: Vec<Change>,
    replace: bool,
    validate_only: bool,
) -> rusqlite::Result<Result<(), (ResponseError, String)>> {
    let Some(topic) = ledger.map.get(name) else {
        return Ok(Err((
            ResponseError::UnknownTopicOrPartition,
            "no such topic".to_owned(),
        )));
    };
    let mut changed = Topic::clone(topic);
    if replace {
        changed.configs.clear();
    }
    for change in changes {
        if let Err(message) = change.apply(&mut changed.configs) {
            return Ok(Err((ResponseError::InvalidConfig, message)));
        }
    }
    if validate_only {
        return Ok(Ok(()));
    }
    save(ledger, &changed)?;
    ledger.map.insert(name.to_owned(), Arc::new(changed));
    ledger.map_changed = true;
    Ok(Ok(()))
}

/// Writes a topic's settings, replacing what was there.
pub(crate) fn save(ledger: &Ledger, topic: &Topic) -> rusqlite::Result<()> {
    ledger
        .db
        .execute("delete from topic_config where topic = ?1", [topic.id])?;
    let mut add = ledger
        .db
        .prepare_cached("insert into topic_config (topic, name, value) values (?1, ?2, ?3)")?;
    for (name, value) in &topic.configs {
        add.execute(params![topic.id, name, value])?;
    }
    Ok(())
}

fn described(
    &(name, kind, default): &(&'static str, Kind, &'static str),
    topic: &Topic,
    synonyms: bool,
) -> DescribeConfigsResourceResult {
    let own = topic.configs.get(name);
    let value = own.map_or(default, String::as_str);
    let mut known = Vec::new();
    if synonyms {
        let synonym = |value: &str, source| {
            DescribeConfigsSynonym::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_source(source)
        };
        known.extend(own.map(|value| synonym(value, SOURCE_TOPIC)));
        known.push(synonym(default, SOURCE_DEFAULT));
    }
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(if own.is_some() {
            SOURCE_TOPIC
        } else {
            SOURCE_DEFAULT
        })
        .with_config_type(kind.number())
        .with_synonyms(known)
}

fn fixed(name: &'static str, kind: Kind, value: &str) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_read_only(true)
        .with_config_source(SOURCE_BROKER)
        .with_config_type(kind.number())
}

fn failed(
    result: DescribeConfigsResult,
    error: ResponseError,
    message: &str,
) -> DescribeConfigsResult {
    result
        .with_error_code(error.code())
        .with_error_message(Some(text(message)))
}

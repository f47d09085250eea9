//! Settings of topics and of the broker: what there is, its default, what may be set.

use std::collections::{BTreeMap, BTreeSet};
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
use super::broker_settings::{BrokerSetting, broker_settings, started_with};
use super::config::EmbeddedConfig;
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::protocol::{once, text};
use super::setting_docs::{broker_name, doc};
use super::settings::{Change, Kind, TOPIC_SETTINGS, value};
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
        let with = With {
            synonyms: request.include_synonyms,
            docs: request.include_documentation,
        };
        let asked = once(request.resources, |resource| {
            (resource.resource_type, resource.resource_name.clone())
        });
        let results = asked.into_iter().map(|resource| {
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
                                .map(|setting| described(setting, &topic, &self.config, with))
                                .collect(),
                        )
                    }
                },
                BROKER => {
                    let named = resource.resource_name.parse::<i32>().ok();
                    if resource.resource_name.is_empty() {
                        // What all brokers have in common and was set while they ran: nothing can be.
                        result
                    } else if named != Some(NODE.0) {
                        failed(
                            result,
                            ResponseError::InvalidRequest,
                            "there is one broker, number 1",
                        )
                    } else {
                        let settings = broker_settings(self);
                        let settings = settings.iter().filter(|setting| wanted(setting.name));
                        result.with_configs(settings.map(|setting| fixed(setting, with)).collect())
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
            let wishes = resource.configs.into_iter();
            let changes = changes(wishes.map(|wish| (wish.name, SET, wish.value)));
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
            let wishes = resource.configs.into_iter();
            let changes =
                changes(wishes.map(|wish| (wish.name, wish.config_operation, wish.value)));
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
            // It may be a shorter retention, to make room.
            .free(move |ledger| set_configs(ledger, &topic, changes, replace, validate_only))
        {
            Ok(Ok(())) => (0, None),
            Ok(Err((error, message))) => refuse(error, &message),
            Err(unavailable) => refuse(
                storage_error(unavailable),
                "the broker's file took no change",
            ),
        }
    }
}

/// What the protocol calls the operations of a change.
const SET: i8 = 0;
const UNSET: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Reads the wishes for one resource: name, operation, value. A setting can be named once.
fn changes(
    wishes: impl Iterator<Item = (StrBytes, i8, Option<StrBytes>)>,
) -> Result<Vec<Change>, String> {
    let mut named = BTreeSet::new();
    let mut changes = Vec::new();
    for (name, operation, value) in wishes {
        if !named.insert(name.clone()) {
            return Err(format!(
                "Error due to duplicate config keys: {}",
                name.as_str()
            ));
        }
        let name = name.to_string();
        let value = match (operation, value) {
            (UNSET, _) => String::new(),
            (_, Some(value)) => value.to_string(),
            (_, None) => return Err(format!("Null value not supported for: {name}")),
        };
        changes.push(match operation {
            SET => Change::Set(name, value),
            UNSET => Change::Unset(name),
            APPEND => Change::Append(name, value),
            SUBTRACT => Change::Subtract(name, value),
            other => return Err(format!("unknown operation {other} on {name}")),
        });
    }
    Ok(changes)
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
    reach(Point::SettingsCleared)?;
    let mut add = ledger
        .db
        .prepare_cached("insert into topic_config (topic, name, value) values (?1, ?2, ?3)")?;
    for (name, value) in &topic.configs {
        add.execute(params![topic.id, name, value])?;
    }
    Ok(())
}

/// What a description is asked to have.
#[derive(Debug, Clone, Copy)]
struct With {
    synonyms: bool,
    docs: bool,
}

fn described(
    &(name, kind, default): &(&'static str, Kind, &'static str),
    topic: &Topic,
    config: &EmbeddedConfig,
    with: With,
) -> DescribeConfigsResourceResult {
    let known = layers(name, default, &topic.configs, config);
    let (_, value, source) = &known[0];
    let synonyms = known
        .iter()
        .filter(|_| with.synonyms)
        .map(|(name, value, source)| synonym(name, value, *source));
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(*source)
        .with_config_type(kind.number())
        .with_documentation(with.docs.then(|| text(doc(name))))
        .with_synonyms(synonyms.collect())
}

/// What holds first, then what would hold without it: names, values, sources.
fn layers(
    name: &'static str,
    default: &str,
    set: &BTreeMap<String, String>,
    config: &EmbeddedConfig,
) -> Vec<(&'static str, String, i8)> {
    let own = set.get(name).cloned();
    let brokers = started_with(config, name);
    [
        own.map(|value| (name, value, SOURCE_TOPIC)),
        brokers.map(|value| (broker_name(name), value, SOURCE_BROKER)),
        Some((broker_name(name), default.to_owned(), SOURCE_DEFAULT)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The value of a topic's setting, and where it comes from.
pub(crate) fn in_force(
    setting: &'static str,
    set: &BTreeMap<String, String>,
    config: &EmbeddedConfig,
) -> (String, i8) {
    let default = value(&BTreeMap::new(), setting).to_owned();
    let (_, value, source) = layers(setting, &default, set, config).remove(0);
    (value, source)
}

/// A setting of the broker. It was started with all of them.
fn fixed(setting: &BrokerSetting, with: With) -> DescribeConfigsResourceResult {
    let known = with
        .synonyms
        .then(|| synonym(setting.name, &setting.value, SOURCE_BROKER));
    DescribeConfigsResourceResult::default()
        .with_name(text(setting.name))
        .with_value(Some(text(&setting.value)))
        .with_read_only(true)
        .with_config_source(SOURCE_BROKER)
        .with_config_type(setting.kind.number())
        .with_documentation(with.docs.then(|| text(setting.doc)))
        .with_synonyms(known.into_iter().collect())
}

fn synonym(name: &str, value: &str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_source(source)
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

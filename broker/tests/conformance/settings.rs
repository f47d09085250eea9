//! Settings: described with where they come from, changed one by one, and refused when they are wrong.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::wire::Wire;
use crate::world::{admin, bootstrap, eventually, topic_with, unique};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;
const SET: i8 = 0;
const UNSET: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn wire() -> Wire {
    Wire::connect(bootstrap().split(',').next().unwrap())
}

/// Wishes for one resource: name, operation, value.
fn change(
    kind: i8,
    resource: &str,
    wishes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> (i16, String) {
    let wishes = wishes.iter().map(|(name, operation, value)| {
        incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configs(wishes.collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_validate_only(validate_only)
        .with_resources(vec![resource]);
    let answer = wire().call(&request, 1).responses.remove(0);
    let message = answer.error_message.map(|message| message.to_string());
    (answer.error_code, message.unwrap_or_default())
}

fn describe(kind: i8, resource: &str) -> (i16, Vec<DescribeConfigsResourceResult>) {
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_include_documentation(true)
        .with_resources(vec![resource]);
    let answer = wire().call(&request, 4).results.remove(0);
    (answer.error_code, answer.configs)
}

fn setting(topic: &str, name: &str) -> DescribeConfigsResourceResult {
    let (code, settings) = describe(TOPIC, topic);
    assert_eq!(code, 0);
    let mut settings = settings.into_iter();
    settings
        .find(|setting| setting.name.as_str() == name)
        .unwrap()
}

/// A change is seen by every broker a moment after its answer.
fn eventually_is(topic: &str, name: &str, value: &str, source: i8) {
    eventually(&format!("{name} is {value}"), || {
        let setting = setting(topic, name);
        (setting.value.as_deref(), setting.config_source) == (Some(value), source)
    });
}

#[test]
fn a_setting_is_set_and_unset_and_a_list_grows_and_shrinks() {
    let topic = topic_with("settings", 1, &[]);
    assert_eq!(
        change(TOPIC, &topic, &[("retention.ms", SET, Some("5000"))], false).0,
        0
    );
    eventually_is(&topic, "retention.ms", "5000", SOURCE_TOPIC);
    assert_eq!(
        change(
            TOPIC,
            &topic,
            &[
                ("max.message.bytes", SET, Some("2000")),
                ("cleanup.policy", APPEND, Some("compact")),
            ],
            false
        )
        .0,
        0
    );
    eventually_is(&topic, "cleanup.policy", "delete,compact", SOURCE_TOPIC);
    eventually_is(&topic, "retention.ms", "5000", SOURCE_TOPIC);
    assert_eq!(
        change(
            TOPIC,
            &topic,
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
            false
        )
        .0,
        0
    );
    eventually_is(&topic, "cleanup.policy", "compact", SOURCE_TOPIC);
    assert_eq!(
        change(TOPIC, &topic, &[("max.message.bytes", UNSET, None)], false).0,
        0
    );
    eventually_is(&topic, "max.message.bytes", "1048588", SOURCE_DEFAULT);
}

#[test]
fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let topic = topic_with("refused-settings", 1, &[]);
    let wrong = [
        ("retention.msec", SET, "1"),
        ("retention.ms", SET, "soon"),
        ("retention.ms", SET, "-2"),
        ("max.message.bytes", SET, "-1"),
        ("max.message.bytes", SET, "99999999999"),
        ("min.cleanable.dirty.ratio", SET, "1.1"),
        ("min.insync.replicas", SET, "0"),
        ("cleanup.policy", SET, "shrink"),
        ("cleanup.policy", APPEND, "shrink"),
        ("compression.type", SET, "rar"),
        ("message.timestamp.type", SET, "MyTime"),
        ("message.timestamp.after.max.ms", SET, "-1"),
        ("delete.retention.ms", SET, "-1"),
        ("max.compaction.lag.ms", SET, "0"),
        ("flush.messages", SET, "0"),
        ("segment.bytes", SET, "1"),
        ("segment.ms", SET, "0"),
        ("preallocate", SET, "perhaps"),
        ("retention.ms", APPEND, "1"),
        ("retention.ms", SUBTRACT, "1"),
    ];
    for (name, operation, value) in wrong {
        // What is right beside it is not taken either.
        let wishes = [
            ("segment.index.bytes", SET, Some("5000000")),
            (name, operation, Some(value)),
        ];
        let (code, message) = change(TOPIC, &topic, &wishes, false);
        assert_eq!(
            code,
            ResponseError::InvalidConfig.code(),
            "{name} {value}: {message}"
        );
        assert!(message.contains(name), "{name} {value}: {message}");
    }
    let unsound: [&[(&str, i8, Option<&str>)]; 2] = [
        &[("retention.ms", SET, None)],
        &[
            ("retention.ms", SET, Some("1")),
            ("retention.ms", SET, Some("2")),
        ],
    ];
    for wishes in unsound {
        let (code, message) = change(TOPIC, &topic, wishes, false);
        assert_eq!(code, ResponseError::InvalidRequest.code(), "{message}");
    }
    let (_, settings) = describe(TOPIC, &topic);
    let set = settings
        .iter()
        .filter(|setting| setting.config_source == SOURCE_TOPIC);
    assert_eq!(set.count(), 0);
    let (code, _) = change(
        TOPIC,
        &unique("nowhere"),
        &[("retention.ms", SET, Some("1"))],
        false,
    );
    assert_eq!(code, ResponseError::UnknownTopicOrPartition.code());
}

#[test]
fn a_change_that_is_only_tried_changes_nothing() {
    let topic = topic_with("tried", 1, &[]);
    assert_eq!(
        change(TOPIC, &topic, &[("retention.ms", SET, Some("5000"))], true).0,
        0
    );
    let (code, _) = change(TOPIC, &topic, &[("retention.ms", SET, Some("soon"))], true);
    assert_eq!(code, ResponseError::InvalidConfig.code());
    assert_eq!(
        setting(&topic, "retention.ms").config_source,
        SOURCE_DEFAULT
    );
}

#[test]
fn a_description_tells_type_source_synonyms_and_meaning() {
    let topic = topic_with("described", 1, &[]);
    let untouched = setting(&topic, "max.message.bytes");
    assert_eq!(untouched.value.as_deref(), Some("1048588"));
    assert_eq!(
        (untouched.config_source, untouched.config_type),
        (SOURCE_DEFAULT, 3)
    );
    assert!(!untouched.read_only && !untouched.is_sensitive);
    assert!(!untouched.documentation.unwrap().is_empty());
    let synonyms = |setting: &DescribeConfigsResourceResult| -> Vec<(String, String, i8)> {
        let synonyms = setting.synonyms.iter();
        synonyms
            .map(|synonym| {
                let value = synonym.value.as_ref().map(ToString::to_string);
                (
                    synonym.name.to_string(),
                    value.unwrap_or_default(),
                    synonym.source,
                )
            })
            .collect()
    };
    let default = (
        "message.max.bytes".to_owned(),
        "1048588".to_owned(),
        SOURCE_DEFAULT,
    );
    assert_eq!(
        synonyms(&setting(&topic, "max.message.bytes")),
        std::slice::from_ref(&default)
    );
    assert_eq!(
        change(
            TOPIC,
            &topic,
            &[("max.message.bytes", SET, Some("2000"))],
            false
        )
        .0,
        0
    );
    eventually_is(&topic, "max.message.bytes", "2000", SOURCE_TOPIC);
    let own = (
        "max.message.bytes".to_owned(),
        "2000".to_owned(),
        SOURCE_TOPIC,
    );
    assert_eq!(
        synonyms(&setting(&topic, "max.message.bytes")),
        [own, default]
    );
    assert_eq!(
        describe(TOPIC, &unique("nowhere")).0,
        ResponseError::UnknownTopicOrPartition.code()
    );
}

#[test]
fn the_settings_that_there_are_have_the_types_and_defaults_of_kafka() {
    let topic = topic_with("all-settings", 1, &[]);
    let (_, settings) = describe(TOPIC, &topic);
    // What retention is by default depends on who started the broker.
    let known = [
        ("cleanup.policy", 7, Some("delete")),
        ("compression.type", 2, Some("producer")),
        ("delete.retention.ms", 5, Some("86400000")),
        ("file.delete.delay.ms", 5, Some("60000")),
        ("flush.messages", 5, None),
        ("flush.ms", 5, None),
        ("index.interval.bytes", 3, Some("4096")),
        ("max.compaction.lag.ms", 5, Some("9223372036854775807")),
        ("max.message.bytes", 3, Some("1048588")),
        ("message.timestamp.after.max.ms", 5, Some("3600000")),
        (
            "message.timestamp.before.max.ms",
            5,
            Some("9223372036854775807"),
        ),
        ("message.timestamp.type", 2, Some("CreateTime")),
        ("min.cleanable.dirty.ratio", 6, Some("0.5")),
        ("min.compaction.lag.ms", 5, Some("0")),
        ("min.insync.replicas", 3, Some("1")),
        ("preallocate", 1, Some("false")),
        ("retention.bytes", 5, None),
        ("retention.ms", 5, None),
        ("segment.bytes", 3, Some("1073741824")),
        ("segment.index.bytes", 3, Some("10485760")),
        ("segment.jitter.ms", 5, Some("0")),
        ("segment.ms", 5, Some("604800000")),
        ("unclean.leader.election.enable", 1, Some("false")),
    ];
    for (name, kind, default) in known {
        let mut settings = settings.iter();
        let found = settings.find(|setting| setting.name.as_str() == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not described"));
        assert_eq!(found.config_type, kind, "{name}");
        assert!(
            default.is_none() || default == found.value.as_deref(),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn a_broker_describes_itself_and_no_other() {
    let (code, settings) = describe(BROKER, "1");
    assert_eq!(code, 0);
    for name in [
        "advertised.listeners",
        "auto.create.topics.enable",
        "default.replication.factor",
        "fetch.max.bytes",
        "group.initial.rebalance.delay.ms",
        "group.max.session.timeout.ms",
        "listeners",
        "log.dirs",
        "max.connections",
        "message.max.bytes",
        "node.id",
        "num.partitions",
        "offset.metadata.max.bytes",
        "queued.max.request.bytes",
        "socket.request.max.bytes",
        "transaction.max.timeout.ms",
    ] {
        let found = settings
            .iter()
            .find(|setting| setting.name.as_str() == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not described"));
        assert!(
            found
                .value
                .as_deref()
                .is_some_and(|value| !value.is_empty()),
            "{name}"
        );
        assert!(
            found
                .documentation
                .as_deref()
                .is_some_and(|doc| !doc.is_empty()),
            "{name}"
        );
    }
    assert_eq!(
        describe(BROKER, "99").0,
        ResponseError::InvalidRequest.code()
    );
}

#[test]
fn the_answer_to_a_new_topic_tells_all_its_settings() {
    let name = unique("told");
    let own = create_topics_request::CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("5000")));
    let wish = create_topics_request::CreatableTopic::default()
        .with_name(TopicName(text(&name)))
        .with_num_partitions(3)
        .with_replication_factor(1)
        .with_configs(vec![own]);
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(30_000)
        .with_topics(vec![wish]);
    let answer = wire().call(&request, 7).topics.remove(0);
    assert_eq!((answer.error_code, answer.num_partitions), (0, 3));
    let settings = answer.configs.unwrap();
    let told = |name: &str| {
        let found = settings
            .iter()
            .find(|setting| setting.name.as_str() == name);
        let found = found.unwrap();
        (
            found.value.as_ref().unwrap().to_string(),
            found.config_source,
        )
    };
    assert_eq!(told("retention.ms"), ("5000".to_owned(), SOURCE_TOPIC));
    assert_eq!(
        told("max.message.bytes"),
        ("1048588".to_owned(), SOURCE_DEFAULT)
    );
}

#[test]
fn a_topic_with_a_wrong_setting_is_not_made() {
    let name = unique("wrong");
    let wrong = create_topics_request::CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("soon")));
    let wish = create_topics_request::CreatableTopic::default()
        .with_name(TopicName(text(&name)))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![wrong]);
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(30_000)
        .with_topics(vec![wish]);
    let answer = wire().call(&request, 5).topics.remove(0);
    assert_eq!(answer.error_code, ResponseError::InvalidConfig.code());
    assert_eq!(admin().partition_count(&name).unwrap(), None);
}

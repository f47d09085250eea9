//! Records taken and refused, as each version of the protocol can tell it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;

use super::batch::tests::sample;
use super::protocol_tests::{Talk, text, topic, versions};

fn make_topic(talk: &Talk, name: &str, setting: &str, value: &str) {
    let setting = CreatableTopicConfig::default()
        .with_name(text(setting))
        .with_value(Some(text(value)));
    let wish = CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![setting]);
    let made: CreateTopicsResponse = talk.ask(
        ApiKey::CreateTopics,
        5,
        &CreateTopicsRequest::default().with_topics(vec![wish]),
    );
    assert_eq!(made.topics[0].error_code, 0);
}

fn offer(talk: &Talk, version: i16, name: &str, times: &[i64]) -> PartitionProduceResponse {
    let partition = produce_request::PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(sample(-1, -1, -1, times)));
    let wish = produce_request::TopicProduceData::default()
        .with_name(topic(name))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![wish]);
    let mut answer: ProduceResponse = talk.ask(ApiKey::Produce, version, &request);
    answer.responses.remove(0).partition_responses.remove(0)
}

#[test]
fn refused_records_are_named_to_the_versions_that_can_be_told() {
    let talk = Talk::start();
    make_topic(&talk, "keyed", "cleanup.policy", "compact");
    make_topic(&talk, "timely", "message.timestamp.before.max.ms", "1000");
    for version in versions(ApiKey::Produce) {
        for (name, error) in [
            ("keyed", ResponseError::InvalidRecord),
            ("timely", ResponseError::InvalidTimestamp),
        ] {
            let answer = offer(&talk, version, name, &[100, 110]);
            assert_eq!((answer.error_code, answer.base_offset), (error.code(), -1));
            let named: Vec<i32> = answer
                .record_errors
                .iter()
                .map(|error| error.batch_index)
                .collect();
            let told: &[i32] = if version >= 8 { &[0, 1] } else { &[] };
            assert_eq!(named, told, "{name} version {version}");
            assert_eq!(answer.error_message.is_some(), version >= 8);
        }
    }
}

#[test]
fn every_version_is_told_the_time_that_the_broker_gave() {
    let talk = Talk::start();
    make_topic(&talk, "stamped", "message.timestamp.type", "LogAppendTime");
    let mut last = 1_600_000_000_000;
    for version in versions(ApiKey::Produce) {
        let answer = offer(&talk, version, "stamped", &[100, 110]);
        assert_eq!(answer.error_code, 0);
        assert!(answer.log_append_time_ms >= last, "version {version}");
        last = answer.log_append_time_ms;
    }
}

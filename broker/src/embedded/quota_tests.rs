//! What is over a limit is refused in a way that clients can read, and holds up nobody else.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;

use super::EmbeddedConfig;
use super::batch::tests::sample;
use super::protocol_tests::{Talk, text, topic, versions};

fn ask_versions(talk: &Talk, version: i16) -> ApiVersionsResponse {
    talk.ask(ApiKey::ApiVersions, version, &ApiVersionsRequest::default())
}

#[test]
fn a_connection_over_the_limit_is_told_so_in_every_version_and_the_others_go_on() {
    let talk = Talk::start_with(EmbeddedConfig {
        connections_max: 1,
        ..EmbeddedConfig::default()
    });
    talk.make_topic("first");
    for version in versions(ApiKey::ApiVersions) {
        let over = talk.another();
        let answer = ask_versions(&over, version);
        assert_eq!(
            answer.error_code,
            ResponseError::ThrottlingQuotaExceeded.code()
        );
        assert!(over.is_closed());
    }
    let over = talk.another();
    over.send(ApiKey::Metadata, 1, &MetadataRequest::default());
    assert!(over.is_closed(), "no other answer could say it");
    talk.make_topic("second");
}

#[test]
fn connections_that_are_refused_and_silent_do_not_keep_others_from_being_told() {
    let talk = Talk::start_with(EmbeddedConfig {
        connections_max: 1,
        ..EmbeddedConfig::default()
    });
    talk.make_topic("first");
    let silent: Vec<Talk> = (0..40).map(|_| talk.another()).collect();
    for over in &silent {
        assert!(over.is_closed());
    }
    let over = talk.another();
    assert_eq!(
        ask_versions(&over, 0).error_code,
        ResponseError::ThrottlingQuotaExceeded.code()
    );
}

#[test]
fn a_request_waits_while_others_hold_the_memory_and_is_answered_then() {
    let talk = Talk::start_with(EmbeddedConfig {
        requests_bytes_max: 1_000,
        ..EmbeddedConfig::default()
    });
    // The other one's request is begun, and holds nearly everything.
    let other = talk.another();
    let mut begun = 999_u32.to_be_bytes().to_vec();
    begun.extend_from_slice(&[0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
    (&other.stream).write_all(&begun).unwrap();
    // Until it has been heard, requests are answered; then they wait.
    let waits = loop {
        talk.send(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
        talk.stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        match talk.stream.peek(&mut [0]) {
            Ok(_) => {
                let _: ApiVersionsResponse = talk.receive(ApiKey::ApiVersions, 0);
            }
            Err(error) => break error.kind(),
        }
    };
    assert!(matches!(waits, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    (&other.stream).write_all(&[0; 989]).unwrap();
    talk.stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let answer: ApiVersionsResponse = talk.receive(ApiKey::ApiVersions, 0);
    assert_eq!(answer.error_code, 0);
}

#[test]
fn a_request_over_all_memory_is_served_alone() {
    let talk = Talk::start_with(EmbeddedConfig {
        requests_bytes_max: 1,
        ..EmbeddedConfig::default()
    });
    talk.make_topic("orders");
    let batch = sample(-1, -1, -1, &[100]);
    assert_eq!(talk.produce(9, "orders", batch.clone()), (0, 0));
    assert_eq!(talk.another().produce(9, "orders", batch), (0, 1));
}

#[test]
fn requests_that_come_together_do_not_wait_for_the_memory_of_each_other() {
    let talk = Talk::start_with(EmbeddedConfig {
        requests_bytes_max: 300,
        ..EmbeddedConfig::default()
    });
    talk.make_topic("orders");
    let batch = sample(-1, -1, -1, &[100]);
    let others = [talk.another(), talk.another()];
    let all = || others.iter().chain([&talk]);
    for one in all() {
        (0..50).for_each(|_| one.send_produce(9, "orders", batch.clone()));
    }
    for one in all() {
        (0..50).for_each(|_| assert_eq!(one.receive_produced(9).0, 0));
    }
}

#[test]
fn what_a_group_keeps_of_its_members_holds_no_memory_of_requests() {
    let talk = Talk::start_with(EmbeddedConfig {
        requests_bytes_max: 4_000,
        ..EmbeddedConfig::default()
    });
    for group in ["a", "b", "c", "d"] {
        let protocol = join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from(vec![0; 3_000]));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined: JoinGroupResponse = talk.ask(ApiKey::JoinGroup, 3, &request);
        assert_eq!(joined.error_code, 0);
    }
}

#[test]
fn an_answer_for_which_there_is_no_memory_is_small_and_still_comes() {
    let talk = Talk::start_with(EmbeddedConfig {
        answers_bytes_max: 1,
        ..EmbeddedConfig::default()
    });
    talk.make_topic("orders");
    let times: Vec<i64> = (0..60).collect();
    let batch = sample(-1, -1, -1, &times);
    let count = 1 + (64 << 10) / batch.len();
    for _ in 0..count {
        assert_eq!(talk.produce(9, "orders", batch.clone()).0, 0);
    }
    let partition = fetch_request::FetchPartition::default()
        .with_partition(0)
        .with_partition_max_bytes(1 << 20);
    let asked = fetch_request::FetchTopic::default()
        .with_topic(topic("orders"))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_min_bytes(1 << 20)
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked]);
    let answer: FetchResponse = talk.ask(ApiKey::Fetch, 4, &request);
    let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
    assert_eq!(records.len(), (count - 1) * batch.len());
}

#[test]
fn a_request_over_the_limit_closes_the_connection_before_it_is_read() {
    let talk = Talk::start();
    let head = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9];
    (&talk.stream).write_all(&head).unwrap();
    assert!(talk.is_closed());
}

#[test]
fn a_session_of_another_broker_is_unknown_here() {
    let talk = Talk::start();
    for version in versions(ApiKey::Fetch).filter(|version| *version >= 7) {
        let request = FetchRequest::default()
            .with_session_id(77)
            .with_session_epoch(3);
        let answer: FetchResponse = talk.ask(ApiKey::Fetch, version, &request);
        assert_eq!(
            answer.error_code,
            ResponseError::FetchSessionIdNotFound.code()
        );
    }
}

impl Talk {
    /// Whether the broker has ended the connection, once everything that it sent was read.
    fn is_closed(&self) -> bool {
        (&self.stream).read(&mut [0; 1]).unwrap_or(0) == 0
    }
}

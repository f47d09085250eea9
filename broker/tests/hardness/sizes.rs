//! Requests of any size, and of sizes that make no sense.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeGroupsRequest, FetchRequest, GroupId, HeartbeatRequest,
    MetadataRequest, OffsetCommitRequest, ProduceRequest,
};

use crate::wire::{batch, fetch_request, framed, produce_request, text, topic};
use crate::world::World;

/// Largest request, and largest batch, unless told otherwise.
const REQUEST_MAX: u32 = 64 << 20;
const BATCH_MAX: usize = 1_048_588;

#[test]
fn a_request_is_answered_up_to_the_limit_and_closes_its_connection_beyond() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let head = framed(&ApiVersionsRequest::default(), 0)[4..].to_vec();
    for length in [REQUEST_MAX - 1, REQUEST_MAX] {
        let mut wire = world.wire();
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&head);
        bytes.resize(4 + usize::try_from(length).unwrap(), 0);
        wire.send_bytes(&bytes);
        assert_eq!(wire.receive::<ApiVersionsRequest>(0).error_code, 0);
    }
    let too_large = [REQUEST_MAX + 1, 100_000_000, i32::MAX.cast_unsigned()];
    let negative = [-1, i32::MIN, -7].map(i32::cast_unsigned);
    for length in too_large.into_iter().chain(negative) {
        let mut wire = world.wire();
        wire.send_bytes(&[&length.to_be_bytes()[..], &head].concat());
        // It is not read to its end first: nothing more is sent.
        assert_eq!(wire.rest(), b"", "{length}");
    }
    for length in 0..8_u32 {
        let mut wire = world.wire();
        wire.send_bytes(&length.to_be_bytes());
        wire.send_bytes(&head[..usize::try_from(length).unwrap()]);
        assert_eq!(wire.rest(), b"", "{length}");
    }
    world.is_as(before);
}

#[test]
fn a_batch_of_exactly_the_limit_is_taken_and_one_byte_more_is_refused_in_words() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let value_bytes = BATCH_MAX - (batch(1_000_000).len() - 1_000_000);
    assert_eq!(batch(value_bytes).len(), BATCH_MAX);
    assert_eq!(wire.produce("orders", 0, value_bytes).0, 0);
    let message_too_large = 10;
    for more in [1, 2, 60 << 20] {
        let refused = wire.produce("orders", 0, value_bytes + more);
        assert_eq!(refused.0, message_too_large);
    }
    assert_eq!(wire.produce("orders", 0, 10).0, 0);
}

#[test]
fn one_request_may_bring_records_for_two_thousand_partitions() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    wire.make_topic("wide", 2_000, &[]);
    let batches = (0..2_000).map(|index| (index, batch(10))).collect();
    let answer = wire.call(&produce_request("wide", batches), 9);
    let partitions = &answer.responses[0].partition_responses;
    assert_eq!(partitions.len(), 2_000);
    assert!(partitions.iter().all(|taken| taken.error_code == 0));
    // And for none, or for one twice.
    let none: ProduceRequest = produce_request("wide", vec![]);
    assert!(wire.call(&none, 9).responses.is_empty());
    let twice = produce_request("wide", vec![(0, batch(10)), (0, batch(10))]);
    let answer = wire.call(&twice, 9);
    let offsets = answer.responses[0].partition_responses.iter();
    let offsets: Vec<i64> = offsets.map(|taken| taken.base_offset).collect();
    assert_eq!(offsets, [1, 2]);
}

#[test]
fn a_fetch_with_limits_that_make_no_sense_still_gets_the_first_batch() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let odd = [0, -1, i32::MIN, 1, i32::MAX];
    for answer_max in odd {
        for partition_max in odd {
            for bytes_min in odd {
                let partition = FetchPartition::default()
                    .with_partition(0)
                    .with_partition_max_bytes(partition_max);
                let asked = FetchTopic::default()
                    .with_topic(topic("orders"))
                    .with_partitions(vec![partition]);
                let request = FetchRequest::default()
                    .with_max_wait_ms(if bytes_min > 1 { 1 } else { i32::MAX })
                    .with_min_bytes(bytes_min)
                    .with_max_bytes(answer_max)
                    .with_topics(vec![asked]);
                let answer = wire.call(&request, 12);
                let partition = &answer.responses[0].partitions[0];
                let bytes = partition.records.as_ref().unwrap().len();
                assert!(bytes > 0, "{answer_max} {partition_max} {bytes_min}");
            }
        }
    }
    for wait_ms in [0, -1, i32::MIN] {
        let answer = wire.call(&fetch_request("orders", 1, wait_ms, i32::MAX), 12);
        assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    }
}

#[test]
fn a_hundred_thousand_names_are_looked_up_and_one_of_them_is_told_once() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let asked = |name: &str| MetadataRequestTopic::default().with_name(Some(topic(name)));
    let names = (0..100_000).map(|number| asked(&format!("topic-{number}")));
    let request = MetadataRequest::default().with_topics(Some(names.collect()));
    let answer = wire.call(&request, 9);
    assert_eq!(answer.topics.len(), 100_000);
    assert!(answer.topics.iter().all(|topic| topic.error_code == 3));
    let request = MetadataRequest::default().with_topics(Some(vec![asked("orders"); 100_000]));
    assert_eq!(wire.call(&request, 9).topics.len(), 1);
    let more = vec![asked(""); 1_000_001];
    let request = MetadataRequest::default().with_topics(Some(more));
    wire.send(&request, 9);
    assert_eq!(wire.rest(), b"");
}

#[test]
fn names_may_be_empty_or_of_32_kb() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let long = "g".repeat(i16::MAX.cast_unsigned().into());
    for group in ["", &long] {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
        let asked = OffsetCommitRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(vec![asked]);
        let answer = wire.call(&request, 2);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let answer = wire.call(&request, 0);
        assert_eq!(answer.groups[0].group_id.as_str(), group);
        let request = HeartbeatRequest::default().with_group_id(GroupId(text(group)));
        let unknown_member = 25;
        assert_eq!(wire.call(&request, 0).error_code, unknown_member);
    }
    for name in ["", &long[..249], &long[..250], &long] {
        let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        let answer = wire.call(&request, 9);
        let is_name = !name.is_empty() && name.len() < 250;
        let (unknown, invalid) = (3, 17);
        assert_eq!(
            answer.topics[0].error_code,
            if is_name { unknown } else { invalid }
        );
    }
}

#[test]
fn null_where_there_must_be_something_closes_its_connection_only() {
    let world = World::start(&[]);
    // The group of a heartbeat is null, in the old form and in the flexible one.
    for (version, null) in [(0_u8, &[0xff, 0xff][..]), (4, &[0])] {
        let mut wire = world.wire();
        let mut bytes = vec![0, 12, 0, version, 0, 0, 0, 7, 0xff, 0xff];
        if version == 4 {
            bytes.push(0);
        }
        bytes.extend_from_slice(null);
        bytes.extend_from_slice(&[0; 12]);
        wire.send_bytes(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        wire.send_bytes(&bytes);
        assert_eq!(wire.rest(), b"", "{version}");
    }
    world.wire().is_served();
}

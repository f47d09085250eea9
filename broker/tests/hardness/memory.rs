//! What the hungriest requests take at their peak: no more than so many bytes for each of their elements.

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;

use crate::figures::{forget_peak, peak_kib};
use crate::wire::{framed, text, topic};
use crate::world::World;

/// Elements of each request.
const ELEMENTS: usize = 100_000;
/// Bytes that a request may take for each of its elements, with its answer: `ELEMENT_BYTES` of the broker …
const ELEMENT_BYTES_MAX: usize = 512;
/// … and twice those of the answer, which is made before it is written, and what is there anyway.
const ANYWAY: usize = 8 << 20;

fn metadata(name: impl Fn(usize) -> String) -> Vec<u8> {
    let asked = |number| MetadataRequestTopic::default().with_name(Some(topic(&name(number))));
    let request = MetadataRequest::default().with_topics(Some((0..ELEMENTS).map(asked).collect()));
    framed(&request, 0)
}

/// Requests whose elements are small and become large.
fn hungry() -> Vec<(&'static str, Vec<u8>)> {
    let group = GroupId(text("g"));
    let fetch = FetchTopic::default()
        .with_topic(topic("orders"))
        .with_partitions(vec![FetchPartition::default(); ELEMENTS]);
    let list = ListOffsetsTopic::default()
        .with_name(topic("orders"))
        .with_partitions(vec![
            ListOffsetsPartition::default().with_timestamp(-1);
            ELEMENTS
        ]);
    let produce = TopicProduceData::default()
        .with_name(topic("orders"))
        .with_partition_data(vec![PartitionProduceData::default(); ELEMENTS]);
    let configs = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"));
    let names = |count: usize| {
        (0..count).map(|number| {
            CreatableTopic::default()
                .with_name(topic(&format!("t{number}")))
                .with_num_partitions(1)
                .with_replication_factor(1)
        })
    };
    let offsets = OffsetFetchRequestTopics::default()
        .with_name(topic("orders"))
        .with_partition_indexes(vec![0; ELEMENTS]);
    let offsets = OffsetFetchRequestGroup::default()
        .with_group_id(group.clone())
        .with_topics(Some(vec![offsets]));
    let all = OffsetFetchRequestGroup::default()
        .with_group_id(group.clone())
        .with_topics(None);
    let create = CreateTopicsRequest::default().with_validate_only(true);
    vec![
        (
            "names that are not there",
            metadata(|number| format!("{number:x}")),
        ),
        (
            "one wide topic, again and again",
            metadata(|_| "wide".to_owned()),
        ),
        (
            "fetch of one partition",
            framed(&FetchRequest::default().with_topics(vec![fetch]), 4),
        ),
        (
            "offsets of one partition",
            framed(&ListOffsetsRequest::default().with_topics(vec![list]), 1),
        ),
        (
            "produce of no records",
            framed(
                &ProduceRequest::default()
                    .with_acks(-1)
                    .with_topic_data(vec![produce]),
                9,
            ),
        ),
        (
            "settings of one topic",
            framed(
                &DescribeConfigsRequest::default()
                    .with_resources(vec![configs; ELEMENTS])
                    .with_include_documentation(true),
                4,
            ),
        ),
        (
            "topics that would be made",
            framed(&create.clone().with_topics(names(ELEMENTS).collect()), 7),
        ),
        (
            "committed offsets of one partition",
            framed(&OffsetFetchRequest::default().with_groups(vec![offsets]), 8),
        ),
        (
            "all committed offsets of one group",
            framed(
                &OffsetFetchRequest::default().with_groups(vec![all; ELEMENTS]),
                8,
            ),
        ),
        (
            "one group",
            framed(
                &DescribeGroupsRequest::default().with_groups(vec![group; ELEMENTS]),
                5,
            ),
        ),
        (
            "one transaction",
            framed(
                &DescribeTransactionsRequest::default().with_transactional_ids(vec![
                    TransactionalId(
                        text("t")
                    );
                    ELEMENTS
                ]),
                0,
            ),
        ),
        ("tagged fields", tagged()),
    ]
}

/// ApiVersions of version 3 with many tagged fields in its header.
fn tagged() -> Vec<u8> {
    let mut body = vec![0, 18, 0, 3, 0, 0, 0, 7, 0xff, 0xff];
    varint(&mut body, ELEMENTS);
    for tag in 0..ELEMENTS {
        varint(&mut body, tag);
        body.push(0);
    }
    body.extend_from_slice(&[1, 1, 0]);
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

#[test]
fn the_hungriest_requests_take_what_their_elements_may_take() {
    for (what, frame) in hungry() {
        // Each has a broker that has freed nothing yet: what it takes cannot hide there.
        let world = World::start(&[]);
        let mut wire = world.wire();
        wire.make_topic("wide", 1_000, &[]);
        let before = world.figures().memory_kib;
        forget_peak(world.pid());
        wire.send_bytes(&frame);
        let answer = wire.answer().len();
        let taken = peak_kib(world.pid()).saturating_sub(before) << 10;
        println!(
            "{what}: {} bytes for {ELEMENTS} elements, {answer} answered, {taken} at the peak, {} for each",
            frame.len(),
            taken / ELEMENTS
        );
        let most = ELEMENT_BYTES_MAX * ELEMENTS + 2 * answer + ANYWAY;
        assert!(taken <= most, "{what}: {taken} of {most}");
        wire.is_served();
    }
}

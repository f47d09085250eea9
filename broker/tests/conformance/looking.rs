//! Topics and groups seen by whoever looks and belongs to none: described, bounded, followed, put to other offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use backstitch_broker::{
    BrokerError, GroupState, SettingOrigin, TopicPartition, TopicReader, TopicTail,
};

use crate::probe::Plan;
use crate::world::{PATIENCE, admin, config, eventually, fill, text, topic, topic_with, unique};

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[test]
fn a_topic_is_described_with_its_partitions_and_what_was_set_for_it() {
    let name = topic_with("described", 3, &[("retention.ms", "123456")]);
    let found = admin().describe_topic(&name).unwrap().unwrap();
    let partitions: Vec<i32> = found.partitions.iter().map(|p| p.partition).collect();
    assert_eq!(partitions, [0, 1, 2]);
    for partition in &found.partitions {
        let leader = partition.leader.expect("a fresh partition is led");
        assert!(partition.replicas.contains(&leader) && partition.in_sync.contains(&leader));
    }
    let all = admin().describe_topics().unwrap();
    assert!(all.contains(&found), "{name} is among all");
    assert_eq!(admin().describe_topic(&unique("nowhere")).unwrap(), None);

    let settings = admin().topic_settings(&name).unwrap();
    let find = |name: &str| {
        settings
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
    };
    let retention = find("retention.ms");
    assert_eq!(retention.value.as_deref(), Some("123456"));
    assert_eq!(retention.origin, SettingOrigin::Topic);
    assert_ne!(find("cleanup.policy").origin, SettingOrigin::Topic);
    assert_eq!(admin().topic_settings(&unique("nowhere")).unwrap(), []);
}

#[test]
fn many_partitions_are_bounded_at_once() {
    let (full, empty) = (topic("bounds", 2), topic("bounds-empty", 1));
    fill(&full, 1, (0..3).map(|n| n.to_string()));
    let asked = [at(&full, 0), at(&full, 1), at(&empty, 0)];
    let bounds = admin().bounds(&asked).unwrap();
    let expected = BTreeMap::from([
        (at(&full, 0), 0..0),
        (at(&full, 1), 0..3),
        (at(&empty, 0), 0..0),
    ]);
    assert_eq!(bounds, expected);
    assert_eq!(admin().bounds(&[]).unwrap(), BTreeMap::new());
    let error = admin().bounds(&[at(&full, 9)]).unwrap_err();
    assert!(error.to_string().contains(&full), "{error}");
}

#[test]
fn ranges_are_read_to_their_ends_and_no_further() {
    let name = topic("ranges", 3);
    for partition in 0..3 {
        fill(
            &name,
            partition,
            (0..10).map(|n| format!("{partition}/{n}")),
        );
    }
    let ranges = BTreeMap::from([(0, 2..4), (1, 5..5), (2, 8..99)]);
    let mut read: Vec<String> = TopicReader::open_ranges(&config(), &name, &ranges)
        .unwrap()
        .map(|record| text(record.unwrap().payload.as_ref()))
        .collect();
    read.sort();
    assert_eq!(read, ["0/2", "0/3", "2/8", "2/9"]);
}

#[test]
fn a_reader_that_leaves_a_partition_gets_no_more_of_it() {
    let name = topic("left", 2);
    for partition in 0..2 {
        fill(&name, partition, (0..50).map(|n| n.to_string()));
    }
    let ranges = BTreeMap::from([(0, 0..50), (1, 0..50)]);
    let mut reader = TopicReader::open_ranges(&config(), &name, &ranges).unwrap();
    let mut counts = BTreeMap::<i32, usize>::new();
    while let Some(record) = reader.next() {
        let partition = record.unwrap().partition;
        *counts.entry(partition).or_default() += 1;
        if partition == 0 {
            reader.leave(0);
        }
    }
    assert_eq!(counts, BTreeMap::from([(0, 1), (1, 50)]));
}

#[test]
fn a_tail_gives_what_is_there_and_then_what_comes() {
    let name = topic("tail", 2);
    fill(&name, 0, ["old".to_owned(), "kept".to_owned()]);
    let mut tail = TopicTail::open(&config(), &name, &BTreeMap::from([(0, 1), (1, 0)])).unwrap();
    let mut next = || {
        let record = tail.next_within(PATIENCE).unwrap();
        text(record.expect("a record comes").payload.as_ref())
    };
    assert_eq!(next(), "kept");
    for n in 0..5 {
        fill(&name, n % 2, [n.to_string()]);
        assert_eq!(next(), n.to_string());
    }
    assert_eq!(tail.next_within(Duration::ZERO).unwrap(), None);
}

#[test]
fn a_group_is_described_with_its_members_and_what_each_reads() {
    let (topic, group) = (topic("members", 3), unique("group"));
    assert_eq!(admin().describe_group(&group).unwrap(), None);
    let probe = Plan::new(&group, &topic).start();
    eventually("the group is stable", || {
        admin()
            .describe_group(&group)
            .unwrap()
            .is_some_and(|found| found.state == GroupState::Stable)
    });
    let found = admin().describe_group(&group).unwrap().unwrap();
    assert_eq!(found.assignor, "cooperative-sticky");
    let [member] = found.members.as_slice() else {
        panic!("one member: {found:?}")
    };
    assert_eq!(member.client_id, config().client_id);
    assert!(member.id.starts_with(&member.client_id), "{member:?}");
    assert!(member.host.contains("127.0.0.1"), "{member:?}");
    assert_eq!(
        member.partitions,
        [at(&topic, 0), at(&topic, 1), at(&topic, 2)]
    );
    let all = admin().describe_groups().unwrap();
    assert!(all.iter().any(|other| other.name == group));
    probe.stop();
}

#[test]
fn a_group_with_members_keeps_its_offsets_and_one_without_is_put_anywhere() {
    let (topic, group) = (topic("put", 2), unique("group"));
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    let probe = Plan::new(&group, &topic).start();
    probe.await_records(10);
    let goal = BTreeMap::from([(at(&topic, 0), 4), (at(&topic, 1), 0)]);
    let error = admin().reset_offsets(&group, &goal).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(&group), "{error}");
    let error = admin().delete_group(&group).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    probe.stop();

    eventually("the member is out", || {
        admin().reset_offsets(&group, &goal).is_ok()
    });
    let topics = admin().describe_topics().unwrap();
    assert_eq!(admin().all_committed(&group, &topics).unwrap(), goal);
    let found = admin().describe_group(&group).unwrap().unwrap();
    assert_eq!(found.state, GroupState::Empty);
    let probe = Plan::new(&group, &topic).start();
    probe.await_records(6);
    assert_eq!(probe.look(|seen| seen.payloads())[0], "4");
    probe.stop();

    eventually("the group is deleted", || {
        admin().delete_group(&group).is_ok()
    });
    assert_eq!(
        admin().all_committed(&group, &topics).unwrap(),
        BTreeMap::new()
    );
    let error = admin().delete_group(&group).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
}

#[test]
fn a_group_that_nobody_knew_is_made_by_its_offsets() {
    let (topic, group) = (topic("made", 1), unique("group"));
    fill(&topic, 0, ["a".to_owned(), "b".to_owned()]);
    let goal = BTreeMap::from([(at(&topic, 0), 1)]);
    admin().reset_offsets(&group, &goal).unwrap();
    let probe = Plan::new(&group, &topic).start();
    probe.await_records(1);
    assert_eq!(probe.stop().payloads(), ["b"]);
}

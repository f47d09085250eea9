//! Offsets: committed, fetched, reset, sought, looked up by time; pause and resume.

use std::sync::mpsc;
use std::time::Duration;

use backstitch_broker::{ConsumerError, OffsetReset, OutgoingRecord, TopicPartition};

use crate::probe::{Event, Plan};
use crate::world::{admin, config, eventually, fill, send, to, topic, unique};

fn committed(group: &str, topic: &str, partition: i32) -> Option<i64> {
    admin()
        .committed_offsets(group, &[TopicPartition::new(topic, partition)])
        .unwrap()[0]
        .1
}

#[test]
fn a_group_goes_on_where_it_committed() {
    let (topic, group) = (topic("commit", 2), unique("group"));
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    let probe = Plan::new(&group, &topic).start();
    probe.await_records(10);
    assert_eq!(
        committed(&group, &topic, 0),
        None,
        "nothing is committed by itself"
    );
    probe
        .control()
        .commit(vec![(TopicPartition::new(topic.as_str(), 0), 6)]);
    eventually("the commit", || committed(&group, &topic, 0) == Some(6));
    assert_eq!(committed(&group, &topic, 1), None);
    probe.stop();

    let probe = Plan::new(&group, &topic).start();
    probe.await_records(4);
    assert_eq!(probe.look(|seen| seen.payloads()), ["6", "7", "8", "9"]);
}

#[test]
fn what_is_committed_while_partitions_go_is_committed() {
    let (topic, group) = (topic("last-commit", 1), unique("group"));
    fill(&topic, 0, (0..5).map(|n| n.to_string()));
    let (give, control) = mpsc::channel::<backstitch_broker::ConsumerControl>();
    let partition = TopicPartition::new(topic.as_str(), 0);
    let probe = Plan::new(&group, &topic)
        .on_revoked(move |_, lost| {
            assert!(!lost);
            control.recv().unwrap().commit(vec![(partition.clone(), 5)]);
        })
        .start();
    give.send(probe.control()).unwrap();
    probe.await_records(5);
    probe.stop();
    assert_eq!(committed(&group, &topic, 0), Some(5));
}

#[test]
fn an_explicit_start_wins_over_the_committed_offset_and_marks_its_records() {
    let (topic, group) = (topic("explicit", 1), unique("group"));
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    let probe = Plan::new(&group, &topic).from(Some(8), 41, false).start();
    probe.await_records(2);
    let seen = probe.stop();
    assert_eq!(seen.payloads(), ["8", "9"]);
    assert!(seen.records().all(|record| record.generation == 41));
}

#[test]
fn without_a_committed_offset_a_group_begins_at_the_oldest_record_or_says_so() {
    let (topic, group) = (topic("reset", 1), unique("group"));
    fill(&topic, 0, ["first".to_owned()]);
    let probe = Plan::new(&group, &topic)
        .options(|options| options.offset_reset = OffsetReset::Error)
        .start();
    probe.await_until("NoOffset", |seen| {
        seen.failures()
            .any(|error| matches!(error, ConsumerError::NoOffset { .. }))
    });
    probe.look(|seen| assert_eq!(seen.records().count(), 0));
    probe
        .control()
        .seek(TopicPartition::new(topic.as_str(), 0), 0, 2);
    probe.await_records(1);
    probe.stop();

    let probe = Plan::new(&group, &topic).start();
    probe.await_records(1);
}

#[test]
fn an_offset_that_is_not_there_is_an_error_where_that_was_asked() {
    let (topic, group) = (topic("beyond", 1), unique("group"));
    fill(&topic, 0, ["only".to_owned()]);
    let probe = Plan::new(&group, &topic)
        .options(|options| options.offset_reset = OffsetReset::Error)
        .from(Some(1_000), 1, false)
        .start();
    probe.await_until("NoOffset", |seen| {
        seen.failures()
            .any(|error| matches!(error, ConsumerError::NoOffset { .. }))
    });
}

#[test]
fn after_a_seek_no_older_record_carries_the_new_generation() {
    let (topic, group) = (topic("seek", 2), unique("group"));
    for partition in 0..2 {
        fill(&topic, partition, (0..5_000).map(|n| n.to_string()));
    }
    let probe = Plan::new(&group, &topic)
        .from(Some(0), 1, false)
        .options(|options| options.chunk_max = 50)
        .start();
    let partition = TopicPartition::new(topic.as_str(), 0);
    // While much is fetched ahead: back, forward, back again.
    for (generation, offset) in [(2, 100), (3, 4_000), (4, 0)] {
        probe.await_until("records of the generation before", |seen| {
            seen.records()
                .filter(|r| r.partition == 0 && r.generation == generation - 1)
                .count()
                >= 100
        });
        probe.control().seek(partition.clone(), offset, generation);
    }
    probe.await_until("the last record of the last generation", |seen| {
        seen.records()
            .any(|r| r.partition == 0 && r.generation == 4 && r.offset == 4_999)
    });
    probe.await_until("the other partition", |seen| {
        seen.records()
            .any(|r| r.partition == 1 && r.offset == 4_999)
    });
    let seen = probe.stop();
    for (generation, first) in [(1, 0), (2, 100), (3, 4_000), (4, 0)] {
        let offsets: Vec<i64> = seen
            .records()
            .filter(|r| r.partition == 0 && r.generation == generation)
            .map(|r| r.offset)
            .collect();
        let expected: Vec<i64> = (first..).take(offsets.len()).collect();
        assert_eq!(
            offsets, expected,
            "generation {generation} begins where it was sought and has no gap"
        );
    }
    let others: Vec<i64> = seen
        .records()
        .filter(|r| r.partition == 1)
        .map(|r| r.offset)
        .collect();
    assert_eq!(
        others,
        (0..5_000).collect::<Vec<i64>>(),
        "the other partition is not disturbed"
    );
}

#[test]
fn a_partition_that_begins_paused_waits_for_its_resume() {
    let (topic, group) = (topic("paused", 2), unique("group"));
    for partition in 0..2 {
        fill(&topic, partition, (0..5).map(|n| n.to_string()));
    }
    let probe = Plan::new(&group, &topic).from(Some(2), 9, true).start();
    probe.await_owned(2);
    probe
        .control()
        .resume(vec![TopicPartition::new(topic.as_str(), 1)]);
    probe.await_records(3);
    probe.look(|seen| assert!(seen.records().all(|r| r.partition == 1)));
    probe
        .control()
        .resume(vec![TopicPartition::new(topic.as_str(), 0)]);
    probe.await_records(6);
    let seen = probe.stop();
    for partition in 0..2 {
        let offsets: Vec<i64> = seen
            .records()
            .filter(|r| r.partition == partition)
            .map(|r| r.offset)
            .collect();
        assert_eq!(offsets, [2, 3, 4], "partition {partition}");
    }
}

#[test]
fn pause_stops_what_is_fetched_ahead_and_resume_goes_on_without_gap() {
    let (topic, group) = (topic("pause", 2), unique("group"));
    fill(&topic, 0, (0..5_000).map(|n| n.to_string()));
    let probe = Plan::new(&group, &topic)
        .options(|options| options.chunk_max = 20)
        .start();
    let partition = TopicPartition::new(topic.as_str(), 0);
    probe.await_records(100);
    probe.control().pause(vec![partition.clone()]);
    // The other partition's record comes through the same thread, after the pause.
    let before = probe.look(|seen| seen.records().count());
    fill(&topic, 1, ["marker".to_owned()]);
    probe.await_until("the marker", |seen| {
        seen.records().any(|r| r.partition == 1)
    });
    let paused_at = probe.look(|seen| seen.records().filter(|r| r.partition == 0).count());
    assert!(paused_at < 5_000, "paused in the middle (from {before})");
    fill(&topic, 1, ["marker".to_owned()]);
    probe.await_until("the second marker", |seen| {
        seen.records().filter(|r| r.partition == 1).count() == 2
    });
    assert_eq!(
        probe.look(|seen| seen.records().filter(|r| r.partition == 0).count()),
        paused_at
    );

    probe.control().resume(vec![partition]);
    probe.await_until("the rest", |seen| {
        seen.records()
            .any(|r| r.partition == 0 && r.offset == 4_999)
    });
    let offsets: Vec<i64> = probe
        .stop()
        .records()
        .filter(|r| r.partition == 0)
        .map(|r| r.offset)
        .collect();
    assert_eq!(offsets, (0..5_000).collect::<Vec<i64>>());
}

#[test]
fn a_seek_while_paused_is_where_the_resume_begins() {
    let (topic, group) = (topic("paused-seek", 1), unique("group"));
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    let probe = Plan::new(&group, &topic).start();
    probe.await_records(10);
    let partition = TopicPartition::new(topic.as_str(), 0);
    probe.control().pause(vec![partition.clone()]);
    probe.control().seek(partition.clone(), 7, 5);
    probe.control().resume(vec![partition]);
    probe.await_records(13);
    let seen = probe.stop();
    let again: Vec<i64> = seen
        .records()
        .filter(|r| r.generation == 5)
        .map(|r| r.offset)
        .collect();
    assert_eq!(again, [7, 8, 9]);
}

#[test]
fn asking_for_a_partition_that_is_not_ours_is_told_or_left_out() {
    let (topic, group) = (topic("foreign", 1), unique("group"));
    let probe = Plan::new(&group, &topic).start();
    probe.await_owned(1);
    let foreign = TopicPartition::new(topic.as_str(), 5);
    probe.control().commit(vec![(foreign.clone(), 3)]);
    probe.control().pause(vec![foreign.clone()]);
    probe.control().seek(foreign.clone(), 3, 1);
    probe.await_until("the seek's failure", |seen| {
        seen.events.iter().any(
            |event| matches!(event, Event::Failed(ConsumerError::Control { attempted: "seek", partition, .. }) if *partition == foreign),
        )
    });
    assert_eq!(probe.look(|seen| seen.failures().count()), 1);
}

#[test]
fn a_commit_for_a_partition_of_another_member_is_left_out() {
    let (topic, group) = (topic("not-yours", 2), unique("group"));
    let (one, other) = (
        Plan::new(&group, &topic).start(),
        Plan::new(&group, &topic).start(),
    );
    other.await_owned(1);
    one.await_owned(1);
    let (mine, yours) = (
        one.look(|seen| *seen.owned().first().unwrap()),
        other.look(|seen| *seen.owned().first().unwrap()),
    );
    let all = [mine, yours].map(|partition| (TopicPartition::new(topic.as_str(), partition), 0));
    one.control().commit(all.to_vec());
    eventually("the commit of its own", || {
        committed(&group, &topic, mine) == Some(0)
    });
    assert_eq!(committed(&group, &topic, yours), None);
}

#[test]
fn an_offset_is_found_by_time() {
    let topic = topic("times", 2);
    let records = [1_000, 2_000, 3_000]
        .iter()
        .map(|at| OutgoingRecord {
            timestamp_ms: Some(1_700_000_000_000 + at),
            ..to(&topic, 0, at.to_string())
        })
        .collect();
    // Each in a batch of its own or all in one: the answer is the same.
    assert_eq!(send(&config(), records).result, Ok(()));
    let partitions = [
        TopicPartition::new(topic.as_str(), 0),
        TopicPartition::new(topic.as_str(), 1),
    ];
    let at = |ms: i64| -> Vec<Option<i64>> {
        admin()
            .offsets_at(1_700_000_000_000 + ms, &partitions)
            .unwrap()
            .into_iter()
            .map(|(_, offset)| offset)
            .collect()
    };
    assert_eq!(at(0), [Some(0), None]);
    assert_eq!(at(2_000), [Some(1), None]);
    assert_eq!(at(2_001), [Some(2), None]);
    assert_eq!(at(3_001), [None, None]);
}

#[test]
fn commits_that_wait_for_company_are_kept_back_and_made_before_the_partitions_go() {
    let (topic, group) = (topic("paced-commit", 1), unique("group"));
    fill(&topic, 0, (0..5).map(|n| n.to_string()));
    let partition = TopicPartition::new(topic.as_str(), 0);
    let probe = Plan::new(&group, &topic)
        .options(|options| options.commit_pacing = Duration::from_mins(10))
        .start();
    probe.await_records(5);
    for offset in 1..=3 {
        probe.control().commit(vec![(partition.clone(), offset)]);
    }
    // Commands are carried out in order, so by the time that this one has failed, the commits were taken.
    let foreign = TopicPartition::new(topic.as_str(), 77);
    probe.control().seek(foreign, 0, 1);
    probe.await_until("the refused seek", |seen| seen.failures().next().is_some());
    assert_eq!(committed(&group, &topic, 0), None);
    probe.stop();
    assert_eq!(committed(&group, &topic, 0), Some(3));
}

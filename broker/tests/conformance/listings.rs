//! Groups, transactions, producers and folders as tools see them; offsets and records deleted.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::probe::Plan;
use crate::wire::{NOBODY, Plain, Wire, batch, batch_of};
use crate::world::{bootstrap, eventually, fill, topic, topic_with, unique};

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn wire(topic: &str) -> Wire {
    Wire::to_leader(&bootstrap(), topic, 0)
}

/// A transactional producer.
struct Writer {
    wire: Wire,
    id: TransactionalId,
    topic: String,
    producer: (i64, i16),
}

impl Writer {
    fn begin(topic: &str, id: &str) -> Writer {
        let mut writer = Writer {
            wire: wire(topic),
            id: TransactionalId(text(id)),
            topic: topic.to_owned(),
            producer: NOBODY,
        };
        writer.wire.transactional_id = Some(writer.id.clone());
        // Asking for the coordinator makes it: Kafka keeps its transactions in a topic of their own.
        let request = FindCoordinatorRequest::default()
            .with_key(text(id))
            .with_key_type(1);
        eventually("a coordinator", || {
            writer.wire.call(&request, 2).error_code == 0
        });
        writer.producer = writer.next_epoch(None);
        writer
    }

    fn next_epoch(&mut self, held: Option<(i64, i16)>) -> (i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_transaction_timeout_ms(60_000);
        let request = match held {
            Some((id, epoch)) => request
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch),
            None => request,
        };
        let mut answer = None;
        eventually("a producer id", || {
            let given = self.wire.call(&request, 4);
            // The coordinator loads its state or still ends a transaction: ask again.
            let later = [
                ResponseError::CoordinatorLoadInProgress.code(),
                ResponseError::CoordinatorNotAvailable.code(),
                ResponseError::NotCoordinator.code(),
                ResponseError::ConcurrentTransactions.code(),
            ];
            let done = !later.contains(&given.error_code);
            answer = Some(given);
            done
        });
        let answer = answer.unwrap();
        assert_eq!(answer.error_code, 0);
        (answer.producer_id.0, answer.producer_epoch)
    }

    fn write(&mut self, sequence: i32, payload: &str) {
        let asked = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![asked]);
        eventually("the partition is added", || {
            let answer = self.wire.call(&request, 3);
            let added = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
            let code = added.partition_error_code;
            assert!(code == 0 || code == ResponseError::ConcurrentTransactions.code());
            code == 0
        });
        let record = Plain {
            key: None,
            payload,
            timestamp_ms: 1_700_000_000_000 + i64::from(sequence),
        };
        let batch = batch_of(self.producer, sequence, true, [record]);
        assert_eq!(self.wire.produce(&self.topic, 0, batch).0, 0);
    }

    fn end(&mut self, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(committed);
        let mut code = 0;
        eventually("the transaction is no longer on its way", || {
            code = self.wire.call(&request, 3).error_code;
            code != ResponseError::ConcurrentTransactions.code()
        });
        code
    }

    fn state(&mut self) -> describe_transactions_response::TransactionState {
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(vec![self.id.clone()]);
        self.wire.call(&request, 0).transaction_states.remove(0)
    }
}

#[test]
fn a_transaction_is_seen_from_its_begin_to_its_end() {
    let (topic, id) = (topic("seen", 2), unique("txn"));
    let mut writer = Writer::begin(&topic, &id);
    assert_eq!(writer.state().transaction_state.as_str(), "Empty");
    writer.write(0, "a");
    let state = writer.state();
    assert_eq!(state.transaction_state.as_str(), "Ongoing");
    assert_eq!((state.producer_id.0, state.producer_epoch), writer.producer);
    assert_eq!(state.transaction_timeout_ms, 60_000);
    assert!(state.transaction_start_time_ms > 1_600_000_000_000);
    assert_eq!(state.topics[0].topic.as_str(), topic);
    assert_eq!(state.topics[0].partitions, [0]);

    let list = |wire: &mut Wire, state: &str| {
        let request = ListTransactionsRequest::default()
            .with_state_filters(vec![text(state), text("Nonsense")]);
        let answer = wire.call(&request, 1);
        assert_eq!(answer.unknown_state_filters, [text("Nonsense")]);
        let mut ids = answer.transaction_states.iter();
        ids.any(|txn| txn.transactional_id.as_str() == id)
    };
    assert!(list(&mut writer.wire, "Ongoing"));
    assert!(!list(&mut writer.wire, "CompleteCommit"));
    assert_eq!(writer.end(true), 0);
    eventually("the commit is whole", || {
        writer.state().transaction_state.as_str() == "CompleteCommit"
    });
    assert!(list(&mut writer.wire, "CompleteCommit"));
    let nobody = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![TransactionalId(text(&unique("nobody")))]);
    assert_eq!(
        writer.wire.call(&nobody, 0).transaction_states[0].error_code,
        ResponseError::TransactionalIdNotFound.code()
    );
}

#[test]
fn a_transaction_is_ended_once_and_only_as_it_was_ended() {
    let topic = topic("ended", 1);
    let mut writer = Writer::begin(&topic, &unique("txn"));
    let wrong = ResponseError::InvalidTxnState.code();
    assert_eq!(writer.end(true), wrong, "nothing was begun");
    writer.write(0, "a");
    assert_eq!(writer.end(true), 0);
    assert_eq!(writer.end(true), 0, "its answer was lost");
    assert_eq!(writer.end(false), wrong);
}

#[test]
fn a_producer_that_asks_for_its_next_epoch_again_gets_the_same() {
    let topic = topic("epoch", 1);
    let mut writer = Writer::begin(&topic, &unique("txn"));
    let held = writer.producer;
    let next = writer.next_epoch(Some(held));
    assert_eq!(next, (held.0, held.1 + 1));
    assert_eq!(writer.next_epoch(Some(held)), next, "its answer was lost");
}

#[test]
fn a_reader_of_committed_records_finds_no_open_record_by_time() {
    let topic = topic("open", 1);
    let mut writer = Writer::begin(&topic, &unique("txn"));
    writer.write(0, "a");
    let mut wire = wire(&topic);
    assert_eq!(wire.offset_at(&topic, 1_700_000_000_000, 1), (0, -1, -1));
    assert_eq!(
        wire.offset_at(&topic, 1_700_000_000_000, 0),
        (0, 0, 1_700_000_000_000)
    );
    assert_eq!(wire.offset_at(&topic, -1, 1).1, 0);
    assert_eq!(wire.offset_at(&topic, -1, 0).1, 1);
    assert_eq!(writer.end(true), 0);
    eventually("the record is committed", || {
        wire.offset_at(&topic, 1_700_000_000_000, 1) == (0, 0, 1_700_000_000_000)
    });
}

#[test]
fn the_producers_of_a_partition_are_described() {
    let topic = topic("producers", 2);
    let mut wire = wire(&topic);
    let producer = wire.producer_id();
    assert_eq!(
        wire.produce(&topic, 0, batch(producer, 0, &["a", "b"])),
        (0, 0)
    );
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(TopicName(text(&topic)))
        .with_partition_indexes(vec![0, 1, 9]);
    let request = DescribeProducersRequest::default().with_topics(vec![asked]);
    let mut partitions = wire.call(&request, 0).topics.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let state = &partitions[0].active_producers[0];
    assert_eq!(
        (state.producer_id.0, state.producer_epoch),
        (producer.0, i32::from(producer.1))
    );
    assert_eq!(
        (state.last_sequence, state.current_txn_start_offset),
        (1, -1)
    );
    assert!(partitions[1].active_producers.is_empty());
    assert_eq!(
        partitions[2].error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
}

#[test]
fn groups_are_listed_by_state_and_type_and_one_that_is_not_there_is_an_error() {
    let (topic, group) = (topic("listed", 1), unique("group"));
    let probe = Plan::new(&group, &topic).start();
    probe.await_owned(1);
    let mut wire = wire(&topic);
    let mut list = |state: &str, kind: &str| {
        let request = ListGroupsRequest::default()
            .with_states_filter(vec![text(state)])
            .with_types_filter(vec![text(kind)]);
        let groups = wire.call(&request, 5).groups;
        let found = groups
            .into_iter()
            .find(|listed| listed.group_id.as_str() == group);
        found.map(|listed| {
            (
                listed.group_state.to_string(),
                listed.group_type.to_string(),
            )
        })
    };
    let own = Some(("Stable".to_owned(), "classic".to_owned()));
    assert_eq!(list("Stable", "classic"), own);
    assert_eq!(list("stable", "Classic"), own);
    assert_eq!(list("Empty", "classic"), None);
    assert_eq!(list("Stable", "consumer"), None);
    probe.stop();
    let request =
        DescribeGroupsRequest::default().with_groups(vec![GroupId(text(&unique("nobody")))]);
    let answer = wire.call(&request, 6).groups.remove(0);
    assert_eq!(answer.error_code, ResponseError::GroupIdNotFound.code());
    assert_eq!(answer.group_state.as_str(), "Dead");
}

#[test]
fn a_folder_tells_the_size_of_each_partition() {
    let topic = topic("size", 2);
    fill(&topic, 0, ["x".repeat(10_000)]);
    let asked = describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(TopicName(text(&topic)))
        .with_partitions(vec![0, 1]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![asked]));
    let answer = wire(&topic).call(&request, 3);
    let folder = answer
        .results
        .iter()
        .find(|folder| !folder.topics.is_empty());
    let mut partitions = folder.unwrap().topics[0].partitions.clone();
    partitions.sort_by_key(|partition| partition.partition_index);
    assert!(
        partitions[0].partition_size > 100,
        "compressed, but not nothing"
    );
    assert_eq!(
        (partitions[1].partition_size, partitions[1].is_future_key),
        (0, false)
    );
}

#[test]
fn records_are_deleted_up_to_an_offset_and_what_cannot_be_is_told() {
    let topic = topic("deleted-records", 1);
    fill(&topic, 0, (0..5).map(|n| n.to_string()));
    let mut wire = wire(&topic);
    assert_eq!(wire.delete_before(&topic, 3), (0, 3));
    assert_eq!(
        wire.delete_before(&topic, 2),
        (0, 3),
        "what is gone stays gone"
    );
    let beyond = ResponseError::OffsetOutOfRange.code();
    assert_eq!(wire.delete_before(&topic, 6), (beyond, -1));
    assert_eq!(wire.delete_before(&topic, -2), (beyond, -1));
    assert_eq!(wire.delete_before(&topic, -1), (0, 5), "-1 is the end");
    let compacted = topic_with("compacted-records", 1, &[("cleanup.policy", "compact")]);
    assert_eq!(
        Wire::to_leader(&bootstrap(), &compacted, 0)
            .delete_before(&compacted, -1)
            .0,
        ResponseError::PolicyViolation.code()
    );
}

#[test]
fn offsets_of_a_topic_are_deleted_unless_a_member_reads_it() {
    let (read, unread, group) = (topic("read", 1), topic("unread", 1), unique("group"));
    let mut wire = wire(&read);
    let commit = |wire: &mut Wire| {
        let topics = [&read, &unread].map(|topic| {
            let partition = offset_commit_request::OffsetCommitRequestPartition::default()
                .with_partition_index(0)
                .with_committed_offset(7)
                .with_committed_metadata(Some(text("")));
            offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(TopicName(text(topic)))
                .with_partitions(vec![partition])
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.to_vec());
        let answer = wire.call(&request, 7);
        answer
            .topics
            .iter()
            .all(|topic| topic.partitions[0].error_code == 0)
    };
    eventually("the offsets are committed", || commit(&mut wire));
    let probe = Plan::new(&group, &read).start();
    probe.await_owned(1);
    let mut delete = |partition: i32| -> Vec<i16> {
        let topics = [&read, &unread].map(|topic| {
            let partition = offset_delete_request::OffsetDeleteRequestPartition::default()
                .with_partition_index(partition);
            offset_delete_request::OffsetDeleteRequestTopic::default()
                .with_name(TopicName(text(topic)))
                .with_partitions(vec![partition])
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_topics(topics.to_vec());
        let answer = wire.call(&request, 0);
        assert_eq!(answer.error_code, 0);
        [&read, &unread]
            .iter()
            .map(|name| {
                let mut topics = answer.topics.iter();
                let topic = topics.find(|topic| topic.name.as_str() == **name).unwrap();
                topic.partitions[0].error_code
            })
            .collect()
    };
    let busy = ResponseError::GroupSubscribedToTopic.code();
    assert_eq!(delete(0), [busy, 0]);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(delete(9), [unknown, unknown]);
    probe.stop();
}

#[test]
fn a_topic_with_a_forbidden_name_is_told_so_to_who_looks_for_it() {
    let topic = topic("names", 1);
    let asked = metadata_request::MetadataRequestTopic::default()
        .with_name(Some(TopicName(text("no spaces / slashes"))));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(false);
    assert_eq!(
        wire(&topic).call(&request, 5).topics[0].error_code,
        ResponseError::InvalidTopicException.code()
    );
}

#[test]
fn an_epoch_that_no_leader_had_is_refused() {
    let topic = topic("epochs", 1);
    let mut wire = wire(&topic);
    let ask = |wire: &mut Wire, current: i32, epoch: i32| {
        let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let asked = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(TopicName(text(&topic)))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![asked]);
        let end = wire.call(&request, 3).topics.remove(0).partitions.remove(0);
        (end.error_code, end.leader_epoch, end.end_offset)
    };
    fill(&topic, 0, ["a".to_owned()]);
    assert_eq!(ask(&mut wire, -1, 0), (0, 0, 1));
    assert_eq!(ask(&mut wire, -1, 99), (0, -1, -1));
    let unknown = ResponseError::UnknownLeaderEpoch.code();
    assert_eq!(ask(&mut wire, 99, 0).0, unknown);
}

#[test]
fn a_metadata_of_a_commit_comes_back_with_its_epoch() {
    let (topic, group) = (topic("epoch-of-commit", 1), unique("group"));
    let mut wire = wire(&topic);
    let partition = offset_commit_request::OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(0)
        .with_committed_leader_epoch(0)
        .with_committed_metadata(Some(text("why")));
    let asked = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(&topic)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(&group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![asked]);
    eventually("the commit", || {
        wire.call(&request, 7).topics[0].partitions[0].error_code == 0
    });
    let asked = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(TopicName(text(&topic)))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(&group)))
        .with_topics(Some(vec![asked]));
    let kept = &wire.call(&request, 6).topics[0].partitions[0];
    assert_eq!((kept.committed_offset, kept.committed_leader_epoch), (0, 0));
    assert_eq!(kept.metadata.as_deref(), Some("why"));
}

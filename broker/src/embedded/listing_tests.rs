//! Groups, transactions, producers and folders, listed and described to every version that is advertised.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::*;

use super::EmbeddedConfig;
use super::batch::tests::sample;
use super::protocol_tests::{Talk, text, topic, versions};

/// A transactional id that has written to partition 0 of `orders` and is still open.
fn open_transaction(talk: &Talk, id: &str) -> (ProducerId, i16) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(60_000);
    let begin = || -> InitProducerIdResponse { talk.ask(ApiKey::InitProducerId, 2, &request) };
    begin();
    let begun = begin(); // The sample batches are transactional from epoch 1 on.
    let asked = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
        .with_name(topic("orders"))
        .with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text(id)))
        .with_v3_and_below_producer_id(begun.producer_id)
        .with_v3_and_below_producer_epoch(begun.producer_epoch)
        .with_v3_and_below_topics(vec![asked]);
    let _: AddPartitionsToTxnResponse = talk.ask(ApiKey::AddPartitionsToTxn, 3, &request);
    let batch = sample(begun.producer_id.0, begun.producer_epoch, 0, &[100, 101]);
    assert_eq!(talk.produce(9, "orders", batch).0, 0);
    (begun.producer_id, begun.producer_epoch)
}

fn end(talk: &Talk, id: &str, producer: (ProducerId, i16), committed: bool) -> i16 {
    let request = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(producer.0)
        .with_producer_epoch(producer.1)
        .with_committed(committed);
    let answer: EndTxnResponse = talk.ask(ApiKey::EndTxn, 3, &request);
    answer.error_code
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let talk = Talk::start();
    talk.settled("live");
    for version in versions(ApiKey::ListGroups).filter(|version| *version >= 4) {
        let list = |state: &str, kind: &str| -> Vec<ListedGroup> {
            let request = ListGroupsRequest::default().with_states_filter(vec![text(state)]);
            let request = if version >= 5 {
                request.with_types_filter(vec![text(kind)])
            } else {
                request
            };
            let answer: ListGroupsResponse = talk.ask(ApiKey::ListGroups, version, &request);
            answer.groups
        };
        let stable = list("stable", "Classic");
        assert_eq!(stable.len(), 1);
        assert_eq!(stable[0].group_state.as_str(), "Stable");
        assert_eq!(
            stable[0].group_type.as_str(),
            if version >= 5 { "classic" } else { "" }
        );
        assert!(list("Empty", "classic").is_empty());
        assert_eq!(list("Stable", "consumer").len(), usize::from(version < 5));
    }
}

#[test]
fn open_and_ended_transactions_are_listed_and_described() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let open = open_transaction(&talk, "open");
    let done = open_transaction(&talk, "done");
    assert_eq!(end(&talk, "done", done, true), 0);
    for version in versions(ApiKey::ListTransactions) {
        let list = |request: ListTransactionsRequest| -> ListTransactionsResponse {
            talk.ask(ApiKey::ListTransactions, version, &request)
        };
        let states = |answer: ListTransactionsResponse| {
            let mut states: Vec<(String, String)> = answer
                .transaction_states
                .iter()
                .map(|txn| {
                    (
                        txn.transactional_id.to_string(),
                        txn.transaction_state.to_string(),
                    )
                })
                .collect();
            states.sort();
            states
        };
        let own = |id: &str, state: &str| (id.to_owned(), state.to_owned());
        assert_eq!(
            states(list(ListTransactionsRequest::default())),
            [own("done", "CompleteCommit"), own("open", "Ongoing")]
        );
        let filtered = list(
            ListTransactionsRequest::default()
                .with_state_filters(vec![text("Ongoing"), text("Nonsense")]),
        );
        assert_eq!(filtered.unknown_state_filters, [text("Nonsense")]);
        assert_eq!(states(filtered), [own("open", "Ongoing")]);
        let by_producer = ListTransactionsRequest::default().with_producer_id_filters(vec![done.0]);
        assert_eq!(states(list(by_producer)), [own("done", "CompleteCommit")]);
        if version >= 1 {
            let long = ListTransactionsRequest::default().with_duration_filter(3_600_000);
            assert!(states(list(long)).is_empty());
        }
    }
    for version in versions(ApiKey::DescribeTransactions) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![
            TransactionalId(text("open")),
            TransactionalId(text("none")),
        ]);
        let answer: DescribeTransactionsResponse =
            talk.ask(ApiKey::DescribeTransactions, version, &request);
        let txn = &answer.transaction_states[0];
        assert_eq!((txn.producer_id, txn.producer_epoch), open);
        assert_eq!(txn.transaction_state.as_str(), "Ongoing");
        assert_eq!(txn.transaction_timeout_ms, 60_000);
        assert!(txn.transaction_start_time_ms > 1_600_000_000_000);
        assert_eq!(txn.topics[0].topic.as_str(), "orders");
        assert_eq!(txn.topics[0].partitions, [0]);
        assert_eq!(
            answer.transaction_states[1].error_code,
            ResponseError::TransactionalIdNotFound.code()
        );
    }
}

#[test]
fn the_producers_of_a_partition_are_described() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let (producer, epoch) = open_transaction(&talk, "open");
    for version in versions(ApiKey::DescribeProducers) {
        let asked = describe_producers_request::TopicRequest::default()
            .with_name(topic("orders"))
            .with_partition_indexes(vec![0, 1, 9]);
        let answer: DescribeProducersResponse = talk.ask(
            ApiKey::DescribeProducers,
            version,
            &DescribeProducersRequest::default().with_topics(vec![asked]),
        );
        let partitions = &answer.topics[0].partitions;
        let state = &partitions[0].active_producers[0];
        assert_eq!(
            (state.producer_id, state.producer_epoch),
            (producer, i32::from(epoch))
        );
        assert_eq!(
            (state.last_sequence, state.current_txn_start_offset),
            (1, 0)
        );
        assert!(partitions[1].active_producers.is_empty());
        assert_eq!(
            partitions[2].error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
    }
}

#[test]
fn the_folder_tells_the_size_of_each_partition() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let batch = sample(-1, -1, -1, &[100]);
    let size = i64::try_from(batch.len()).unwrap();
    assert_eq!(talk.produce(9, "orders", batch).0, 0);
    for version in versions(ApiKey::DescribeLogDirs) {
        for topics in [
            None,
            Some(vec![
                describe_log_dirs_request::DescribableLogDirTopic::default()
                    .with_topic(topic("orders"))
                    .with_partitions(vec![0, 1, 9]),
            ]),
        ] {
            let request = DescribeLogDirsRequest::default().with_topics(topics);
            let answer: DescribeLogDirsResponse =
                talk.ask(ApiKey::DescribeLogDirs, version, &request);
            let folder = &answer.results[0];
            assert!(folder.log_dir.ends_with("broker.db"));
            let sizes: Vec<i64> = folder.topics[0]
                .partitions
                .iter()
                .map(|partition| partition.partition_size)
                .collect();
            assert_eq!(sizes, [size, 0]);
        }
    }
}

#[test]
fn the_newer_group_protocol_is_refused_in_words() {
    let talk = Talk::start();
    for version in versions(ApiKey::ConsumerGroupHeartbeat) {
        let owned = consumer_group_heartbeat_request::TopicPartitions::default()
            .with_partitions(vec![0, 1]);
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text("m"))
            .with_instance_id(Some(text("i")))
            .with_subscribed_topic_names(Some(vec![topic("orders")]))
            .with_topic_partitions(Some(vec![owned]));
        let answer: ConsumerGroupHeartbeatResponse =
            talk.ask(ApiKey::ConsumerGroupHeartbeat, version, &request);
        assert_eq!(answer.error_code, ResponseError::UnsupportedVersion.code());
        assert!(
            answer
                .error_message
                .unwrap()
                .contains("group.protocol=classic")
        );
    }
}

#[test]
fn a_transaction_is_ended_once_and_only_as_it_was_ended() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let producer = open_transaction(&talk, "t");
    let wrong = ResponseError::InvalidTxnState.code();
    assert_eq!(end(&talk, "t", producer, true), 0);
    assert_eq!(end(&talk, "t", producer, true), 0, "its answer was lost");
    assert_eq!(end(&talk, "t", producer, false), wrong);
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("t"))))
        .with_transaction_timeout_ms(60_000);
    let fresh: InitProducerIdResponse = talk.ask(ApiKey::InitProducerId, 2, &request);
    let producer = (fresh.producer_id, fresh.producer_epoch);
    assert_eq!(end(&talk, "t", producer, true), wrong, "nothing was begun");
}

#[test]
fn a_producer_that_asks_for_its_next_epoch_again_gets_the_same() {
    let talk = Talk::start();
    let ask = |held: Option<(ProducerId, i16)>| -> InitProducerIdResponse {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("t"))))
            .with_transaction_timeout_ms(60_000);
        let request = match held {
            Some((id, epoch)) => request.with_producer_id(id).with_producer_epoch(epoch),
            None => request,
        };
        talk.ask(ApiKey::InitProducerId, 4, &request)
    };
    let first = ask(None);
    let held = Some((first.producer_id, first.producer_epoch));
    let next = ask(held);
    assert_eq!(next.producer_epoch, first.producer_epoch + 1);
    let again = ask(held);
    assert_eq!(
        (again.error_code, again.producer_epoch),
        (0, next.producer_epoch)
    );
    // Another one takes over: whoever held an epoch before is fenced for good.
    ask(None);
    assert_eq!(ask(held).error_code, ResponseError::ProducerFenced.code());
}

#[test]
fn what_the_broker_was_started_with_is_described_as_the_brokers() {
    let talk = Talk::start_with(EmbeddedConfig {
        retention: Some(std::time::Duration::from_secs(7)),
        ..EmbeddedConfig::default()
    });
    talk.make_topic("orders");
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configuration_keys(Some(vec![text("retention.ms")]));
    let request = DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_resources(vec![resource]);
    let answer: DescribeConfigsResponse = talk.ask(ApiKey::DescribeConfigs, 4, &request);
    let setting = &answer.results[0].configs[0];
    assert_eq!(
        (setting.value.as_deref(), setting.config_source),
        (Some("7000"), 4)
    );
    let synonyms: Vec<(&str, i8)> = setting
        .synonyms
        .iter()
        .map(|synonym| (synonym.name.as_str(), synonym.source))
        .collect();
    assert_eq!(synonyms, [("log.retention.ms", 4), ("log.retention.ms", 5)]);
}

//! Transactions and producers seen from outside: listed and described.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::TopicData;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
    TopicName, TransactionalId, describe_transactions_response, list_transactions_response,
};
use kafka_protocol::protocol::StrBytes;
use rusqlite::{Connection, params};

use super::broker::{Broker, read_error, storage_error};
use super::error::Unavailable;
use super::ledger::{Ledger, now_ms};
use super::partition::PartitionId;
use super::protocol::{once, text};
use super::sequence::Window;
use super::txn::{State, Txn};

/// Every state that Kafka knows; those that this broker passes through within one commit are never seen.
const STATES: &[&str] = &[
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

impl Broker {
    pub(crate) fn list_transactions(
        &self,
        request: ListTransactionsRequest,
    ) -> ListTransactionsResponse {
        let response = ListTransactionsResponse::default();
        let unknown = request.state_filters.iter();
        let unknown: Vec<StrBytes> = unknown
            .filter(|state| !STATES.contains(&state.as_str()))
            .cloned()
            .collect();
        let now = now_ms();
        let wanted = move |txn: &Txn| {
            let states = &request.state_filters;
            let producers = &request.producer_id_filters;
            let age = txn.started_ms.map(|started| now - started);
            (states.is_empty() || states.iter().any(|state| state.as_str() == name(txn)))
                && (producers.is_empty() || producers.contains(&ProducerId(txn.producer_id)))
                && (request.duration_filter < 0
                    || age.is_some_and(|age| age > request.duration_filter))
        };
        let listed = self.look_at_txns(move |ledger| {
            let txns = ledger.txns.iter().filter(|(_, txn)| wanted(txn));
            txns.map(|(id, txn)| {
                list_transactions_response::TransactionState::default()
                    .with_transactional_id(TransactionalId(text(id)))
                    .with_producer_id(ProducerId(txn.producer_id))
                    .with_transaction_state(StrBytes::from_static_str(name(txn)))
            })
            .collect()
        });
        match listed {
            Ok(listed) => response
                .with_unknown_state_filters(unknown)
                .with_transaction_states(listed),
            Err(unavailable) => response.with_error_code(storage_error(unavailable).code()),
        }
    }

    pub(crate) fn describe_transactions(
        &self,
        request: DescribeTransactionsRequest,
    ) -> DescribeTransactionsResponse {
        let ids = once(request.transactional_ids, TransactionalId::clone);
        let asked = ids.clone();
        let described = self
            .look_at_txns(move |ledger| asked.into_iter().map(|id| describe(ledger, id)).collect());
        let states = described.unwrap_or_else(|unavailable| {
            let refused = |id| {
                describe_transactions_response::TransactionState::default()
                    .with_transactional_id(id)
                    .with_error_code(storage_error(unavailable).code())
            };
            ids.into_iter().map(refused).collect()
        });
        DescribeTransactionsResponse::default().with_transaction_states(states)
    }

    pub(crate) fn describe_producers(
        &self,
        request: DescribeProducersRequest,
    ) -> DescribeProducersResponse {
        let asked = once(request.topics, |topic| topic.name.clone());
        let partitions = asked.iter().flat_map(|topic| {
            let find = |index: &i32| self.topics.partition(&topic.name, *index);
            topic.partition_indexes.iter().filter_map(find)
        });
        self.settle(&partitions.collect::<Vec<_>>());
        let topics = asked.into_iter().map(|topic| {
            let indexes = once(topic.partition_indexes, |index| *index);
            let partitions = indexes.into_iter().map(|index| {
                let response = PartitionResponse::default().with_partition_index(index);
                let found = self
                    .topics
                    .partition(&topic.name, index)
                    .ok_or(ResponseError::UnknownTopicOrPartition)
                    .and_then(|partition| {
                        let read = |db: &Connection| producers(db, partition.id);
                        self.readers.read(read).map_err(read_error)
                    });
                match found {
                    Ok(producers) => response.with_active_producers(producers),
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            TopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }

    /// Looks at the transactions between two commits, which is where their state is whole.
    fn look_at_txns<T: Send + 'static>(
        &self,
        see: impl FnOnce(&Ledger) -> Vec<T> + Send + 'static,
    ) -> Result<Vec<T>, Unavailable> {
        self.queue.write(move |ledger| Ok(see(ledger)))
    }
}

fn name(txn: &Txn) -> &'static str {
    match txn.state() {
        State::Empty => "Empty",
        State::Ongoing => "Ongoing",
        State::Committed => "CompleteCommit",
        State::Aborted => "CompleteAbort",
    }
}

fn describe(
    ledger: &Ledger,
    id: TransactionalId,
) -> describe_transactions_response::TransactionState {
    let state = describe_transactions_response::TransactionState::default();
    let Some(txn) = ledger.txns.get(id.as_str()) else {
        return state
            .with_transactional_id(id)
            .with_error_code(ResponseError::TransactionalIdNotFound.code());
    };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, known) in &ledger.map {
        for (partition, index) in known.partitions.iter().zip(0..) {
            if txn.partitions.contains(&partition.id) {
                topics.entry(topic).or_default().push(index);
            }
        }
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(text(topic)))
            .with_partitions(partitions)
    });
    state
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(name(txn)))
        .with_transaction_timeout_ms(txn.timeout_ms)
        .with_transaction_start_time_ms(txn.started_ms.unwrap_or(-1))
        .with_producer_id(ProducerId(txn.producer_id))
        .with_producer_epoch(txn.epoch)
        .with_topics(topics.collect())
}

/// The producers that are remembered in a partition.
fn producers(db: &Connection, partition: PartitionId) -> rusqlite::Result<Vec<ProducerState>> {
    let mut find = db.prepare_cached(
        "select producer.producer_id, producer.epoch, taken, touched_ms,
             (select first_offset from txn_partition join txn on txn.id = txn_partition.txn
              where txn_partition.partition = producer.partition and txn.producer_id = producer.producer_id)
         from producer where partition = ?1 order by producer.producer_id",
    )?;
    let rows = find.query_map(params![partition.0], |row| {
        let epoch: i16 = row.get(1)?;
        let window = Window::from_bytes(epoch, row.get_ref(2)?.as_blob()?);
        Ok(ProducerState::default()
            .with_producer_id(ProducerId(row.get(0)?))
            .with_producer_epoch(i32::from(epoch))
            .with_last_sequence(window.last_sequence().unwrap_or(-1))
            .with_last_timestamp(row.get(3)?)
            .with_coordinator_epoch(-1)
            .with_current_txn_start_offset(row.get::<_, Option<i64>>(4)?.unwrap_or(-1)))
    })?;
    rows.collect()
}

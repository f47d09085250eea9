//! Requests of idempotent and transactional producers.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use rusqlite::params;

use super::broker::{Broker, storage_error};
use super::group_call::Caller;
use super::ledger::{Ledger, now_ms};
use super::offsets::CommittedOffset;
use super::protocol::code;
use super::txn::{Before, Txn};

/// After this epoch a transactional id goes on under a new producer id.
const EPOCH_MAX: i16 = i16::MAX - 2;

type Outcome<T> = Result<T, ResponseError>;

impl Broker {
    pub(crate) fn init_producer_id(
        &self,
        request: InitProducerIdRequest,
        version: i16,
    ) -> InitProducerIdResponse {
        let response = InitProducerIdResponse::default();
        let given = match self.give_producer_id(request) {
            Ok(given) => given,
            Err(error) => {
                let error = fenced_for(version, 4, error);
                return response
                    .with_error_code(error.code())
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1);
            }
        };
        response
            .with_producer_id(ProducerId(given.0))
            .with_producer_epoch(given.1)
    }

    pub(crate) fn add_partitions_to_txn(
        &self,
        request: AddPartitionsToTxnRequest,
        version: i16,
    ) -> AddPartitionsToTxnResponse {
        let id = request.v3_and_below_transactional_id.to_string();
        let (producer_id, epoch) = (
            request.v3_and_below_producer_id.0,
            request.v3_and_below_producer_epoch,
        );
        let topics = request.v3_and_below_topics;
        let wanted: Vec<(String, i32)> = topics
            .iter()
            .flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|index| (topic.name.to_string(), *index))
            })
            .collect();
        let added = self
            .queue
            .write(move |ledger| add_partitions(ledger, &id, producer_id, epoch, &wanted));
        let result = added
            .map_err(storage_error)
            .and_then(|result| result)
            .map_err(|error| fenced_for(version, 2, error));
        let missing = |topic: &str, index: i32| {
            matches!(result, Err(ResponseError::UnknownTopicOrPartition))
                && self.topics.partition(topic, index).is_some()
        };
        let results = topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|&index| {
                // All or none: those that exist were not tried because others do not.
                let error = if missing(&topic.name, index) {
                    ResponseError::OperationNotAttempted.code()
                } else {
                    code(&result)
                };
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(index)
                    .with_partition_error_code(error)
            });
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(partitions.collect())
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
    }

    pub(crate) fn add_offsets_to_txn(
        &self,
        request: AddOffsetsToTxnRequest,
        version: i16,
    ) -> AddOffsetsToTxnResponse {
        let id = request.transactional_id.to_string();
        let (producer_id, epoch) = (request.producer_id.0, request.producer_epoch);
        let begun = self.queue.write(move |ledger| {
            if let Err(error) = ledger.txn(&id, producer_id, epoch) {
                return Ok(Err(error));
            }
            ledger.txn_begin(&id).map(Ok)
        });
        let result = begun
            .map_err(storage_error)
            .and_then(|result| result)
            .map_err(|error| fenced_for(version, 2, error));
        AddOffsetsToTxnResponse::default().with_error_code(code(&result))
    }

    pub(crate) fn txn_offset_commit(
        &self,
        request: TxnOffsetCommitRequest,
        version: i16,
    ) -> TxnOffsetCommitResponse {
        let caller = Caller {
            group: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
        };
        // Without a generation the group is not asked: the transaction's epoch is the fence.
        let allowed = if request.generation_id >= 0 || !request.member_id.is_empty() {
            self.coordinator.may_commit(caller)
        } else {
            Ok(())
        };
        let mut offsets = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let metadata = partition
                    .committed_metadata
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                offsets.push(CommittedOffset {
                    topic: topic.name.clone(),
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata,
                });
            }
        }
        let checked: Vec<Outcome<()>> = offsets
            .iter()
            .map(|offset| allowed.and_then(|()| offset.check(self)))
            .collect();
        let all_fit = checked.iter().copied().collect::<Outcome<()>>();
        let (id, group) = (
            request.transactional_id.to_string(),
            request.group_id.to_string(),
        );
        let (producer_id, epoch) = (request.producer_id.0, request.producer_epoch);
        let kept = all_fit.and_then(|()| {
            let kept = self.queue.write(move |ledger| {
                keep_offsets(ledger, &id, producer_id, epoch, &group, &offsets)
            });
            kept.map_err(storage_error)
                .and_then(|result| result)
                .map_err(|error| fenced_for(version, 3, error))
        });
        let mut outcomes = checked.into_iter().map(|result| result.and(kept));
        let topics = request.topics.into_iter().map(|topic| {
            let partitions =
                topic
                    .partitions
                    .iter()
                    .zip(outcomes.by_ref())
                    .map(|(partition, result)| {
                        TxnOffsetCommitResponsePartition::default()
                            .with_partition_index(partition.partition_index)
                            .with_error_code(code(&result))
                    });
            let partitions = partitions.collect();
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    pub(crate) fn end_txn(&self, request: EndTxnRequest, version: i16) -> EndTxnResponse {
        let id = request.transactional_id.to_string();
        let (producer_id, epoch, committed) = (
            request.producer_id.0,
            request.producer_epoch,
            request.committed,
        );
        let ended = self.queue.write(move |ledger| {
            match ledger.txn(&id, producer_id, epoch) {
                Err(error) => return Ok(Err(error)),
                Ok(txn) if txn.started_ms.is_some() => {}
                Ok(txn) if txn.was_ended(committed) => return Ok(Ok(())),
                Ok(_) => return Ok(Err(ResponseError::InvalidTxnState)),
            }
            ledger.txn_end(&id, committed).map(Ok)
        });
        let result = ended
            .map_err(storage_error)
            .and_then(|result| result)
            .map_err(|error| fenced_for(version, 2, error));
        EndTxnResponse::default().with_error_code(code(&result))
    }

    fn give_producer_id(&self, request: InitProducerIdRequest) -> Outcome<(i64, i16)> {
        let Some(id) = request.transactional_id else {
            return self
                .queue
                .write(|ledger| Ok((ledger.new_producer_id()?, 0)))
                .map_err(storage_error);
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let timeout =
            Duration::from_millis(u64::try_from(request.transaction_timeout_ms).unwrap_or(0));
        if timeout.is_zero() || timeout > self.config.transaction_timeout_max {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let (id, timeout_ms) = (id.to_string(), request.transaction_timeout_ms);
        let held =
            (request.producer_id.0 >= 0).then_some((request.producer_id.0, request.producer_epoch));
        let given = self
            .queue
            .write(move |ledger| take_over(ledger, &id, timeout_ms, held));
        given.map_err(storage_error).and_then(|result| result)
    }
}

/// Older versions of a request know a fenced producer under another name.
fn fenced_for(version: i16, first_with_fenced: i16, error: ResponseError) -> ResponseError {
    if error == ResponseError::ProducerFenced && version < first_with_fenced {
        ResponseError::InvalidProducerEpoch
    } else {
        error
    }
}

/// Gives a transactional id to its newest holder: what was open is given up, who held it is fenced.
fn take_over(
    ledger: &mut Ledger,
    id: &str,
    timeout_ms: i32,
    held: Option<(i64, i16)>,
) -> rusqlite::Result<Outcome<(i64, i16)>> {
    if let (Some((producer_id, epoch)), Some(txn)) = (held, ledger.txns.get(id)) {
        if producer_id == txn.producer_id && Some(epoch) == txn.previous_epoch {
            return Ok(Ok((txn.producer_id, txn.epoch))); // It asks again: the answer was lost.
        }
        if (producer_id, epoch) != (txn.producer_id, txn.epoch) {
            return Ok(Err(ResponseError::ProducerFenced));
        }
    }
    ledger.txn_fence(id)?;
    if ledger
        .txns
        .get(id)
        .is_some_and(|txn| txn.started_ms.is_some())
    {
        ledger.txn_end(id, false)?;
    }
    if let Some(txn) = ledger.txns.get_mut(id).filter(|txn| txn.epoch <= EPOCH_MAX) {
        txn.timeout_ms = timeout_ms;
        txn.before = Before::Nothing;
        txn.previous_epoch = held.map(|(_, epoch)| epoch);
        ledger.db.execute(
            "update txn set timeout_ms = ?2 where id = ?1",
            params![id, timeout_ms],
        )?;
        return Ok(Ok((txn.producer_id, txn.epoch)));
    }
    let producer_id = ledger.new_producer_id()?;
    let txn = Txn::new(producer_id, 0, timeout_ms, Before::Nothing);
    ledger.db.execute(
        "insert or replace into txn (id, producer_id, epoch, timeout_ms, started_ms, touched_ms) values (?1, ?2, 0, ?3, null, ?4)",
        params![id, producer_id, timeout_ms, now_ms()],
    )?;
    // The one before stays known: its epoch is over, so its late batches are refused.
    ledger.owners.insert(producer_id, id.to_owned());
    ledger.txns.insert(id.to_owned(), txn);
    Ok(Ok((producer_id, 0)))
}

fn add_partitions(
    ledger: &mut Ledger,
    id: &str,
    producer_id: i64,
    epoch: i16,
    wanted: &[(String, i32)],
) -> rusqlite::Result<Outcome<()>> {
    if let Err(error) = ledger.txn(id, producer_id, epoch) {
        return Ok(Err(error));
    }
    let found: Option<Vec<_>> = wanted
        .iter()
        .map(|(topic, index)| ledger.log_of(topic, *index))
        .collect();
    let Some(found) = found else {
        return Ok(Err(ResponseError::UnknownTopicOrPartition));
    };
    ledger.txn_begin(id)?;
    for partition in found {
        ledger.txn_add_partition(id, partition)?;
    }
    Ok(Ok(()))
}

fn keep_offsets(
    ledger: &mut Ledger,
    id: &str,
    producer_id: i64,
    epoch: i16,
    group: &str,
    offsets: &[CommittedOffset],
) -> rusqlite::Result<Outcome<()>> {
    match ledger.txn(id, producer_id, epoch) {
        Err(error) => return Ok(Err(error)),
        Ok(txn) if txn.started_ms.is_none() => return Ok(Err(ResponseError::InvalidTxnState)),
        Ok(_) => {}
    }
    let mut keep = ledger.db.prepare_cached(
        "insert or replace into txn_offset (txn, group_id, topic, position, committed, leader_epoch, metadata) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for kept in offsets {
        keep.execute(params![
            id,
            group,
            kept.topic.as_str(),
            kept.index,
            kept.offset,
            kept.leader_epoch,
            kept.metadata
        ])?;
    }
    Ok(Ok(()))
}

//! Requests of one thing each, and the error code that answers them.

use std::io;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, InitProducerIdRequest, OffsetCommitRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::wire::{ProducerId, Wire, batch, group_id, topic_name, transactional};

/// What a client sees when the file refuses a change.
pub const STORAGE_ERROR: i16 = 56;
/// The id of the producer of transactions.
pub const MOVER: &str = "mover";

pub fn init(
    wire: &mut Wire,
    id: Option<&str>,
    timeout_ms: i32,
) -> io::Result<Result<ProducerId, i16>> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(id.map(transactional))
        .with_transaction_timeout_ms(timeout_ms);
    let answer = wire.call(&request, 1)?;
    Ok(match answer.error_code {
        0 => Ok((answer.producer_id.0, answer.producer_epoch)),
        code => Err(code),
    })
}

pub fn create(
    wire: &mut Wire,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> io::Result<i16> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let settings = settings.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(settings.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    Ok(wire.call(&request, 4)?.topics[0].error_code)
}

pub fn add_partition(
    wire: &mut Wire,
    id: &str,
    producer: ProducerId,
    topic: &str,
) -> io::Result<i16> {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional(id))
        .with_v3_and_below_producer_id(producer.0.into())
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic]);
    Ok(
        wire.call(&request, 2)?.results_by_topic_v3_and_below[0].results_by_partition[0]
            .partition_error_code,
    )
}

pub fn move_offset(wire: &mut Wire, producer: ProducerId, offset: i64) -> io::Result<i16> {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional(MOVER))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_group_id(group_id("movers"));
    let code = wire.call(&request, 2)?.error_code;
    if code != 0 {
        return Ok(code);
    }
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional(MOVER))
        .with_group_id(group_id("movers"))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_topics(vec![topic]);
    Ok(wire.call(&request, 2)?.topics[0].partitions[0].error_code)
}

pub fn commit(wire: &mut Wire, offset: i64) -> io::Result<i16> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id("readers"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    Ok(wire.call(&request, 5)?.topics[0].partitions[0].error_code)
}

pub fn delete_topic(wire: &mut Wire, name: &str) -> io::Result<i16> {
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(name)])
        .with_timeout_ms(30_000);
    Ok(wire.call(&request, 4)?.responses[0].error_code)
}

pub fn delete_before(wire: &mut Wire, topic: &str, offset: i64) -> io::Result<i16> {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(0)
        .with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    Ok(wire.call(&request, 1)?.topics[0].partitions[0].error_code)
}

/// Begins a transaction that runs out of time at once. Whether its record is still taken is a race.
pub fn leave(wire: &mut Wire, id: &str) -> io::Result<i16> {
    let producer = match init(wire, Some(id), 5)? {
        Ok(producer) => producer,
        Err(code) => return Ok(code),
    };
    let added = add_partition(wire, id, producer, "left")?;
    if added != 0 {
        return Ok(if added == STORAGE_ERROR { added } else { 0 });
    }
    let record = batch(producer, 0, true, &[(None, Some("left"))]);
    let (code, _) = wire.produce("left", 0, Some(id), record)?;
    Ok(if code == STORAGE_ERROR { code } else { 0 })
}

//! Kafka's protocol spoken by hand, for what no client library lets one say.

use std::io::Write as _;
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::frames::{framed, next_answer, understood};
use crate::world::PATIENCE;

/// A connection to one broker.
pub(crate) struct Wire {
    stream: TcpStream,
    next: i32,
    /// What the batches of transactions are sent under.
    pub(crate) transactional_id: Option<TransactionalId>,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire {
            stream,
            next: 1,
            transactional_id: None,
        }
    }

    /// A connection to the leader of a partition.
    pub(crate) fn to_leader(bootstrap: &str, topic: &str, partition: i32) -> Wire {
        let mut any = Wire::connect(bootstrap.split(',').next().unwrap());
        let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let answer = any.call(
            &MetadataRequest::default().with_topics(Some(vec![asked])),
            5,
        );
        let leader = answer.topics[0]
            .partitions
            .iter()
            .find(|p| p.partition_index == partition)
            .unwrap()
            .leader_id;
        let broker = answer
            .brokers
            .iter()
            .find(|broker| broker.node_id == leader)
            .unwrap();
        Wire::connect(&format!("{}:{}", broker.host.as_str(), broker.port))
    }

    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let number = self.next;
        self.next += 1;
        self.stream
            .write_all(&framed(request, version, number))
            .unwrap();
        understood::<R>(next_answer(&self.stream).unwrap(), version, number)
    }

    /// A fresh producer's id and epoch.
    pub(crate) fn producer_id(&mut self) -> (i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000);
        let answer = self.call(&request, 1);
        assert_eq!(answer.error_code, 0);
        (answer.producer_id.0, answer.producer_epoch)
    }

    /// Sends a batch; returns its error code and base offset.
    pub(crate) fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> (i16, i64) {
        let answer = self.offer(topic, partition, batch, 7);
        (answer.error_code, answer.base_offset)
    }

    /// Sends a batch; returns the whole answer.
    pub(crate) fn offer(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
        version: i16,
    ) -> PartitionProduceResponse {
        let request = ProduceRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![
                TopicProduceData::default()
                    .with_name(name(topic))
                    .with_partition_data(vec![
                        PartitionProduceData::default()
                            .with_index(partition)
                            .with_records(Some(batch)),
                    ]),
            ]);
        self.call(&request, version)
            .responses
            .remove(0)
            .partition_responses
            .remove(0)
    }

    /// Asks for the offset of a time, or of a meaning (negative); returns error code, offset and timestamp.
    pub(crate) fn offset_at(&mut self, topic: &str, time: i64, isolation: i8) -> (i16, i64, i64) {
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation)
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(name(topic))
                    .with_partitions(vec![
                        ListOffsetsPartition::default()
                            .with_partition_index(0)
                            .with_timestamp(time),
                    ]),
            ]);
        let answer = self.call(&request, 7);
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.offset, partition.timestamp)
    }

    /// Deletes the records before an offset of partition 0; returns the error code and the new start.
    pub(crate) fn delete_before(&mut self, topic: &str, offset: i64) -> (i16, i64) {
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![
                DeleteRecordsTopic::default()
                    .with_name(name(topic))
                    .with_partitions(vec![
                        DeleteRecordsPartition::default()
                            .with_partition_index(0)
                            .with_offset(offset),
                    ]),
            ]);
        let answer = self.call(&request, 1);
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.low_watermark)
    }

    pub(crate) fn fetch(&mut self, topic: &str, offset: i64, limits: FetchLimits) -> PartitionData {
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(limits.wait_ms_max)
            .with_min_bytes(limits.bytes_min)
            .with_max_bytes(limits.bytes_max)
            .with_isolation_level(1)
            .with_topics(vec![
                FetchTopic::default()
                    .with_topic(name(topic))
                    .with_partitions(vec![
                        FetchPartition::default()
                            .with_partition(0)
                            .with_fetch_offset(offset)
                            .with_partition_max_bytes(limits.partition_bytes_max),
                    ]),
            ]);
        self.call(&request, 4)
            .responses
            .remove(0)
            .partitions
            .remove(0)
    }
}

pub(crate) struct FetchLimits {
    pub(crate) wait_ms_max: i32,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
    pub(crate) partition_bytes_max: i32,
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A batch of an idempotent producer, uncompressed.
pub(crate) fn batch(producer: (i64, i16), first_sequence: i32, payloads: &[&str]) -> Bytes {
    let records = payloads.iter().map(|payload| Plain {
        key: None,
        payload,
        timestamp_ms: 1_700_000_000_000,
    });
    batch_of(producer, first_sequence, false, records)
}

/// A record to be sent by hand.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: &'a str,
    pub(crate) timestamp_ms: i64,
}

/// No idempotent producer.
pub(crate) const NOBODY: (i64, i16) = (-1, -1);

/// A batch of these records, uncompressed.
pub(crate) fn batch_of<'a>(
    producer: (i64, i16),
    first_sequence: i32,
    transactional: bool,
    records: impl IntoIterator<Item = Plain<'a>>,
) -> Bytes {
    let records: Vec<Record> = records
        .into_iter()
        .zip(0..)
        .map(|(record, n)| Record {
            transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: ProducerId(producer.0).0,
            producer_epoch: producer.1,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(n),
            sequence: first_sequence + n,
            timestamp: record.timestamp_ms,
            key: record.key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::copy_from_slice(record.payload.as_bytes())),
            headers: [(
                StrBytes::from_static_str("name"),
                Some(Bytes::from_static(b"value")),
            )]
            .into_iter()
            .collect(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

/// Writes the checksum anew after bytes were changed: it stands at 17 and covers all that follows.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

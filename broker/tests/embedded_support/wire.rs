//! Kafka's protocol spoken by hand, so that a test knows which request was answered and can say the same one again.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, GroupId, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest,
    ProduceRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::PATIENCE;
use super::frames::{framed, next_answer, understood};

/// A connection. An error means that the broker is gone.
pub struct Wire {
    stream: TcpStream,
    next: i32,
}

/// A producer id and its epoch.
pub type ProducerId = (i64, i16);

/// A record as it is read: its offset, its key, its value.
pub type Read1 = (i64, Option<String>, Option<String>);

impl Wire {
    pub fn connect(bootstrap: &str) -> Wire {
        let stream = TcpStream::connect(bootstrap).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, next: 1 }
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        let number = self.next;
        self.stream.write_all(&framed(request, version, number))?;
        let answer = next_answer(&self.stream)?;
        self.next += 1;
        Ok(understood::<R>(answer, version, number))
    }

    /// Waits until the broker is gone.
    pub fn wait_for_the_end(mut self) {
        let ended = self.stream.read(&mut [0]);
        let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(timed_out), "the broker lives on");
    }

    /// Sends a batch. Returns its error code and its first offset.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        id: Option<&str>,
        batch: Bytes,
    ) -> io::Result<(i16, i64)> {
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch));
        let topic = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(id.map(transactional))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let answer = self.call(&request, 8)?;
        let partition = &answer.responses[0].partition_responses[0];
        Ok((partition.error_code, partition.base_offset))
    }

    /// Every topic and how many partitions it has.
    pub fn topics(&mut self) -> io::Result<BTreeMap<String, usize>> {
        let answer = self.call(&MetadataRequest::default().with_topics(None), 5)?;
        let one = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
            (
                topic.name.as_ref().unwrap().to_string(),
                topic.partitions.len(),
            )
        };
        Ok(answer.topics.iter().map(one).collect())
    }

    /// The first offset of a log and the one after its last; or the error code.
    pub fn bounds(&mut self, topic: &str, partition: i32) -> io::Result<Result<(i64, i64), i16>> {
        let mut found = [0; 2];
        for (found, time) in found.iter_mut().zip([-2, -1]) {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_timestamp(time);
            let topic = ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(vec![partition]);
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic]);
            let answer = self.call(&request, 5)?;
            let partition = &answer.topics[0].partitions[0];
            if partition.error_code != 0 {
                return Ok(Err(partition.error_code));
            }
            *found = partition.offset;
        }
        Ok(Ok((found[0], found[1])))
    }

    /// One look at a partition, without a wait.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        isolation: i8,
    ) -> io::Result<PartitionData> {
        let partition = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(0)
            .with_min_bytes(0)
            .with_max_bytes(1 << 20)
            .with_isolation_level(isolation)
            .with_topics(vec![topic]);
        let mut answer = self.call(&request, 4)?;
        Ok(answer.responses.remove(0).partitions.remove(0))
    }

    /// Waits a little at the end of a partition to which nobody writes.
    pub fn wait_in_vain(&mut self, topic: &str) -> io::Result<()> {
        let end = self.bounds(topic, 0)?.unwrap().1;
        let partition = FetchPartition::default()
            .with_fetch_offset(end)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        self.call(&request, 4).map(drop)
    }

    /// All records of a partition, as a reader of committed (1) or of all (0) records sees them; or the error code.
    pub fn read_all(
        &mut self,
        topic: &str,
        partition: i32,
        isolation: i8,
    ) -> io::Result<Result<Vec<Read1>, i16>> {
        let (mut offset, end) = match self.bounds(topic, partition)? {
            Ok(bounds) => bounds,
            Err(code) => return Ok(Err(code)),
        };
        let (mut seen, mut given_up) = (Vec::new(), Vec::new());
        while offset < end {
            let found = self.fetch(topic, partition, offset, isolation)?;
            if found.error_code != 0 {
                return Ok(Err(found.error_code));
            }
            let mut met: Vec<(i64, i64)> = found
                .aborted_transactions
                .unwrap_or_default()
                .iter()
                .map(|aborted| (aborted.producer_id.0, aborted.first_offset))
                .collect();
            let mut records = found.records.unwrap_or_default();
            if records.is_empty() {
                break; // What follows is not decided, or was compacted away.
            }
            for batch in RecordBatchDecoder::decode_all(&mut records).unwrap() {
                for record in batch.records {
                    let is_new = record.offset >= offset;
                    met.retain(|&(id, first)| {
                        let begins = first <= record.offset;
                        if begins && !given_up.contains(&id) {
                            given_up.push(id);
                        }
                        !begins
                    });
                    offset = offset.max(record.offset + 1);
                    if record.control {
                        given_up.retain(|&id| id != record.producer_id);
                    } else if is_new
                        && !(record.transactional && given_up.contains(&record.producer_id))
                    {
                        seen.push((record.offset, record.key.map(text), record.value.map(text)));
                    }
                }
            }
        }
        Ok(Ok(seen))
    }

    /// The offset that a group has committed for a partition, -1 where it has none; or the error code.
    pub fn committed(&mut self, group: &str, topic: &str) -> io::Result<Result<i64, i16>> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(Some(vec![topic]));
        let answer = self.call(&request, 5)?;
        if answer.error_code != 0 {
            return Ok(Err(answer.error_code));
        }
        Ok(Ok(answer.topics[0].partitions[0].committed_offset))
    }
}

fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

pub fn transactional(name: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(name.to_owned()))
}

/// A batch of these records, uncompressed. `(-1, -1)` is no idempotent producer.
pub fn batch(
    producer: ProducerId,
    first_sequence: i32,
    transactional: bool,
    records: &[(Option<&str>, Option<&str>)],
) -> Bytes {
    let bytes_of = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let records: Vec<Record> = records
        .iter()
        .zip(0..)
        .map(|((key, value), n)| Record {
            transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.0,
            producer_epoch: producer.1,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(n),
            sequence: if producer.0 < 0 {
                -1
            } else {
                first_sequence + n
            },
            timestamp: 1_700_000_000_000,
            key: key.map(bytes_of),
            value: value.map(bytes_of),
            headers: std::iter::empty().collect(),
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

//! Kafka's protocol spoken by hand: whole requests, parts of them, and answers that are waited for or not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::figures::PATIENCE;
use crate::frames::{self, next_answer, understood};

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(crate) fn topic(value: &str) -> TopicName {
    TopicName(text(value))
}

/// The number of every request: who asks by the hundred does not tell the answers apart.
const NUMBER: i32 = 7;

/// A request as it goes over the wire, with its length.
pub(crate) fn framed<R: Request>(request: &R, version: i16) -> Vec<u8> {
    frames::framed(request, version, NUMBER)
}

/// A batch of one record with so many bytes of value.
pub(crate) fn batch(value_bytes: usize) -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from(vec![b'v'; value_bytes])),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}

pub(crate) fn produce_request(name: &str, batches: Vec<(i32, Bytes)>) -> ProduceRequest {
    let partitions = batches.into_iter().map(|(index, batch)| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch))
    });
    let wish = TopicProduceData::default()
        .with_name(topic(name))
        .with_partition_data(partitions.collect());
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![wish])
}

/// Asks for what is in partition 0 from an offset on: `wait_ms` and `bytes_min` as they are, a MiB at most.
pub(crate) fn fetch_request(name: &str, from: i64, wait_ms: i32, bytes_min: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default()
        .with_topic(topic(name))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(bytes_min)
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked])
}

/// A connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16) {
        self.send_bytes(&framed(request, version));
    }

    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        understood::<R>(self.answer(), version, NUMBER)
    }

    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version);
        self.receive::<R>(version)
    }

    /// The bytes of the next answer.
    pub(crate) fn answer(&mut self) -> Bytes {
        next_answer(&self.stream).unwrap()
    }

    pub(crate) fn says_no_more(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything that still comes until the broker closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        bytes
    }

    pub(crate) fn make_topic(&mut self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let configs = settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let wish = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![wish]);
        assert_eq!(self.call(&request, 5).topics[0].error_code, 0);
    }

    /// The error code and the offset of one record.
    pub(crate) fn produce(&mut self, name: &str, index: i32, value_bytes: usize) -> (i16, i64) {
        let answer = self.call(&produce_request(name, vec![(index, batch(value_bytes))]), 9);
        let partition = &answer.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }

    /// How many bytes of records are there from an offset on.
    pub(crate) fn fetch(&mut self, name: &str, from: i64) -> usize {
        let answer = self.call(&fetch_request(name, from, 0, 0), 12);
        let partition = &answer.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        partition.records.as_ref().map_or(0, Bytes::len)
    }

    /// Whether it is served as it should be.
    pub(crate) fn is_served(&mut self) {
        assert_eq!(self.produce("orders", 0, 10).0, 0);
        assert!(self.fetch("orders", 0) > 0);
    }
}

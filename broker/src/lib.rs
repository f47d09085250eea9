//! The one way to Kafka: the client with every setting on purpose, and the embedded broker.

pub mod client;
pub mod embedded;

pub use client::{
    Admin, BatchDone, BrokerError, Consumer, ConsumerControl, ConsumerError, ConsumerHandler,
    ConsumerOptions, Delivery, DeliveryError, ErrorCode, Headers, IncomingRecord, KafkaConfig,
    NewTopicSpec, OffsetReset, OutgoingRecord, Producer, SelfCheck, StartAt, TopicOutcome,
    TopicPartition, TopicReader, partition_of, read_all, self_check,
};

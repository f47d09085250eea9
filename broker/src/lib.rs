//! The one way to Kafka: the client with every setting on purpose, and the embedded broker.

pub mod client;
pub mod embedded;

pub use client::{
    Admin, BatchDone, BrokerError, Consumer, ConsumerControl, ConsumerError, ConsumerHandler,
    ConsumerOptions, Delivery, DeliveryError, ErrorCode, GroupDescription, GroupMember, GroupState,
    Headers, IncomingRecord, KafkaConfig, NewTopicSpec, OffsetReset, OutgoingRecord,
    PartitionDescription, Producer, SelfCheck, SettingOrigin, StartAt, TopicDescription,
    TopicOutcome, TopicPartition, TopicReader, TopicSetting, TopicTail, partition_of, read_all,
    self_check,
};

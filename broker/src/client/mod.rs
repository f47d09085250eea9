//! The one way to Kafka: producer, consumer, administration and reader over librdkafka.
//!
//! Every setting that correctness rests on is made here and can't be overridden; see [`settings`]. Everything else in
//! [`KafkaConfig::settings`] goes to librdkafka as it is.

mod admin;
mod config;
mod consumer;
mod consumer_loop;
mod deliveries;
mod error;
mod groups;
mod headers;
mod lanes;
mod offsets;
mod placement;
mod producer;
mod reader;
mod record;
mod self_check;
pub mod settings;
mod tail;
mod topics;
mod wait;

pub use admin::{Admin, NewTopicSpec, TopicOutcome};
pub use config::KafkaConfig;
pub use consumer::{
    Consumer, ConsumerControl, ConsumerHandler, ConsumerOptions, OffsetReset, StartAt,
};
pub use error::{BrokerError, ConsumerError, DeliveryError, ErrorCode};
pub use groups::{GroupDescription, GroupMember, GroupState};
pub use headers::Headers;
pub use placement::partition_of;
pub use producer::{BatchDone, Delivery, Producer};
pub use reader::{TopicReader, read_all};
pub use record::{IncomingRecord, OutgoingRecord, TopicPartition};
pub use self_check::{SelfCheck, self_check};
pub use tail::TopicTail;
pub use topics::{PartitionDescription, SettingOrigin, TopicDescription, TopicSetting};

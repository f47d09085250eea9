//! Records as they leave and arrive, free of librdkafka's types.

use std::fmt;
use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::{self as native, BorrowedMessage, Header, OwnedHeaders};

use super::headers::Headers;

/// Names one partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, counted from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names the given partition of the given topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic, which must exist: it isn't created by producing to it.
    pub topic: Arc<str>,
    /// The partition; `None` places the record by its key as Java's producer does (murmur2), or anywhere if it has no key.
    pub partition: Option<i32>,
    /// The key; `None` is Kafka's null, which isn't the same as an empty key.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` is Kafka's null (a tombstone).
    pub payload: Option<Vec<u8>>,
    /// The headers, in order; a name may repeat.
    pub headers: Headers,
    /// Milliseconds since the Unix epoch; `None` is the time of sending.
    pub timestamp_ms: Option<i64>,
}

impl OutgoingRecord {
    /// A record with a payload, without key, headers, partition or time.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Vec<u8>>) -> OutgoingRecord {
        OutgoingRecord {
            topic: topic.into(),
            partition: None,
            key: None,
            payload: Some(payload.into()),
            headers: Headers::new(),
            timestamp_ms: None,
        }
    }

    /// The same record with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> OutgoingRecord {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value })
        }))
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, counted from 0.
    pub partition: i32,
    /// The offset in the partition, counted from 0.
    pub offset: i64,
    /// The number last given for this partition by [`assigned`](crate::ConsumerHandler::assigned) or
    /// [`seek`](crate::ConsumerControl::seek); 0 from a reader.
    pub generation: u64,
    /// The key; `None` is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` is Kafka's null (a tombstone).
    pub payload: Option<Vec<u8>>,
    /// The headers, in order. A name that isn't UTF-8 can't be read by this client: the header is then
    /// `("\u{fffd}", None)`.
    pub headers: Headers,
    /// Milliseconds since the Unix epoch; -1 if the record has no time.
    pub timestamp_ms: i64,
}

impl IncomingRecord {
    pub(crate) fn read(
        message: &BorrowedMessage<'_>,
        topic: Arc<str>,
        generation: u64,
    ) -> IncomingRecord {
        IncomingRecord {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            generation,
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(read_headers).unwrap_or_default(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        }
    }

    /// The value of the first header of this name, if it is there and not null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name)
    }
}

/// The binding unwraps a header's name as UTF-8, so a record of another client could end the consumer's thread, again at
/// every restart. Caught here, it costs that one name.
fn read_headers(read: &impl native::Headers) -> Headers {
    let count = read.count();
    let mut headers = Headers::with_capacity(count, count * 12, count * 24);
    for index in 0..count {
        let before = headers.len();
        let pushed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Some(header) = read.try_get(index) {
                headers.push_field(header.key, header.value);
            }
        }));
        if pushed.is_err() && headers.len() == before {
            headers.push_field("\u{fffd}", None);
        }
    }
    headers
}

//! Names on the wire: topics, groups, headers, and which partition a key belongs to.

/// Names every topic and consumer group of one installation.
///
/// All begin with the prefix, so several installations can share a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// The prefix where none is configured.
    pub const PREFIX_DEFAULT: &'static str = "backstitch";

    /// Takes the prefix as it is; only `[a-z0-9.-]` keeps metric names apart.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// Returns the prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic through which everything reaches a saga, keyed by the saga.
    pub fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }

    /// The topic on which one activity's commands lie, keyed by the saga.
    pub fn commands(&self, activity: &str) -> String {
        format!("{}.commands.{activity}", self.prefix)
    }

    /// The topic that records every transition, keyed by the saga.
    pub fn journal(&self) -> String {
        format!("{}.journal", self.prefix)
    }

    /// The topic of what could not be read or applied.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.prefix)
    }

    /// The consumer group of one activity's workers.
    pub fn worker_group(&self, activity: &str) -> String {
        format!("{}.worker.{activity}", self.prefix)
    }

    /// The consumer group of the orchestrators.
    pub fn orchestrator_group(&self) -> String {
        format!("{}.orchestrator", self.prefix)
    }

    /// The consumer group that reads source topics.
    pub fn intake_group(&self) -> String {
        format!("{}.intake", self.prefix)
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(Self::PREFIX_DEFAULT)
    }
}

/// Header: W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Header: W3C trace state, carried unread.
pub const TRACESTATE: &str = "tracestate";
/// Header: the CloudEvents version, always [`CE_SPECVERSION_VALUE`].
pub const CE_SPECVERSION: &str = "ce_specversion";
/// The CloudEvents version that is written and read.
pub const CE_SPECVERSION_VALUE: &str = "1.0";
/// Header: the CloudEvents id.
pub const CE_ID: &str = "ce_id";
/// Header: the CloudEvents type.
pub const CE_TYPE: &str = "ce_type";
/// Header: the CloudEvents source.
pub const CE_SOURCE: &str = "ce_source";
/// Header: the CloudEvents subject, the saga key.
pub const CE_SUBJECT: &str = "ce_subject";
/// Header: the CloudEvents time, RFC 3339.
pub const CE_TIME: &str = "ce_time";
/// Header: the media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The media type of an Avro value in either framing.
pub const CONTENT_TYPE_AVRO: &str = "application/avro";
/// The media type of a CloudEvent in structured JSON mode.
pub const CONTENT_TYPE_CLOUDEVENT: &str = "application/cloudevents+json";
/// Header: the saga key.
pub const SAGA_ID: &str = "saga-id";
/// Header: the step occurrence.
pub const SAGA_STEP: &str = "saga-step";
/// Header: the attempt, decimal.
pub const SAGA_ATTEMPT: &str = "saga-attempt";
/// Header: what the record is, such as `do`, `undo`, `reply`.
pub const SAGA_KIND: &str = "saga-kind";
/// Header of a dead letter: [`crate::DeadLetterReason::as_str`].
pub const DLQ_REASON: &str = "dlq-reason";
/// Header of a dead letter: the topic it lay on.
pub const DLQ_ORIGINAL_TOPIC: &str = "dlq-original-topic";
/// Header of a dead letter: the partition it lay in, decimal.
pub const DLQ_ORIGINAL_PARTITION: &str = "dlq-original-partition";
/// Header of a dead letter: its offset there, decimal.
pub const DLQ_ORIGINAL_OFFSET: &str = "dlq-original-offset";
/// Header of a dead letter: the reason for people.
pub const DLQ_DETAIL: &str = "dlq-detail";

/// Returns the partition in which Java's default partitioner puts a key.
///
/// librdkafka does the same with `partitioner=murmur2_random` for a key that is not null.
///
/// # Panics
///
/// If `partitions` is below 1, which no topic has.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    assert!(partitions >= 1, "a topic has at least one partition");
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions
}

/// MurmurHash2, 32 bits, with the seed of Kafka's Java client.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka's record format bounds a key well below 4 GiB.
    let len = u32::try_from(key.len()).expect("a Kafka key is shorter than 4 GiB");
    let mut hash = SEED ^ len;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_javas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_partition_is_the_positive_hash_modulo_the_count() {
        assert_eq!(partition_of(b"abc", 100), 479_470_107 % 100);
        assert_eq!(partition_of(b"21", 7), (-973_932_308 & 0x7fff_ffff) % 7);
        assert_eq!(partition_of(b"anything", 1), 0);
    }

    #[test]
    fn topics_and_groups_begin_with_the_prefix() {
        let topics = Topics::new("acme.eu");
        assert_eq!(topics.inbox(), "acme.eu.inbox");
        assert_eq!(
            topics.commands("charge-payment"),
            "acme.eu.commands.charge-payment"
        );
        assert_eq!(topics.journal(), "acme.eu.journal");
        assert_eq!(topics.dead_letters(), "acme.eu.dead-letters");
        assert_eq!(
            topics.worker_group("ship-order"),
            "acme.eu.worker.ship-order"
        );
        assert_eq!(topics.orchestrator_group(), "acme.eu.orchestrator");
        assert_eq!(topics.intake_group(), "acme.eu.intake");
        assert_eq!(Topics::default().inbox(), "backstitch.inbox");
    }
}

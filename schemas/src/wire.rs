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

#[cfg(test)]
mod tests {
    use super::*;

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

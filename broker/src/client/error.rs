//! Errors, one variant for each reaction.

use rdkafka::error::KafkaError;

/// Kafka's and librdkafka's error codes. `Display` gives the sentence, `Debug` the name.
pub use rdkafka::types::RDKafkaErrorCode as ErrorCode;

use super::record::TopicPartition;

/// What went wrong on the way to Kafka.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A setting is wrong or refused. Change the configuration; retrying won't help.
    #[error("kafka setting {key}: {reason}")]
    Setting {
        /// The setting's name.
        key: String,
        /// Why it can't be used.
        reason: String,
    },
    /// This build can't do it. Build with what the hint says.
    #[error("this build of the kafka client has no {feature}: {hint}")]
    NotBuiltIn {
        /// What is missing, e.g. `ssl`.
        feature: String,
        /// How to get it.
        hint: String,
    },
    /// The broker didn't answer, or not in time. Worth retrying; whether it was carried out is unknown.
    #[error("cannot {attempted}")]
    Unavailable {
        /// What was attempted, and on what.
        attempted: String,
        /// What the client library says.
        #[source]
        source: KafkaError,
    },
    /// The broker doesn't let us. A person has to change credentials or rights.
    #[error("not allowed to {attempted}")]
    Denied {
        /// What was attempted, and on what.
        attempted: String,
        /// What the client library says.
        #[source]
        source: KafkaError,
    },
    /// The broker answered, and the answer is no. Retrying won't help.
    #[error("cannot {attempted}: refused")]
    Refused {
        /// What was attempted, and on what.
        attempted: String,
        /// What the client library says.
        #[source]
        source: KafkaError,
    },
    /// The producer's queue stayed full. Nothing of the batch was taken: send it again, more slowly.
    #[error("the producer's queue stayed full for {} s", waited.as_secs())]
    QueueFull {
        /// How long `send` waited.
        waited: std::time::Duration,
    },
    /// A record wasn't delivered.
    #[error(transparent)]
    Undelivered(#[from] DeliveryError),
    /// This client has ended for good: build a new one and go on from what is known to be stored.
    #[error("the kafka client has to be rebuilt: {reason}")]
    Fatal {
        /// What ended it.
        reason: String,
    },
}

/// Why a batch wasn't delivered whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failed_count} record(s) not delivered: {reason}")]
pub struct DeliveryError {
    /// Whether the producer has ended (its gapless guarantee can't be kept, it was fenced, it was dropped) and has to be rebuilt.
    pub fatal: bool,
    /// The first failure's code.
    pub code: ErrorCode,
    /// The first failure's reason, or what ended the producer.
    pub reason: String,
    /// How many of the batch's records failed, at least 1. The others were delivered.
    pub failed_count: usize,
    /// The records (indexes in the batch, from 0, in order) that this client itself refused, such as those above
    /// `message.max.bytes`: sending them again won't help. The batch's others were sent nevertheless.
    pub refused: Vec<usize>,
}

/// What a consumer meets while it runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// It goes on by itself: brokers down, a coordinator that moved, a topic that isn't there yet.
    #[error("consuming is disturbed: {reason}")]
    Transient {
        /// Kafka's code.
        code: ErrorCode,
        /// What the client library says.
        reason: String,
    },
    /// A partition has no record at the offset asked for (retention removed it, or there is no committed one and
    /// `OffsetReset::Error` was asked). The partition stands still until a seek; the others go on.
    #[error("no such offset: {reason}")]
    NoOffset {
        /// What the client library says.
        reason: String,
    },
    /// An offset commit was refused. The next one covers it, unless the partitions have moved.
    #[error("offsets not committed: {code}")]
    Commit {
        /// Kafka's code.
        code: ErrorCode,
    },
    /// A pause, resume or seek couldn't be carried out, usually since the partition has moved away.
    #[error("cannot {attempted} {partition}: {reason}")]
    Control {
        /// What was attempted.
        attempted: &'static str,
        /// The partition it was about.
        partition: TopicPartition,
        /// What the client library says.
        reason: String,
    },
    /// The broker doesn't let us. A person has to change credentials or rights.
    #[error("not allowed to consume: {reason}")]
    Denied {
        /// Kafka's code.
        code: ErrorCode,
        /// What the client library says.
        reason: String,
    },
    /// This consumer has ended for good (its instance id was taken by another): build a new one.
    #[error("the consumer has to be rebuilt: {reason}")]
    Fatal {
        /// What ended it.
        reason: String,
    },
}

/// What an error code asks for.
pub(crate) enum Reaction {
    Retry,
    Permit,
    GiveUp,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything that retrying or permission can't mend is refused"
)]
pub(crate) fn reaction(code: ErrorCode) -> Reaction {
    use ErrorCode as E;
    match code {
        E::BrokerTransportFailure
        | E::Resolve
        | E::MessageTimedOut
        | E::AllBrokersDown
        | E::OperationTimedOut
        | E::TimedOutQueue
        | E::WaitingForCoordinator
        | E::InProgress
        | E::PreviousInProgress
        | E::WaitCache
        | E::Interrupted
        | E::Retry
        | E::BrokerDestroy
        | E::NodeUpdate
        | E::LeaderNotAvailable
        | E::NotLeaderForPartition
        | E::RequestTimedOut
        | E::BrokerNotAvailable
        | E::ReplicaNotAvailable
        | E::NetworkException
        | E::CoordinatorLoadInProgress
        | E::CoordinatorNotAvailable
        | E::NotCoordinator
        | E::NotEnoughReplicas
        | E::NotEnoughReplicasAfterAppend
        | E::NotController
        | E::RebalanceInProgress
        | E::KafkaStorageError
        | E::OffsetNotAvailable
        | E::UnstableOffsetCommit
        | E::ThrottlingQuotaExceeded
        | E::ReassignmentInProgress => Reaction::Retry,
        E::Authentication
        | E::SSL
        | E::SaslAuthenticationFailed
        | E::UnsupportedSASLMechanism
        | E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::TransactionalIdAuthorizationFailed
        | E::SecurityDisabled => Reaction::Permit,
        _ => Reaction::GiveUp,
    }
}

/// The binding doesn't count an administrative call's code as one.
fn code_of(error: &KafkaError) -> Option<ErrorCode> {
    if let KafkaError::AdminOp(code) = error {
        Some(*code)
    } else {
        error.rdkafka_error_code()
    }
}

impl BrokerError {
    /// Sorts what the client library says by what can be done about it.
    pub(crate) fn from_kafka(attempted: impl Into<String>, source: KafkaError) -> BrokerError {
        let attempted = attempted.into();
        if let KafkaError::ClientConfig(_, reason, key, _) = source {
            return BrokerError::from_setting(&key, reason);
        }
        if let KafkaError::ClientCreation(reason) = source {
            return BrokerError::from_setting("client", reason);
        }
        match code_of(&source).map(reaction) {
            Some(Reaction::Retry) => BrokerError::Unavailable { attempted, source },
            Some(Reaction::Permit) => BrokerError::Denied { attempted, source },
            Some(Reaction::GiveUp) | None => BrokerError::Refused { attempted, source },
        }
    }

    fn from_setting(key: &str, reason: String) -> BrokerError {
        let lower = reason.to_ascii_lowercase();
        let missing = [
            "not available at build time",
            "not built",
            "not enabled",
            "no provider for sasl",
            "not supported by this build",
        ];
        if missing.iter().any(|text| lower.contains(text)) {
            return BrokerError::NotBuiltIn {
                feature: if lower.contains("openssl") || lower.contains("ssl") {
                    "ssl".to_owned()
                } else {
                    key.to_owned()
                },
                hint: format!("rebuild with `--features tls` ({reason})"),
            };
        }
        BrokerError::Setting {
            key: key.to_owned(),
            reason,
        }
    }

    /// What the broker or the library said, if it came as a code.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            BrokerError::Unavailable { source, .. }
            | BrokerError::Denied { source, .. }
            | BrokerError::Refused { source, .. } => code_of(source),
            BrokerError::Undelivered(error) => Some(error.code),
            BrokerError::Setting { .. }
            | BrokerError::NotBuiltIn { .. }
            | BrokerError::QueueFull { .. }
            | BrokerError::Fatal { .. } => None,
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            BrokerError::Unavailable { .. } | BrokerError::QueueFull { .. } => true,
            BrokerError::Setting { .. }
            | BrokerError::NotBuiltIn { .. }
            | BrokerError::Denied { .. }
            | BrokerError::Refused { .. }
            | BrokerError::Undelivered(_)
            | BrokerError::Fatal { .. } => false,
        }
    }
}

impl ConsumerError {
    /// Whether the consumer has ended and has to be rebuilt.
    pub fn is_fatal(&self) -> bool {
        matches!(self, ConsumerError::Fatal { .. })
    }

    pub(crate) fn from_kafka(error: &KafkaError, reason: Option<String>) -> ConsumerError {
        let reason = reason.unwrap_or_else(|| error.to_string());
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return ConsumerError::Fatal { reason };
        }
        let Some(code) = error.rdkafka_error_code() else {
            return ConsumerError::Transient {
                code: ErrorCode::Unknown,
                reason,
            };
        };
        match (code, reaction(code)) {
            (ErrorCode::Fatal | ErrorCode::FencedInstanceId, _) => ConsumerError::Fatal { reason },
            (ErrorCode::AutoOffsetReset | ErrorCode::OffsetOutOfRange | ErrorCode::NoOffset, _) => {
                ConsumerError::NoOffset { reason }
            }
            (_, Reaction::Permit) => ConsumerError::Denied { code, reason },
            (_, Reaction::Retry | Reaction::GiveUp) => ConsumerError::Transient { code, reason },
        }
    }
}

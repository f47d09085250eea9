//! What settings of topics are called on a broker, and what they do here.

/// Each setting of a topic: the broker's setting that gives its default in Kafka, and what it does.
const DOCS: &[(&str, &str, &str)] = &[
    (
        "cleanup.policy",
        "log.cleanup.policy",
        "How old records go: delete (by age and size), compact (the newest record of each key stays), or both.",
    ),
    (
        "compression.type",
        "compression.type",
        "Accepted for tools that set it. Batches are kept as their producer compressed them.",
    ),
    (
        "delete.retention.ms",
        "log.cleaner.delete.retention.ms",
        "How long a compacted topic keeps tombstones, in milliseconds.",
    ),
    (
        "file.delete.delay.ms",
        "log.segment.delete.delay.ms",
        "Accepted for tools that set it. Files go when nobody reads them.",
    ),
    (
        "flush.messages",
        "log.flush.interval.messages",
        "Accepted for tools that set it. Every acknowledged record is on the disk.",
    ),
    (
        "flush.ms",
        "log.flush.interval.ms",
        "Accepted for tools that set it. Every acknowledged record is on the disk.",
    ),
    (
        "follower.replication.throttled.replicas",
        "follower.replication.throttled.replicas",
        "Accepted for tools that set it. There are no followers.",
    ),
    (
        "index.interval.bytes",
        "log.index.interval.bytes",
        "Accepted for tools that set it. Every batch is indexed.",
    ),
    (
        "leader.replication.throttled.replicas",
        "leader.replication.throttled.replicas",
        "Accepted for tools that set it. There are no followers.",
    ),
    (
        "max.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
        "How long a record may stay beside a newer one of its key, in milliseconds.",
    ),
    (
        "max.message.bytes",
        "message.max.bytes",
        "Largest batch that is taken, in bytes, compressed as it comes.",
    ),
    (
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
        "How much later than now a record's time may be, in milliseconds.",
    ),
    (
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        "How much older than now a record's time may be, in milliseconds.",
    ),
    (
        "message.timestamp.type",
        "log.message.timestamp.type",
        "Whose time records have: their producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    (
        "min.cleanable.dirty.ratio",
        "log.cleaner.min.cleanable.ratio",
        "How much of a log must be new before it is compacted, from 0 to 1.",
    ),
    (
        "min.compaction.lag.ms",
        "log.cleaner.min.compaction.lag.ms",
        "How long a record stays whatever its key, in milliseconds.",
    ),
    (
        "min.insync.replicas",
        "min.insync.replicas",
        "Accepted for tools that set it. There is one replica.",
    ),
    (
        "preallocate",
        "log.preallocate",
        "Accepted for tools that set it. Partitions share their files.",
    ),
    (
        "retention.bytes",
        "log.retention.bytes",
        "Bytes that a partition keeps; -1 is no limit.",
    ),
    (
        "retention.ms",
        "log.retention.ms",
        "How long records are kept, in milliseconds; -1 is for ever.",
    ),
    (
        "segment.bytes",
        "log.segment.bytes",
        "Accepted for tools that set it. There are no segments.",
    ),
    (
        "segment.index.bytes",
        "log.index.size.max.bytes",
        "Accepted for tools that set it. There are no segments.",
    ),
    (
        "segment.jitter.ms",
        "log.roll.jitter.ms",
        "Accepted for tools that set it. There are no segments.",
    ),
    (
        "segment.ms",
        "log.roll.ms",
        "Accepted for tools that set it. There are no segments.",
    ),
    (
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
        "Accepted for tools that set it. There is one replica.",
    ),
];

/// What a setting of topics does; "" for what is none.
pub(crate) fn doc(setting: &str) -> &'static str {
    found(setting).map_or("", |(_, doc)| doc)
}

/// What the setting of a broker is called that gives a topic's its default.
pub(crate) fn broker_name(setting: &str) -> &'static str {
    found(setting).map_or("", |(name, _)| name)
}

fn found(setting: &str) -> Option<(&'static str, &'static str)> {
    let entry = DOCS.iter().find(|(name, ..)| *name == setting)?;
    Some((entry.1, entry.2))
}

#[cfg(test)]
mod tests {
    use super::super::settings::TOPIC_SETTINGS;
    use super::*;

    #[test]
    fn every_setting_says_what_it_does_and_what_its_broker_calls_it() {
        for (name, ..) in TOPIC_SETTINGS {
            assert!(doc(name).ends_with('.'), "{name}");
            assert!(!broker_name(name).is_empty(), "{name}");
        }
        assert_eq!(DOCS.len(), TOPIC_SETTINGS.len());
    }
}

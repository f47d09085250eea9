//! librdkafka's settings, each made on purpose, with its reason.

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Produces records.
    Producer,
    /// Consumes records.
    Consumer,
    /// Creates topics, asks for offsets and metadata.
    Admin,
}

/// For every client.
const COMMON: &[(&str, &str)] = &[
    // A small request must not wait for the next one's company.
    ("socket.nagle.disable", "true"),
    ("socket.keepalive.enable", "true"),
    // A broker that restarts is met again within a second, not ten.
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "1000"),
    // A broker that accepts and never answers is noticed after this.
    ("socket.timeout.ms", "30000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    // New partitions are seen within this time; 5 minutes by default.
    ("topic.metadata.refresh.interval.ms", "30000"),
    // Topics are made on purpose, with their partitions, or not at all.
    ("allow.auto.create.topics", "false"),
];

const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("enable.gapless.guarantee", "true"),
    ("acks", "all"),
    ("max.in.flight", "5"),
    // 0 is never: what was taken is delivered or fails for a reason; the default drops it after 5 minutes.
    ("message.timeout.ms", "0"),
    ("partitioner", "murmur2_random"),
    // It pays for itself even on loopback: a fifth more throughput, a third of the bytes.
    ("compression.type", "lz4"),
    // A batch is what has met in the queue while the last request was in flight; waiting on top only adds latency.
    ("linger.ms", "0"),
    // Backpressure: `send` waits when one of these is reached.
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "262144"),
    // Below the broker's default of 1,048,588: what is too large is refused here, record by record. The broker would refuse a
    // whole batch, which ends a gapless producer.
    ("message.max.bytes", "1000000"),
    ("batch.size", "1000000"),
    // For `produce_request_count`.
    ("statistics.interval.ms", "1000"),
];

const CONSUMER: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("check.crcs", "true"),
    ("isolation.level", "read_committed"),
    // Growing and shrinking a group moves only the partitions that have to move.
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("enable.partition.eof", "false"),
    ("fetch.min.bytes", "1"),
    // A partition that is assigned or sought waits until the fetch in flight has returned: this long at most.
    ("fetch.wait.max.ms", "100"),
    // After the queue was full: 1 s by default.
    ("fetch.queue.backoff.ms", "2"),
    // What is fetched ahead, for all partitions together.
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.max.bytes", "16777216"),
    ("message.max.bytes", "1000000"),
];

const ADMIN: &[(&str, &str)] = &[];

/// The settings that a client of this role begins with: for every role first, then its own.
pub(crate) fn defaults(role: Role) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let own = match role {
        Role::Producer => PRODUCER,
        Role::Consumer => CONSUMER,
        Role::Admin => ADMIN,
    };
    COMMON.iter().chain(own)
}

const TWICE: &str = "is on: without it a lost acknowledgement becomes a duplicate or a gap";
const LOSS: &str =
    "is fixed: an acknowledged record must survive the loss of a broker, and none may be dropped";
const PLACE: &str =
    "is murmur2_random: any other places a key where clients of other languages don't look for it";
const STORE: &str =
    "is off: offsets are committed by whoever has stored the result, or lie in the store";
const OPTION: &str = "is given by each consumer itself";
const FIELD: &str = "has a field of its own in the kafka section";
const TRANSACTIONS: &str =
    "isn't used: correctness rests on the store's transaction, not on Kafka's";
const GROUP: &str =
    "is fixed: all members of a group have to agree, and assignments are incremental";
const DAMAGE: &str = "is on: a damaged or aborted record must not be applied";

/// The settings that can't be overridden, each with its reason.
const FIXED: &[(&str, &str)] = &[
    ("bootstrap.servers", FIELD),
    ("metadata.broker.list", FIELD),
    ("client.id", FIELD),
    ("enable.idempotence", TWICE),
    ("enable.gapless.guarantee", TWICE),
    ("max.in.flight", TWICE),
    ("max.in.flight.requests.per.connection", TWICE),
    ("acks", LOSS),
    ("request.required.acks", LOSS),
    ("message.timeout.ms", LOSS),
    ("delivery.timeout.ms", LOSS),
    ("retries", LOSS),
    ("message.send.max.retries", LOSS),
    ("queuing.strategy", "is fifo: records keep their order"),
    (
        "delivery.report.only.error",
        "is off: deliveries are counted",
    ),
    ("partitioner", PLACE),
    ("transactional.id", TRANSACTIONS),
    ("transaction.timeout.ms", TRANSACTIONS),
    ("enable.auto.commit", STORE),
    ("auto.commit.enable", STORE),
    ("auto.commit.interval.ms", STORE),
    ("enable.auto.offset.store", STORE),
    ("offset.store.method", STORE),
    ("auto.offset.reset", OPTION),
    ("group.id", OPTION),
    ("group.instance.id", OPTION),
    ("session.timeout.ms", OPTION),
    ("max.poll.interval.ms", OPTION),
    ("enable.partition.eof", OPTION),
    ("group.protocol", GROUP),
    ("group.remote.assignor", GROUP),
    ("partition.assignment.strategy", GROUP),
    ("check.crcs", DAMAGE),
    ("isolation.level", DAMAGE),
    (
        "allow.auto.create.topics",
        "is off: topics are created on purpose, with their partitions",
    ),
];

/// Why a setting can't be made by the user, if it can't.
pub(crate) fn refusal(key: &str) -> Option<&'static str> {
    FIXED
        .iter()
        .find(|(fixed, _)| *fixed == key)
        .map(|(_, reason)| *reason)
}

/// The settings that librdkafka knows for producers alone (and that aren't fixed); it warns when another client gets them.
const PRODUCER_ONLY: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "linger.ms",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.timeout.ms",
    "sticky.partitioning.linger.ms",
];

/// The same for consumers.
const CONSUMER_ONLY: &[&str] = &[
    "coordinator.query.interval.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];

/// Whether a client of this role takes the setting.
pub(crate) fn is_for(key: &str, role: Role) -> bool {
    match role {
        Role::Producer => !CONSUMER_ONLY.contains(&key),
        Role::Consumer => !PRODUCER_ONLY.contains(&key),
        Role::Admin => !CONSUMER_ONLY.contains(&key) && !PRODUCER_ONLY.contains(&key),
    }
}

/// Settings with more than one name. Both given, the winner would be a matter of map order.
const ALIASES: &[&[&str]] = &[
    &["linger.ms", "queue.buffering.max.ms"],
    &["compression.type", "compression.codec"],
    &["fetch.message.max.bytes", "max.partition.fetch.bytes"],
];

/// The other names of a setting.
pub(crate) fn other_names(key: &str) -> impl Iterator<Item = &'static str> {
    ALIASES
        .iter()
        .filter(move |names| names.contains(&key))
        .flat_map(|names| names.iter().copied())
        .filter(move |name| *name != key)
}

/// Whether a setting's value must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    key.contains("password")
        || key.contains("secret")
        || key.ends_with(".pem")
        || key.contains("token")
        || key == "sasl.oauthbearer.config"
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    #[test]
    fn librdkafka_knows_every_setting_by_this_name() {
        let native = ClientConfig::new().create_native_config().unwrap();
        let made = [Role::Producer, Role::Consumer, Role::Admin]
            .into_iter()
            .flat_map(defaults)
            .map(|(key, _)| *key);
        for key in made
            .chain(FIXED.iter().map(|(key, _)| *key))
            .chain(PRODUCER_ONLY.iter().copied())
            .chain(CONSUMER_ONLY.iter().copied())
        {
            // The library answers for aliases and for settings without a value too, but not for unknown names.
            if let Err(error) = native.get(key) {
                let accepted = ClientConfig::new()
                    .set(key, "1")
                    .create_native_config()
                    .map(|_| ());
                assert!(
                    !format!("{error} {accepted:?}").contains("No such configuration property"),
                    "{key}: {accepted:?}"
                );
            }
        }
    }

    #[test]
    fn no_default_is_left_out_by_its_own_role() {
        for role in [Role::Producer, Role::Consumer, Role::Admin] {
            for (key, _) in defaults(role) {
                assert!(is_for(key, role), "{key} isn't for {role:?}");
            }
        }
    }
}

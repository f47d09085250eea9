//! Settings of topics: what there is, its default, what may be set.

use std::collections::BTreeMap;

/// What values a setting takes; the numbers are the protocol's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Boolean,
    Text,
    /// At least this.
    Int(i32),
    /// At least this.
    Long(i64),
    /// From 0 to 1.
    Ratio,
    /// Words, separated by commas, out of these.
    List(&'static [&'static str]),
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Kind {
    pub(crate) fn number(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Text | Kind::Word(_) => 2,
            Kind::Int(_) => 3,
            Kind::Long(_) => 5,
            Kind::Ratio => 6,
            Kind::List(_) => 7,
        }
    }

    /// What a value has to be, for the client's user.
    fn wants(self) -> String {
        match self {
            Kind::Boolean => "it is true or false".to_owned(),
            Kind::Text => "it is any text".to_owned(),
            Kind::Int(min) => format!("it is a whole number from {min} to {}", i32::MAX),
            Kind::Long(min) => format!("it is a whole number from {min} to {}", i64::MAX),
            Kind::Ratio => "it is a number from 0 to 1".to_owned(),
            Kind::List(words) => format!("it is one or more of {}", words.join(", ")),
            Kind::Word(words) => format!("it is one of {}", words.join(", ")),
        }
    }

    fn accepts(self, value: &str) -> bool {
        match self {
            Kind::Boolean => matches!(value, "true" | "false"),
            Kind::Text => true,
            Kind::Int(min) => value.parse::<i32>().is_ok_and(|value| value >= min),
            Kind::Long(min) => value.parse::<i64>().is_ok_and(|value| value >= min),
            Kind::Ratio => value
                .parse::<f64>()
                .is_ok_and(|value| (0.0..=1.0).contains(&value)),
            Kind::List(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Kind::Word(words) => words.contains(&value),
        }
    }
}

/// Every setting of a topic, with its default. Nothing is deleted by age or size unless the topic or the broker says so.
pub(crate) const TOPIC_SETTINGS: &[(&str, Kind, &str)] = &[
    (CLEANUP_POLICY, Kind::List(&["delete", "compact"]), "delete"),
    (
        "compression.type",
        Kind::Word(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
        "producer",
    ),
    ("delete.retention.ms", Kind::Long(0), "86400000"),
    ("file.delete.delay.ms", Kind::Long(0), "60000"),
    ("flush.messages", Kind::Long(1), "1"),
    ("flush.ms", Kind::Long(0), "0"),
    ("index.interval.bytes", Kind::Int(0), "4096"),
    (
        "max.compaction.lag.ms",
        Kind::Long(1),
        "9223372036854775807",
    ),
    (MAX_MESSAGE_BYTES, Kind::Int(0), "1048588"),
    (
        TIMESTAMP_TYPE,
        Kind::Word(&["CreateTime", LOG_APPEND_TIME]),
        "CreateTime",
    ),
    (
        TIMESTAMP_BEFORE_MAX_MS,
        Kind::Long(0),
        "9223372036854775807",
    ),
    (TIMESTAMP_AFTER_MAX_MS, Kind::Long(0), "3600000"),
    ("min.cleanable.dirty.ratio", Kind::Ratio, "0.5"),
    ("min.compaction.lag.ms", Kind::Long(0), "0"),
    ("min.insync.replicas", Kind::Int(1), "1"),
    ("preallocate", Kind::Boolean, "false"),
    ("retention.bytes", Kind::Long(-1), "-1"),
    ("retention.ms", Kind::Long(-1), "-1"),
    ("segment.bytes", Kind::Int(1 << 20), "1073741824"),
    ("segment.index.bytes", Kind::Int(4), "10485760"),
    ("segment.jitter.ms", Kind::Long(0), "0"),
    ("segment.ms", Kind::Long(1), "604800000"),
    ("unclean.leader.election.enable", Kind::Boolean, "false"),
    ("leader.replication.throttled.replicas", Kind::Text, ""),
    ("follower.replication.throttled.replicas", Kind::Text, ""),
];

const CLEANUP_POLICY: &str = "cleanup.policy";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(crate) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// The value of [`TIMESTAMP_TYPE`] with which records get the broker's time.
pub(crate) const LOG_APPEND_TIME: &str = "LogAppendTime";
pub(crate) const TIMESTAMP_BEFORE_MAX_MS: &str = "message.timestamp.before.max.ms";
pub(crate) const TIMESTAMP_AFTER_MAX_MS: &str = "message.timestamp.after.max.ms";
/// Largest batch of a topic that says nothing, in bytes.
pub(crate) const MAX_MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// Returns what holds for a topic with these settings; "" for what is no setting.
pub(crate) fn value<'a>(configs: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let default = || TOPIC_SETTINGS.iter().find(|(known, ..)| *known == name);
    match configs.get(name) {
        Some(value) => value,
        None => default().map_or("", |(_, _, default)| *default),
    }
}

/// Whether old records of a key give way to newer ones.
pub(crate) fn is_compacted(configs: &BTreeMap<String, String>) -> bool {
    cleans(configs, "compact")
}

/// Whether records go for other reasons than a newer one of their key.
pub(crate) fn is_deleted(configs: &BTreeMap<String, String>) -> bool {
    cleans(configs, "delete")
}

fn cleans(configs: &BTreeMap<String, String>, how: &str) -> bool {
    value(configs, CLEANUP_POLICY)
        .split(',')
        .any(|word| word.trim() == how)
}

/// Largest batch that a topic with these settings takes.
pub(crate) fn max_message_bytes(configs: &BTreeMap<String, String>) -> usize {
    configs
        .get(MAX_MESSAGE_BYTES)
        .and_then(|value| value.parse().ok())
        .unwrap_or(MAX_MESSAGE_BYTES_DEFAULT)
}

/// Checks a setting of a topic. The error is for the client's user.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Some((_, kind, _)) = TOPIC_SETTINGS.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    if kind.accepts(value) {
        Ok(())
    } else {
        Err(format!(
            "Invalid value {value} for configuration {name}: {}",
            kind.wants()
        ))
    }
}

/// One wish to change a topic's settings.
pub(crate) enum Change {
    Set(String, String),
    Unset(String),
    Append(String, String),
    Subtract(String, String),
}

impl Change {
    pub(crate) fn apply(self, configs: &mut BTreeMap<String, String>) -> Result<(), String> {
        let listed =
            |configs: &BTreeMap<String, String>, name: &str| -> Result<Vec<String>, String> {
                match TOPIC_SETTINGS.iter().find(|(known, ..)| *known == name) {
                    Some((_, Kind::List(_), default)) => {
                        let value = configs.get(name).map_or(*default, String::as_str);
                        Ok(value
                            .split(',')
                            .map(|word| word.trim().to_owned())
                            .filter(|word| !word.is_empty())
                            .collect())
                    }
                    Some(_) | None => Err(format!(
                        "Can't change the words of {name} because its type is not LIST."
                    )),
                }
            };
        let (name, value) = match self {
            Change::Unset(name) => {
                configs.remove(&name);
                return Ok(());
            }
            Change::Set(name, value) => (name, value),
            Change::Append(name, value) => {
                let mut words = listed(configs, &name)?;
                words.extend(
                    value
                        .split(',')
                        .map(str::to_owned)
                        .filter(|word| !words.contains(word))
                        .collect::<Vec<_>>(),
                );
                (name, words.join(","))
            }
            Change::Subtract(name, value) => {
                let gone: Vec<&str> = value.split(',').collect();
                let words: Vec<String> = listed(configs, &name)?
                    .into_iter()
                    .filter(|word| !gone.contains(&word.as_str()))
                    .collect();
                (name, words.join(","))
            }
        };
        check(&name, &value)?;
        configs.insert(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_may_be_set() {
        for (name, kind, default) in TOPIC_SETTINGS {
            assert!(
                kind.accepts(default),
                "{name} does not take its own default {default}"
            );
        }
        assert_eq!(
            max_message_bytes(&BTreeMap::new()),
            MAX_MESSAGE_BYTES_DEFAULT
        );
    }

    #[test]
    fn an_unknown_setting_and_an_impossible_value_are_refused() {
        assert!(check("retention.msec", "1").is_err());
        assert!(check("retention.ms", "soon").is_err());
        assert!(check("retention.ms", "-2").is_err());
        assert!(check("min.cleanable.dirty.ratio", "1.1").is_err());
        assert!(check("cleanup.policy", "compact,delete").is_ok());
    }

    #[test]
    fn a_list_grows_and_shrinks_by_its_words() {
        let mut configs = BTreeMap::new();
        Change::Append("cleanup.policy".to_owned(), "compact".to_owned())
            .apply(&mut configs)
            .unwrap();
        assert_eq!(configs["cleanup.policy"], "delete,compact");
        Change::Subtract("cleanup.policy".to_owned(), "delete".to_owned())
            .apply(&mut configs)
            .unwrap();
        assert_eq!(configs["cleanup.policy"], "compact");
        assert!(
            Change::Append("retention.ms".to_owned(), "1".to_owned())
                .apply(&mut configs)
                .is_err()
        );
    }
}

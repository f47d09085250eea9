//! What a topic's settings say about what may go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::value;

/// What holds for topics that say nothing. `None`: nothing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) age: Option<Duration>,
    /// Bytes of one partition.
    pub(crate) bytes: Option<u64>,
}

/// How a topic is cleaned. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Policy {
    /// Longest age of a batch, where age counts.
    pub(crate) age_max: Option<i64>,
    /// Bytes that a partition keeps, where size counts.
    pub(crate) bytes_max: Option<i64>,
    /// `None` where every record of a key is kept.
    pub(crate) compaction: Option<Compaction>,
}

/// How a topic is compacted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compaction {
    /// For how long a tombstone can be read after the records that it deletes are gone.
    pub(crate) tombstones_ms: i64,
    /// Younger records stay as they are.
    pub(crate) lag_min_ms: i64,
    /// Older ones are compacted whatever the ratio.
    pub(crate) lag_max_ms: i64,
    /// Share of the log that must be new.
    pub(crate) dirty_ratio: f64,
}

impl Policy {
    pub(crate) fn of(configs: &BTreeMap<String, String>, default: Retention) -> Policy {
        let words = value(configs, "cleanup.policy");
        let has = |word: &str| words.split(',').any(|known| known.trim() == word);
        let number = |name| value(configs, name).parse::<i64>().unwrap_or(-1);
        let age = match configs.get("retention.ms") {
            Some(_) => number("retention.ms"),
            None => default
                .age
                .map_or(-1, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
        };
        let bytes = match configs.get("retention.bytes") {
            Some(_) => number("retention.bytes"),
            None => default
                .bytes
                .map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        };
        Policy {
            age_max: Some(age).filter(|age| *age >= 0 && has("delete")),
            bytes_max: Some(bytes).filter(|bytes| *bytes >= 0 && has("delete")),
            compaction: has("compact").then(|| Compaction {
                tombstones_ms: number("delete.retention.ms"),
                lag_min_ms: number("min.compaction.lag.ms"),
                lag_max_ms: number("max.compaction.lag.ms"),
                dirty_ratio: value(configs, "min.cleanable.dirty.ratio")
                    .parse()
                    .unwrap_or(0.5),
            }),
        }
    }

    /// Whether anything can ever go.
    pub(crate) fn is_idle(&self) -> bool {
        self.age_max.is_none() && self.bytes_max.is_none() && self.compaction.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(set: &[(&str, &str)], default: Retention) -> Policy {
        let configs = set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Policy::of(&configs.collect(), default)
    }

    const A_DAY: Retention = Retention {
        age: Some(Duration::from_hours(24)),
        bytes: Some(1_000),
    };

    #[test]
    fn nothing_goes_from_a_topic_that_says_nothing() {
        assert!(policy(&[], Retention::default()).is_idle());
    }

    #[test]
    fn the_brokers_limits_hold_for_topics_without_their_own() {
        let default = policy(&[], A_DAY);
        assert_eq!(
            (default.age_max, default.bytes_max),
            (Some(86_400_000), Some(1_000))
        );
        let own = policy(&[("retention.ms", "5"), ("retention.bytes", "-1")], A_DAY);
        assert_eq!((own.age_max, own.bytes_max), (Some(5), None));
    }

    #[test]
    fn a_compacted_topic_deletes_by_age_and_size_only_if_it_says_so() {
        let limits = [("retention.ms", "5"), ("retention.bytes", "6")];
        let compact = policy(
            &[&limits[..], &[("cleanup.policy", "compact")]].concat(),
            A_DAY,
        );
        assert_eq!((compact.age_max, compact.bytes_max), (None, None));
        assert!(compact.compaction.is_some());
        let both = policy(
            &[&limits[..], &[("cleanup.policy", "compact, delete")]].concat(),
            A_DAY,
        );
        assert_eq!((both.age_max, both.bytes_max), (Some(5), Some(6)));
        assert!(both.compaction.is_some());
    }

    #[test]
    fn compaction_has_the_defaults_of_kafka() {
        let compaction = policy(&[("cleanup.policy", "compact")], A_DAY).compaction;
        assert_eq!(
            compaction,
            Some(Compaction {
                tombstones_ms: 86_400_000,
                lag_min_ms: 0,
                lag_max_ms: i64::MAX,
                dirty_ratio: 0.5,
            })
        );
    }
}

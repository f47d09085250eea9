//! What a topic demands of each record.

use std::collections::BTreeMap;

use super::batch::BatchHeader;
use super::records::Records;
use super::settings;

/// Refused records that are named, per batch. More are counted.
const NAMED_MAX: usize = 1_000;
/// Records of which the message for people tells.
const SHOWN_MAX: usize = 3;
/// The timestamp of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// The demands of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordRules {
    /// Whether records get the broker's time.
    pub(crate) broker_time: bool,
    /// How much older than now a record may be, in milliseconds.
    before_max_ms: i64,
    /// How much later than now a record may be, in milliseconds.
    after_max_ms: i64,
    /// Whether each record needs a key: compaction keeps one record of each.
    keyed: bool,
}

/// Why a batch is not taken: all of it or nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordRefusal {
    /// What the batch holds is not what its header says.
    Unreadable(String),
    /// Some records have a time out of range.
    Times(Vec<RecordError>),
    /// Some records are wrong otherwise.
    Records {
        /// The first of them.
        named: Vec<RecordError>,
        /// All of them.
        count: usize,
    },
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordError {
    /// Counted from 0 in the batch.
    pub(crate) index: i32,
    pub(crate) message: String,
}

impl RecordRefusal {
    /// What is told beside the error code, in Kafka's words.
    pub(crate) fn message(&self) -> String {
        match self {
            RecordRefusal::Unreadable(message) => message.clone(),
            RecordRefusal::Times(_) => {
                "One or more records have been rejected due to invalid timestamp".to_owned()
            }
            RecordRefusal::Records { named, count } => {
                let shown: Vec<String> = named
                    .iter()
                    .take(SHOWN_MAX)
                    .map(|error| format!("record {}: {}", error.index, error.message))
                    .collect();
                format!(
                    "One or more records have been rejected due to {count} record errors in total, and only showing \
                     the first three errors at most: [{}]",
                    shown.join(", ")
                )
            }
        }
    }

    /// The records that are named.
    pub(crate) fn named(self) -> Vec<RecordError> {
        match self {
            RecordRefusal::Unreadable(_) => Vec::new(),
            RecordRefusal::Times(named) | RecordRefusal::Records { named, .. } => named,
        }
    }
}

impl RecordRules {
    /// The demands of a topic with these settings.
    pub(crate) fn of(configs: &BTreeMap<String, String>) -> RecordRules {
        let number = |name| settings::value(configs, name).parse().unwrap_or(i64::MAX);
        RecordRules {
            broker_time: settings::value(configs, settings::TIMESTAMP_TYPE)
                == settings::LOG_APPEND_TIME,
            before_max_ms: number(settings::TIMESTAMP_BEFORE_MAX_MS),
            after_max_ms: number(settings::TIMESTAMP_AFTER_MAX_MS),
            keyed: settings::is_compacted(configs),
        }
    }

    /// Judges a batch whose header was checked. `now_ms` is in milliseconds since 1970.
    ///
    /// Compressed records are unfolded only where that can change the verdict.
    pub(crate) fn judge(
        &self,
        topic: &str,
        batch: &[u8],
        header: &BatchHeader,
        now_ms: i64,
    ) -> Result<(), RecordRefusal> {
        let latest = now_ms.saturating_add(self.after_max_ms);
        let times_matter =
            !self.broker_time && (self.before_max_ms != i64::MAX || header.max_timestamp > latest);
        if header.is_compressed() && !self.keyed && !times_matter {
            return Ok(());
        }
        let unreadable = |reason: &dyn std::fmt::Display| {
            RecordRefusal::Unreadable(format!("the records of the batch cannot be read: {reason}"))
        };
        let mut times = Vec::new();
        let (mut keyless, mut keyless_count) = (Vec::new(), 0);
        let mut records = Records::of(batch).map_err(|error| unreadable(&error))?;
        let mut index = 0;
        while let Some(record) = records.next().map_err(|error| unreadable(&error))? {
            if record.offset_delta != index {
                return Err(unreadable(&format_args!(
                    "record {index} says that it is record {}",
                    record.offset_delta
                )));
            }
            if self.keyed && record.key.is_none() {
                keyless_count += 1;
                if keyless.len() < NAMED_MAX {
                    let message = format!(
                        "Compacted topic cannot accept message without key in topic {topic}."
                    );
                    keyless.push(RecordError { index, message });
                }
            } else if !self.is_timely(record.timestamp, now_ms) && times.len() < NAMED_MAX {
                let message = format!(
                    "Timestamp {} of message with offset {index} is out of range. The timestamp should be within [{}, {latest}]",
                    record.timestamp,
                    now_ms.saturating_sub(self.before_max_ms),
                );
                times.push(RecordError { index, message });
            }
            index += 1;
        }
        if !records.is_at_end().map_err(|error| unreadable(&error))? {
            return Err(unreadable(&"it holds more than it says"));
        }
        if !times.is_empty() {
            times.extend(keyless);
            times.sort_by_key(|error| error.index);
            return Err(RecordRefusal::Times(times));
        }
        if keyless_count > 0 {
            return Err(RecordRefusal::Records {
                named: keyless,
                count: keyless_count,
            });
        }
        Ok(())
    }

    fn is_timely(&self, timestamp: i64, now_ms: i64) -> bool {
        self.broker_time
            || timestamp == NO_TIMESTAMP
            || (now_ms.saturating_sub(timestamp) <= self.before_max_ms
                && timestamp.saturating_sub(now_ms) <= self.after_max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::{folded, sample};
    use super::*;

    const NOW: i64 = 10_000;

    fn rules(settings: &[(&str, &str)]) -> RecordRules {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RecordRules::of(&settings.collect())
    }

    fn judge(rules: RecordRules, batch: &[u8]) -> Result<(), RecordRefusal> {
        rules.judge("t", batch, &BatchHeader::read(batch), NOW)
    }

    fn indexes(result: Result<(), RecordRefusal>) -> Vec<i32> {
        let named = result.unwrap_err().named();
        named.iter().map(|error| error.index).collect()
    }

    /// Four records at 9,000 to 9,030.
    fn recent() -> bytes::Bytes {
        sample(-1, -1, -1, &[9_000, 9_010, 9_020, 9_030])
    }

    #[test]
    fn a_topic_that_demands_nothing_takes_every_record() {
        for codec in 0..=4 {
            assert_eq!(judge(rules(&[]), &folded(codec, &recent())), Ok(()));
        }
    }

    #[test]
    fn records_without_a_key_are_named_where_keys_count() {
        let compacted = rules(&[("cleanup.policy", "delete,compact")]);
        for codec in 0..=4 {
            let refusal = judge(compacted, &folded(codec, &recent())).unwrap_err();
            assert!(refusal.message().contains("4 record errors"), "{refusal:?}");
            assert_eq!(indexes(Err(refusal)), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn records_too_old_or_too_new_are_named() {
        let old = rules(&[("message.timestamp.before.max.ms", "985")]);
        let new = rules(&[("message.timestamp.after.max.ms", "5")]);
        let future = sample(-1, -1, -1, &[NOW, NOW + 5, NOW + 6]);
        for codec in 0..=4 {
            assert_eq!(indexes(judge(old, &folded(codec, &recent()))), [0, 1]);
            assert_eq!(indexes(judge(new, &folded(codec, &future))), [2]);
        }
    }

    #[test]
    fn an_hour_ahead_is_too_new_by_default() {
        let hour = 3_600_000;
        assert_eq!(
            judge(rules(&[]), &sample(-1, -1, -1, &[NOW + hour])),
            Ok(())
        );
        let late = sample(-1, -1, -1, &[NOW + hour + 1]);
        assert_eq!(indexes(judge(rules(&[]), &late)), [0]);
    }

    #[test]
    fn where_the_broker_gives_the_time_no_time_is_wrong() {
        let broker_time = rules(&[
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "1"),
        ]);
        assert_eq!(judge(broker_time, &recent()), Ok(()));
    }

    #[test]
    fn a_record_that_lies_about_its_place_or_ends_early_is_refused() {
        let batch = recent();
        // Length, attributes, time, then the offset, of the first record of seven bytes.
        let mut misplaced = batch.to_vec();
        misplaced[super::super::batch::HEADER_LEN + 3] = 2;
        let cut = &batch[..batch.len() - 3];
        let long = [&batch[..], &[0]].concat();
        for wrong in [&misplaced[..], cut, &long] {
            let refusal = judge(rules(&[]), wrong).unwrap_err();
            assert!(
                matches!(refusal, RecordRefusal::Unreadable(_)),
                "{refusal:?}"
            );
        }
    }
}

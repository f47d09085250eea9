//! A point in a log: an end of it, an offset, a time.

use std::collections::BTreeMap;
use std::ops::Range;

use backstitch_broker::{Admin, BrokerError, TopicPartition};
use backstitch_schemas::rfc3339_ms;

use super::text::now_ms;

/// Where in a topic to begin, to end, or to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// The oldest record of each partition.
    Earliest,
    /// Behind the newest record of each partition.
    Latest,
    /// This offset of each partition.
    Offset(i64),
    /// The first record of each partition at or after this time, in milliseconds since 1970.
    Time(i64),
}

/// Reads a point as people write it.
pub(crate) fn parse_point(text: &str) -> Result<Point, String> {
    match text {
        "earliest" => return Ok(Point::Earliest),
        "latest" => return Ok(Point::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<u64>() {
        return i64::try_from(offset)
            .map(Point::Offset)
            .map_err(|_| format!("{offset} is above any offset"));
    }
    if let Some(ago) = crate::config::parse_duration(text) {
        let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Point::Time(now_ms().saturating_sub(ago_ms).max(0)));
    }
    time_ms(text).map(Point::Time).ok_or_else(|| {
        "a point is earliest, latest, an offset (17), a time (2026-11-22T21:03:35Z, or 2026-11-22) or how long ago (15m)"
            .to_owned()
    })
}

/// Reads a time of RFC 3339, of which the zone, the seconds and the time of day may be left out: then it is UTC, and sharp.
fn time_ms(text: &str) -> Option<i64> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    rfc3339_ms(&whole)
        .or_else(|| rfc3339_ms(&format!("{whole}Z")))
        .filter(|ms| *ms >= 0)
}

impl Point {
    /// The offset of each partition at this point, within what the partition holds.
    ///
    /// # Errors
    ///
    /// If a time has to be looked up, and the broker doesn't answer.
    pub(crate) fn offsets(
        self,
        admin: &Admin,
        topic: &str,
        bounds: &BTreeMap<i32, Range<i64>>,
    ) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let by = |offset: &dyn Fn(&Range<i64>) -> i64| {
            let at = |(partition, range): (&i32, &Range<i64>)| (*partition, offset(range));
            bounds.iter().map(at).collect::<BTreeMap<i32, i64>>()
        };
        Ok(match self {
            Self::Earliest => by(&|range| range.start),
            Self::Latest => by(&|range| range.end),
            Self::Offset(offset) => by(&|range| within(offset, range)),
            Self::Time(at_ms) => {
                let partitions: Vec<TopicPartition> = bounds
                    .keys()
                    .map(|partition| TopicPartition::new(topic, *partition))
                    .collect();
                if partitions.is_empty() {
                    return Ok(BTreeMap::new());
                }
                let found = admin.offsets_at(at_ms, &partitions)?;
                found
                    .into_iter()
                    .filter_map(|(place, offset)| {
                        let range = bounds.get(&place.partition)?;
                        let offset = within(offset.unwrap_or(range.end), range);
                        Some((place.partition, offset))
                    })
                    .collect()
            }
        })
    }
}

/// The offset, or the nearest at which the partition can be read.
pub(crate) fn within(offset: i64, range: &Range<i64>) -> i64 {
    offset.min(range.end).max(range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_an_end_an_offset_or_a_time() {
        let day = 1_772_323_200_000;
        for (written, meant) in [
            ("earliest", Point::Earliest),
            ("latest", Point::Latest),
            ("0", Point::Offset(0)),
            ("9000000000", Point::Offset(9_000_000_000)),
            ("2026-03-01", Point::Time(day)),
            ("2026-03-01T00:01", Point::Time(day + 60_000)),
            ("2026-03-01T00:00:01", Point::Time(day + 1_000)),
            ("2026-03-01 00:00:01.5Z", Point::Time(day + 1_500)),
            ("2026-03-01T01:00:00+01:00", Point::Time(day)),
        ] {
            assert_eq!(parse_point(written), Ok(meant), "{written}");
        }
        for wrong in ["", "-1", "first", "2026-13-01", "15 minutes", "1.5"] {
            assert!(parse_point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn how_long_ago_is_a_time() {
        let before = now_ms();
        let Ok(Point::Time(at_ms)) = parse_point("15m") else {
            panic!("15m is a time")
        };
        assert!((before..=now_ms()).contains(&(at_ms + 900_000)));
    }

    #[test]
    fn an_offset_is_moved_into_what_there_is() {
        assert_eq!(within(5, &(10..20)), 10);
        assert_eq!(within(25, &(10..20)), 20);
        assert_eq!(within(15, &(10..20)), 15);
        assert_eq!(within(0, &(0..0)), 0);
    }
}

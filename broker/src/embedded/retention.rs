//! Which batches go because they are too old or too many. By batch, where Kafka goes by segment.

use super::policy::Policy;

/// A batch as the file's index tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// Milliseconds since 1970; negative when its producer gave none.
    pub(crate) max_timestamp: i64,
    pub(crate) bytes: i64,
}

/// What goes, and when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Going {
    /// Where the log is to start; `None` when nothing goes.
    pub(crate) start: Option<i64>,
    pub(crate) count: usize,
    pub(crate) bytes: i64,
    /// When the oldest batch that stays is too old, if nothing else changes. Milliseconds since 1970.
    pub(crate) due_ms: Option<i64>,
}

/// Judges the oldest batches, in order. They go from the front only, and never at or above `stable`.
///
/// `total_bytes` is the size of the whole log. A batch without a time goes with the next one that has one.
pub(crate) fn going(
    oldest: &[Stored],
    stable: i64,
    policy: &Policy,
    total_bytes: i64,
    now_ms: i64,
) -> Going {
    let mut going = Going::default();
    let (mut count, mut bytes) = (0, 0);
    for batch in oldest {
        if batch.last_offset >= stable {
            break;
        }
        let too_many = policy
            .bytes_max
            .is_some_and(|max| total_bytes - bytes - batch.bytes >= max);
        let old_at = policy
            .age_max
            .filter(|_| batch.max_timestamp >= 0)
            .map(|age| batch.max_timestamp.saturating_add(age).saturating_add(1));
        let too_old = old_at.is_some_and(|at| at <= now_ms);
        let undated = policy.age_max.is_some() && batch.max_timestamp < 0;
        if !too_many && !too_old && !undated {
            going.due_ms = old_at;
            break;
        }
        count += 1;
        bytes += batch.bytes;
        if too_many || too_old {
            (going.start, going.count, going.bytes) = (Some(batch.last_offset + 1), count, bytes);
        }
    }
    going
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(age_max: Option<i64>, bytes_max: Option<i64>) -> Policy {
        Policy {
            age_max,
            bytes_max,
            compaction: None,
        }
    }

    /// Batches of two records and 100 bytes with these newest times.
    fn batches(times: &[i64]) -> Vec<Stored> {
        let stored = |(&max_timestamp, base_offset): (&i64, i64)| Stored {
            base_offset: base_offset * 2,
            last_offset: base_offset * 2 + 1,
            max_timestamp,
            bytes: 100,
        };
        times.iter().zip(0..).map(stored).collect()
    }

    #[test]
    fn batches_older_than_the_limit_go_and_the_next_is_due_when_it_is() {
        let by_age = policy(Some(50), None);
        let going = going(&batches(&[100, 110, 120]), 6, &by_age, 300, 161);
        assert_eq!((going.start, going.count, going.bytes), (Some(4), 2, 200));
        assert_eq!(going.due_ms, Some(171));
    }

    #[test]
    fn a_batch_as_old_as_the_limit_stays_for_another_millisecond() {
        let by_age = policy(Some(50), None);
        let one = batches(&[100]);
        assert_eq!(going(&one, 2, &by_age, 100, 150).start, None);
        assert_eq!(going(&one, 2, &by_age, 100, 150).due_ms, Some(151));
        assert_eq!(going(&one, 2, &by_age, 100, 151).start, Some(2));
    }

    #[test]
    fn an_old_batch_behind_a_young_one_stays() {
        let by_age = policy(Some(50), None);
        assert_eq!(
            going(&batches(&[900, 100]), 4, &by_age, 200, 500).start,
            None
        );
    }

    #[test]
    fn the_newest_batch_goes_too_when_it_is_old() {
        let by_age = policy(Some(50), None);
        assert_eq!(
            going(&batches(&[1, 2]), 4, &by_age, 200, 500).start,
            Some(4)
        );
    }

    #[test]
    fn what_is_over_the_size_goes_as_long_as_the_rest_still_fills_it() {
        let log = batches(&[1, 2, 3, 4]);
        let starts = [0, 100, 150, 250, 300, 399, 400, 401].map(|max| {
            let by_size = policy(None, Some(max));
            going(&log, 8, &by_size, 400, 9).start
        });
        assert_eq!(
            starts,
            [
                Some(8),
                Some(6),
                Some(4),
                Some(2),
                Some(2),
                None,
                None,
                None
            ]
        );
    }

    #[test]
    fn nothing_goes_that_an_open_transaction_may_need() {
        let both = policy(Some(0), Some(0));
        assert_eq!(
            going(&batches(&[1, 2, 3]), 4, &both, 300, 500).start,
            Some(4)
        );
        assert_eq!(going(&batches(&[1, 2, 3]), 0, &both, 300, 500).start, None);
    }

    #[test]
    fn a_batch_without_a_time_goes_with_the_next_that_has_one() {
        let by_age = policy(Some(50), None);
        let starts = [
            going(&batches(&[-1, 100]), 4, &by_age, 200, 500).start,
            going(&batches(&[-1, 490]), 4, &by_age, 200, 500).start,
            going(&batches(&[-1]), 2, &by_age, 100, 500).start,
        ];
        assert_eq!(starts, [Some(4), None, None]);
    }

    #[test]
    fn a_time_near_the_end_of_all_times_never_goes() {
        let by_age = policy(Some(i64::MAX), None);
        assert_eq!(
            going(&batches(&[i64::MAX - 5]), 2, &by_age, 100, 500).start,
            None
        );
    }
}

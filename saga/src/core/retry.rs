//! How long until the next attempt.

use crate::definition::Retry;

/// Returns the wait after the given attempt of a round, in milliseconds.
///
/// `attempt` counts from 1. The wait doubles from `backoff_min_ms` up to `backoff_max_ms`; then
/// up to `jitter_percent` of it are taken off, so that sagas that failed together do not come back
/// together. What is taken off is a hash of `seed`: this crate has no randomness.
pub fn backoff_ms(retry: &Retry, attempt: u32, seed: &str) -> u64 {
    let doublings = attempt.saturating_sub(1).min(32);
    let full = retry
        .backoff_min_ms
        .saturating_mul(1_u64 << doublings)
        .min(retry.backoff_max_ms);
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed.as_bytes());
    hasher.update(&attempt.to_le_bytes());
    let drawn = hasher.finalize();
    let [low, high, ..] = *drawn.as_bytes();
    let share = u64::from(u16::from_le_bytes([low, high]));
    let taken_max = full.saturating_mul(u64::from(retry.jitter_percent.min(100))) / 100;
    full - taken_max.saturating_mul(share) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry {
            jitter_percent: 0,
            ..Retry::default()
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let waits: Vec<u64> = (1..=8).map(|n| backoff_ms(&retry(), n, "s")).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(backoff_ms(&retry(), u32::MAX, "s"), 10_000);
    }

    #[test]
    fn jitter_takes_off_at_most_its_share_and_is_the_same_everywhere() {
        let jittered = Retry {
            jitter_percent: 50,
            ..Retry::default()
        };
        let mut different = std::collections::BTreeSet::new();
        for n in 0..100 {
            let seed = format!("saga-{n}");
            let wait = backoff_ms(&jittered, 3, &seed);
            assert!((400..=800).contains(&wait), "{wait}");
            assert_eq!(wait, backoff_ms(&jittered, 3, &seed));
            different.insert(wait);
        }
        assert!(different.len() > 50, "{}", different.len());
    }
}

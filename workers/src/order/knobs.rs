//! Misbehaviour on demand: by chance from a seed, or by a mark in an order. Pure.

use std::time::Duration;

use backstitch_schemas::Direction;

use crate::work::Work;

/// How often a reference worker misbehaves. Default: never.
///
/// What happens to a command follows from the seed, its key and its attempt alone, so a run can be repeated.
///
/// An order can ask for it too: an input with `"fail_at": "<activity>"` (or `"<activity>/undo"` for an undo on the
/// activity's own topic) and `"fail_how"`, one of `refuse` (the default: always refused), `fail` (fails twice, then does it),
/// `fail_always` and `hang` (no answer to the first attempt).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knobs {
    /// Share of attempts that fail, 0 to 1.
    pub fail_rate: f64,
    /// Share of *dos* that are refused, 0 to 1. Undos are never refused by chance.
    pub refuse_rate: f64,
    /// Share of attempts that get no answer, 0 to 1.
    pub hang_rate: f64,
    /// How long each command takes, beside others. Default 0.
    pub delay: Duration,
    /// Begins the chance. Default 0.
    pub seed: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            fail_rate: 0.0,
            refuse_rate: 0.0,
            hang_rate: 0.0,
            delay: Duration::ZERO,
            seed: 0,
        }
    }
}

/// How a command is to be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Behave,
    Refuse,
    Fail,
    Hang,
}

/// Attempts that fail under `"fail_how": "fail"` before one succeeds.
const FAILED_ATTEMPTS: i32 = 2;

impl Knobs {
    pub(super) fn conduct(&self, work: &Work, only_undoes: bool) -> Conduct {
        if let Some(marked) = marked(work, only_undoes) {
            return marked;
        }
        let of_attempt = |salt| chance(&[&work.key, salt, &work.attempt.to_string()], self.seed);
        if work.direction == Direction::Do
            && chance(&[&work.key, "refuse"], self.seed) < self.refuse_rate
        {
            Conduct::Refuse
        } else if self.hang_rate > 0.0 && of_attempt("hang") < self.hang_rate {
            Conduct::Hang
        } else if self.fail_rate > 0.0 && of_attempt("fail") < self.fail_rate {
            Conduct::Fail
        } else {
            Conduct::Behave
        }
    }
}

fn marked(work: &Work, only_undoes: bool) -> Option<Conduct> {
    let fail_at = work.input.get("fail_at")?.as_str()?;
    let meant = match fail_at.strip_suffix("/undo") {
        Some(activity) => activity == work.activity && work.direction == Direction::Undo,
        None => fail_at == work.activity && (only_undoes || work.direction == Direction::Do),
    };
    if !meant {
        return None;
    }
    let how = work
        .input
        .get("fail_how")
        .and_then(|how| how.as_str())
        .unwrap_or("refuse");
    Some(match how {
        "fail" if work.attempt <= FAILED_ATTEMPTS => Conduct::Fail,
        "fail_always" => Conduct::Fail,
        "hang" if work.attempt == 1 => Conduct::Hang,
        "fail" | "hang" => Conduct::Behave,
        _ => Conduct::Refuse,
    })
}

/// A number from 0 up to 1 that follows from the texts and the seed: FNV-1a, stirred so that its high bits are even.
fn chance(texts: &[&str], seed: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in texts.iter().flat_map(|text| text.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    let high = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn work(key: &str, attempt: i32, input: serde_json::Value) -> Work {
        Work {
            key: key.to_owned(),
            attempt,
            input,
            ..crate::work::example("s", "charge-payment")
        }
    }

    #[test]
    fn a_rate_is_met_and_repeats_with_its_seed() {
        let knobs = Knobs {
            refuse_rate: 0.1,
            seed: 7,
            ..Knobs::default()
        };
        let refused = |seed| -> Vec<bool> {
            let knobs = Knobs { seed, ..knobs };
            (0..10_000)
                .map(|i| {
                    knobs.conduct(&work(&format!("k{i}"), 1, json!({})), false) == Conduct::Refuse
                })
                .collect()
        };
        let count = refused(7).iter().filter(|refused| **refused).count();
        assert!((900..1_100).contains(&count), "{count}");
        assert_eq!(refused(7), refused(7));
        assert_ne!(refused(7), refused(8));
    }

    #[test]
    fn a_mark_in_the_order_decides_for_its_activity_alone() {
        let knobs = Knobs::default();
        let conduct = |attempt, at: &str, how: &str| {
            let input = json!({"fail_at": at, "fail_how": how});
            knobs.conduct(&work("k", attempt, input), false)
        };
        assert_eq!(conduct(9, "charge-payment", "refuse"), Conduct::Refuse);
        assert_eq!(conduct(1, "ship-order", "refuse"), Conduct::Behave);
        assert_eq!(conduct(2, "charge-payment", "fail"), Conduct::Fail);
        assert_eq!(conduct(3, "charge-payment", "fail"), Conduct::Behave);
        assert_eq!(conduct(9, "charge-payment", "fail_always"), Conduct::Fail);
        assert_eq!(conduct(1, "charge-payment", "hang"), Conduct::Hang);
        assert_eq!(conduct(2, "charge-payment", "hang"), Conduct::Behave);
        assert_eq!(conduct(1, "charge-payment/undo", "fail"), Conduct::Behave);
    }
}

//! A set of numbers in few ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that neither overlap nor touch.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// By where they start.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() || self.holds(&range) {
            return;
        }
        let Range { mut start, mut end } = range;
        // From the last one that begins before its end, as long as they reach its start.
        while let Some((&before, &before_end)) = self.ends.range(..=end).next_back()
            && before_end >= start
        {
            start = start.min(before);
            end = end.max(before_end);
            self.ends.remove(&before);
        }
        self.ends.insert(start, end);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// Whether some of it is there, or what lies beside it.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        let before = self.ends.range(..=range.end).next_back();
        before.is_some_and(|(_, end)| *end >= range.start)
    }

    /// Whether all of it is there.
    pub(crate) fn holds(&self, range: &Range<u64>) -> bool {
        let before = self.ends.range(..=range.start).next_back();
        before.is_some_and(|(_, end)| *end >= range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fuzz_draw::Chance;
    use super::*;

    #[test]
    fn it_holds_what_was_inserted_and_nothing_else_in_as_few_ranges_as_can_be() {
        for seed in 0..200 {
            let mut draw = Chance::of_input(0, seed);
            let (mut ranges, mut all) = (Ranges::default(), [false; 64]);
            for _ in 0..20 {
                let start = draw.below(64);
                let end = start + draw.below(64 - start + 1);
                ranges.insert(start as u64..end as u64);
                all[start..end].fill(true);
            }
            for start in 0..64 {
                for end in start + 1..=64 {
                    let held = all[start..end].iter().all(|held| *held);
                    let range = start as u64..end as u64;
                    assert_eq!(ranges.holds(&range), held, "seed {seed}: {range:?}");
                    let beside = start.saturating_sub(1)..(end + 1).min(64);
                    let touched = all[beside].iter().any(|held| *held);
                    assert_eq!(ranges.touches(&range), touched, "seed {seed}: {range:?}");
                }
            }
            let runs = all
                .split(|held| !held)
                .filter(|run| !run.is_empty())
                .count();
            assert_eq!(ranges.ends.len(), runs, "seed {seed}");
        }
    }
}

//! Compaction by example, and over histories drawn from a seed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::batch::{BatchHeader, end_marker, placed};
use super::super::partition::Aborted;
use super::super::unpacked::tests::{Plain, decoded, stored};
use super::*;

const NOBODY: (i64, bool) = (-1, false);
/// How long tombstones stay in these tests.
const TOMBSTONES_MS: i64 = 100;

/// A log in memory.
#[derive(Debug, Clone, Default)]
struct Log {
    batches: Vec<(Bytes, Option<i64>)>,
    aborted: Vec<Aborted>,
    open: BTreeMap<i64, i64>,
    next: i64,
    compacted: i64,
}

impl Log {
    fn write(&mut self, codec: i16, writer: (i64, bool), records: &[Plain<'_>]) {
        let base = self.next;
        if writer.1 {
            self.open.entry(writer.0).or_insert(base);
        }
        self.push(stored(base, codec, writer, records));
    }

    fn end(&mut self, producer_id: i64, committed: bool) {
        let Some(first_offset) = self.open.remove(&producer_id) else {
            return;
        };
        if !committed {
            self.aborted.push(Aborted {
                producer_id,
                first_offset,
                marker_offset: self.next,
            });
        }
        self.push(placed(
            end_marker(producer_id, 0, committed, 5),
            self.next,
            None,
        ));
    }

    fn push(&mut self, batch: Bytes) {
        self.next += i64::from(BatchHeader::read(&batch).last_offset_delta) + 1;
        self.batches.push((batch, None));
    }

    fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.next)
    }

    fn below(&self, upper: i64) -> impl Iterator<Item = &(Bytes, Option<i64>)> {
        self.batches
            .iter()
            .take_while(move |(batch, _)| base_offset(batch) < upper)
    }

    /// One pass up to `upper`, of which only the first `steps` batches are reached.
    fn pass(&mut self, upper: i64, now_ms: i64, steps: usize) {
        let given_up = GivenUp::new(&self.aborted);
        let mut newest = NewestKeys::default();
        for (batch, _) in self.below(upper) {
            if base_offset(batch) >= self.compacted {
                newest.learn(batch, &given_up);
            }
        }
        let mut sweep = Sweep::new(&newest, &given_up, now_ms, TOMBSTONES_MS);
        let fates: Vec<Fate> = self
            .below(upper)
            .map(|(batch, until)| sweep.judge(batch, *until))
            .collect();
        let done = steps >= fates.len();
        let fates = fates
            .into_iter()
            .take(steps)
            .chain(std::iter::repeat(Fate::Stay));
        let before = std::mem::take(&mut self.batches);
        for ((batch, until), fate) in before.into_iter().zip(fates) {
            match fate {
                Fate::Stay => self.batches.push((batch, until)),
                Fate::StayUntil(until) => self.batches.push((batch, Some(until))),
                Fate::Shrink { bytes, until_ms } => self.batches.push((bytes, until_ms)),
                Fate::Go => {
                    let gone = base_offset(&batch);
                    self.aborted.retain(|aborted| aborted.marker_offset != gone);
                }
            }
        }
        if done {
            self.compacted = upper.max(self.compacted);
        }
    }

    /// What a reader of committed records sees, by a reader's own rules: offset, key, value.
    fn read(&self) -> Vec<(i64, Option<Bytes>, Option<Bytes>)> {
        let mut pending: Vec<Aborted> = self.aborted.clone();
        let mut dropped = std::collections::BTreeSet::new();
        let mut seen = Vec::new();
        for (batch, _) in self.below(self.stable()) {
            let header = BatchHeader::read(batch);
            let last = base_offset(batch) + i64::from(header.last_offset_delta);
            pending.retain(|aborted| {
                let begins = aborted.first_offset <= last;
                if begins {
                    dropped.insert(aborted.producer_id);
                }
                !begins
            });
            if header.is_control() {
                dropped.remove(&header.producer_id);
            } else if !(header.is_transactional() && dropped.contains(&header.producer_id)) {
                seen.extend(decoded(batch));
            }
        }
        seen
    }

    /// The last value of each key.
    fn table(&self) -> BTreeMap<Bytes, Bytes> {
        let mut table = BTreeMap::new();
        for (_, key, value) in self.read() {
            match (key, value) {
                (Some(key), Some(value)) => drop(table.insert(key, value)),
                (Some(key), None) => drop(table.remove(&key)),
                (None, _) => {}
            }
        }
        table
    }

    fn offsets(&self) -> Vec<i64> {
        self.read().into_iter().map(|(offset, ..)| offset).collect()
    }
}

#[test]
fn the_newest_record_of_a_key_stays_at_its_offset_and_a_record_without_a_key_goes() {
    let mut log = Log::default();
    let (one, two) = (Some("1"), Some("2"));
    log.write(0, NOBODY, &[(1, Some("a"), one), (1, Some("b"), one)]);
    log.write(0, NOBODY, &[(1, None, one)]);
    log.write(0, NOBODY, &[(1, Some("a"), two), (1, Some("a"), one)]);
    log.pass(5, 10, 9);
    assert_eq!(log.offsets(), [1, 4]);
}

#[test]
fn a_tombstone_is_read_until_its_time_is_up_counted_from_when_what_it_deletes_is_gone() {
    let mut log = Log::default();
    log.write(0, NOBODY, &[(1, Some("a"), Some("1"))]);
    log.write(
        0,
        NOBODY,
        &[(1, Some("a"), None), (1, Some("b"), Some("1"))],
    );
    let seen = [10, 109, 110].map(|now| {
        log.pass(3, now, 9);
        log.offsets()
    });
    assert_eq!(seen, [vec![1, 2], vec![1, 2], vec![2]]);
}

#[test]
fn given_up_records_go_and_their_marker_follows_when_its_time_is_up() {
    let mut log = Log::default();
    log.write(0, (7, true), &[(1, Some("a"), Some("given up"))]);
    log.end(7, false);
    log.write(0, (7, true), &[(1, Some("a"), Some("kept"))]);
    log.end(7, true);
    let counts = [10, 109, 110].map(|now| {
        log.pass(4, now, 9);
        (log.batches.len(), log.aborted.len(), log.offsets())
    });
    assert_eq!(
        counts,
        [(3, 1, vec![2]), (3, 1, vec![2]), (2, 0, vec![2])],
        "the marker of the records that are kept stays"
    );
}

#[test]
fn a_given_up_record_deletes_nothing() {
    let mut log = Log::default();
    log.write(0, NOBODY, &[(1, Some("a"), Some("kept"))]);
    log.write(0, (7, true), &[(1, Some("a"), None)]);
    log.end(7, false);
    log.pass(3, 10, 9);
    log.pass(3, 1_000, 9);
    assert_eq!(log.offsets(), [0]);
}

#[test]
fn behind_a_batch_that_cannot_be_read_no_tombstone_goes() {
    let mut log = Log::default();
    let mut broken = stored(0, 1, NOBODY, &[(1, Some("a"), Some("1"))]).to_vec();
    broken[71] ^= 0xff; // The first byte that gzip has deflated.
    log.push(broken.into());
    log.write(0, NOBODY, &[(1, Some("a"), None)]);
    log.pass(2, 10, 9);
    log.pass(2, 1_000, 9);
    assert_eq!(log.batches.len(), 2);
}

#[test]
fn a_full_memory_of_keys_ends_the_pass() {
    let mut newest = NewestKeys::default();
    let key = "k".repeat(KEYS_BYTES_MAX / 4);
    for (letter, full) in [("a", false), ("b", false), ("c", false), ("d", true)] {
        let key = format!("{key}{letter}");
        let batch = stored(0, 0, NOBODY, &[(1, Some(&key), None)]);
        newest.learn(&batch, &GivenUp::default());
        assert_eq!(newest.is_full(), full, "{letter}");
    }
}

/// Draws numbers below a limit.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn write(&mut self, log: &mut Log) {
        let keys = [Some("a"), Some("b"), Some("c"), Some("d"), None];
        let values: Vec<String> = (0..=self.below(4))
            .map(|place| format!("{}-{place}", log.next))
            .collect();
        let records: Vec<Plain<'_>> = values
            .iter()
            .map(|value| {
                let value = Some(value.as_str()).filter(|_| self.below(4) > 0);
                (
                    i64::try_from(self.below(50)).unwrap(),
                    self.pick(&keys),
                    value,
                )
            })
            .collect();
        let writer = self.pick(&[NOBODY, (5, false), (7, true), (8, true), (9, true)]);
        let codec = self.pick(&[0, 0, 1, 2, 3, 4]);
        log.write(codec, writer, &records);
    }
}

/// Lets a log live: writes, transactions, passes that end in their midst. The same log without passes is the judge.
fn live(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut log = Log::default();
    let mut now_ms = 0;
    let mut whole: Log = log.clone();
    for _ in 0..60 {
        match dice.below(10) {
            0..=4 => {
                let mut twin = Dice(dice.0);
                dice.write(&mut log);
                twin.write(&mut whole);
            }
            5 | 6 => {
                let (producer, committed) = (dice.pick(&[7, 8, 9]), dice.below(2) == 0);
                log.end(producer, committed);
                whole.end(producer, committed);
            }
            7 => now_ms += i64::try_from(dice.below(120)).unwrap(),
            _ => {
                let upper = dice.pick(&[log.stable(), log.stable() / 2, log.stable() - 3]);
                let upper = whole
                    .below(upper.min(log.stable()))
                    .last()
                    .map_or(0, |(batch, _)| base_offset(batch));
                let reached = usize::try_from(dice.pick(&[3, 10, 1_000])).unwrap();
                let before = log.clone();
                log.pass(upper, now_ms, reached);
                untouched_from(upper, &before, &log);
            }
        }
        agrees(&log, &whole);
    }
    for producer in [7, 8, 9] {
        log.end(producer, true);
        whole.end(producer, true);
    }
    for _ in 0..4 {
        now_ms += 1_000;
        log.pass(log.next, now_ms, usize::MAX);
        agrees(&log, &whole);
    }
    assert_eq!(
        log.read().len(),
        log.table().len(),
        "one record a key is left"
    );
    assert!(
        log.aborted.is_empty(),
        "nothing of what was given up is left"
    );
}

fn untouched_from(upper: i64, before: &Log, after: &Log) {
    let rest = |log: &Log| -> Vec<(Bytes, Option<i64>)> {
        let from = |(batch, _): &&(Bytes, Option<i64>)| base_offset(batch) >= upper;
        log.batches.iter().filter(from).cloned().collect()
    };
    assert_eq!(rest(before), rest(after));
}

fn agrees(log: &Log, whole: &Log) {
    assert_eq!(log.table(), whole.table(), "the last value of each key");
    let all: BTreeMap<i64, _> = whole
        .read()
        .into_iter()
        .map(|(offset, key, value)| (offset, (key, value)))
        .collect();
    let mut last = -1;
    for (offset, key, value) in log.read() {
        assert!(offset > last, "offsets go up");
        assert_eq!(
            all[&offset],
            (key, value),
            "a record that stays is as it was"
        );
        last = offset;
    }
}

#[test]
fn whatever_happened_the_compacted_log_tells_the_same_last_values_as_the_whole_log() {
    for seed in 1..=400 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed}: run live({seed}) alone");
    }
}

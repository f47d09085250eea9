//! Which records of a keyed topic stay: the newest of each key, at its offset.
//!
//! First the newest offset of each key is learned from what is new ([`NewestKeys`]); then every batch up to there is
//! judged, oldest first ([`Sweep`]). Both see batches below the stable offset only, so every transaction is decided.
//!
//! A batch that loses all its records goes whole. Kafka must keep an empty one where it is the last of its producer,
//! whose sequence it learns from the log; here sequences rest in a table of their own. A batch that is damaged or cannot
//! be unpacked stays as it is, and from there on no tombstone goes: what it deletes may be in that batch.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::batch::{BatchHeader, base_offset, is_sound};
use super::partition::Aborted;
use super::unpacked::{Span, Unpacked};

/// Bytes of keys that one pass over a partition remembers; it ends before the batch that would go over that, and the
/// next pass goes on there. Kafka's `log.cleaner.dedupe.buffer.size` is twice that.
const KEYS_BYTES_MAX: usize = 64 << 20;
/// Bytes that a remembered key takes beside its own.
const KEY_OVERHEAD: usize = 64;

/// Transactions that were given up, by producer.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(HashMap<i64, Vec<(i64, i64)>>);

impl GivenUp {
    pub(crate) fn new(aborted: &[Aborted]) -> GivenUp {
        let mut by_producer: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for aborted in aborted {
            by_producer
                .entry(aborted.producer_id)
                .or_default()
                .push((aborted.first_offset, aborted.marker_offset));
        }
        GivenUp(by_producer)
    }

    /// Whether the batch belongs to one of them.
    fn holds(&self, header: &BatchHeader, base_offset: i64) -> bool {
        header.is_transactional()
            && self.0.get(&header.producer_id).is_some_and(|ranges| {
                ranges
                    .iter()
                    .any(|(first, marker)| (*first..*marker).contains(&base_offset))
            })
    }
}

/// The newest offset of each key of the batches seen.
#[derive(Debug, Default)]
pub(crate) struct NewestKeys {
    offsets: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

impl NewestKeys {
    /// Learns the keys of a batch. Batches come in the order of their offsets.
    pub(crate) fn learn(&mut self, batch: &[u8], given_up: &GivenUp) {
        if !is_sound(batch) {
            return;
        }
        let header = BatchHeader::read(batch);
        if header.is_control() || given_up.holds(&header, base_offset(batch)) {
            return;
        }
        let Ok(unpacked) = Unpacked::of(batch) else {
            return;
        };
        for record in &unpacked.records {
            let Some(key) = unpacked.key(record) else {
                continue;
            };
            if let Some(newest) = self.offsets.get_mut(key) {
                *newest = record.offset;
            } else {
                self.bytes += key.len() + KEY_OVERHEAD;
                self.offsets.insert(key.into(), record.offset);
            }
        }
    }

    /// Whether the pass should end here.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= KEYS_BYTES_MAX
    }

    fn is_newest(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(key).is_none_or(|newest| offset >= *newest)
    }
}

/// What is to become of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Stay,
    /// It stays, and what it deletes is gone: from then on (milliseconds since 1970) its tombstones or its marker may go.
    StayUntil(i64),
    /// It is replaced by one of fewer records.
    Shrink { bytes: Bytes, until_ms: Option<i64> },
    /// It goes.
    Go,
}

/// The second half of a pass.
#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    newest: &'a NewestKeys,
    given_up: &'a GivenUp,
    now_ms: i64,
    /// For how long tombstones and markers stay from now on, in milliseconds.
    tombstones_ms: i64,
    /// Producers whose transaction has records that stay and whose marker has not been met.
    unmarked: HashSet<i64>,
    /// Whether a batch was met that is damaged or cannot be unpacked.
    closed_seen: bool,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(
        newest: &'a NewestKeys,
        given_up: &'a GivenUp,
        now_ms: i64,
        tombstones_ms: i64,
    ) -> Sweep<'a> {
        Sweep {
            newest,
            given_up,
            now_ms,
            tombstones_ms,
            unmarked: HashSet::new(),
            closed_seen: false,
        }
    }

    /// Judges the next batch. `until_ms` is what an earlier [`Fate::StayUntil`] said of it.
    pub(crate) fn judge(&mut self, batch: &[u8], until_ms: Option<i64>) -> Fate {
        if !is_sound(batch) {
            // To rewrite it would be to vouch for it.
            self.closed_seen = true;
            return Fate::Stay;
        }
        let header = BatchHeader::read(batch);
        if header.is_control() {
            return self.judge_marker(&header, until_ms);
        }
        if self.given_up.holds(&header, base_offset(batch)) {
            return Fate::Go;
        }
        let Ok(unpacked) = Unpacked::of(batch) else {
            self.closed_seen = true;
            if header.is_transactional() {
                self.unmarked.insert(header.producer_id);
            }
            return Fate::Stay;
        };
        let tombstones_go = !self.closed_seen && until_ms.is_some_and(|until| until <= self.now_ms);
        let stays = |record: &&Span| {
            unpacked.key(record).is_some_and(|key| {
                self.newest.is_newest(key, record.offset) && (record.has_value || !tombstones_go)
            })
        };
        let kept: Vec<&Span> = unpacked.records.iter().filter(stays).collect();
        if kept.is_empty() {
            return Fate::Go;
        }
        if header.is_transactional() {
            self.unmarked.insert(header.producer_id);
        }
        let has_tombstones = kept.iter().any(|record| !record.has_value);
        let until = has_tombstones.then(|| until_ms.unwrap_or_else(|| self.horizon_ms()));
        if kept.len() < unpacked.records.len()
            && let Ok(bytes) = unpacked.packed(batch, &kept)
        {
            return Fate::Shrink {
                bytes,
                until_ms: until,
            };
        }
        stay(until, until_ms)
    }

    /// The marker of a transaction stays while records of that transaction do, and as long again as a tombstone.
    fn judge_marker(&mut self, header: &BatchHeader, until_ms: Option<i64>) -> Fate {
        if self.unmarked.remove(&header.producer_id) {
            return Fate::Stay;
        }
        match until_ms {
            Some(until) if until <= self.now_ms => Fate::Go,
            Some(_) => Fate::Stay,
            None => Fate::StayUntil(self.horizon_ms()),
        }
    }

    fn horizon_ms(&self) -> i64 {
        self.now_ms.saturating_add(self.tombstones_ms.max(0))
    }
}

fn stay(until: Option<i64>, noted: Option<i64>) -> Fate {
    match until {
        Some(until) if noted != Some(until) => Fate::StayUntil(until),
        Some(_) | None => Fate::Stay,
    }
}

#[cfg(test)]
#[path = "compaction_tests.rs"]
mod tests;

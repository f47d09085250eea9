//! The thread that takes away what may go: batches too old or too many, records that newer ones of their key replace,
//! offsets and producers that rest, and the pages that become free.
//!
//! It reads with connections of its own and works in small steps, each of which goes through the write queue and shares
//! a commit with whatever else waits. It is woken by commits and by what is due, and rests in between: an idle broker
//! is not cleaned. A crash between two steps leaves a log that is consistent and will be cleaned again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::error::Unavailable;
use super::expiry;
use super::ledger::now_ms;
use super::mover::{self, Stuck};
use super::news::Woken;
use super::partition::{Bounds, Partition, PartitionId};
use super::policy::{Policy, Retention};
use super::retention::{Stored, going};
use super::space;
use super::storage::{OFFSET_END, read_index};
use super::swap::Place;
use super::sweeper::{self, Dirt};
use super::topic_change::delete_before;
use super::topics::Topic;

/// A round takes at most one part in so many of the time.
const REST_PER_WORK: u32 = 3;
/// Wait after a round that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait, so that a clock that was set does not keep what is due.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// Batches that retention looks at first; mostly none of them goes.
const LOOK_BATCHES: usize = 8;
/// Batches that it deletes in one step.
const STEP_BATCHES: usize = 256;
/// Bytes that it deletes in one step.
const STEP_BYTES: i64 = 4 << 20;
/// Batches whose sizes are read at once.
const COUNTED: usize = 4_096;

/// Why a round ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error("the broker is stopping")]
    Stopping,
    #[error("the file cannot be read")]
    File(#[from] rusqlite::Error),
    #[error(transparent)]
    Refused(#[from] Unavailable),
}

/// Cleans until the broker stops.
pub(crate) fn run(broker: &Broker) {
    let mut cleaner = Cleaner {
        broker,
        known: HashMap::new(),
        expiry_due_ms: 0,
        quiet: false,
        stuck: Stuck::default(),
    };
    let news = &broker.queue.news;
    let mut rested = Instant::now() + broker.config.clean_every;
    let mut due = Some(rested);
    loop {
        match news.wait(rested, due) {
            Woken::Closed => return,
            Woken::News => cleaner.quiet = false,
            Woken::Due => cleaner.quiet = true,
        }
        let began = Instant::now();
        let next = cleaner.round(now_ms());
        let now = Instant::now();
        rested = now + broker.config.clean_every.max((now - began) * REST_PER_WORK);
        due = match next {
            Ok(None) => None,
            Ok(Some(at_ms)) => {
                let wait = Duration::from_millis(u64::try_from(at_ms - now_ms()).unwrap_or(0));
                Some(now + wait.min(WAIT_MAX))
            }
            Err(Halt::Stopping) => return,
            Err(_) if broker.is_stopping() => return,
            Err(error) => {
                let cause = error.source();
                tracing::warn!(%error, cause, again_in = ?FAILED_PAUSE, "embedded broker: cleaning stops short");
                rested = now + FAILED_PAUSE;
                Some(rested)
            }
        };
    }
}

/// What the cleaner remembers of a partition.
#[derive(Debug)]
struct Known {
    topic: Arc<Topic>,
    bounds: Bounds,
    due_ms: Option<i64>,
    sizes: Option<Sizes>,
    dirt: Option<Dirt>,
}

/// The size of a log that starts at `start`, counted below `counted_to`.
#[derive(Debug)]
struct Sizes {
    start: i64,
    counted_to: i64,
    bytes: i64,
}

#[derive(Debug)]
struct Cleaner<'a> {
    broker: &'a Broker,
    known: HashMap<PartitionId, Known>,
    expiry_due_ms: i64,
    /// Whether nothing was committed since the last round.
    quiet: bool,
    stuck: Stuck,
}

impl Cleaner<'_> {
    /// Looks at everything that changed or is due. Returns when something is due next, in milliseconds since 1970.
    fn round(&mut self, now_ms: i64) -> Result<Option<i64>, Halt> {
        let default = Retention {
            age: self.broker.config.retention,
            bytes: self.broker.config.retention_bytes,
        };
        let mut failed = None;
        let mut due_ms = self.clean_topics(default, now_ms, &mut failed)?;
        if self.expiry_due_ms <= now_ms
            && let Some(due) = goes_on(expiry::expire(self.broker, now_ms), &mut failed)?
        {
            self.expiry_due_ms = due;
        }
        due_ms = earlier(due_ms, Some(self.expiry_due_ms));
        let moves_on = goes_on(mover::tidy(self.broker, &mut self.stuck), &mut failed)?;
        let is_read = self.broker.readers.segments.delete_condemned();
        let tidies_on = goes_on(space::tidy(self.broker, self.quiet), &mut failed)?;
        if is_read || moves_on == Some(true) || tidies_on == Some(true) {
            let soon = i64::try_from(self.broker.config.clean_every.as_millis());
            due_ms = earlier(due_ms, Some(now_ms + soon.unwrap_or(1_000)));
        }
        failed.map_or(Ok(due_ms), Err)
    }

    /// Looks at the partitions. What fails in one of them is no matter of the others.
    fn clean_topics(
        &mut self,
        default: Retention,
        now_ms: i64,
        failed: &mut Option<Halt>,
    ) -> Result<Option<i64>, Halt> {
        let mut known = std::mem::take(&mut self.known);
        let mut due_ms = None;
        for (name, topic) in self.broker.topics.all() {
            let policy = Policy::of(&topic.configs, default);
            if policy.is_idle() {
                continue;
            }
            for (partition, index) in topic.partitions.iter().zip(0..) {
                if self.broker.is_stopping() {
                    return Err(Halt::Stopping);
                }
                let place = Place {
                    topic: name.clone(),
                    index,
                    id: partition.id,
                };
                let before = known.remove(&partition.id);
                let seen = self.look(&place, &topic, partition, &policy, before, now_ms);
                if let Some(seen) = goes_on(seen, failed)? {
                    due_ms = earlier(due_ms, seen.due_ms);
                    self.known.insert(partition.id, seen);
                }
            }
        }
        Ok(due_ms)
    }

    fn look(
        &self,
        place: &Place,
        topic: &Arc<Topic>,
        partition: &Partition,
        policy: &Policy,
        before: Option<Known>,
        now_ms: i64,
    ) -> Result<Known, Halt> {
        let bounds = partition.indexed_bounds();
        let mut known = before
            .filter(|known| Arc::ptr_eq(&known.topic, topic))
            .unwrap_or_else(|| Known {
                topic: Arc::clone(topic),
                bounds,
                due_ms: Some(now_ms),
                sizes: None,
                dirt: None,
            });
        if known.bounds == bounds && known.due_ms.is_none_or(|due| due > now_ms) {
            return Ok(known);
        }
        known.bounds = bounds;
        known.due_ms = self.retain(place, bounds, policy, &mut known.sizes, now_ms)?;
        if let Some(rules) = &policy.compaction {
            let compact_ms =
                sweeper::compact(self.broker, place, bounds, rules, &mut known.dirt, now_ms)?;
            known.due_ms = earlier(known.due_ms, compact_ms);
        }
        Ok(known)
    }

    /// Deletes what is too old or too much, in steps. Returns when the next batch is too old.
    fn retain(
        &self,
        place: &Place,
        bounds: Bounds,
        policy: &Policy,
        sizes: &mut Option<Sizes>,
        now_ms: i64,
    ) -> Result<Option<i64>, Halt> {
        if policy.age_max.is_none() && policy.bytes_max.is_none() {
            return Ok(None);
        }
        let mut counted = match sizes.take() {
            Some(counted) if counted.start == bounds.start => counted,
            Some(_) | None => Sizes {
                start: bounds.start,
                counted_to: 0,
                bytes: 0,
            },
        };
        if policy.bytes_max.is_some() {
            self.count(place.id, bounds, &mut counted)?;
        }
        let mut count_max = LOOK_BATCHES;
        loop {
            let oldest = self.oldest(place.id, count_max)?;
            let going = going(&oldest, bounds.stable, policy, counted.bytes, now_ms);
            let seen_all = oldest.len() < count_max || count_max == STEP_BATCHES;
            count_max = STEP_BATCHES;
            let Some(start) = going.start else {
                if going.due_ms.is_some() || seen_all {
                    *sizes = Some(counted);
                    return Ok(going.due_ms);
                }
                continue;
            };
            if !self.delete_before(place, start)? {
                return Ok(None);
            }
            tracing::debug!(
                topic = place.topic,
                partition = place.index,
                start,
                bytes = going.bytes,
                "embedded broker: records are over the retention of their topic and deleted"
            );
            counted.start = start;
            counted.bytes -= going.bytes;
            if self.broker.is_stopping() {
                return Err(Halt::Stopping);
            }
        }
    }

    /// The oldest batches, as many as one step may delete.
    fn oldest(&self, id: PartitionId, count_max: usize) -> rusqlite::Result<Vec<Stored>> {
        let read = |db: &rusqlite::Connection| read_index(db, id, 0, OFFSET_END - 1, count_max);
        let mut oldest = self.broker.readers.read(read)?;
        let mut bytes = 0;
        let fits = |batch: &&Stored| {
            bytes += batch.bytes;
            bytes <= STEP_BYTES
        };
        let count = oldest.iter().take_while(fits).count();
        oldest.truncate(count.max(1));
        Ok(oldest)
    }

    fn count(&self, id: PartitionId, bounds: Bounds, sizes: &mut Sizes) -> rusqlite::Result<()> {
        loop {
            let from = sizes.counted_to;
            let read = |db: &rusqlite::Connection| read_index(db, id, from, bounds.next, COUNTED);
            let found = self.broker.readers.read(read)?;
            sizes.bytes += found.iter().map(|batch| batch.bytes).sum::<i64>();
            if let Some(last) = found.last() {
                sizes.counted_to = last.last_offset + 1;
            }
            if found.len() < COUNTED {
                return Ok(());
            }
        }
    }

    /// Returns false when the partition is gone or will not have it.
    fn delete_before(&self, place: &Place, start: i64) -> Result<bool, Unavailable> {
        let place = place.clone();
        self.broker.queue.free(move |ledger| {
            if !place.is_there(ledger) {
                return Ok(false);
            }
            Ok(delete_before(ledger, &place.topic, place.index, start)?.is_ok())
        })
    }
}

/// What a part of a round came to. If it failed, the others are not kept from their work; the first failure is told.
fn goes_on<T>(came: Result<T, Halt>, failed: &mut Option<Halt>) -> Result<Option<T>, Halt> {
    match came {
        Ok(value) => Ok(Some(value)),
        Err(Halt::Stopping) => Err(Halt::Stopping),
        Err(error) => {
            failed.get_or_insert(error);
            Ok(None)
        }
    }
}

/// The earlier of two times, of which each may be never.
pub(crate) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

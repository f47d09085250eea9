//! A partition as readers see it: what is committed, its newest records in memory, who waits for more.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::waker::Waker;

/// Names a partition in the file. Never used again after its topic is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionId(pub(crate) i64);

/// A batch at its place in the log.
#[derive(Debug, Clone)]
pub(crate) struct PlacedBatch {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) bytes: Bytes,
}

/// A batch that compaction has replaced, or taken away.
#[derive(Debug, Clone)]
pub(crate) struct Swapped {
    pub(crate) base_offset: i64,
    /// What is there now; `None` when nothing is.
    pub(crate) bytes: Option<Bytes>,
}

/// A transaction that was given up, as a reader of committed records must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of the marker that ended it.
    pub(crate) marker_offset: i64,
}

/// Where a partition's log starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bounds {
    /// The first offset that can be read.
    pub(crate) start: i64,
    /// The offset that the next record gets; also the high watermark, there being one copy.
    pub(crate) next: i64,
    /// The first offset of the oldest open transaction, or `next`.
    pub(crate) stable: i64,
}

/// Bytes that all tails together may hold.
#[derive(Debug)]
pub(crate) struct TailBudget {
    used: AtomicUsize,
    partition_max: usize,
    total_max: usize,
}

impl TailBudget {
    pub(crate) fn new(partition_max: usize, total_max: usize) -> TailBudget {
        TailBudget {
            used: AtomicUsize::new(0),
            partition_max,
            total_max,
        }
    }

    /// What one partition may keep now: next to nothing while all together are over the total.
    fn allowance(&self) -> usize {
        if self.used.load(Ordering::Relaxed) > self.total_max {
            0
        } else {
            self.partition_max
        }
    }
}

/// One partition. Shared by all connections; changed by the writer alone, after its commit.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    budget: Arc<TailBudget>,
    view: Mutex<View>,
}

#[derive(Debug, Default)]
struct View {
    bounds: Bounds,
    tail: VecDeque<PlacedBatch>,
    tail_bytes: usize,
    /// Up to where the file has the log. What it lacks is in the tail.
    indexed: i64,
    aborted: Vec<Aborted>,
    waiting: Vec<Arc<Waker>>,
}

/// What the tail had for a reader.
#[derive(Debug)]
pub(crate) enum TailRead {
    /// Batches in order, none when the reader is at the end; and the transactions given up that it meets there.
    Hot(Vec<Bytes>, Vec<Aborted>),
    /// The offset is older than the tail: read the file.
    Cold,
}

impl Partition {
    pub(crate) fn new(id: PartitionId, budget: Arc<TailBudget>) -> Partition {
        Partition {
            id,
            budget,
            view: Mutex::default(),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.view().bounds
    }

    /// Whether the file lacks batches that are acknowledged.
    pub(crate) fn is_ahead(&self) -> bool {
        let view = self.view();
        view.indexed < view.bounds.next
    }

    /// The batches that the file lacks, and perhaps some that it has by now.
    pub(crate) fn ahead(&self) -> Vec<Bytes> {
        let view = self.view();
        let at = view
            .tail
            .partition_point(|batch| batch.base_offset < view.indexed);
        let ahead = view.tail.range(at..);
        ahead.map(|batch| Bytes::clone(&batch.bytes)).collect()
    }

    /// The bounds of what the file has.
    pub(crate) fn indexed_bounds(&self) -> Bounds {
        let view = self.view();
        Bounds {
            start: view.bounds.start,
            next: view.bounds.next.min(view.indexed),
            stable: view.bounds.stable.min(view.indexed),
        }
    }

    /// Makes a commit visible and wakes those who wait for it. `is_indexed`: the file has it, and all that came before.
    pub(crate) fn publish(
        &self,
        bounds: Bounds,
        fresh: Vec<PlacedBatch>,
        aborted: &[Aborted],
        is_indexed: bool,
    ) {
        let mut view = self.view();
        if is_indexed {
            view.indexed = bounds.next;
        }
        let before = view.tail_bytes;
        for batch in fresh {
            view.tail_bytes += batch.bytes.len();
            view.tail.push_back(batch);
        }
        view.bounds = bounds;
        view.aborted.extend_from_slice(aborted);
        view.trim(self.budget.allowance());
        self.account(before, view.tail_bytes);
        let waiting = std::mem::take(&mut view.waiting);
        drop(view);
        for waker in waiting {
            waker.wake();
        }
    }

    /// Makes a step of compaction visible. A marker that went takes the note of its transaction with it, at once: a
    /// reader that had the note and no marker would drop what the producer wrote after.
    pub(crate) fn swap(&self, swapped: &[Swapped]) {
        let swapped: HashMap<i64, Option<&Bytes>> = swapped
            .iter()
            .map(|swapped| (swapped.base_offset, swapped.bytes.as_ref()))
            .collect();
        let mut view = self.view();
        let before = view.tail_bytes;
        view.tail
            .retain_mut(|batch| match swapped.get(&batch.base_offset) {
                None => true,
                Some(None) => false,
                Some(Some(bytes)) => {
                    batch.bytes = Bytes::clone(bytes);
                    true
                }
            });
        view.tail_bytes = view.tail.iter().map(|batch| batch.bytes.len()).sum();
        view.aborted
            .retain(|aborted| !matches!(swapped.get(&aborted.marker_offset), Some(None)));
        self.account(before, view.tail_bytes);
    }

    /// Replaces everything by what the file says, after a change that may or may not have landed, and by the batches that it
    /// lacks.
    pub(crate) fn reset(&self, bounds: Bounds, aborted: Vec<Aborted>, ahead: &[PlacedBatch]) {
        let mut view = self.view();
        let before = view.tail_bytes;
        let waiting = std::mem::take(&mut view.waiting);
        *view = View {
            bounds,
            aborted,
            indexed: ahead.first().map_or(bounds.next, |batch| batch.base_offset),
            tail_bytes: ahead.iter().map(|batch| batch.bytes.len()).sum(),
            tail: ahead.iter().cloned().collect(),
            ..View::default()
        };
        self.account(before, view.tail_bytes);
        drop(view);
        for waker in waiting {
            waker.wake();
        }
    }

    /// Reads batches from the one that holds `from` up to `upper`, as long as `take` says yes to a size.
    pub(crate) fn read_tail(
        &self,
        from: i64,
        upper: i64,
        mut take: impl FnMut(usize) -> bool,
    ) -> TailRead {
        let view = self.view();
        if from >= upper {
            return TailRead::Hot(Vec::new(), Vec::new());
        }
        if view
            .tail
            .front()
            .is_none_or(|oldest| oldest.base_offset > from)
        {
            return TailRead::Cold;
        }
        let at = view.tail.partition_point(|batch| batch.last_offset < from);
        let batches = view
            .tail
            .range(at..)
            .take_while(|batch| batch.base_offset < upper && take(batch.bytes.len()));
        let batches = batches.map(|batch| batch.bytes.clone()).collect();
        let met =
            |aborted: &&Aborted| aborted.marker_offset >= from && aborted.first_offset < upper;
        TailRead::Hot(batches, view.aborted.iter().filter(met).copied().collect())
    }

    /// Asks to be woken by the next change, unless the log has already moved past `seen`.
    pub(crate) fn watch(&self, waker: &Arc<Waker>, seen: Bounds) {
        let mut view = self.view();
        if view.bounds != seen {
            waker.wake();
        } else if !view.waiting.iter().any(|known| Arc::ptr_eq(known, waker)) {
            view.waiting.push(Arc::clone(waker));
        }
    }

    /// Takes back [`Partition::watch`].
    pub(crate) fn unwatch(&self, waker: &Arc<Waker>) {
        self.view()
            .waiting
            .retain(|known| !Arc::ptr_eq(known, waker));
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, before: usize, after: usize) {
        if after >= before {
            self.budget
                .used
                .fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.budget
                .used
                .fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let held = self
            .view
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .tail_bytes;
        self.budget.used.fetch_sub(held, Ordering::Relaxed);
    }
}

impl View {
    /// Lets go of the oldest batches: those before the start, and those over the allowance that the file has
    /// (the newest stays).
    fn trim(&mut self, allowance: usize) {
        while let Some(oldest) = self.tail.front() {
            let is_spare = self.tail.len() > 1 && oldest.last_offset < self.indexed;
            let over = self.tail_bytes > allowance && is_spare;
            if !over && oldest.last_offset >= self.bounds.start {
                break;
            }
            self.tail_bytes -= oldest.bytes.len();
            self.tail.pop_front();
        }
        self.aborted
            .retain(|aborted| aborted.marker_offset >= self.bounds.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, length: usize) -> PlacedBatch {
        PlacedBatch {
            base_offset,
            last_offset: base_offset,
            bytes: Bytes::from(vec![0; length]),
        }
    }

    fn bounds(next: i64) -> Bounds {
        Bounds {
            start: 0,
            next,
            stable: next,
        }
    }

    #[test]
    fn the_tail_keeps_the_newest_and_sends_older_readers_to_the_file() {
        let partition = Partition::new(PartitionId(1), Arc::new(TailBudget::new(100, 1_000)));
        partition.publish(
            bounds(3),
            vec![batch(0, 60), batch(1, 60), batch(2, 40)],
            &[],
            true,
        );
        assert!(matches!(
            partition.read_tail(0, 3, |_| true),
            TailRead::Cold
        ));
        let TailRead::Hot(batches, _) = partition.read_tail(1, 3, |_| true) else {
            panic!("1 was kept")
        };
        assert_eq!(batches.len(), 2);
    }

    #[test]
    fn a_reader_of_the_tail_finds_what_compaction_left_and_steps_over_the_gaps() {
        let budget = Arc::new(TailBudget::new(1_000, 1_000));
        let partition = Partition::new(PartitionId(1), Arc::clone(&budget));
        let aborted = Aborted {
            producer_id: 7,
            first_offset: 0,
            marker_offset: 1,
        };
        partition.publish(
            bounds(4),
            vec![batch(0, 60), batch(1, 60), batch(2, 60), batch(3, 60)],
            &[aborted],
            true,
        );
        let swapped = |base_offset, bytes| Swapped { base_offset, bytes };
        partition.swap(&[
            swapped(1, None),
            swapped(2, Some(Bytes::from_static(b"less"))),
            swapped(9, None),
        ]);
        let lengths = |from| match partition.read_tail(from, 4, |_| true) {
            TailRead::Hot(batches, aborted) => (
                batches.iter().map(Bytes::len).collect::<Vec<_>>(),
                aborted.len(),
            ),
            TailRead::Cold => panic!("{from} is in the tail"),
        };
        assert_eq!(lengths(0), (vec![60, 4, 60], 0));
        assert_eq!(lengths(1), (vec![4, 60], 0));
        assert_eq!(budget.used.load(Ordering::Relaxed), 124);
        partition.swap(&[swapped(0, None)]);
        assert!(matches!(
            partition.read_tail(0, 4, |_| true),
            TailRead::Cold
        ));
    }

    #[test]
    fn a_reader_that_was_overtaken_before_it_waits_is_woken_at_once() {
        let partition = Partition::new(PartitionId(1), Arc::new(TailBudget::new(100, 1_000)));
        let waker = Arc::new(Waker::default());
        let seen = partition.bounds();
        waker.arm();
        partition.publish(bounds(1), vec![batch(0, 10)], &[], true);
        partition.watch(&waker, seen);
        let long = std::time::Instant::now() + std::time::Duration::from_secs(60);
        waker.wait_until(long);
        assert!(std::time::Instant::now() < long);
    }

    #[test]
    fn tails_over_the_total_shrink_to_the_newest_batch() {
        let budget = Arc::new(TailBudget::new(1_000, 100));
        let partition = Partition::new(PartitionId(1), Arc::clone(&budget));
        partition.publish(bounds(2), vec![batch(0, 60), batch(1, 60)], &[], true);
        partition.publish(bounds(3), vec![batch(2, 60)], &[], true);
        assert_eq!(budget.used.load(Ordering::Relaxed), 60);
        drop(partition);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}

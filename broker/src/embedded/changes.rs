//! Changes that wait for their commit, in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ledger::Ledger;

/// Changes that share a commit, at most. Bounds how long the first of them waits.
const COMMIT_CHANGES_MAX: usize = 1_000;
/// Record bytes that share a commit, at most.
const COMMIT_BYTES_MAX: usize = 32 << 20;
/// Record bytes that wait, at most; further submitters wait for room.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Changes that wait, at most.
const QUEUE_CHANGES_MAX: usize = 10_000;

/// Given after the commit.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;
type Work = Box<dyn FnOnce(&mut Ledger) -> rusqlite::Result<Answer> + Send>;

/// What a change does to the room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Adds,
    /// It appends batches of no transaction and does nothing else.
    Appends,
    /// It deletes, so it is taken on a full disk too.
    Frees,
}

/// A change that waits.
pub(crate) struct Change {
    /// Of its records.
    pub(crate) bytes: usize,
    pub(crate) effect: Effect,
    pub(crate) work: Work,
}

/// The changes that wait.
#[derive(Default)]
pub(crate) struct Changes {
    waiting: Mutex<Waiting>,
    /// Wakes the writer's thread.
    called: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    bytes: usize,
    /// When the writer's thread is to look even if nothing waits.
    due: Option<Instant>,
    closed: bool,
}

impl Changes {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a change, once there is room. It wakes nobody. Dropped when closed.
    pub(crate) fn add(&self, change: Change) {
        let mut waiting = self.waiting();
        while !waiting.closed
            && (waiting.bytes + change.bytes > QUEUE_BYTES_MAX && waiting.bytes > 0
                || waiting.changes.len() >= QUEUE_CHANGES_MAX)
        {
            // Those who would commit them may be waiting here too.
            self.called.notify_one();
            waiting = self
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.closed {
            waiting.bytes += change.bytes;
            waiting.changes.push_back(change);
        }
    }

    /// Wakes the writer's thread for what waits.
    pub(crate) fn call(&self) {
        let waiting = self.waiting();
        if !waiting.changes.is_empty() {
            self.called.notify_one();
        }
    }

    /// Says when the writer's thread is to look even if nothing waits.
    pub(crate) fn set_due(&self, due: Option<Instant>) {
        let mut waiting = self.waiting();
        let is_sooner = due.is_some_and(|due| waiting.due.is_none_or(|known| due < known));
        waiting.due = due;
        if is_sooner {
            self.called.notify_one();
        }
    }

    /// Waits until changes wait, or the time that was set has come. `false`: closed, and nothing waits.
    pub(crate) fn wait(&self) -> bool {
        let mut waiting = self.waiting();
        loop {
            if !waiting.changes.is_empty() {
                return true;
            }
            if waiting.closed {
                return false;
            }
            let Some(due) = waiting.due else {
                waiting = self
                    .called
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                waiting.due = None;
                return true;
            }
            let woken = self.called.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what waits, within the limits of one commit. Only who commits it at once may do so: else a change could overtake
    /// an earlier one.
    pub(crate) fn take(&self) -> Vec<Change> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = waiting.changes.pop_front_if(|next| {
            taken.is_empty()
                || taken.len() < COMMIT_CHANGES_MAX && bytes + next.bytes <= COMMIT_BYTES_MAX
        }) {
            bytes += next.bytes;
            taken.push(next);
        }
        waiting.bytes -= bytes;
        self.room.notify_all();
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().changes.is_empty()
    }

    /// Takes no more changes. Those that wait can still be made.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.called.notify_all();
        self.room.notify_all();
    }

    /// Closes, and drops those that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        // Dropped after the lock: what they hold may be anything.
        let _dropped = std::mem::take(&mut self.waiting().changes);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn change(bytes: usize) -> Change {
        Change {
            bytes,
            effect: Effect::Adds,
            work: Box::new(|_| Ok(Box::new(|| ()))),
        }
    }

    fn sizes(taken: &[Change]) -> Vec<usize> {
        taken.iter().map(|change| change.bytes).collect()
    }

    #[test]
    fn changes_are_taken_in_their_order_within_the_limits_of_one_commit() {
        let changes = Changes::default();
        let large = COMMIT_BYTES_MAX + 1;
        for bytes in [1, 2, COMMIT_BYTES_MAX, large, 3] {
            changes.add(change(bytes));
        }
        let taken: Vec<Vec<usize>> = (0..4).map(|_| sizes(&changes.take())).collect();
        let expected = [vec![1, 2], vec![COMMIT_BYTES_MAX], vec![large], vec![3]];
        assert_eq!(taken, expected);
        assert!(changes.take().is_empty());
        (0..=COMMIT_CHANGES_MAX).for_each(|_| changes.add(change(0)));
        assert_eq!(
            (changes.take().len(), changes.take().len()),
            (COMMIT_CHANGES_MAX, 1)
        );
    }

    #[test]
    fn who_finds_no_room_has_the_writers_thread_woken_and_waits_for_it() {
        let changes = Changes::default();
        (0..QUEUE_CHANGES_MAX).for_each(|_| changes.add(change(0)));
        thread::scope(|scope| {
            scope.spawn(|| {
                changes.add(change(7));
                changes.call();
            });
            let mut taken = Vec::new();
            while taken.len() <= QUEUE_CHANGES_MAX {
                assert!(changes.wait());
                taken.extend(changes.take());
            }
            assert_eq!(taken[QUEUE_CHANGES_MAX].bytes, 7);
        });
    }

    #[test]
    fn a_wait_ends_when_something_is_due_though_it_had_begun_before_that_was_known() {
        let changes = Changes::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| changes.wait());
            changes.set_due(Some(Instant::now() + Duration::from_secs(600)));
            changes.set_due(Some(Instant::now()));
            assert!(waiting.join().unwrap());
        });
        // It is said once.
        changes.close();
        assert!(!changes.wait());
    }

    #[test]
    fn when_closed_those_that_wait_can_be_made_and_no_others_come() {
        let changes = Changes::default();
        changes.add(change(1));
        changes.close();
        changes.add(change(2));
        assert!(changes.wait());
        assert_eq!(sizes(&changes.take()), [1]);
        assert!(!changes.wait());
    }
}

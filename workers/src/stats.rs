//! What a worker has counted since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of a worker. Each only grows, except for the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records read, commands or not.
    pub records: u64,
    /// Commands answered *done* by doing them, or with nothing to undo.
    pub done: u64,
    /// Commands answered *refused* by a handler.
    pub refused: u64,
    /// Commands answered *failed, retry*.
    pub failed: u64,
    /// Commands answered from memory, and those refused because their undo came first.
    pub repeated: u64,
    /// Commands that got no answer.
    pub silent: u64,
    /// Records set aside in the dead letters.
    pub dead_letters: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Transactions committed.
    pub batches: u64,
    /// Transactions that failed and were tried again.
    pub batch_failures: u64,
    /// Old answers forgotten.
    pub purged: u64,
    /// Producers that ended and were replaced.
    pub producers_rebuilt: u64,
    /// Commands read and not yet answered and acknowledged, now.
    pub open: u64,
}

macro_rules! counters {
    ($($name:ident),*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters!(
    records,
    done,
    refused,
    failed,
    repeated,
    silent,
    dead_letters,
    heartbeats,
    batches,
    batch_failures,
    purged,
    producers_rebuilt,
    open
);

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

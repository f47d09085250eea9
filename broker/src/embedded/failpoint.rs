//! Named points at which a test lets the broker die, or its file refuse.
//!
//! They do something with the feature `failpoints` only, which this crate's own tests and examples turn on. Without it
//! there is nothing to arm: [`reach`] is a constant.

/// Declares the points in the order in which a broker comes by them, so that none is left out of [`Point::ALL`].
macro_rules! points {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A moment at which a change of the file is under way.
        #[cfg_attr(
            not(feature = "failpoints"),
            expect(unreachable_pub, reason = "it is public for the tests, which have the feature")
        )]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $name,)*
        }

        #[cfg(feature = "failpoints")]
        impl Point {
            /// Every point.
            pub const ALL: &[Point] = &[$(Point::$name,)*];
        }
    };
}

points! {
    /// At the start: the tables are made, or brought to this layout, and not committed.
    LaidOut,
    /// At the start: a file of an earlier version is about to be rebuilt so that it can shrink.
    Rebuilding,
    /// At the start and after a refusal: the topics are read again, the transactions are not.
    Reading,
    /// At the start and after a refusal: what a segment has and the file does not name is appended again.
    Replayed,
    /// Changes are there, the transaction is not begun.
    Beginning,
    /// One of the changes of a commit is made.
    Changed,
    /// A batch is appended, its producer's sequence is not noted.
    Appended,
    /// The sequence of a producer is noted.
    WindowSaved,
    /// A segment is made, and nothing is in it.
    SegmentMade,
    /// The rows of what segments have and the file did not name are made.
    Indexed,
    /// All changes of a commit are made.
    Committing,
    /// The batches of a commit are in their segment, perhaps not on the disk.
    SegmentWritten,
    /// They are on the disk, and no commit names them.
    SegmentSynced,
    /// The commit is on the disk and nobody knows.
    Landed,
    /// Readers see the commit, its answers are not given.
    Published,
    /// Its answers are given.
    Answered,
    /// A producer id is taken.
    ProducerIdTaken,
    /// A topic is made, its partitions are not.
    TopicNamed,
    /// One partition is added to a topic.
    PartitionAdded,
    /// The settings of a topic are deleted, the new ones are not saved.
    SettingsCleared,
    /// The records of one partition of a topic that goes are deleted.
    PartitionEmptied,
    /// Records are deleted, the start of their log is not moved.
    RecordsDeleted,
    /// The offset of a group is kept.
    OffsetKept,
    /// A transaction is begun.
    TxnBegun,
    /// A marker of a transaction that ends is written.
    MarkerWritten,
    /// The offsets of a transaction are the group's, and still the transaction's.
    OffsetsMoved,
    /// A transaction that is out of time is fenced and not ended.
    TxnFenced,
    /// Compaction has replaced a batch.
    BatchReplaced,
    /// Compaction has taken a batch away.
    BatchRemoved,
    /// A step of compaction is made.
    Swapped,
    /// A batch of a segment that is worn is in another one.
    BatchMoved,
    /// Segments that nobody reads and no commit names are there.
    SegmentFreed,
    /// The offsets of a group that rests are forgotten.
    OffsetsForgotten,
    /// A producer that rests is forgotten.
    ProducerForgotten,
    /// A transactional id that rests is forgotten.
    TxnForgotten,
    /// Free pages are given back to the file.
    PagesGivenBack,
    /// The write-ahead log is copied into the file beside the writer.
    LogCopiedBeside,
    /// The write-ahead log is copied into the file and not cut off.
    LogCopied,
    /// The write-ahead log is cut off.
    LogCut,
    /// Something is read that is not in memory.
    ColdRead,
    /// Records are read of which the answer is on its way.
    LentRead,
    /// The broker stops; what was taken is not committed.
    Stopping,
    /// All is committed, the file is not closed.
    Stopped,
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::reach;
#[cfg(feature = "failpoints")]
pub use armed::{Does, Failpoint, arm, disarm, reached, wait_for};

/// Comes by a point. Does nothing.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
pub(crate) const fn reach(_: Point) -> rusqlite::Result<()> {
    Ok(())
}

/// Comes by a point at which nothing can fail; a failure armed there is counted and ignored.
pub(crate) fn pass(point: Point) {
    let _ = reach(point);
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::str::FromStr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
    use std::time::{Duration, Instant};

    use rusqlite::ffi;

    use super::Point;

    /// What happens at a point.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Does {
        /// The process ends at once: nothing is unwound, flushed or closed.
        Die,
        /// SQLite says so, with one of its result codes.
        Fail(i32),
    }

    /// Something that happens at a point from the `nth` time on (counted from 1) that it is reached. It is written
    /// `POINT NTH DOES`: `Committing 3 die`, `Beginning 1 full`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Failpoint {
        /// Where.
        pub point: Point,
        /// From which time on. At least 1.
        pub nth: u64,
        /// What.
        pub does: Does,
    }

    impl FromStr for Failpoint {
        type Err = String;

        fn from_str(text: &str) -> Result<Failpoint, String> {
            let words: Vec<&str> = text.split_whitespace().collect();
            let &[name, nth, does] = &words[..] else {
                return Err(format!("{text:?} is not: POINT NTH DOES"));
            };
            let named = |point: &&Point| format!("{point:?}") == name;
            Ok(Failpoint {
                point: *Point::ALL
                    .iter()
                    .find(named)
                    .ok_or_else(|| format!("there is no point {name}"))?,
                nth: nth.parse().map_err(|error| format!("{nth}: {error}"))?,
                does: match does {
                    "die" => Does::Die,
                    "full" => Does::Fail(ffi::SQLITE_FULL),
                    "ioerr" => Does::Fail(ffi::SQLITE_IOERR),
                    "corrupt" => Does::Fail(ffi::SQLITE_CORRUPT),
                    "readonly" => Does::Fail(ffi::SQLITE_READONLY),
                    _ => {
                        return Err(format!(
                            "{does} is not die, full, ioerr, corrupt or readonly"
                        ));
                    }
                },
            })
        }
    }

    struct Armed {
        failpoint: Failpoint,
        reached: u64,
    }

    /// Whether there is anything to look for.
    static ANY: AtomicBool = AtomicBool::new(false);
    static ALL: Mutex<Vec<Armed>> = Mutex::new(Vec::new());
    static REACHED: Condvar = Condvar::new();

    fn all() -> MutexGuard<'static, Vec<Armed>> {
        ALL.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a point of every broker in this process.
    pub fn arm(failpoint: Failpoint) {
        all().push(Armed {
            failpoint,
            reached: 0,
        });
        ANY.store(true, Ordering::SeqCst);
    }

    /// Disarms all points.
    pub fn disarm() {
        ANY.store(false, Ordering::SeqCst);
        all().clear();
    }

    /// Returns how often the first point armed was reached since.
    pub fn reached() -> u64 {
        all().first().map_or(0, |armed| armed.reached)
    }

    /// Waits until the first point armed was reached `count` times. Returns false when it takes longer than `patience`.
    pub fn wait_for(count: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut armed = all();
        while armed.first().is_some_and(|armed| armed.reached < count) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = REACHED.wait_timeout(armed, left);
            armed = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        !armed.is_empty()
    }

    /// Comes by a point.
    pub(crate) fn reach(point: Point) -> rusqlite::Result<()> {
        if !ANY.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut all = all();
        let Some(armed) = all.iter_mut().find(|armed| armed.failpoint.point == point) else {
            return Ok(());
        };
        armed.reached += 1;
        let Failpoint { nth, does, .. } = armed.failpoint;
        let fires = armed.reached >= nth;
        drop(all);
        REACHED.notify_all();
        match does {
            _ if !fires => Ok(()),
            Does::Die => std::process::abort(),
            Does::Fail(code) => {
                let message = Some(format!("failpoint {point:?}"));
                Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(code),
                    message,
                ))
            }
        }
    }
}

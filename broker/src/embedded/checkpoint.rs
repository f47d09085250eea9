//! The write-ahead log is copied into the file beside the writer, so that no commit waits for it.
//!
//! SQLite would do it within the commit that reaches a size: each 16 MiB of records, those who wait for their
//! acknowledgement would wait for the copy of all of them as well. Here a thread of its own copies while commits go on.
//! The log begins anew only when all of it is copied. Under a load without a pause that never happens by itself, so at
//! [`LOG_PAGES_MAX`] the writer waits once, for what little the thread has left.

use std::cell::Cell;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::failpoint::{Point, reach};
use super::spare::is_full;
use super::storage::PAGE_BYTES;

/// Pages of log that are left alone: what is written again and again is copied once.
const KEPT_PAGES: u32 = (16 << 20) / PAGE_BYTES;
/// Pages of growth, from then on, after which they are copied.
const STEP_PAGES: u32 = (4 << 20) / PAGE_BYTES;
/// Pages of log at which the writer lets nothing pass until all are copied.
const LOG_PAGES_MAX: u32 = (64 << 20) / PAGE_BYTES;

thread_local! {
    /// Pages in the log after the last commit of this thread.
    static LOG_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Has the length of the log noted with each commit of this connection. SQLite copies it no more by itself.
pub(crate) fn take_over(db: &Connection) {
    fn note(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
        LOG_PAGES.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }
    db.wal_hook(Some(note));
}

/// Where the writer asks for a copy of the log.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    asked: Mutex<Asked>,
    woken: Condvar,
    /// Held by who copies.
    copying: Mutex<()>,
    /// Whether the file had no room for a copy since somebody asked.
    no_room: AtomicBool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Asked {
    #[default]
    Nothing,
    Copy,
    End,
}

impl Checkpoints {
    fn ask(&self, what: Asked) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.woken.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.ask(Asked::End);
    }

    fn wait(&self) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while *asked == Asked::Nothing {
            asked = self
                .woken
                .wait(asked)
                .unwrap_or_else(PoisonError::into_inner);
        }
        match *asked {
            Asked::Copy => std::mem::take(&mut *asked),
            Asked::Nothing | Asked::End => *asked,
        }
    }

    /// Keeps others from copying for as long as the guard lives: SQLite would not let two wait for each other.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self, db: &Connection) -> rusqlite::Result<()> {
        let _alone = self.alone();
        // What a reader still sees, and what the cleaner is at, is left for the next time.
        let copied = db.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
        let copied = copied.and_then(|()| reach(Point::LogCopiedBeside));
        if copied.as_ref().is_err_and(is_full) {
            self.no_room.store(true, Ordering::Relaxed);
        }
        copied
    }

    /// Whether a copy failed because the disk is full, since this was asked before.
    pub(crate) fn had_no_room(&self) -> bool {
        self.no_room.swap(false, Ordering::Relaxed)
    }
}

/// Copies whenever it is asked to, until the end.
pub(crate) fn run(checkpoints: &Checkpoints, db: &Connection) {
    while checkpoints.wait() == Asked::Copy {
        if let Err(error) = checkpoints.copy(db) {
            // The log keeps everything meanwhile; the next growth asks again.
            tracing::error!(%error, "embedded broker: the log could not be copied into the file");
        }
    }
}

/// The log as the writer watches it grow.
#[derive(Debug, Default)]
pub(crate) struct LogWatch {
    asked_at: u32,
    waited_at: u32,
}

/// What to do about the log.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// It is to be copied beside the writer.
    Copy,
    /// The writer waits for the copy.
    Wait,
}

impl LogWatch {
    /// Looks at the log after a commit, and has it copied when it is long.
    pub(crate) fn after_commit(&mut self, db: &Connection, checkpoints: &Checkpoints) {
        match self.judge(LOG_PAGES.get()) {
            Due::Nothing => {}
            Due::Copy => checkpoints.ask(Asked::Copy),
            Due::Wait => {
                if let Err(error) = checkpoints.copy(db) {
                    tracing::error!(%error, "embedded broker: the log could not be copied into the file");
                }
            }
        }
    }

    fn judge(&mut self, pages: u32) -> Due {
        if pages < self.asked_at {
            // It began anew.
            *self = LogWatch::default();
        }
        // A reader may hold on to the log, so that it grows on after the copy: then the wait is not for each commit.
        if pages >= LOG_PAGES_MAX.max(self.waited_at + LOG_PAGES_MAX / 2) {
            (self.asked_at, self.waited_at) = (pages, pages);
            Due::Wait
        } else if pages >= KEPT_PAGES.max(self.asked_at + STEP_PAGES) {
            self.asked_at = pages;
            Due::Copy
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::open_writer;
    use super::*;

    const MIB: u32 = (1 << 20) / PAGE_BYTES;

    #[test]
    fn a_log_that_grows_is_copied_in_steps_and_waited_for_at_its_limit() {
        let mut watch = LogWatch::default();
        let due: Vec<(u32, Due)> = (1..=100)
            .map(|mib| (mib, watch.judge(mib * MIB)))
            .filter(|(_, due)| *due != Due::Nothing)
            .collect();
        let copies = (16..64).step_by(4).map(|mib| (mib, Due::Copy));
        let held = (68..96).step_by(4).map(|mib| (mib, Due::Copy));
        let expected: Vec<_> = copies
            .chain([(64, Due::Wait)])
            .chain(held)
            .chain([(96, Due::Wait), (100, Due::Copy)])
            .collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn a_log_that_began_anew_is_left_alone_until_it_is_long_again() {
        let mut watch = LogWatch::default();
        assert_eq!(watch.judge(70 * MIB), Due::Wait);
        assert_eq!(watch.judge(MIB), Due::Nothing);
        assert_eq!(watch.judge(15 * MIB), Due::Nothing);
        assert_eq!(watch.judge(17 * MIB), Due::Copy);
    }

    #[test]
    fn a_log_without_readers_begins_anew_after_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let (db, checkpoints) = (open_writer(&path).unwrap(), Checkpoints::default());
        let note = |number: i64| {
            db.execute(
                "insert into setting (name, value) values (?1, '')",
                [number],
            )
            .unwrap();
        };
        (0..10).for_each(note);
        let long = LOG_PAGES.get();
        assert!(long >= 10, "{long}");
        checkpoints.copy(&db).unwrap();
        note(10);
        assert!(LOG_PAGES.get() < long, "{}", LOG_PAGES.get());
    }
}

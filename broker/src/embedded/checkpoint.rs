//! The write-ahead log is copied into the file beside the writer, so that commits seldom wait for it.
//!
//! SQLite would do it within the commit that reaches a size: each 16 MiB of records, those who wait for their
//! acknowledgement would wait for the copy of all of them as well. Here a thread of its own copies while commits go on.
//! The log begins anew only when all of it is copied. Under a load without a pause that never happens by itself, so at
//! [`LOG_BYTES_MAX`] the writer waits once, for what little the thread has left.

use std::cell::Cell;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::failpoint::{Point, reach};
use super::spare::is_full;

/// Bytes of log that are left alone: what is written again and again is copied once.
const KEPT_BYTES: u64 = 16 << 20;
/// Bytes of growth, from then on, after which they are copied.
const STEP_BYTES: u64 = 4 << 20;
/// Bytes of log at which the writer lets nothing pass until all are copied.
const LOG_BYTES_MAX: u64 = 64 << 20;

thread_local! {
    /// Pages in the log after the last commit of this thread, until somebody looks.
    static LOG_PAGES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Has the length of the log noted with each commit of this connection. SQLite copies it no more by itself.
pub(crate) fn take_over(db: &Connection) {
    fn note(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
        LOG_PAGES.set(u32::try_from(pages).ok());
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
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // The writer still commits what waits when the thread has been told to end.
        if *asked != Asked::End {
            *asked = what;
        }
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
#[derive(Debug)]
pub(crate) struct LogWatch {
    page_bytes: u64,
    pages: u32,
    asked_at: u64,
    waited_at: u64,
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
    /// Watches the log of a file, whose pages may be those of an earlier version.
    pub(crate) fn of(db: &Connection) -> rusqlite::Result<LogWatch> {
        let page_bytes: u32 = db.query_row("pragma page_size", [], |row| row.get(0))?;
        Ok(LogWatch::with_pages(page_bytes))
    }

    fn with_pages(page_bytes: u32) -> LogWatch {
        LogWatch {
            page_bytes: page_bytes.into(),
            pages: 0,
            asked_at: 0,
            waited_at: 0,
        }
    }

    /// Looks at the log after a commit, on the thread that made it, and has it copied when it is long.
    pub(crate) fn after_commit(&mut self, db: &Connection, checkpoints: &Checkpoints) {
        // Commits are made on many threads, and not each is one of the file.
        self.pages = LOG_PAGES.take().unwrap_or(self.pages);
        match self.judge(u64::from(self.pages) * self.page_bytes) {
            Due::Nothing => {}
            Due::Copy => checkpoints.ask(Asked::Copy),
            Due::Wait => {
                if let Err(error) = checkpoints.copy(db) {
                    tracing::error!(%error, "embedded broker: the log could not be copied into the file");
                }
            }
        }
    }

    fn judge(&mut self, bytes: u64) -> Due {
        if bytes < self.asked_at {
            // It began anew.
            (self.asked_at, self.waited_at) = (0, 0);
        }
        // A reader may hold on to the log, so that it grows on after the copy: then the wait is not for each commit.
        if bytes >= LOG_BYTES_MAX.max(self.waited_at + LOG_BYTES_MAX / 2) {
            (self.asked_at, self.waited_at) = (bytes, bytes);
            Due::Wait
        } else if bytes >= KEPT_BYTES.max(self.asked_at + STEP_BYTES) {
            self.asked_at = bytes;
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

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_log_that_grows_is_copied_in_steps_and_waited_for_at_its_limit() {
        let mut watch = LogWatch::with_pages(4_096);
        let due: Vec<(u64, Due)> = (1..=100)
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
        let mut watch = LogWatch::with_pages(4_096);
        assert_eq!(watch.judge(70 * MIB), Due::Wait);
        assert_eq!(watch.judge(MIB), Due::Nothing);
        assert_eq!(watch.judge(15 * MIB), Due::Nothing);
        assert_eq!(watch.judge(17 * MIB), Due::Copy);
    }

    #[test]
    fn told_to_end_it_ends_also_when_the_writer_asks_for_a_copy_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let db = open_writer(&folder.path().join("broker.db")).unwrap();
        let checkpoints = Checkpoints::default();
        checkpoints.close();
        checkpoints.ask(Asked::Copy);
        // It would wait for ever otherwise, and who stops the broker with it.
        run(&checkpoints, &db);
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
        let long = LOG_PAGES.take();
        assert!(long >= Some(10), "{long:?}");
        checkpoints.copy(&db).unwrap();
        note(10);
        let short = LOG_PAGES.take();
        assert!(short.is_some() && short < long, "{short:?}");
    }
}

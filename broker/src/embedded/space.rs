//! Space given back to the file system while the broker serves: free pages of the file, and its write-ahead log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::broker::Broker;
use super::cleaner::Halt;
use super::failpoint::{Point, reach};
use super::spare::FILE_BYTES_LEAST;
use super::storage::open_beside;

/// Free bytes that are kept in any case, for what comes next.
const SPARE_BYTES: i64 = 1 << 20;
/// And a page for so many that are used.
const USED_PER_SPARE: i64 = 10;
/// Bytes that one step gives back; while others wait, there is one step a round.
const STEP_BYTES: i64 = 512 << 10;
/// Bytes of write-ahead log that a quiet broker may keep.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// The pages of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages {
    /// Bytes of one.
    pub(crate) size: i64,
    all: i64,
    /// Those that can be given back.
    pub(crate) free: i64,
}

impl Pages {
    pub(crate) fn of(db: &Connection) -> rusqlite::Result<Pages> {
        let number = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let can_shrink = number("pragma auto_vacuum")? != 0;
        Ok(Pages {
            size: number("pragma page_size")?,
            all: number("pragma page_count")?,
            free: if can_shrink {
                number("pragma freelist_count")?
            } else {
                0
            },
        })
    }

    /// Pages to give back. None until twice the spare ones are free, so that a file that breathes is left alone.
    fn surplus(self) -> i64 {
        let spare = SPARE_BYTES / self.size + (self.all - self.free) / USED_PER_SPARE;
        if self.free > 2 * spare {
            self.free - spare
        } else {
            0
        }
    }
}

/// Gives space back, as far as nobody waits for the file. `quiet` says that nothing was committed for a while. Returns
/// whether there is more to do.
pub(crate) fn tidy(broker: &Broker, quiet: bool) -> Result<bool, Halt> {
    let pages = broker.readers.read(Pages::of)?;
    let mut surplus = pages.surplus();
    while surplus > 0 {
        let step = surplus.min(STEP_BYTES / pages.size);
        broker
            .queue
            .free(move |ledger| give_back(&ledger.db, step))?;
        surplus -= step;
        if broker.is_stopping() {
            return Err(Halt::Stopping);
        }
        if !broker.queue.is_empty() {
            return Ok(true);
        }
    }
    let path = &broker.config.path;
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let bytes = length(path) + length(&log_of(path)) + broker.readers.segments.bytes();
    if bytes >= FILE_BYTES_LEAST {
        broker.spare.keep();
    }
    // What was given back leaves the file only when the log is copied into it.
    let is_cut = u64::try_from(pages.all * pages.size).is_ok_and(|bytes| length(path) <= bytes);
    if is_cut && length(&log_of(path)) <= LOG_BYTES_MAX {
        return Ok(false);
    }
    if !quiet {
        return Ok(true);
    }
    Ok(!empty_log(path, Duration::ZERO)?)
}

pub(crate) fn give_back(db: &Connection, pages: i64) -> rusqlite::Result<()> {
    // Each step of this statement gives back one page.
    let mut statement = db.prepare(&format!("pragma incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    reach(Point::PagesGivenBack)
}

fn log_of(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Copies the log into the file and cuts it off. The copying goes on beside the writer and readers; for the cut they are
/// waited for no longer than `patience`. Returns whether it was cut.
pub(crate) fn empty_log(path: &Path, patience: Duration) -> rusqlite::Result<bool> {
    let db = open_beside(path)?;
    db.busy_timeout(patience)?;
    // The answer is 1, or an error where not even a look was possible, when somebody else is at work.
    let checkpoint = |pragma| match db.query_row(pragma, [], |row| row.get::<_, i64>(0)) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(1),
        answer => answer,
    };
    checkpoint("pragma wal_checkpoint(passive)")?;
    reach(Point::LogCopied)?;
    let is_cut = checkpoint("pragma wal_checkpoint(truncate)")? == 0;
    reach(Point::LogCut)?;
    Ok(is_cut)
}

#[cfg(test)]
mod tests {
    use super::super::storage::open_writer;
    use super::*;

    fn pages(all: i64, free: i64) -> i64 {
        let size = 4_096;
        Pages { size, all, free }.surplus()
    }

    #[test]
    fn some_free_pages_are_kept_and_a_file_that_breathes_is_left_alone() {
        assert_eq!(pages(1_000, 500), 0);
        assert_eq!(pages(1_000, 900), 900 - 266);
        assert_eq!(pages(100_000, 15_000), 0);
        assert_eq!(pages(100_000, 50_000), 50_000 - 5_256);
    }

    #[test]
    fn deleted_pages_and_the_log_are_given_back_while_the_file_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let db = open_writer(&path).unwrap();
        for id in 0..200 {
            db.execute(
                "insert into batch (id, last_offset, max_timestamp, bytes) values (?1, 0, 0, zeroblob(100000))",
                [id],
            )
            .unwrap();
        }
        assert!(empty_log(&path, Duration::ZERO).unwrap());
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&path) > 20_000_000);
        db.execute("delete from batch where id > 0", []).unwrap();
        let surplus = Pages::of(&db).unwrap().surplus();
        db.execute_batch("begin immediate").unwrap();
        give_back(&db, surplus).unwrap();
        db.execute_batch("commit").unwrap();
        assert!(size(&log_of(&path)) > 0);
        assert!(empty_log(&path, Duration::ZERO).unwrap());
        assert_eq!(size(&log_of(&path)), 0);
        assert!(size(&path) < 2_500_000, "{} bytes are left", size(&path));
        let left: i64 = db
            .query_row("select sum(length(bytes)) from batch", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 100_000);
    }

    #[test]
    fn a_log_that_somebody_reads_is_left_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let db = open_writer(&path).unwrap();
        let reader = Connection::open(&path).unwrap();
        let count = "select count(*) from batch";
        reader.execute_batch("begin").unwrap();
        let _: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
        db.execute("insert into setting values ('noted', '')", [])
            .unwrap();
        assert!(!empty_log(&path, Duration::ZERO).unwrap());
        reader.execute_batch("commit").unwrap();
        assert!(empty_log(&path, Duration::ZERO).unwrap());
    }
}

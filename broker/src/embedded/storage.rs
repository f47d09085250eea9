//! The SQLite file: who may open it, and cold reads beside the writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, params};

use super::batch::is_intact;
use super::checkpoint;
use super::error::{EmbeddedError, is_damage};
use super::failpoint::{Point, reach};
use super::layout::{LAYOUT, LayoutError, lay_out, make_shrinkable};
use super::lent::Piece;
use super::partition::{Aborted, PartitionId};
use super::records::first_at_or_after;
use super::retention::Stored;
use super::segments::{Segments, Spot};

/// Bits of a batch's row id that hold its base offset; the partition's id lies above them.
const OFFSET_BITS: u32 = 40;
/// Bytes of the write-ahead log's file that are kept for the next round.
const LOG_BYTES_KEPT: u32 = 96 << 20;
/// First offset that no partition can reach. At 100,000 records a second that is 127 days of one partition.
pub(crate) const OFFSET_END: i64 = 1 << OFFSET_BITS;
/// Bytes of a page in a file that is made; a file keeps the pages that it has. What is large is in segments, so what is
/// left are a few rows here and there: small pages, fewer bytes.
pub(crate) const PAGE_BYTES: u32 = 4 << 10;
/// Read connections kept open; more are opened under load and closed after.
const READERS_KEPT: usize = 4;

/// The row id of a batch.
pub(crate) fn batch_row(partition: PartitionId, offset: i64) -> i64 {
    (partition.0 << OFFSET_BITS) | offset
}

/// The partition in a batch's row id.
pub(crate) fn row_partition(row: i64) -> PartitionId {
    PartitionId(row >> OFFSET_BITS)
}

/// The offset in a batch's row id.
pub(crate) fn row_offset(row: i64) -> i64 {
    row & (OFFSET_END - 1)
}

/// Keeps other processes out for as long as it lives. The operating system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock beside `path`, and writes this process's id into it.
    pub(crate) fn take(path: &Path) -> Result<FileLock, EmbeddedError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let failed = |source| EmbeddedError::Lock {
            path: lock_path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let owner = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
                    Ok(_) | Err(_) => "another process".to_owned(),
                };
                return Err(EmbeddedError::InUse {
                    path: path.to_owned(),
                    owner,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(FileLock { _file: file })
    }
}

/// Opens the file for its one writer, making it when it is not there.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, EmbeddedError> {
    let failed =
        |attempted| move |source| EmbeddedError::of_file(attempted, path.to_owned(), source);
    let db = Connection::open(path).map_err(failed("open"))?;
    db.busy_timeout(Duration::from_secs(5))
        .map_err(failed("open"))?;
    // FULL: a commit returns when the log is on the disk. What concerns the pages of the file comes first: it is settled
    // with the first page that is written.
    db.execute_batch(&format!(
        "pragma page_size = {PAGE_BYTES}; pragma auto_vacuum = incremental; pragma journal_mode = wal;
         pragma synchronous = full; pragma cache_size = -16000; pragma temp_store = memory; pragma journal_size_limit = {LOG_BYTES_KEPT};",
    ))
    .map_err(failed("prepare"))?;
    checkpoint::take_over(&db);
    db.set_prepared_statement_cache_capacity(64);
    lay_out(&db).map_err(|error| match error {
        LayoutError::Unknown(found) => EmbeddedError::Layout {
            path: path.to_owned(),
            found,
            known: LAYOUT,
        },
        LayoutError::Sqlite(source) => failed("lay out")(source),
    })?;
    make_shrinkable(&db).map_err(failed("rebuild"))?;
    Ok(db)
}

/// Leaves it to the operating system when this connection's changes reach the disk.
pub(crate) fn sync_never(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("pragma synchronous = off")
}

/// Opens the file for the one that copies its log.
pub(crate) fn open_copier(path: &Path, durable: bool) -> rusqlite::Result<Connection> {
    let db = open_beside(path)?;
    db.execute_batch("pragma synchronous = full; pragma query_only = on")?;
    if !durable {
        sync_never(&db)?;
    }
    Ok(db)
}

/// Opens a file that is there, beside its writer. Not read-only: whoever reads a write-ahead log must be able to make its
/// index.
pub(crate) fn open_beside(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Connections for reading what is no longer in memory.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    pub(crate) segments: Arc<Segments>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, segments: Arc<Segments>) -> Readers {
        Readers {
            path,
            segments,
            idle: Mutex::default(),
        }
    }

    /// Runs a read. Sees what is committed when it starts, and the segments that go with it.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let _reading = self.segments.reading();
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let db = match idle {
            Some(db) => db,
            None => self.open()?,
        };
        let result = reach(Point::ColdRead).and_then(|()| work(&db));
        if result.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS_KEPT {
                idle.push(db);
            }
        }
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let db = open_beside(&self.path)?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.execute_batch("pragma query_only = on; pragma cache_size = -2000")?;
        Ok(db)
    }
}

/// How a batch is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Its bytes, read and checked, or its place in its file, if it is known to be as it was written.
    Checked,
    /// Its place, if it is in a segment and nothing is known against it.
    Lent,
}

/// Finds batches from the one that holds `from` up to `upper`, as long as `take` takes a size.
pub(crate) fn read_batches(
    db: &Connection,
    segments: &Segments,
    partition: PartitionId,
    from: i64,
    upper: i64,
    mut take: impl FnMut(usize) -> Option<Taken>,
) -> rusqlite::Result<Vec<Piece>> {
    let mut find = db.prepare_cached(
        "select id, last_offset from batch where id between ?1 and ?2 order by id desc limit 1",
    )?;
    let holder = find
        .query_row(
            params![batch_row(partition, 0), batch_row(partition, from)],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
        .optional()?;
    let first = match holder {
        Some((row, last)) if last >= from => row,
        Some(_) | None => batch_row(partition, from),
    };
    let mut scan = db.prepare_cached(
        "select bytes, segment, position, length, id, last_offset from batch where id >= ?1 and id < ?2 order by id",
    )?;
    let mut rows = scan.query(params![first, batch_row(partition, upper)])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let spot = spot_of(row)?;
        let size = match spot {
            Some(spot) => usize::try_from(spot.length).unwrap_or(0),
            None => row.get_ref(0)?.as_blob()?.len(),
        };
        let Some(taken) = take(size) else {
            break;
        };
        let lent = spot.and_then(|spot| {
            let end_offset = row.get::<_, i64>(5).ok()?.checked_add(1)?;
            segments.lend(row.get(4).ok()?, spot, end_offset)
        });
        if let Some(lent) = lent.filter(|lent| taken == Taken::Lent || lent.is_checked) {
            batches.push(Piece::Lent(lent));
            continue;
        }
        match sound(db, segments, partition, row) {
            Ok(bytes) => {
                segments.trust(spot.into_iter());
                batches.push(Piece::Memory(bytes));
            }
            // Those before it are given out; whoever reads on from there is told.
            Err(error) if is_damage(&error) && !batches.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}

/// Where a batch is that is not in the file. The row begins with `bytes, segment, position, length, id`.
fn spot_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Spot>> {
    Ok(match row.get(1)? {
        Some(segment) => Some(Spot {
            segment,
            position: row.get(2)?,
            length: row.get(3)?,
        }),
        None => None,
    })
}

/// A batch's bytes, wherever they are. The row begins with `bytes, segment, position, length, id`.
pub(crate) fn bytes_of(row: &rusqlite::Row<'_>, segments: &Segments) -> rusqlite::Result<Bytes> {
    match spot_of(row)? {
        Some(spot) => segments.read(row.get(4)?, spot),
        None => Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)),
    }
}

/// The same, if they are as they were written.
fn sound(
    db: &Connection,
    segments: &Segments,
    partition: PartitionId,
    row: &rusqlite::Row<'_>,
) -> rusqlite::Result<Bytes> {
    match bytes_of(row, segments) {
        Ok(bytes) if is_intact(&bytes, row_offset(row.get("id")?)) => Ok(bytes),
        Ok(_) => Err(damaged(db, partition, row.get("id")?, "")),
        Err(error) if is_damage(&error) => {
            let why = format!(": {error}");
            Err(damaged(db, partition, row.get("id")?, &why))
        }
        Err(error) => Err(error),
    }
}

fn damaged(db: &Connection, partition: PartitionId, row: i64, why: &str) -> rusqlite::Error {
    let find = "select topic.name || '-' || position from partition join topic on topic.id = topic where partition.id = ?1";
    let name: rusqlite::Result<String> = db.query_row(find, [partition.0], |row| row.get(0));
    let message = format!(
        "the batch at offset {} of {} is not as it was written{why}",
        row_offset(row),
        name.unwrap_or_else(|_| format!("partition row {}", partition.0))
    );
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(message))
}

/// Reads what the index tells of batches, from the one with the base offset `from` on, below `upper`.
pub(crate) fn read_index(
    db: &Connection,
    partition: PartitionId,
    from: i64,
    upper: i64,
    count_max: usize,
) -> rusqlite::Result<Vec<Stored>> {
    // The length of a blob is in its row: none is read for it.
    let mut scan = db.prepare_cached(
        "select id, last_offset, max_timestamp, coalesce(length, length(bytes)) from batch where id >= ?1 and id < ?2 order by id limit ?3",
    )?;
    let range = params![
        batch_row(partition, from),
        batch_row(partition, upper),
        i64::try_from(count_max).unwrap_or(i64::MAX)
    ];
    scan.query_map(range, stored)?.collect()
}

/// Reads what the index tells of the newest batch.
pub(crate) fn read_newest(
    db: &Connection,
    partition: PartitionId,
) -> rusqlite::Result<Option<Stored>> {
    let mut find = db.prepare_cached(
        "select id, last_offset, max_timestamp, coalesce(length, length(bytes)) from batch where id between ?1 and ?2 order by id desc limit 1",
    )?;
    let range = params![
        batch_row(partition, 0),
        batch_row(partition, OFFSET_END - 1)
    ];
    find.query_row(range, stored).optional()
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        base_offset: row_offset(row.get(0)?),
        last_offset: row.get(1)?,
        max_timestamp: row.get(2)?,
        bytes: row.get(3)?,
    })
}

/// Transactions given up that a reader of `from..upper` meets.
pub(crate) fn read_aborted(
    db: &Connection,
    partition: PartitionId,
    from: i64,
    upper: i64,
) -> rusqlite::Result<Vec<Aborted>> {
    let mut find = db.prepare_cached(
        "select producer_id, first_offset, marker_offset from aborted
         where partition = ?1 and marker_offset >= ?2 and first_offset < ?3 order by marker_offset",
    )?;
    let rows = find.query_map(params![partition.0, from, upper], |row| {
        Ok(Aborted {
            producer_id: row.get(0)?,
            first_offset: row.get(1)?,
            marker_offset: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// Finds the first record at or after `start` with this time (milliseconds since 1970) or a later one: its offset and
/// its timestamp.
pub(crate) fn offset_at(
    db: &Connection,
    segments: &Segments,
    partition: PartitionId,
    start: i64,
    timestamp: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = db.prepare_cached(
        "select bytes, segment, position, length, id from batch where id between ?1 and ?2 and last_offset >= ?3 and max_timestamp >= ?4 order by id",
    )?;
    let mut rows = find.query(params![
        batch_row(partition, 0),
        batch_row(partition, OFFSET_END - 1),
        start,
        timestamp
    ])?;
    // A batch may have its newest record before the start; then the next one is looked at.
    while let Some(row) = rows.next()? {
        let found = first_at_or_after(&sound(db, segments, partition, row)?, timestamp, start);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Finds the first record with the newest timestamp: its offset, and the timestamp.
pub(crate) fn newest_timestamp(
    db: &Connection,
    segments: &Segments,
    partition: PartitionId,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = db.prepare_cached(
        "select bytes, segment, position, length, id, max_timestamp, last_offset from batch where id between ?1 and ?2 order by max_timestamp desc, id limit 1",
    )?;
    let range = params![
        batch_row(partition, 0),
        batch_row(partition, OFFSET_END - 1)
    ];
    find.query_row(range, |row| {
        let (newest, last): (i64, i64) = (row.get(5)?, row.get(6)?);
        let first = first_at_or_after(&sound(db, segments, partition, row)?, newest, 0);
        Ok((first.map_or(last, |found| found.0), newest))
    })
    .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let synchronous = |db: &Connection| -> i64 {
            db.query_row("pragma synchronous", [], |row| row.get(0))
                .unwrap()
        };
        let writer = open_writer(&path).unwrap();
        let copier = |durable| synchronous(&open_copier(&path, durable).unwrap());
        assert_eq!((synchronous(&writer), copier(true)), (2, 2));
        sync_never(&writer).unwrap();
        assert_eq!((synchronous(&writer), copier(false)), (0, 0));
    }

    #[test]
    fn a_file_with_large_pages_is_served_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let page = |db: &Connection| -> u32 {
            db.query_row("pragma page_size", [], |row| row.get(0))
                .unwrap()
        };
        let earlier = Connection::open(&path).unwrap();
        earlier
            .execute_batch(
                "pragma page_size = 16384; pragma auto_vacuum = incremental; create table earlier (n); drop table earlier",
            )
            .unwrap();
        assert_eq!(page(&earlier), 16_384);
        drop(earlier);
        assert_eq!(page(&open_writer(&path).unwrap()), 16_384);
        let fresh = open_writer(&folder.path().join("fresh.db")).unwrap();
        assert_eq!(page(&fresh), PAGE_BYTES);
    }
}

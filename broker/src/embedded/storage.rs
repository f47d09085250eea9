//! The SQLite file: who may open it, how it is laid out, and cold reads beside the writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::batch::first_at_or_after;
use super::error::EmbeddedError;
use super::partition::PartitionId;

/// The layout this version writes.
const LAYOUT: i64 = 1;
/// Bits of a batch's row id that hold its base offset; the partition's id lies above them.
const OFFSET_BITS: u32 = 40;
/// First offset that no partition can reach. At 100,000 records a second that is 127 days of one partition.
pub(crate) const OFFSET_END: i64 = 1 << OFFSET_BITS;
/// Read connections kept open; more are opened under load and closed after.
const READERS_KEPT: usize = 4;

const SCHEMA: &str = "
create table setting (name text primary key, value text not null) strict, without rowid;
create table topic (id integer primary key autoincrement, name text not null unique, uuid text not null) strict;
create table topic_config (topic integer not null, name text not null, value text not null, primary key (topic, name)) strict, without rowid;
create table partition (id integer primary key autoincrement, topic integer not null, position integer not null,
    start integer not null, unique (topic, position)) strict;
create table batch (id integer primary key, last_offset integer not null, max_timestamp integer not null, bytes blob not null) strict;
create table producer (partition integer not null, producer_id integer not null, epoch integer not null, taken blob not null,
    touched_ms integer not null, primary key (partition, producer_id)) strict, without rowid;
create table group_offset (group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, primary key (group_id, topic, position)) strict, without rowid;
create table txn (id text primary key, producer_id integer not null, epoch integer not null, timeout_ms integer not null,
    started_ms integer) strict, without rowid;
create table txn_partition (txn text not null, partition integer not null, first_offset integer, primary key (txn, partition)) strict, without rowid;
create table txn_offset (txn text not null, group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, primary key (txn, group_id, topic, position)) strict, without rowid;
create table aborted (partition integer not null, marker_offset integer not null, producer_id integer not null,
    first_offset integer not null, primary key (partition, marker_offset)) strict, without rowid;
";

/// The row id of a batch.
pub(crate) fn batch_row(partition: PartitionId, offset: i64) -> i64 {
    (partition.0 << OFFSET_BITS) | offset
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
    let failed = |attempted| {
        move |source| EmbeddedError::Storage {
            attempted,
            path: path.to_owned(),
            source,
        }
    };
    let db = Connection::open(path).map_err(failed("open"))?;
    db.busy_timeout(Duration::from_secs(5))
        .map_err(failed("open"))?;
    // FULL: a commit returns when the log is on the disk. A checkpoint every 16 MiB.
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000; pragma cache_size = -16000;
         pragma journal_size_limit = 67108864;",
    )
    .map_err(failed("prepare"))?;
    db.set_prepared_statement_cache_capacity(64);
    let found: i64 = db
        .query_row("pragma user_version", [], |row| row.get(0))
        .map_err(failed("read"))?;
    match found {
        0 => db
            .execute_batch(&format!(
                "begin immediate; {SCHEMA} pragma user_version = {LAYOUT}; commit"
            ))
            .map_err(failed("lay out"))?,
        LAYOUT => {}
        _ => {
            return Err(EmbeddedError::Layout {
                path: path.to_owned(),
                found,
                known: LAYOUT,
            });
        }
    }
    Ok(db)
}

/// Connections for reading what is no longer in memory.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Readers {
        Readers {
            path,
            idle: Mutex::default(),
        }
    }

    /// Runs a read. Sees what is committed when it starts.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let db = match idle {
            Some(db) => db,
            None => self.open()?,
        };
        let result = work(&db);
        if result.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS_KEPT {
                idle.push(db);
            }
        }
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // Not SQLITE_OPEN_READ_ONLY: a reader of a write-ahead log must be able to make its index.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.execute_batch("pragma query_only = on; pragma cache_size = -2000")?;
        Ok(db)
    }
}

/// Reads batches from the one that holds `from` up to `upper`, as long as `take` says yes to a size.
pub(crate) fn read_batches(
    db: &Connection,
    partition: PartitionId,
    from: i64,
    upper: i64,
    mut take: impl FnMut(usize) -> bool,
) -> rusqlite::Result<Vec<Bytes>> {
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
    let mut scan =
        db.prepare_cached("select bytes from batch where id >= ?1 and id < ?2 order by id")?;
    let mut rows = scan.query(params![first, batch_row(partition, upper)])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob()?;
        if !take(bytes.len()) {
            break;
        }
        batches.push(Bytes::copy_from_slice(bytes));
    }
    Ok(batches)
}

/// Finds the first record at or after a time (milliseconds since 1970): its offset and its timestamp.
pub(crate) fn offset_at(
    db: &Connection,
    partition: PartitionId,
    timestamp: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = db.prepare_cached(
        "select bytes from batch where id between ?1 and ?2 and max_timestamp >= ?3 order by id limit 1",
    )?;
    let range = params![
        batch_row(partition, 0),
        batch_row(partition, OFFSET_END - 1),
        timestamp
    ];
    let found = find
        .query_row(range, |row| {
            Ok(first_at_or_after(row.get_ref(0)?.as_blob()?, timestamp))
        })
        .optional()?;
    Ok(found.flatten())
}

/// Finds the newest timestamp: the last offset of the batch that has it, and the timestamp.
pub(crate) fn newest_timestamp(
    db: &Connection,
    partition: PartitionId,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = db.prepare_cached(
        "select bytes, max_timestamp, last_offset from batch where id between ?1 and ?2 order by max_timestamp desc, id limit 1",
    )?;
    let range = params![
        batch_row(partition, 0),
        batch_row(partition, OFFSET_END - 1)
    ];
    find.query_row(range, |row| {
        let (newest, last): (i64, i64) = (row.get(1)?, row.get(2)?);
        let exact =
            first_at_or_after(row.get_ref(0)?.as_blob()?, newest).filter(|found| found.1 == newest);
        Ok((exact.map_or(last, |found| found.0), newest))
    })
    .optional()
}

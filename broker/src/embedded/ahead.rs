//! Batches that are acknowledged and in a segment, and that the SQLite file does not name yet.
//!
//! A commit that only appends waits for one thing, its segment. The SQLite file is told of many such commits at once: when
//! nothing else is to be done, when there are many, and before anything that is more than an append, so that no change
//! ever sees a file that lacks what came before it. Until then these batches are in the tails of their partitions.
//!
//! Whatever ends the process before, the segment has them: frames of such commits are marked, a segment's row says up to
//! where the file names all that is there, and what is marked behind that is brought to the disk and appended again, as it
//! was the first time. A frame of any other commit has no mark: without its rows it never happened. (Redo logging with a fuzzy table behind it, as
//! in ARIES, Mohan and others, 1992; here a redo is an append whose place is known, so that it cannot be made twice.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::params;

use super::batch::{BatchHeader, is_placed_at};
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::partition::{PartitionId, PlacedBatch};
use super::segments::{Spot, unsealed};
use super::storage::{batch_row, row_offset, row_partition};

/// How soon the file is told when nothing else is to be done …
const QUIET: Duration = Duration::from_millis(50);
/// … and when there always is.
const LATEST: Duration = Duration::from_millis(200);
/// Batches that the file may lack; each is a row that some commit has to write.
const ROWS_MAX: usize = 512;
/// Bytes of them, which are in memory and are read again at a start.
const BYTES_MAX: usize = 8 << 20;

/// What the file lacks.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: Vec<Row>,
    bytes: usize,
    since: Option<Instant>,
}

#[derive(Debug)]
struct Row {
    id: i64,
    last_offset: i64,
    max_timestamp: i64,
    spot: Spot,
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether so many bytes more may wait.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let is_late = self.since.is_some_and(|since| since.elapsed() >= LATEST);
        !is_late && self.rows.len() < ROWS_MAX && self.bytes + bytes <= BYTES_MAX
    }

    /// When the file is to be told, if nothing else is to be done.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + QUIET)
    }

    /// Notes a batch that is in a segment.
    pub(crate) fn note(&mut self, row: i64, last_offset: i64, header: &BatchHeader, spot: Spot) {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += usize::try_from(spot.length).unwrap_or(0);
        self.rows.push(Row {
            id: row,
            last_offset,
            max_timestamp: header.max_timestamp,
            spot,
        });
    }
}

impl Ledger {
    /// Tells the file, within the open SQL transaction.
    pub(crate) fn index_ahead(&mut self) -> rusqlite::Result<()> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        let mut insert = self.db.prepare_cached(
            "insert into batch (id, last_offset, max_timestamp, bytes, segment, position, length)
             values (?1, ?2, ?3, x'', ?4, ?5, ?6)",
        )?;
        let mut lives: BTreeMap<i64, i64> = BTreeMap::new();
        let mut partitions = BTreeSet::new();
        for row in &self.ahead.rows {
            let Spot {
                segment,
                position,
                length,
            } = row.spot;
            insert.execute(params![
                row.id,
                row.last_offset,
                row.max_timestamp,
                segment,
                position,
                length
            ])?;
            *lives.entry(segment).or_default() += length;
            partitions.insert(row_partition(row.id));
        }
        let mut count = self
            .db
            .prepare_cached("update segment set live = live + ?2 where id = ?1")?;
        for (segment, live) in lives {
            count.execute([segment, live])?;
        }
        // They are shown once more, as what the file has; their producers are saved with it.
        self.changed.append(&mut partitions);
        reach(Point::Indexed)
    }

    /// Appends again what segments have and the file lacks.
    pub(crate) fn replay(&mut self) -> rusqlite::Result<()> {
        self.ahead = Ahead::default();
        for (segment, begin) in unsealed(&self.db)? {
            let limit = self.appender.settled(segment);
            if limit.is_none() {
                // Of what a process before wrote, nobody knows whether the disk has it. What is taken here is acknowledged to whoever
                // asks for it once more, and named by the next commit.
                self.appender.segments.bring_to_disk(segment, begin)?;
                self.appender.segments.give_room_back(segment);
            }
            let end = self.replay_segment(segment, begin, limit)?;
            self.appender.leave(segment, end);
            reach(Point::Replayed)?;
        }
        Ok(())
    }

    /// Returns where what is whole and marked ends.
    fn replay_segment(
        &mut self,
        segment: i64,
        begin: u64,
        limit: Option<u64>,
    ) -> rusqlite::Result<u64> {
        let segments = Arc::clone(&self.appender.segments);
        let (mut at, mut strangers) = (begin, 0_u64);
        while let Some((row, spot, bytes)) = segments.marked_at(segment, at, limit)? {
            // Partitions do not depend on each other.
            strangers += u64::from(!self.append_again(row, spot, bytes)?);
            at = u64::try_from(spot.position + spot.length).unwrap_or(u64::MAX);
        }
        if strangers > 0 {
            tracing::error!(
                file = %segments.path(segment).display(),
                batches = strangers,
                "embedded broker: a file of records has batches that do not follow those of their partitions; they are not taken"
            );
        }
        if limit.is_none() && segments.is_marked(segment, at)? {
            // What was being written when the process ended looks like this. What the disk has lost does so too.
            tracing::warn!(
                file = %segments.path(segment).display(),
                position = at,
                "embedded broker: the end of a file of records is not whole, and is not taken: it was not acknowledged, or the disk has lost it"
            );
        }
        Ok(at)
    }

    /// Returns whether it was the next batch of its partition.
    fn append_again(&mut self, row: i64, spot: Spot, bytes: Bytes) -> rusqlite::Result<bool> {
        let (id, offset) = (row_partition(row), row_offset(row));
        let header = BatchHeader::read(&bytes);
        let is_next = self.logs.get(&id).is_some_and(|log| log.next == offset);
        if !is_next || !is_placed_at(&bytes, offset) || header.is_transactional() {
            return Ok(false);
        }
        self.note_ahead(id, &header, bytes, spot);
        if header.producer_id >= 0 {
            self.remember(id, &header, offset)?;
        }
        Ok(true)
    }

    /// Takes a batch at the end of its partition, as one that the file lacks. Returns it.
    pub(crate) fn note_ahead(
        &mut self,
        id: PartitionId,
        header: &BatchHeader,
        bytes: Bytes,
        spot: Spot,
    ) -> PlacedBatch {
        let log = self.log(id);
        let base_offset = log.next;
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        log.next = last_offset + 1;
        let placed = PlacedBatch {
            base_offset,
            last_offset,
            bytes,
        };
        log.ahead.push(placed.clone());
        let row = batch_row(id, base_offset);
        self.ahead.note(row, last_offset, header, spot);
        placed
    }
}

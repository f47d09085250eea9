//! The writer's hand on the segments: where batches go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSlice, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use super::failpoint::{Point, reach};
use super::segment_file::{FRAME_BYTES, framed, give_room_back, set_room_aside};
use super::segments::{SEALED, Segments, Spot};
use super::vectored::write_pieces_to;

/// Bytes set aside for a segment, at most.
const ROOM_BYTES_MAX: u64 = 16 << 20;
/// Bytes gathered for one write.
const WRITE_BYTES: usize = 1 << 20;
/// Batches gathered for one write: each is two pieces, of which Linux takes 1,024.
const WRITE_BATCHES: usize = 512;

/// What goes to segments, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spill {
    /// A commit with fewer bytes of records keeps them in the SQLite file, unless it does nothing but append; from
    /// `segment_bytes` on, it does so too.
    pub(crate) inline_bytes_max: usize,
    /// A segment that has so many gets no more.
    pub(crate) segment_bytes: u64,
    /// Whether a commit waits until the disk has them.
    pub(crate) durable: bool,
}

impl Spill {
    /// Whether appends are to go to segments.
    pub(crate) fn is_wanted(&self) -> bool {
        (self.inline_bytes_max as u64) < self.segment_bytes
    }
}

impl Default for Spill {
    fn default() -> Spill {
        Spill {
            inline_bytes_max: 64 << 10,
            segment_bytes: 16 << 20,
            durable: true,
        }
    }
}

/// Appends batches to the active segment.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) segments: Arc<Segments>,
    pub(crate) spill: Spill,
    active: Option<Active>,
    /// Whether the batches of this commit go to a segment.
    spills: bool,
    /// Whether it waits for the segment alone.
    marks: bool,
    /// Segments that get no more, which the file does not know yet, and up to where the disk has them.
    left: BTreeMap<i64, u64>,
    /// Whether the file has to be told before a commit may wait for its segment alone: one that failed may be in the segment,
    /// or may come back.
    in_doubt: bool,
    gathered: Vec<([u8; FRAME_BYTES], Bytes)>,
    gathered_bytes: usize,
}

#[derive(Debug)]
struct Active {
    id: i64,
    file: File,
    /// Where the next byte goes, what is gathered included.
    end: u64,
    /// What a commit may name: the disk has it.
    settled: u64,
    /// Bytes of batches of this commit that the file is to count.
    fresh: i64,
    /// Whether the file names it.
    is_named: bool,
    /// Up to where the file was told that it knows all.
    indexed: u64,
}

impl Appender {
    pub(crate) fn new(segments: Arc<Segments>, spill: Spill) -> Appender {
        Appender {
            segments,
            spill,
            active: None,
            spills: false,
            marks: false,
            left: BTreeMap::new(),
            in_doubt: false,
            gathered: Vec::new(),
            gathered_bytes: 0,
        }
    }

    /// Whether a commit can wait for its segment alone.
    pub(crate) fn is_ready(&self) -> bool {
        let is_open = |active: &Active| active.is_named && active.end < self.spill.segment_bytes;
        !self.in_doubt && self.active.as_ref().is_some_and(is_open)
    }

    /// Whether this commit waits for its segment alone.
    pub(crate) fn marks(&self) -> bool {
        self.marks
    }

    /// Begins a commit that waits for its segment alone.
    pub(crate) fn begin_marked(&mut self) {
        (self.spills, self.marks) = (true, true);
    }

    /// Begins a commit of the file, whose batches go to a segment or not. Returns whether a segment was closed.
    pub(crate) fn begin(&mut self, spills: bool) -> bool {
        (self.spills, self.marks) = (spills, false);
        let is_full = |active: &mut Active| active.end >= self.spill.segment_bytes;
        let closed = self.active.take_if(is_full);
        if let Some(closed) = &closed {
            self.leave(closed.id, closed.settled);
            self.segments.close();
        }
        closed.is_some()
    }

    /// Takes no more into the active segment: the next commit tells the file so. Returns whether the file has anything to be told.
    pub(crate) fn finish(&mut self) -> bool {
        if let Some(active) = self.active.take() {
            give_room_back(&active.file);
            self.leave(active.id, active.settled);
            self.segments.close();
        }
        !self.left.is_empty()
    }

    /// Up to where the disk has a segment that was appended to since the start.
    pub(crate) fn settled(&self, id: i64) -> Option<u64> {
        match &self.active {
            Some(active) if active.id == id => Some(active.settled),
            Some(_) | None => self.left.get(&id).copied(),
        }
    }

    /// Notes a segment that gets no more, unless it is the one that does.
    pub(crate) fn leave(&mut self, id: i64, end: u64) {
        if self.active.as_ref().is_none_or(|active| active.id != id) {
            self.left.entry(id).or_insert(end);
            self.segments.leave(id);
        }
    }

    /// Tells the file which segments get no more.
    pub(crate) fn seal(&self, db: &Connection) -> rusqlite::Result<()> {
        for id in self.left.keys() {
            db.prepare_cached("update segment set indexed = ?2 where id = ?1")?
                .execute([*id, SEALED])?;
        }
        Ok(())
    }

    /// Notes that the file has been told.
    pub(crate) fn landed(&mut self) {
        self.left.clear();
        self.segments.landed();
        self.in_doubt = false;
        if let Some(active) = &mut self.active {
            if !active.is_named && self.spill.durable {
                // Not before: room behind what no commit names would be given back by nobody.
                set_room_aside(&active.file, self.spill.segment_bytes.min(ROOM_BYTES_MAX));
            }
            active.is_named = true;
            active.indexed = active.end;
        }
    }

    /// Takes a batch into a segment. `None`: it is to stay in the SQLite file.
    pub(crate) fn take(
        &mut self,
        db: &Connection,
        row: i64,
        bytes: &Bytes,
    ) -> rusqlite::Result<Option<Spot>> {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return Ok(None);
        };
        if !self.spills {
            return Ok(None);
        }
        if self.active.is_none() {
            self.active = Some(self.make(db)?);
        }
        let Some(active) = &mut self.active else {
            return Ok(None);
        };
        let position = active.end + FRAME_BYTES as u64;
        active.end = position + u64::from(length);
        if !self.marks {
            active.fresh += i64::from(length);
        }
        let spot = Spot {
            segment: active.id,
            position: i64::try_from(position).unwrap_or(i64::MAX),
            length: length.into(),
        };
        self.gathered
            .push((framed(row, length, self.marks), Bytes::clone(bytes)));
        self.gathered_bytes += bytes.len();
        if self.gathered_bytes >= WRITE_BYTES || self.gathered.len() >= WRITE_BATCHES {
            self.flush()?;
        }
        Ok(Some(spot))
    }

    fn make(&self, db: &Connection) -> rusqlite::Result<Active> {
        let (id, file) = self.segments.make(db, self.spill.durable)?;
        db.prepare_cached("insert into segment (id, live, indexed) values (?1, 0, 0)")?
            .execute([id])?;
        reach(Point::SegmentMade)?;
        Ok(Active {
            id,
            file,
            end: 0,
            settled: 0,
            fresh: 0,
            is_named: false,
            indexed: 0,
        })
    }

    /// Writes what is gathered, from where it lies.
    fn flush(&mut self) -> rusqlite::Result<()> {
        let gathered = self.gathered.iter();
        let pieces = gathered.flat_map(|(frame, batch)| [&frame[..], batch]);
        let mut pieces: Vec<IoSlice<'_>> = pieces.map(IoSlice::new).collect();
        if let Some(active) = &self.active {
            write_pieces_to(&active.file, &mut pieces)
                .map_err(|error| self.segments.failed(active.id, &error))?;
        }
        self.forget_gathered();
        Ok(())
    }

    fn forget_gathered(&mut self) {
        self.gathered.clear();
        self.gathered_bytes = 0;
    }

    /// Counts what was taken, and tells the file that it knows all of it.
    pub(crate) fn count(&self, db: &Connection) -> rusqlite::Result<()> {
        let is_behind = |active: &&Active| active.end > active.indexed;
        if let Some(active) = self.active.as_ref().filter(is_behind) {
            let end = i64::try_from(active.end).unwrap_or(i64::MAX);
            db.prepare_cached("update segment set live = live + ?2, indexed = ?3 where id = ?1")?
                .execute([active.id, active.fresh, end])?;
        }
        Ok(())
    }

    /// Brings everything that was taken to the disk: it may be committed then.
    pub(crate) fn settle(&mut self) -> rusqlite::Result<()> {
        let has_all = |active: &Active| active.end == active.settled;
        if self.active.as_ref().is_none_or(has_all) {
            return Ok(());
        }
        self.flush()?;
        reach(Point::SegmentWritten)?;
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        if self.spill.durable {
            let synced = active.file.sync_data();
            synced.map_err(|error| self.segments.failed(active.id, &error))?;
        }
        active.fresh = 0;
        active.settled = active.end;
        self.segments.note(active.id, active.end);
        reach(Point::SegmentSynced)
    }

    /// Gives up what no commit names: the transaction was rolled back, or may have landed. What comes next goes behind
    /// what may be named.
    pub(crate) fn abandon(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.forget_gathered();
        self.in_doubt = true;
        if let Some(active) = &mut self.active {
            let find = "select exists (select 1 from segment where id = ?1)";
            let is_named = db.query_row(find, [active.id], |row| row.get(0))?;
            let (settled, durable) = (active.settled, self.spill.durable);
            let cut = || {
                active.file.set_len(settled)?;
                // What was refused must not be there again after the next start.
                if durable {
                    active.file.sync_all()?;
                }
                (&active.file).seek(SeekFrom::Start(settled))
            };
            // The room behind it goes too: the disk may be full.
            if is_named && (cut().is_ok() || active.end == settled) {
                (active.end, active.fresh, active.indexed) = (settled, 0, 0);
                self.segments.note(active.id, settled);
            } else {
                // A commit that failed after it was written may come back with the next start: what it may name stays.
                if settled == 0 {
                    self.segments.condemn([active.id]);
                }
                let id = active.id;
                self.active = None;
                self.segments.close();
                self.leave(id, settled);
            }
        }
        self.segments.condemn_unnamed(db)
    }

    /// Notes segments that the commit has given up.
    pub(crate) fn free(&mut self, ids: Vec<i64>) {
        let is_freed = |active: &mut Active| ids.contains(&active.id);
        if self.active.take_if(is_freed).is_some() {
            self.segments.close();
        }
        self.segments.condemn(ids);
    }
}

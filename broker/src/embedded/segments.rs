//! Files of batches beside the SQLite file: records go there, and the SQLite file keeps where they are.
//!
//! SQLite writes each byte twice, into its log and then into its file. So batches are appended to a file of their own, which
//! reaches the disk before the commit that names them. Small commits of anything but appends stay in SQLite, with one wait
//! for the disk instead of two. (WiscKey, FAST '16, keeps large values out of the sorted file in the same way.)
//!
//! A segment is a row of frames: the batch's row id (8 bytes), its length (4 bytes), both big-endian, and the batch. The
//! frames tell whoever cleans which batches a segment had; readers go by the SQLite file alone. A frame whose commit waited
//! for nothing but the segment has a mark (see `ahead`). What lies behind a frame that is cut off was never
//! committed. A segment of which nothing is left is deleted by the cleaner, once nobody looks for anything in it; who was lent a
//! batch of it reads on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::batch::is_sound;
use super::failpoint::{Point, pass};
use super::lent::{Lent, SEND_BYTES_MIN};
use super::open_files::OpenFiles;
use super::ranges::Ranges;
use super::segment_file::{
    FRAME_BYTES, give_room_back, is_frame_of, read_at, refusal, sync_folder, unframed,
};

/// What a segment's row has as `indexed` when the segment gets no more.
pub(crate) const SEALED: i64 = i64::MAX;

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) segment: i64,
    /// Of the batch's first byte, behind its frame.
    pub(crate) position: i64,
    pub(crate) length: i64,
}

impl Spot {
    /// Where it is in its file, with its frame.
    pub(crate) fn frame(&self) -> Option<Range<u64>> {
        let position = u64::try_from(self.position).ok()?;
        let length = u64::try_from(self.length).ok()?;
        Some(position.checked_sub(FRAME_BYTES as u64)?..position.checked_add(length)?)
    }
}

/// The segments of one broker, as everybody shares them.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    /// What the names of this broker's segments begin with. Another broker's file may once have stood in this place.
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The highest number that was ever given out, as far as it is known.
    newest: i64,
    /// Whether the disk has the folder's name.
    is_lasting: bool,
    /// Bytes of every segment there is.
    sizes: BTreeMap<i64, u64>,
    open: OpenFiles,
    /// What is known to be as it was written: this process wrote it, or has checked it.
    checked: HashMap<i64, Ranges>,
    /// Batches that could not be read when their answer was on its way already.
    doubted: BTreeSet<(i64, i64)>,
    /// The one that is appended to.
    active: Option<i64>,
    /// Those that are not any more, and of which the file does not know all yet.
    leaving: BTreeSet<i64>,
    /// Reads that go on, by the order in which they began.
    reads: BTreeSet<u64>,
    next_read: u64,
    /// Segments that no commit names any more, and the first read that knows.
    condemned: Vec<(u64, i64)>,
}

/// A read that goes on. What it may come by is there until it ends.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    segments: &'a Segments,
    number: u64,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.segments.state().reads.remove(&self.number);
    }
}

impl Segments {
    /// Finds the segments of a broker's file, and deletes those that it does not name any more.
    pub(crate) fn open(file: &Path, db: &Connection) -> rusqlite::Result<Segments> {
        let mut folder = file.as_os_str().to_owned();
        folder.push("-records");
        let find = "select value from setting where name = 'segment_prefix'";
        let prefix = match db.query_row(find, [], |row| row.get(0)).optional()? {
            Some(prefix) => prefix,
            None => {
                let made = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
                db.execute(
                    "insert into setting (name, value) values ('segment_prefix', ?1)",
                    [&made],
                )?;
                made
            }
        };
        let segments = Segments {
            folder: folder.into(),
            prefix,
            state: Mutex::default(),
        };
        segments.list(db)?;
        Ok(segments)
    }

    fn list(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut find = db.prepare("select id, live from segment")?;
        let named: BTreeMap<i64, i64> = find
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let found = match fs::read_dir(&self.folder) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(refusal(&error, &self.folder)),
        };
        let given_out = given_out(db)?;
        let mut state = self.state();
        for entry in found.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| self.id_of(name));
            let (Some(id), Ok(about)) = (id, entry.metadata()) else {
                continue;
            };
            state.newest = state.newest.max(id);
            // Numbers that were not given out may be of a later state, of which this file is an earlier copy: those are left
            // alone until they are used up.
            if id <= given_out && !named.contains_key(&id) {
                if let Err(error) = fs::remove_file(entry.path()) {
                    tracing::warn!(%error, file = %entry.path().display(), "embedded broker: a file of records that is done with cannot be deleted");
                }
                continue;
            }
            state.sizes.insert(id, about.len());
        }
        for (id, _) in named.into_iter().filter(|(_, live)| *live > 0) {
            if state.sizes.contains_key(&id) {
                continue;
            }
            tracing::error!(
                file = %self.path(id).display(),
                "embedded broker: a file of records is missing: stop the broker and put it back; until then, whoever reads these records is told that they are damaged"
            );
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a segment.
    pub(crate) fn path(&self, id: i64) -> PathBuf {
        self.folder.join(format!("{}-{id:010}", self.prefix))
    }

    fn id_of(&self, name: &str) -> Option<i64> {
        let (prefix, number) = name.split_once('-')?;
        (prefix == self.prefix).then(|| number.parse().ok())?
    }

    /// The folder, when records are in it that the file names, and it is not there; or a segment that may have records that
    /// the file does not name, and is not there as far as the file knows it. `durable`: the disk had a segment before the file knew it.
    pub(crate) fn missing(
        &self,
        db: &Connection,
        durable: bool,
    ) -> rusqlite::Result<Option<PathBuf>> {
        let any = "select exists (select 1 from segment where live > 0)";
        let named: bool = db.query_row(any, [], |row| row.get(0))?;
        if named && !self.folder.exists() {
            return Ok(Some(self.folder.clone()));
        }
        if !durable {
            return Ok(None);
        }
        let state = self.state();
        let is_short =
            |&(id, indexed): &(i64, u64)| state.sizes.get(&id).is_none_or(|size| *size < indexed);
        let found = unsealed(db)?.into_iter().find(is_short);
        Ok(found.map(|(id, _)| self.path(id)))
    }

    /// Bytes of all segments together.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().sizes.values().sum()
    }

    /// Bytes of every segment that is not appended to any more.
    pub(crate) fn closed(&self) -> BTreeMap<i64, u64> {
        let state = self.state();
        let mut closed = state.sizes.clone();
        closed.retain(|id, _| state.active != Some(*id) && !state.leaving.contains(id));
        closed
    }

    /// Begins a read: no segment goes away until it ends. It must begin before the SQLite file is looked at.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let mut state = self.state();
        let number = state.next_read;
        state.next_read += 1;
        state.reads.insert(number);
        Reading {
            segments: self,
            number,
        }
    }

    /// Reads the batch of a row.
    pub(crate) fn read(&self, row: i64, spot: Spot) -> rusqlite::Result<Bytes> {
        let (file, size, _) = self.file(spot.segment)?;
        let failed = |error: io::Error| refusal(&error, &self.path(spot.segment));
        let cut_off = || failed(io::ErrorKind::UnexpectedEof.into());
        let frame = spot.frame().filter(|frame| frame.end <= size);
        let length = u32::try_from(spot.length).ok();
        let (Some(frame), Some(length)) = (frame, length) else {
            return Err(cut_off());
        };
        let whole = usize::try_from(frame.end - frame.start).map_err(|_| cut_off())?;
        let mut bytes = vec![0; whole];
        read_at(&file, &mut bytes, frame.start).map_err(failed)?;
        let mut bytes = Bytes::from(bytes);
        let frame = bytes.split_to(FRAME_BYTES);
        // Another batch may be there when the file and its folder are not of the same state.
        if !is_frame_of(&frame, row, length) {
            return Err(failed(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "another batch is in its place",
            )));
        }
        Ok(bytes)
    }

    /// The batches that a segment was given, with their row ids.
    pub(crate) fn frames(&self, id: i64) -> rusqlite::Result<Vec<(i64, Spot)>> {
        let (file, ..) = self.file(id)?;
        let failed = |error: io::Error| refusal(&error, &self.path(id));
        let ends = file.metadata().map_err(failed)?.len();
        let (mut frames, mut at) = (Vec::new(), 0);
        while at + (FRAME_BYTES as u64) <= ends {
            let mut frame = [0; FRAME_BYTES];
            read_at(&file, &mut frame, at).map_err(failed)?;
            let (row, length, _) = unframed(frame);
            let position = at + FRAME_BYTES as u64;
            at = position + u64::from(length);
            // No batch is empty: what was never written may be zeros.
            if at > ends || length == 0 {
                break;
            }
            let spot = Spot {
                segment: id,
                position: i64::try_from(position).unwrap_or(i64::MAX),
                length: length.into(),
            };
            frames.push((row, spot));
        }
        Ok(frames)
    }

    /// Has the disk take what a segment has behind `from`, if there is anything.
    pub(crate) fn bring_to_disk(&self, id: i64, from: u64) -> rusqlite::Result<()> {
        if self.state().sizes.get(&id).is_none_or(|size| *size <= from) {
            return Ok(());
        }
        let path = self.path(id);
        let options = OpenOptions::new().read(true).write(cfg!(windows)).clone();
        let synced = options.open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| refusal(&error, &path))
    }

    /// Gives back the room that a process before has set aside in a segment and not used.
    pub(crate) fn give_room_back(&self, id: i64) {
        if let Ok(file) = OpenOptions::new().write(true).open(self.path(id)) {
            give_room_back(&file);
        }
    }

    /// Whether a marked frame begins at `at`, whole or not.
    pub(crate) fn is_marked(&self, id: i64, at: u64) -> rusqlite::Result<bool> {
        let size = self.state().sizes.get(&id).copied().unwrap_or(0);
        if at.saturating_add(FRAME_BYTES as u64) > size {
            return Ok(false);
        }
        let (file, ..) = self.file(id)?;
        let mut frame = [0; FRAME_BYTES];
        read_at(&file, &mut frame, at).map_err(|error| refusal(&error, &self.path(id)))?;
        Ok(unframed(frame).2)
    }

    /// The batch of the frame that begins at `at`, with its row id, if the frame is marked and its batch is as it was written;
    /// nothing from `limit` on is looked at.
    pub(crate) fn marked_at(
        &self,
        id: i64,
        at: u64,
        limit: Option<u64>,
    ) -> rusqlite::Result<Option<(i64, Spot, Bytes)>> {
        if !self.state().sizes.contains_key(&id) {
            // It is missing, as was said at the start.
            return Ok(None);
        }
        let (file, size, _) = self.file(id)?;
        let failed = |error: io::Error| refusal(&error, &self.path(id));
        let ends = size.min(limit.unwrap_or(u64::MAX));
        let position = at.saturating_add(FRAME_BYTES as u64);
        if position > ends {
            return Ok(None);
        }
        let mut frame = [0; FRAME_BYTES];
        read_at(&file, &mut frame, at).map_err(failed)?;
        let (row, length, is_marked) = unframed(frame);
        if !is_marked || length == 0 || u64::from(length) > ends - position {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        read_at(&file, &mut bytes, position).map_err(failed)?;
        let spot = Spot {
            segment: id,
            position: i64::try_from(position).unwrap_or(i64::MAX),
            length: length.into(),
        };
        Ok(is_sound(&bytes).then(|| (row, spot, Bytes::from(bytes))))
    }

    /// Where the batch of a row can be read later, if nothing is known against it and there is room for its file among those
    /// that are open. Whoever has it may read on when the segment is deleted.
    pub(crate) fn lend(&self, row: i64, spot: Spot, end_offset: i64) -> Option<Lent> {
        let frame = spot.frame()?;
        let is_checked = {
            let mut state = self.state();
            if state.doubted.contains(&(spot.segment, spot.position))
                || !state.open.has_room_for(spot.segment)
            {
                return None;
            }
            let checked = state.checked.get(&spot.segment);
            checked.is_some_and(|checked| checked.holds(&frame))
        };
        let (file, size, is_kept) = self.file(spot.segment).ok()?;
        (is_kept && frame.end <= size).then_some(Lent {
            file,
            row,
            spot,
            end_offset,
            is_checked,
        })
    }

    /// Notes that the batches there are as they were written: they are not checked again as long as this process runs. Small ones
    /// that lie by themselves are forgotten at once; to note them would take more than it saves.
    pub(crate) fn trust(&self, spots: impl Iterator<Item = Spot>) {
        let mut fresh: BTreeMap<i64, Ranges> = BTreeMap::new();
        for spot in spots {
            if let Some(frame) = spot.frame() {
                fresh.entry(spot.segment).or_default().insert(frame);
            }
        }
        let mut state = self.state();
        for (segment, ranges) in fresh {
            if !state.sizes.contains_key(&segment) {
                continue;
            }
            let checked = state.checked.entry(segment).or_default();
            for range in ranges.iter() {
                if range.end - range.start >= SEND_BYTES_MIN as u64 || checked.touches(&range) {
                    checked.insert(range);
                }
            }
        }
    }

    /// Notes that batches could not be given out. From now on they are read before an answer with them is begun, so that their
    /// readers are told what is wrong.
    pub(crate) fn doubt(&self, spots: impl Iterator<Item = Spot>) {
        let mut state = self.state();
        for spot in spots {
            if state.sizes.contains_key(&spot.segment) {
                state.doubted.insert((spot.segment, spot.position));
            }
        }
    }

    /// A segment, how long it is, and whether its file stays open for the next reader.
    fn file(&self, id: i64) -> rusqlite::Result<(Arc<File>, u64, bool)> {
        let failed = |error: io::Error| refusal(&error, &self.path(id));
        let size = {
            let mut state = self.state();
            let Some(&size) = state.sizes.get(&id) else {
                return Err(failed(io::ErrorKind::NotFound.into()));
            };
            if let Some((file, is_kept)) = state.open.find(id) {
                return Ok((file, size, is_kept));
            }
            size
        };
        let file = Arc::new(File::open(self.path(id)).map_err(failed)?);
        let mut state = self.state();
        if let Some((file, is_kept)) = state.open.find(id) {
            // Somebody else was quicker.
            return Ok((file, size, is_kept));
        }
        // It may have just been deleted.
        let is_kept = state.sizes.contains_key(&id) && state.open.keep(id, &file);
        Ok((file, size, is_kept))
    }

    /// Makes the next segment, with a number that was never given out.
    pub(super) fn make(&self, db: &Connection, durable: bool) -> rusqlite::Result<(i64, File)> {
        let (id, is_lasting) = {
            let given_out = given_out(db)?;
            let mut state = self.state();
            // Whatever comes of it, nobody tries this number again.
            state.newest = state.newest.max(given_out) + 1;
            (state.newest, state.is_lasting)
        };
        let path = self.path(id);
        let make = || {
            if !self.folder.exists() {
                fs::create_dir(&self.folder)?;
            }
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            if durable {
                sync_folder(&self.folder)?;
            }
            if let Some(parent) = self.folder.parent().filter(|_| durable && !is_lasting) {
                sync_folder(parent)?;
            }
            Ok(file)
        };
        let file = make().map_err(|error| {
            // If it cannot be deleted either, it is empty.
            let _ = fs::remove_file(&path);
            refusal(&error, &path)
        })?;
        let mut state = self.state();
        state.is_lasting = true;
        state.sizes.insert(id, 0);
        state.active = Some(id);
        Ok((id, file))
    }

    pub(super) fn failed(&self, id: i64, error: &io::Error) -> rusqlite::Error {
        refusal(error, &self.path(id))
    }

    /// Notes how long the active segment has become.
    pub(super) fn note(&self, id: i64, bytes: u64) {
        let mut state = self.state();
        state.sizes.insert(id, bytes);
        // Nobody else writes to it.
        state.checked.entry(id).or_default().insert(0..bytes);
    }

    /// Notes that no segment is appended to.
    pub(super) fn close(&self) {
        self.state().active = None;
    }

    /// Notes that a segment gets no more, and that the file does not know all of it.
    pub(super) fn leave(&self, id: i64) {
        self.state().leaving.insert(id);
    }

    /// Notes that the file knows all of every segment that gets no more.
    pub(super) fn landed(&self) {
        self.state().leaving.clear();
    }

    /// Notes segments that no commit names any more.
    pub(super) fn condemn(&self, ids: impl IntoIterator<Item = i64>) {
        let mut state = self.state();
        let from = state.next_read;
        state.condemned.extend(ids.into_iter().map(|id| (from, id)));
    }

    /// Condemns what the file does not name, after a commit of which nobody knew whether it had landed.
    pub(super) fn condemn_unnamed(&self, db: &Connection) -> rusqlite::Result<()> {
        let given_out = given_out(db)?;
        let mut find = db.prepare("select id from segment")?;
        let named = find.query_map([], |row| row.get(0))?;
        let named: BTreeSet<i64> = named.collect::<Result<_, _>>()?;
        let state = self.state();
        let condemned: BTreeSet<i64> = state.condemned.iter().map(|(_, id)| *id).collect();
        let unnamed = state.sizes.range(..=given_out).map(|(id, _)| *id);
        let unnamed = unnamed.filter(|id| !named.contains(id) && !condemned.contains(id));
        let unnamed: Vec<i64> = unnamed.collect();
        drop(state);
        self.condemn(unnamed);
        Ok(())
    }

    /// Deletes the condemned that no read can come by any more. Returns whether others are left.
    pub(crate) fn delete_condemned(&self) -> bool {
        let mut state = self.state();
        let oldest = state.reads.first().copied().unwrap_or(u64::MAX);
        let condemned = std::mem::take(&mut state.condemned);
        let (free, left): (Vec<_>, Vec<_>) =
            condemned.into_iter().partition(|(from, _)| *from <= oldest);
        for (_, id) in &free {
            state.open.forget(*id);
            state.sizes.remove(id);
            state.checked.remove(id);
            state.doubted.retain(|(segment, _)| segment != id);
        }
        let is_left = !left.is_empty();
        state.condemned = left;
        drop(state);
        if !free.is_empty() {
            pass(Point::SegmentFreed);
        }
        for (_, id) in free {
            let path = self.path(id);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %path.display(), "embedded broker: a file of records that is done with cannot be deleted; the next start tries again");
            }
        }
        is_left
    }
}

/// The segments that may have what the file does not name, and up to where it names all that they have.
pub(super) fn unsealed(db: &Connection) -> rusqlite::Result<Vec<(i64, u64)>> {
    let mut find =
        db.prepare_cached("select id, indexed from segment where indexed < ?1 order by id")?;
    let found = find.query_map([SEALED], |row| {
        let indexed: i64 = row.get(1)?;
        Ok((row.get(0)?, u64::try_from(indexed).unwrap_or(0)))
    })?;
    found.collect()
}

/// The highest number that a commit has given out.
fn given_out(db: &Connection) -> rusqlite::Result<i64> {
    let find = "select seq from sqlite_sequence where name = 'segment'";
    let found = db.query_row(find, [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

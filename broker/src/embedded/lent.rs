//! Answers with batches that leave straight from their files.
//!
//! What is known to be as it was written is handed to the system, which sends it without anybody reading it. The rest is read
//! bit by bit into a small window, checked there, and written while what comes next is still on the disk.
//!
//! An answer says how long it is before it says anything else. So a batch that turns out to be damaged, or not to be read, while
//! its answer is on its way ends the connection; it is noted, and whoever asks again is told what is wrong with it.

use std::fs::File;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Sounding, is_placed_at, is_sound};
use super::error::RequestError;
use super::failpoint::{Point, reach};
use super::segment_file::{FRAME_BYTES, is_frame_of, read_at};
use super::segments::{Segments, Spot};
use super::storage::row_offset;

/// Bytes that are read from a file at once: little enough to be in the processor's cache still when they are written.
const WINDOW_BYTES: usize = 256 << 10;
/// A batch of fewer bytes is read, with its neighbours, though it is known: that costs less than a call of the system for each.
pub(crate) const SEND_BYTES_MIN: usize = 16 << 10;
/// What a piece takes itself, in the answer and in what it is made of.
const PIECE_COST: usize = 2 * size_of::<Piece>();
/// Bytes of others between two batches that are read with them, which costs less than another read.
const GAP_BYTES_MAX: usize = 4 << 10;

/// A batch that is still in its file. It can be read as long as this lives, whatever happens to the file's name.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    pub(crate) file: Arc<File>,
    pub(crate) row: i64,
    pub(crate) spot: Spot,
    /// The offset after the batch's last one.
    pub(crate) end_offset: i64,
    /// Whether it is known to be as it was written.
    pub(crate) is_checked: bool,
}

/// Where an answer goes.
pub(crate) trait Sink {
    /// Writes all of it. `more`: the rest of the answer follows at once.
    fn write(&self, slices: &mut [IoSlice<'_>], more: bool) -> Result<(), RequestError>;
    /// Sends a file's bytes from `from` to `to` without reading them. Returns how far it came: less than `to` where the system
    /// cannot go on, for whatever reason.
    fn send(&self, file: &File, from: u64, to: u64) -> Result<u64, RequestError>;
}

/// Some of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Memory(Bytes),
    Lent(Lent),
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::Memory(bytes) => bytes.len(),
            Piece::Lent(batch) => batch.len(),
        }
    }
}

impl Lent {
    fn len(&self) -> usize {
        usize::try_from(self.spot.length).unwrap_or(0)
    }

    /// Where its frame begins.
    fn begins(&self) -> u64 {
        self.spot.frame().map_or(0, |frame| frame.start)
    }

    fn ends(&self) -> u64 {
        self.spot.frame().map_or(0, |frame| frame.end)
    }

    /// Whether it is sent without being read, where the system can.
    fn is_sent(&self) -> bool {
        self.is_checked && self.len() >= SEND_BYTES_MIN
    }

    fn read(&self, bytes: &mut [u8], from: u64) -> Result<(), String> {
        reach(Point::LentRead).map_err(|error| error.to_string())?;
        read_at(&self.file, bytes, from).map_err(|error| error.to_string())
    }

    /// Whether its frame and its header begin like this.
    fn begins_with(&self, bytes: &[u8]) -> bool {
        let length = u32::try_from(self.spot.length).unwrap_or(0);
        let (frame, batch) = bytes.split_at(FRAME_BYTES.min(bytes.len()));
        is_frame_of(frame, self.row, length) && is_placed_at(batch, row_offset(self.row))
    }
}

/// Bytes of memory that an answer with these takes while it is sent.
pub(crate) fn bytes_held(pieces: &[&[Piece]]) -> usize {
    let all = pieces.iter().copied().flatten();
    let in_memory = all.clone().map(|piece| match piece {
        Piece::Memory(bytes) => bytes.len(),
        Piece::Lent(_) => 0,
    });
    let of_pieces = PIECE_COST.saturating_mul(all.clone().count());
    // What the system is to send goes through a window where it cannot.
    in_memory.sum::<usize>() + of_pieces + window_for(all, false)
}

/// Bytes of a window for these. `sends`: whether the system sends from files.
fn window_for<'a>(pieces: impl Iterator<Item = &'a Piece>, sends: bool) -> usize {
    let bytes = pieces.map(|piece| match piece {
        // Batches are read with their frames, and may be with what lies between them.
        Piece::Lent(batch) if !(sends && batch.is_sent()) => {
            FRAME_BYTES + batch.len() + GAP_BYTES_MAX
        }
        Piece::Lent(_) | Piece::Memory(_) => 0,
    });
    bytes.fold(0, usize::saturating_add).min(WINDOW_BYTES)
}

/// Writes an answer.
///
/// # Errors
///
/// Those of the sink, and [`RequestError::Unreadable`].
pub(crate) fn write_answer(
    pieces: &[Piece],
    segments: &Segments,
    sink: &impl Sink,
) -> Result<(), RequestError> {
    let mut window = Window {
        sink,
        segments,
        sends: true,
        bytes: Vec::new(),
        used: 0,
        parts: Vec::new(),
    };
    let written = window.write_all(pieces);
    written.map_err(|failed| match failed {
        Failed::Written(error) => error,
        Failed::Read(batches, reason) => {
            segments.doubt(batches.iter().map(|batch| batch.spot));
            let first = batches.first().map(|batch| batch.spot);
            RequestError::Unreadable {
                file: first.map_or_else(Default::default, |spot| segments.path(spot.segment)),
                position: first.map_or(0, |spot| spot.position),
                reason,
            }
        }
    })
}

enum Failed<'a> {
    Written(RequestError),
    /// One of these is the reason.
    Read(Vec<&'a Lent>, String),
}

/// What is written next.
struct Window<'a, S> {
    sink: &'a S,
    segments: &'a Segments,
    /// Whether the system sends from files.
    sends: bool,
    bytes: Vec<u8>,
    used: usize,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Memory(&'a [u8]),
    /// Bytes of the window.
    Read(Range<usize>),
}

impl<'a, S: Sink> Window<'a, S> {
    fn write_all(&mut self, mut pieces: &'a [Piece]) -> Result<(), Failed<'a>> {
        while let Some((first, behind)) = pieces.split_first() {
            let batch = match first {
                Piece::Memory(bytes) => {
                    self.parts.push(Part::Memory(bytes));
                    pieces = behind;
                    continue;
                }
                Piece::Lent(batch) => batch,
            };
            if self.sends && batch.is_sent() {
                self.flush(true)?;
                let reached = send(self.sink, batch)?;
                if reached < batch.ends() {
                    // Whoever reads the rest, or writes it, finds out why.
                    self.sends = false;
                    self.bytes = vec![0; window_for(pieces.iter(), false)];
                    self.write_from(batch, reached)?;
                }
                pieces = behind;
                continue;
            }
            if self.bytes.is_empty() {
                self.bytes = vec![0; window_for(pieces.iter(), self.sends)];
            }
            let run = run_within(pieces, self.bytes.len() - self.used, self.sends);
            if !run.is_empty() {
                pieces = &pieces[run.len()..];
                self.read(run)?;
            } else if self.used > 0 {
                self.flush(true)?;
            } else {
                self.write_from(batch, batch.begins())?;
                pieces = behind;
            }
        }
        self.flush(false)
    }

    /// Reads batches that lie one behind the other.
    fn read(&mut self, run: Vec<&'a Lent>) -> Result<(), Failed<'a>> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let begins = first.begins();
        let within = |position: u64| self.used + usize::try_from(position - begins).unwrap_or(0);
        let filled = self.used..within(last.ends());
        let places: Vec<usize> = run.iter().map(|batch| within(batch.begins())).collect();
        if let Err(reason) = first.read(&mut self.bytes[filled.clone()], begins) {
            return Err(Failed::Read(run, reason));
        }
        for (batch, at) in run.iter().zip(places) {
            let range = at + FRAME_BYTES..at + FRAME_BYTES + batch.len();
            let is_as_written = || {
                batch.begins_with(&self.bytes[at..range.end])
                    && is_sound(&self.bytes[range.clone()])
            };
            if !batch.is_checked && !is_as_written() {
                return Err(not_sound(batch));
            }
            self.parts.push(Part::Read(range));
        }
        let fresh = run.iter().filter(|batch| !batch.is_checked);
        self.segments.trust(fresh.map(|batch| batch.spot));
        self.used = filled.end;
        Ok(())
    }

    /// Reads a batch from a place in its file on, and writes it but for what is in the window then, which is empty before. From
    /// its beginning it is checked, if it has to be.
    fn write_from(&mut self, batch: &'a Lent, mut at: u64) -> Result<(), Failed<'a>> {
        let mut sounding = None::<Sounding>;
        while at < batch.ends() {
            if self.used > 0 {
                self.flush(true)?;
            }
            let left = usize::try_from(batch.ends() - at).unwrap_or(usize::MAX);
            let size = left.min(self.bytes.len());
            let bytes = &mut self.bytes[..size];
            if let Err(reason) = batch.read(bytes, at) {
                return Err(Failed::Read(vec![batch], reason));
            }
            let is_first = at == batch.begins();
            at += size as u64;
            if is_first && !batch.is_checked {
                let begun = batch
                    .begins_with(bytes)
                    .then(|| Sounding::begin(&bytes[FRAME_BYTES..], batch.len()));
                sounding = Some(begun.flatten().ok_or_else(|| not_sound(batch))?);
            } else if let Some(sounding) = &mut sounding {
                sounding.go_on(bytes);
            }
            // The end of a batch that is not sound is never given out, so nobody takes what came before it.
            if at == batch.ends() && sounding.is_some_and(|sounding| !sounding.is_sound()) {
                return Err(not_sound(batch));
            }
            self.used = size;
            let skipped = if is_first { FRAME_BYTES } else { 0 };
            self.parts.push(Part::Read(skipped..size));
        }
        self.segments.trust([batch.spot].into_iter());
        Ok(())
    }

    fn flush(&mut self, more: bool) -> Result<(), Failed<'a>> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let bytes = &self.bytes;
        let mut slices: Vec<IoSlice<'_>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Memory(bytes) => IoSlice::new(bytes),
                Part::Read(range) => IoSlice::new(&bytes[range.clone()]),
            })
            .collect();
        let written = self.sink.write(&mut slices, more);
        written.map_err(Failed::Written)?;
        self.parts.clear();
        self.used = 0;
        Ok(())
    }
}

fn not_sound(batch: &Lent) -> Failed<'_> {
    Failed::Read(vec![batch], "it is not as it was written".to_owned())
}

/// Sends a batch without reading it. Returns where in its file that ended.
fn send<'a>(sink: &impl Sink, batch: &'a Lent) -> Result<u64, Failed<'a>> {
    let armed = reach(Point::LentRead);
    armed.map_err(|error| Failed::Read(vec![batch], error.to_string()))?;
    let from = batch.begins() + FRAME_BYTES as u64;
    let sent = sink.send(&batch.file, from, batch.ends());
    sent.map_err(Failed::Written)
}

/// The batches at the beginning that lie one behind the other in a file and are read with their frames into so many bytes.
/// `sends`: those that are sent end it.
fn run_within(pieces: &[Piece], bytes_max: usize, sends: bool) -> Vec<&Lent> {
    let mut run: Vec<&Lent> = Vec::new();
    for piece in pieces {
        let batch = match piece {
            Piece::Lent(batch) if !(sends && batch.is_sent()) => batch,
            Piece::Lent(_) | Piece::Memory(_) => break,
        };
        let first = run.first().unwrap_or(&batch);
        let is_next = run.last().is_none_or(|last| {
            last.spot.segment == batch.spot.segment
                && last.ends() <= batch.begins()
                && batch.begins() - last.ends() <= GAP_BYTES_MAX as u64
        });
        if !is_next || batch.ends() - first.begins() > bytes_max as u64 {
            break;
        }
        run.push(batch);
    }
    run
}

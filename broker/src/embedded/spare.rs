//! Room to work in on a disk that is full.
//!
//! A full disk would be a dead end: to delete records the write-ahead log must grow, to cut the log off it must be copied
//! into the file, and for that the file must grow. So a file of some size has a spare one beside it, which is given up
//! when the disk is full: then the log goes into the file, what deletes is carried out, and everything else is refused
//! until there is room for the spare file again, and for as much besides.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};

use super::checkpoint::Checkpoints;
use super::segments::Segments;
use super::space::{Pages, empty_log, give_back};

/// Bytes of the spare file: what of the log may not have been copied yet (20 MiB), and a large commit.
const SPARE_BYTES: usize = 24 << 20;
/// A broker's file that is smaller, its log and its segments included, has no spare one.
pub(crate) const FILE_BYTES_LEAST: u64 = 2 * SPARE_BYTES as u64;
/// Wait before room is sought again where none was found.
const SEEK_AGAIN: Duration = Duration::from_secs(1);
/// The same, while the disk is not full and nobody waits.
const KEEP_AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for readers of the log that is to be cut off.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes given back to the disk before the log is cut off again: a quarter of the spare room.
const STEP_BYTES: i64 = 6 << 20;

/// Whether there was no room on the disk.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    // The index of the log grows too, and SQLite does not say why it could not.
    let no_index = ffi::SQLITE_IOERR_SHMSIZE;
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_error().map(|error| error.extended_code) == Some(no_index)
}

/// The spare file beside a broker's file.
#[derive(Debug)]
pub(crate) struct Spare {
    file: PathBuf,
    path: PathBuf,
    /// Whether the disk is full. The writer looks with each commit, so it is not under the lock, which is held for as long
    /// as a spare file is being made.
    full: AtomicBool,
    tries: Mutex<Tries>,
}

#[derive(Debug, Default)]
struct Tries {
    not_before: Option<Instant>,
}

impl Tries {
    /// Whether it is too early for another one; if not, the next one is due after `pause`.
    fn rests(&mut self, pause: Duration) -> bool {
        let now = Instant::now();
        let rests = self.not_before.is_some_and(|at| now < at);
        if !rests {
            self.not_before = Some(now + pause);
        }
        rests
    }
}

impl Spare {
    pub(crate) fn of(file: &Path) -> Spare {
        let mut path = file.as_os_str().to_owned();
        path.push("-spare");
        Spare {
            file: file.to_owned(),
            path: path.into(),
            full: AtomicBool::new(false),
            tries: Mutex::default(),
        }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the spare file unless it is there. Tries again later when the disk has no room for it.
    pub(crate) fn keep(&self) {
        let mut tries = self.tries();
        if self.full.load(Ordering::Acquire) || self.path.exists() || tries.rests(KEEP_AGAIN) {
            return;
        }
        if let Err(error) = self.fill(SPARE_BYTES) {
            tracing::warn!(%error, "embedded broker: the disk is nearly full, no room can be kept for when it is; free some");
        }
    }

    /// Notes why a commit failed.
    pub(crate) fn hear(&self, error: &rusqlite::Error) {
        if is_full(error) {
            self.note_full();
        }
    }

    fn note_full(&self) {
        if !self.full.swap(true, Ordering::AcqRel) {
            self.tries().not_before = None;
            tracing::error!(
                file = %self.file.display(),
                "embedded broker: the disk is full; until there is room, only what deletes topics or records is taken"
            );
        }
    }

    /// Whether the disk is full. If it was, the log is copied into the file and cut off, in the room of the spare file,
    /// and room is sought for a new one; once in a while, so that clients who try again and again cost little.
    pub(crate) fn is_full(&self, checkpoints: &Checkpoints) -> bool {
        if checkpoints.had_no_room() {
            // What is not copied would soon be more than there is spare room for.
            self.note_full();
        }
        if !self.full.load(Ordering::Acquire) {
            return false;
        }
        let mut tries = self.tries();
        if tries.rests(SEEK_AGAIN) {
            return true;
        }
        // There may be none.
        let _ = fs::remove_file(&self.path);
        self.empty_log(checkpoints);
        self.settle(&mut tries)
    }

    /// After something was deleted on a full disk: gives segments and pages back to it, as many as it takes.
    pub(crate) fn regain(
        &self,
        db: &Connection,
        segments: &Segments,
        checkpoints: &Checkpoints,
    ) -> rusqlite::Result<()> {
        if !self.full.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut tries = self.tries();
        segments.delete_condemned();
        self.empty_log(checkpoints);
        while self.settle(&mut tries) {
            let pages = Pages::of(db)?;
            if pages.free == 0 {
                break;
            }
            give_back(db, pages.free.min(STEP_BYTES / pages.size))?;
            self.empty_log(checkpoints);
        }
        Ok(())
    }

    fn empty_log(&self, checkpoints: &Checkpoints) {
        let _alone = checkpoints.alone();
        if let Err(error) = empty_log(&self.file, PATIENCE) {
            tracing::warn!(%error, "embedded broker: the log cannot be copied into the file");
        }
    }

    /// Finds out whether the disk is still full.
    fn settle(&self, tries: &mut Tries) -> bool {
        // Twice as much, of which a half is let go: who went on with the spare file alone would soon be here again.
        let filled = self.fill(2 * SPARE_BYTES).and_then(|()| {
            let file = File::options().write(true).open(&self.path)?;
            file.set_len(SPARE_BYTES as u64)
        });
        if filled.is_ok() {
            self.full.store(false, Ordering::Release);
            tries.not_before = None;
            tracing::info!("embedded broker: the disk has room again");
        }
        filled.is_err()
    }

    /// Takes so much of the disk; nothing of it when it has less.
    fn fill(&self, bytes: usize) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut file = File::create(&self.path)?;
        let filled = (0..bytes / zeros.len()).try_for_each(|_| file.write_all(&zeros));
        // Some file systems look for the place only now.
        let filled = filled.and_then(|()| file.sync_data());
        if filled.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        filled
    }
}

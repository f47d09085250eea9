//! The files of segments as bytes: what comes before each batch, and what the system refuses.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::ffi;

/// The part of what is free on a disk that is set aside for one file, at most: a sixteenth.
#[cfg(target_os = "linux")]
const ROOM_SHARE: u64 = 16;
/// Bytes before each batch.
pub(crate) const FRAME_BYTES: usize = 12;
/// The mark of a frame whose commit waited for the segment alone: a bit that no row id has.
const MARK: i64 = i64::MIN;

/// What comes before a batch.
pub(crate) fn framed(row: i64, length: u32, is_marked: bool) -> [u8; FRAME_BYTES] {
    let row = if is_marked { row | MARK } else { row };
    let mut frame = [0; FRAME_BYTES];
    frame[..8].copy_from_slice(&row.to_be_bytes());
    frame[8..].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Whether this is what comes before the batch of a row, marked or not.
pub(crate) fn is_frame_of(frame: &[u8], row: i64, length: u32) -> bool {
    [false, true]
        .iter()
        .any(|&is_marked| frame == framed(row, length, is_marked))
}

/// The row id, the length, and whether the frame is marked.
pub(crate) fn unframed(frame: [u8; FRAME_BYTES]) -> (i64, u32, bool) {
    let [r0, r1, r2, r3, r4, r5, r6, r7, l0, l1, l2, l3] = frame;
    let row = i64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7]);
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    (row & !MARK, length, row & MARK != 0)
}

/// What the operating system refused, as SQLite would have said it: whoever handles the one handles the other.
pub(crate) fn refusal(error: &io::Error, path: &Path) -> rusqlite::Error {
    use io::ErrorKind::{
        NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, UnexpectedEof,
    };
    let is = |kinds: [io::ErrorKind; 2]| kinds.contains(&error.kind());
    let code = if is([StorageFull, QuotaExceeded]) {
        ffi::SQLITE_FULL
    } else if is([ReadOnlyFilesystem, PermissionDenied]) {
        ffi::SQLITE_READONLY
    } else if is([NotFound, UnexpectedEof]) {
        // It was there with all its bytes when the commit was made.
        ffi::SQLITE_CORRUPT
    } else {
        ffi::SQLITE_IOERR
    };
    let message = format!("{}: {error}", path.display());
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message))
}

/// Sets room aside behind the end of a file: the disk has less to note with each append then. A favour, where the disk has plenty of
/// it: where it is refused, appends find room by themselves.
#[cfg(target_os = "linux")]
pub(crate) fn set_room_aside(file: &File, bytes: u64) {
    use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
    let has_plenty = fstatvfs(file)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) / ROOM_SHARE >= bytes);
    if has_plenty && fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes).is_err() {
        // It may have got some of it.
        give_room_back(file);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_room_aside(_: &File, _: u64) {}

/// Gives back the room behind the end of a file. Where that is refused, it is given back with the file.
#[cfg(target_os = "linux")]
pub(crate) fn give_room_back(file: &File) {
    use std::os::unix::fs::MetadataExt;
    let Ok(about) = file.metadata() else {
        return;
    };
    // The last block may be used in part.
    if about.blocks().saturating_mul(512) >= about.len().saturating_add(2 * about.blksize()) {
        let _ = file.set_len(about.len());
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn give_room_back(_: &File) {}

#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    match File::open(path)?.sync_all() {
        // Some file systems have it in no other way than this one.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, position)
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut bytes: &mut [u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, position)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut bytes[count..];
                position += count as u64;
            }
        }
    }
    Ok(())
}

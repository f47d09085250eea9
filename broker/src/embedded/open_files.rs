//! The files of segments that are open for readers: few, and each once.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

/// Segments kept open for readers.
const OPEN_MAX: usize = 24;

#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    open: HashMap<i64, Arc<File>>,
    /// Those that were deleted when somebody had them.
    gone: Vec<Weak<File>>,
    /// The last one for which there was no room.
    passing: Option<(i64, Arc<File>)>,
}

impl OpenFiles {
    /// Whether a segment is open, or may be. Those that are not lent are closed for it.
    pub(crate) fn has_room_for(&mut self, id: i64) -> bool {
        if self.open.contains_key(&id) {
            return true;
        }
        self.gone.retain(|file| file.strong_count() > 0);
        if self.open.len() + self.gone.len() >= OPEN_MAX {
            // There is one handle of each.
            self.open.retain(|_, file| Arc::strong_count(file) > 1);
        }
        self.open.len() + self.gone.len() < OPEN_MAX
    }

    /// A segment's file that was opened before, and whether it stays open.
    pub(crate) fn find(&mut self, id: i64) -> Option<(Arc<File>, bool)> {
        if let Some(file) = self.open.get(&id) {
            return Some((Arc::clone(file), true));
        }
        let (_, file) = self.passing.take_if(|(passing, _)| *passing == id)?;
        let is_kept = self.keep(id, &file);
        Some((file, is_kept))
    }

    pub(crate) fn keep(&mut self, id: i64, file: &Arc<File>) -> bool {
        let has_room = self.has_room_for(id);
        if has_room {
            self.open.insert(id, Arc::clone(file));
        } else {
            self.passing = Some((id, Arc::clone(file)));
        }
        has_room
    }

    /// Notes that a segment is deleted. Whoever was lent its file has it still.
    pub(crate) fn forget(&mut self, id: i64) {
        self.passing.take_if(|(passing, _)| *passing == id);
        let file = self.open.remove(&id);
        let lent = file.filter(|file| Arc::strong_count(file) > 1);
        self.gone.extend(lent.as_ref().map(Arc::downgrade));
    }
}

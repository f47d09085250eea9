//! Which offset may be committed: everything below it is finished. Pure.

use std::collections::VecDeque;

/// The offsets of one partition in one generation.
#[derive(Debug)]
pub(crate) struct Offsets {
    generation: u64,
    /// What was read and may not be committed over yet, ascending, and whether it is finished. Offsets may have gaps.
    open: VecDeque<(i64, bool)>,
    /// One past the last that was read.
    next: Option<i64>,
    /// How many of the open ones are unfinished.
    unfinished_count: usize,
    /// What was last given out by [`Offsets::take_commit`]; before that, the first offset that was read.
    committed: Option<i64>,
}

impl Offsets {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            generation,
            open: VecDeque::new(),
            next: None,
            unfinished_count: 0,
            committed: None,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Notes a record that was read; false if it was read before in this generation, or belongs to another.
    pub(crate) fn read(&mut self, generation: u64, offset: i64) -> bool {
        if generation != self.generation || self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.open.push_back((offset, false));
        self.committed.get_or_insert(offset);
        self.unfinished_count += 1;
        self.next = Some(offset + 1);
        true
    }

    /// Notes that a record is finished. One of another generation, or one that is finished already, changes nothing.
    pub(crate) fn finish(&mut self, generation: u64, offset: i64) {
        if generation != self.generation {
            return;
        }
        if let Ok(place) = self.open.binary_search_by_key(&offset, |(open, _)| *open)
            && !self.open[place].1
        {
            self.open[place].1 = true;
            self.unfinished_count -= 1;
            while matches!(self.open.front(), Some((_, true))) {
                self.open.pop_front();
            }
        }
    }

    /// The first offset that is not finished: where reading would have to begin again. `None` before anything was read.
    pub(crate) fn position(&self) -> Option<i64> {
        self.open.front().map(|(offset, _)| *offset).or(self.next)
    }

    /// Whether [`Offsets::take_commit`] has something to give.
    pub(crate) fn has_moved(&self) -> bool {
        self.position() > self.committed
    }

    /// The offset to commit, if it has moved since the last call.
    pub(crate) fn take_commit(&mut self) -> Option<i64> {
        if !self.has_moved() {
            return None;
        }
        self.committed = self.position();
        self.committed
    }

    /// How many records were read and not finished.
    pub(crate) fn unfinished_count(&self) -> usize {
        self.unfinished_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(offsets: impl IntoIterator<Item = i64>) -> Offsets {
        let mut read = Offsets::new(1);
        for offset in offsets {
            assert!(read.read(1, offset));
        }
        read
    }

    #[test]
    fn only_what_lies_below_the_lowest_unfinished_is_committed() {
        let mut offsets = read(5..9);
        assert_eq!(offsets.take_commit(), None);
        offsets.finish(1, 6);
        offsets.finish(1, 8);
        assert_eq!(offsets.take_commit(), None);
        offsets.finish(1, 5);
        assert_eq!(offsets.take_commit(), Some(7));
        assert_eq!(offsets.take_commit(), None);
        offsets.finish(1, 7);
        assert_eq!(offsets.take_commit(), Some(9));
        assert_eq!(offsets.unfinished_count(), 0);
    }

    #[test]
    fn a_gap_in_the_offsets_holds_nothing_up() {
        let mut offsets = read([3, 7, 40]);
        offsets.finish(1, 3);
        assert_eq!(offsets.take_commit(), Some(7));
        offsets.finish(1, 40);
        offsets.finish(1, 7);
        assert_eq!(offsets.take_commit(), Some(41));
    }

    #[test]
    fn what_another_generation_finished_does_not_count() {
        let mut offsets = read(0..2);
        offsets.finish(0, 0);
        assert_eq!(offsets.take_commit(), None);
        assert!(!offsets.read(0, 2), "a record of the time before");
    }

    #[test]
    fn a_record_read_or_finished_twice_counts_once() {
        let mut offsets = read(0..2);
        assert!(!offsets.read(1, 1));
        offsets.finish(1, 0);
        offsets.finish(1, 0);
        assert_eq!(offsets.unfinished_count(), 1);
        assert_eq!(offsets.position(), Some(1));
    }
}

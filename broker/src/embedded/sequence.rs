//! What a partition remembers of an idempotent producer, so that a repeated batch is recognised.

use std::collections::VecDeque;

/// Batches remembered per producer; a client keeps at most as many in flight.
const REMEMBERED_MAX: usize = 5;

/// One batch that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// The last batches of one producer in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    epoch: i16,
    taken: VecDeque<Taken>,
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one: append it.
    Append,
    /// It was taken before, at this offset.
    Duplicate(i64),
    /// A batch before it is missing, or it is older than what is remembered.
    OutOfOrder,
    /// A newer incarnation of the producer has written.
    Fenced,
}

impl Window {
    /// The window of a producer that writes here for the first time.
    pub(crate) fn new(epoch: i16) -> Window {
        Window {
            epoch,
            taken: VecDeque::new(),
        }
    }

    pub(crate) fn epoch(&self) -> i16 {
        self.epoch
    }

    /// The number of the newest record, if one is remembered.
    pub(crate) fn last_sequence(&self) -> Option<i32> {
        self.taken.back().map(|newest| newest.last)
    }

    /// Judges a batch. Changes nothing.
    pub(crate) fn judge(&self, epoch: i16, first: i32, last: i32) -> Verdict {
        if epoch < self.epoch {
            return Verdict::Fenced;
        }
        if epoch > self.epoch {
            return if first == 0 {
                Verdict::Append
            } else {
                Verdict::OutOfOrder
            };
        }
        if let Some(seen) = self
            .taken
            .iter()
            .find(|taken| taken.first == first && taken.last == last)
        {
            return Verdict::Duplicate(seen.base_offset);
        }
        match self.taken.back() {
            // Nothing known of this epoch: the records may have been deleted since, so any start is believed.
            None => Verdict::Append,
            Some(newest) if first == newest.last.wrapping_add(1) & i32::MAX => Verdict::Append,
            Some(_) => Verdict::OutOfOrder,
        }
    }

    /// Remembers a batch that is appended.
    pub(crate) fn remember(&mut self, epoch: i16, first: i32, last: i32, base_offset: i64) {
        if epoch != self.epoch {
            *self = Window::new(epoch);
        }
        self.taken.push_back(Taken {
            first,
            last,
            base_offset,
        });
        if self.taken.len() > REMEMBERED_MAX {
            self.taken.pop_front();
        }
    }

    /// Moves on to the epoch of a transaction's end marker.
    pub(crate) fn advance_epoch(&mut self, epoch: i16) {
        if epoch > self.epoch {
            *self = Window::new(epoch);
        }
    }

    /// Writes the remembered batches as bytes, oldest first.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.taken.len() * 16);
        for taken in &self.taken {
            bytes.extend_from_slice(&taken.first.to_be_bytes());
            bytes.extend_from_slice(&taken.last.to_be_bytes());
            bytes.extend_from_slice(&taken.base_offset.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`Window::to_bytes`] wrote.
    pub(crate) fn from_bytes(epoch: i16, bytes: &[u8]) -> Window {
        let taken = bytes
            .as_chunks::<16>()
            .0
            .iter()
            .map(|[a, b, c, d, e, f, g, h, offset @ ..]| Taken {
                first: i32::from_be_bytes([*a, *b, *c, *d]),
                last: i32::from_be_bytes([*e, *f, *g, *h]),
                base_offset: i64::from_be_bytes(*offset),
            })
            .collect();
        Window { epoch, taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(batches: &[(i32, i32, i64)]) -> Window {
        let mut window = Window::new(0);
        for &(first, last, base_offset) in batches {
            assert_eq!(window.judge(0, first, last), Verdict::Append);
            window.remember(0, first, last, base_offset);
        }
        window
    }

    #[test]
    fn a_repeated_batch_gets_its_old_offset() {
        let window = after(&[(0, 9, 100), (10, 19, 110)]);
        assert_eq!(window.judge(0, 0, 9), Verdict::Duplicate(100));
        assert_eq!(window.judge(0, 10, 19), Verdict::Duplicate(110));
    }

    #[test]
    fn a_gap_is_out_of_order() {
        assert_eq!(after(&[(0, 9, 100)]).judge(0, 11, 12), Verdict::OutOfOrder);
    }

    #[test]
    fn five_batches_are_remembered_and_a_sixth_pushes_out_the_first() {
        let window = after(&[
            (0, 0, 0),
            (1, 1, 1),
            (2, 2, 2),
            (3, 3, 3),
            (4, 4, 4),
            (5, 5, 5),
        ]);
        assert_eq!(window.judge(0, 1, 1), Verdict::Duplicate(1));
        assert_eq!(window.judge(0, 0, 0), Verdict::OutOfOrder);
    }

    #[test]
    fn an_older_incarnation_is_fenced_and_a_newer_one_starts_at_zero() {
        let mut window = after(&[(0, 9, 100)]);
        assert_eq!(window.judge(1, 10, 10), Verdict::OutOfOrder);
        assert_eq!(window.judge(1, 0, 3), Verdict::Append);
        window.remember(1, 0, 3, 110);
        assert_eq!(window.judge(0, 10, 19), Verdict::Fenced);
    }

    #[test]
    fn sequences_go_on_from_zero_after_the_largest() {
        let mut window = Window::new(0);
        window.remember(0, i32::MAX - 1, i32::MAX, 5);
        assert_eq!(window.judge(0, 0, 4), Verdict::Append);
    }

    #[test]
    fn a_window_survives_its_bytes() {
        let window = after(&[(0, 9, 100), (10, 19, i64::MAX)]);
        assert_eq!(Window::from_bytes(0, &window.to_bytes()), window);
    }
}

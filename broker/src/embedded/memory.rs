//! Memory that all connections share: what their requests hold, and what answers may take.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes that may be held at once.
///
/// Whoever asks first is served first, so that a large request is not overtaken for ever by small ones.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    next_ticket: u64,
    serving: u64,
    waited: u64,
    /// Those that hold some and wait for more.
    growing: usize,
    /// Whether one of them was let over the limit.
    overdrawn: bool,
    closed: bool,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
    overdraws: bool,
}

/// Whether there was room at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    AtOnce,
    /// There was not, as so many times before, this one counted.
    AfterWaiting {
        times: u64,
    },
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Memory {
        Memory {
            bytes_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Holds so many bytes, and waits for room first. More than there can ever be are held alone.
    ///
    /// `None` when closed.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Option<(Held, Room)> {
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let mut room = Room::AtOnce;
        while !state.closed
            && (state.serving != ticket
                || (state.held > 0 && state.held.saturating_add(bytes) > self.bytes_max))
        {
            room = state.waits(room);
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.serving += 1;
        state.held += bytes;
        if state.serving < state.next_ticket {
            self.changed.notify_all();
        }
        drop(state);
        Some((self.held(bytes), room))
    }

    /// Holds so many bytes if there is room at once and nobody waits for any.
    pub(crate) fn hold_at_once(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let mut state = self.state();
        let waits = state.serving != state.next_ticket || state.growing > 0;
        if state.closed || waits || state.held.saturating_add(bytes) > self.bytes_max {
            return None;
        }
        state.held += bytes;
        drop(state);
        Some(self.held(bytes))
    }

    /// Holds bytes that are there already, be there room or not.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Held {
        self.state().held += bytes;
        self.held(bytes)
    }

    /// For bytes that are counted already.
    fn held(self: &Arc<Self>, bytes: usize) -> Held {
        Held {
            memory: Arc::clone(self),
            bytes,
            overdraws: false,
        }
    }

    /// What could be held now.
    pub(crate) fn free(&self) -> usize {
        self.bytes_max.saturating_sub(self.state().held)
    }

    /// Ends all waits.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a wait, once.
    fn waits(&mut self, room: Room) -> Room {
        if room != Room::AtOnce {
            return room;
        }
        self.waited += 1;
        Room::AfterWaiting { times: self.waited }
    }
}

impl Held {
    /// How many are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes more, and waits for room first. Whoever holds some comes before those that hold none, and one
    /// at a time may go over the limit: if all waited for each other, none would end.
    ///
    /// `None` when closed.
    pub(crate) fn grow(&mut self, bytes: usize) -> Option<Room> {
        let memory = Arc::clone(&self.memory);
        let mut state = memory.state();
        let mut room = Room::AtOnce;
        while !self.overdraws
            && !state.closed
            && state.held.saturating_add(bytes) > memory.bytes_max
        {
            if !state.overdrawn {
                state.overdrawn = true;
                self.overdraws = true;
                break;
            }
            room = state.waits(room);
            state.growing += 1;
            state = memory
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.growing -= 1;
        }
        if state.closed {
            return None;
        }
        state.held += bytes;
        self.bytes += bytes;
        Some(room)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        state.held -= self.bytes;
        if self.overdraws {
            state.overdrawn = false;
        }
        if state.growing > 0 || state.serving < state.next_ticket {
            self.memory.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn held(memory: &Memory) -> usize {
        memory.state().held
    }

    #[test]
    fn what_is_dropped_can_be_held_again() {
        let memory = Arc::new(Memory::new(100));
        let (first, room) = memory.hold(60).unwrap();
        assert_eq!((held(&memory), room), (60, Room::AtOnce));
        drop(first);
        let (_second, room) = memory.hold(100).unwrap();
        assert_eq!((held(&memory), room), (100, Room::AtOnce));
    }

    #[test]
    fn who_asks_first_is_served_first_and_a_giant_alone() {
        let memory = Arc::new(Memory::new(100));
        let (first, _) = memory.hold(60).unwrap();
        let (report, order) = channel();
        let ask = |bytes: usize| {
            let (memory, report) = (Arc::clone(&memory), report.clone());
            let before = memory.state().next_ticket;
            let thread = thread::spawn({
                let memory = Arc::clone(&memory);
                move || {
                    let (held, room) = memory.hold(bytes).unwrap();
                    report.send((bytes, room)).unwrap();
                    drop(held);
                }
            });
            while memory.state().next_ticket == before {
                thread::yield_now();
            }
            thread
        };
        // The giant waits for all; the small one, for which there were room, waits behind it.
        let threads = [ask(1_000), ask(10)];
        assert!(order.try_recv().is_err());
        drop(first);
        assert_eq!(
            order.recv().unwrap(),
            (1_000, Room::AfterWaiting { times: 1 })
        );
        assert_eq!(order.recv().unwrap(), (10, Room::AfterWaiting { times: 2 }));
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(held(&memory), 0);
    }

    #[test]
    fn what_is_to_be_had_at_once_comes_before_nobody_who_waits() {
        let memory = Arc::new(Memory::new(100));
        let first = memory.hold_at_once(60).unwrap();
        assert!(memory.hold_at_once(41).is_none());
        let waiting = thread::spawn({
            let memory = Arc::clone(&memory);
            move || memory.hold(90).map(|(held, _)| held)
        });
        while memory.state().next_ticket == 0 {
            thread::yield_now();
        }
        assert!(memory.hold_at_once(1).is_none());
        drop(first);
        let waited = waiting.join().unwrap();
        assert_eq!(held(&memory), 90);
        assert!(memory.hold_at_once(10).is_some());
        drop(waited);
        memory.close();
        assert!(memory.hold_at_once(1).is_none());
    }

    #[test]
    fn one_that_grows_may_go_over_the_limit_and_the_next_one_after_it() {
        let memory = Arc::new(Memory::new(100));
        let (mut first, _) = memory.hold(60).unwrap();
        let (mut second, _) = memory.hold(40).unwrap();
        assert_eq!(first.grow(50), Some(Room::AtOnce));
        assert_eq!(first.grow(50), Some(Room::AtOnce));
        let waiting = thread::spawn(move || {
            let room = second.grow(10);
            (second, room)
        });
        while memory.state().growing == 0 {
            thread::yield_now();
        }
        assert_eq!(held(&memory), 200);
        drop(first);
        let (second, room) = waiting.join().unwrap();
        assert_eq!(room, Some(Room::AfterWaiting { times: 1 }));
        assert_eq!(held(&memory), 50);
        drop(second);
        assert_eq!(held(&memory), 0);
    }

    #[test]
    fn closing_ends_the_waits() {
        let memory = Arc::new(Memory::new(100));
        let (_first, _) = memory.hold(100).unwrap();
        let waiting = thread::spawn({
            let memory = Arc::clone(&memory);
            move || memory.hold(1).is_none()
        });
        while memory.state().next_ticket < 2 {
            thread::yield_now();
        }
        memory.close();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn what_is_there_already_is_held_without_a_wait() {
        let memory = Arc::new(Memory::new(100));
        let first = memory.take(80);
        assert_eq!(memory.free(), 20);
        let second = memory.take(80);
        assert_eq!(memory.free(), 0);
        drop((first, second));
        assert_eq!(memory.free(), 100);
    }
}

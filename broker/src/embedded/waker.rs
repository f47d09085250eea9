//! How a connection that waits is woken.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Wakes the one thread of a connection. A wake-up that comes before the wait is not lost.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Ends the wait that goes on, or the next one.
    pub(crate) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Forgets earlier wake-ups. Call it before looking at what is waited for.
    pub(crate) fn arm(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits for a wake-up since [`Waker::arm`], at most until `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (woken, _) = self
                .changed
                .wait_timeout(woken, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

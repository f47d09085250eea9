//! How the cleaner is woken: by a commit, when something is due, and never more often than it may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Whether anything was committed since somebody looked. Telling costs the writer one atomic swap a commit.
#[derive(Debug, Default)]
pub(crate) struct News {
    fresh: AtomicBool,
    closed: Mutex<bool>,
    changed: Condvar,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something was committed.
    News,
    /// The time came.
    Due,
    Closed,
}

impl News {
    pub(crate) fn tell(&self) {
        if !self.fresh.swap(true, Ordering::SeqCst) {
            let _held = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            self.changed.notify_all();
        }
    }

    /// Ends [`News::wait`].
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for news or for the time `due`, in both cases until `rested`. Takes the news.
    pub(crate) fn wait(&self, rested: Instant, due: Option<Instant>) -> Woken {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *closed {
                return Woken::Closed;
            }
            let fresh = self.fresh.load(Ordering::SeqCst);
            let wake = if fresh {
                Some(rested)
            } else {
                due.map(|due| due.max(rested))
            };
            let now = Instant::now();
            closed = match wake {
                Some(at) if at <= now => {
                    let fresh = self.fresh.swap(false, Ordering::SeqCst);
                    return if fresh { Woken::News } else { Woken::Due };
                }
                Some(at) => {
                    let woken = self.changed.wait_timeout(closed, at - now);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(closed)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn news_told_before_the_wait_ends_it_once() {
        let news = News::default();
        let now = Instant::now();
        news.tell();
        news.tell();
        assert_eq!(news.wait(now, None), Woken::News);
        assert_eq!(news.wait(now, Some(now)), Woken::Due);
    }

    #[test]
    fn neither_news_nor_a_due_time_shortens_the_rest() {
        let news = News::default();
        let rested = Instant::now() + Duration::from_millis(30);
        news.tell();
        assert_eq!(news.wait(rested, None), Woken::News);
        assert!(Instant::now() >= rested);
        let rested = Instant::now() + Duration::from_millis(30);
        assert_eq!(news.wait(rested, Some(Instant::now())), Woken::Due);
        assert!(Instant::now() >= rested);
    }

    #[test]
    fn who_waits_for_nothing_is_woken_by_news_and_by_the_end() {
        let news = std::sync::Arc::new(News::default());
        let waiting = std::sync::Arc::clone(&news);
        let woken = std::thread::spawn(move || {
            let now = Instant::now();
            [waiting.wait(now, None), waiting.wait(now, None)]
        });
        news.tell();
        while news.fresh.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        news.close();
        assert_eq!(woken.join().unwrap(), [Woken::News, Woken::Closed]);
    }
}

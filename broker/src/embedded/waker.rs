//! How a connection that waits is woken, and how it notices that nobody waits any more.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A wait of this length is over before it is worth a look whether its client is still there.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Time between two later looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time that a look may take: the least that a socket can be told.
const LOOK_FOR: Duration = Duration::from_millis(1);

/// Wakes the one thread of a connection. A wake-up that comes before the wait is not lost.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    woken: Mutex<bool>,
    changed: Condvar,
    /// Where the client of a connection would be heard; `None` when nobody is to be looked for.
    stream: Option<Arc<TcpStream>>,
    gone: AtomicBool,
}

impl Waker {
    /// The waker of a connection.
    pub(crate) fn of(stream: Arc<TcpStream>) -> Waker {
        Waker {
            stream: Some(stream),
            ..Waker::default()
        }
    }

    /// Ends the wait that goes on, or the next one.
    pub(crate) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Forgets earlier wake-ups. Call it before looking at what is waited for.
    pub(crate) fn arm(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits for a wake-up since [`Waker::arm`], at most until `deadline`. Returns whether the client is still there,
    /// as far as it was looked at; when it is not, the wait ends early.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        if self.was_gone() {
            return false;
        }
        let mut look_at = Instant::now() + FIRST_LOOK;
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            let now = Instant::now();
            if now >= deadline {
                return true;
            }
            if now >= look_at {
                drop(woken);
                if self.is_gone() {
                    return false;
                }
                look_at = Instant::now() + LOOK_EVERY;
                woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            (woken, _) = self
                .changed
                .wait_timeout(woken, deadline.min(look_at) - now)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Whether the client was found gone before.
    pub(crate) fn was_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Looks whether the client has ended its side of the connection. One that has sent more requests before it did is
    /// taken to be there. Only the connection's own thread may ask: it changes how long a read of the socket waits.
    pub(crate) fn is_gone(&self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let look = || {
            let before = stream.read_timeout()?;
            stream.set_read_timeout(Some(LOOK_FOR))?;
            let seen = stream.peek(&mut [0]);
            stream.set_read_timeout(before)?;
            seen
        };
        let gone = match look() {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
            ),
        };
        if gone {
            self.gone.store(true, Ordering::Relaxed);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::*;

    fn pair() -> (TcpStream, Waker) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, Waker::of(Arc::new(server)))
    }

    #[test]
    fn a_client_that_is_silent_or_has_sent_more_is_there() {
        let (mut client, waker) = pair();
        assert!(!waker.is_gone());
        client.write_all(b"more").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(!waker.is_gone());
    }

    #[test]
    fn a_wait_ends_early_when_its_client_has_gone_and_so_does_every_later_one() {
        let (client, waker) = pair();
        drop(client);
        let long = Instant::now() + Duration::from_secs(60);
        assert!(!waker.wait_until(long));
        assert!(!waker.wait_until(long));
        assert!(Instant::now() < long);
    }
}

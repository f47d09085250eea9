//! Waiting for Kafka and the store where these come up later than the process.

use std::fmt::Display;
use std::time::{Duration, Instant};

use backstitch_broker::BrokerError;

use super::text::write_span;
use crate::config::Unusable;
use crate::engine::EngineError;
use crate::store::StoreError;

/// The first wait between two tries; it doubles. 500 ms.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The longest wait between two tries. 10 s.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// An error that may be over soon: something is away, or on its way up.
pub(crate) trait Passing: Display {
    /// Whether trying again is worth it.
    fn is_passing(&self) -> bool;
}

impl Passing for BrokerError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl Passing for StoreError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl Passing for Unusable {
    fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => error.is_passing(),
            Self::File { .. }
            | Self::Folder { .. }
            | Self::Definition { .. }
            | Self::DefinedTwice { .. }
            | Self::Schema { .. }
            | Self::Registry(_) => false,
        }
    }
}

impl Passing for EngineError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_passing(),
            Self::Store(error) => error.is_passing(),
            Self::TopicsMissing { .. } | Self::Ended { .. } => false,
        }
    }
}

/// How much of its patience a process has left.
#[derive(Debug)]
pub(crate) struct Patience {
    begun: Instant,
    all: Duration,
    /// Of the time that has been waited, for tests without a clock.
    pause: fn(Duration),
}

impl Patience {
    /// So much, from now on.
    pub(crate) fn new(all: Duration) -> Self {
        Self {
            begun: Instant::now(),
            all,
            pause: std::thread::sleep,
        }
    }

    /// Tries until it works, or the patience is used up: then the last error is the answer. `what` is
    /// who is away: `Kafka`, `the store`.
    pub(crate) fn wait_for<T, E: Passing + std::error::Error + 'static>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut wait = WAIT_MIN;
        let mut has_waited = false;
        loop {
            let error = match attempt() {
                Ok(done) => {
                    if has_waited {
                        let after = self.begun.elapsed();
                        tracing::info!("{what} is there, {} after the start", span(after));
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            let left = self.all.saturating_sub(self.begun.elapsed());
            if !error.is_passing() || left.is_zero() {
                return Err(error);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "{what} is away; trying again in {}, for up to {} more (startup.patience)",
                span(wait.min(left)),
                span(left)
            );
            (self.pause)(wait.min(left));
            has_waited = true;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }
}

fn span(of: Duration) -> String {
    write_span(i64::try_from(of.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("away")]
    struct Away {
        is_passing: bool,
    }

    impl Passing for Away {
        fn is_passing(&self) -> bool {
            self.is_passing
        }
    }

    fn patience(all: Duration) -> Patience {
        Patience {
            pause: |_| {},
            ..Patience::new(all)
        }
    }

    /// Fails so often, then works. Returns the result, and how often it was tried.
    fn try_out(patience: &Patience, failures: u32, is_passing: bool) -> (Result<(), Away>, u32) {
        let mut tries = 0;
        let result = patience.wait_for("it", || {
            tries += 1;
            if tries > failures {
                Ok(())
            } else {
                Err(Away { is_passing })
            }
        });
        (result, tries)
    }

    #[test]
    fn what_comes_later_is_waited_for() {
        let (result, tries) = try_out(&patience(Duration::from_mins(1)), 7, true);
        result.unwrap();
        assert_eq!(tries, 8);
    }

    #[test]
    fn without_patience_it_is_tried_once() {
        let (result, tries) = try_out(&patience(Duration::ZERO), 1, true);
        result.unwrap_err();
        assert_eq!(tries, 1);
    }

    #[test]
    fn what_does_not_pass_is_not_waited_for() {
        let (result, tries) = try_out(&patience(Duration::from_mins(1)), 1, false);
        result.unwrap_err();
        assert_eq!(tries, 1);
    }
}

//! How long an answer may take, and how often it is asked for.

use std::time::Duration;

use super::faults::Faults;
use crate::definition::model::{Retry, Timeout};

/// `timeout` and `retry` of a step, or of its undo. Made once, it can be given to many.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Limits {
    pub(super) timeout: Timeout,
    pub(super) retry: Retry,
    pub(super) faults: Faults,
}

/// The defaults: 30 s for an answer, five attempts with 200 ms to 10 s between them.
pub fn limits() -> Limits {
    Limits::default()
}

impl Limits {
    /// From the command until a worker's first heartbeat, or its answer.
    pub fn start(mut self, limit: Duration) -> Self {
        self.timeout.start_ms = Some(self.faults.ms("start", limit));
        self
    }

    /// From the command until the answer, for one attempt. Default 30 s.
    pub fn reply(mut self, limit: Duration) -> Self {
        self.timeout.reply_ms = self.faults.ms("reply", limit);
        self
    }

    /// From a heartbeat until the next one or the answer. Without it, a heartbeat begins `reply`
    /// anew.
    pub fn heartbeat(mut self, limit: Duration) -> Self {
        self.timeout.heartbeat_ms = Some(self.faults.ms("heartbeat", limit));
        self
    }

    /// From the first command until the answer, all attempts together.
    pub fn total(mut self, limit: Duration) -> Self {
        self.timeout.total_ms = Some(self.faults.ms("total", limit));
        self
    }

    /// How often it is asked, the first time included. Default 5.
    pub fn attempts(mut self, most: u32) -> Self {
        self.retry.attempts_max = most;
        self
    }

    /// The wait after the first attempt, which doubles, and the longest wait. Default 200 ms and
    /// 10 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.retry.backoff_min_ms = self.faults.ms("backoff", first);
        self.retry.backoff_max_ms = self.faults.ms("backoff", longest);
        self
    }

    /// The part of a wait that is drawn, in percent. Default 20.
    pub fn jitter(mut self, percent: u8) -> Self {
        self.retry.jitter_percent = percent;
        self
    }

    /// No attempt is sent later than this after the first.
    pub fn budget(mut self, limit: Duration) -> Self {
        self.retry.budget_ms = Some(self.faults.ms("budget", limit));
        self
    }

    /// Failures with these codes are not tried again.
    pub fn not<C: Into<String>>(mut self, codes: impl IntoIterator<Item = C>) -> Self {
        self.retry.not.extend(codes.into_iter().map(Into::into));
        self
    }
}

//! `timeout` and `retry`, and where they come from: the step, the contract of its activity, the
//! defaults, and what is built in.

use std::collections::BTreeSet;

use super::Reader;
use super::parts::Fields;
use crate::definition::keys;
use crate::definition::model::{Retry, Timeout};
use crate::definition::node::{Node, Yaml};
use crate::definition::words::range_ms;

/// What is written of a [`Timeout`] and a [`Retry`].
#[derive(Default, Clone)]
pub(super) struct Settings {
    timeout: TimeoutPart,
    retry: RetryPart,
}

#[derive(Default, Clone)]
struct TimeoutPart {
    start_ms: Option<u64>,
    reply_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    total_ms: Option<u64>,
}

#[derive(Default, Clone)]
struct RetryPart {
    attempts_max: Option<u32>,
    backoff_ms: Option<(u64, u64)>,
    jitter_percent: Option<u8>,
    budget_ms: Option<u64>,
    not: Option<BTreeSet<String>>,
}

impl Settings {
    /// These, and where they say nothing, those.
    fn over(self, below: &Self) -> Self {
        let (timeout, retry) = (below.timeout.clone(), below.retry.clone());
        Self {
            timeout: TimeoutPart {
                start_ms: self.timeout.start_ms.or(timeout.start_ms),
                reply_ms: self.timeout.reply_ms.or(timeout.reply_ms),
                heartbeat_ms: self.timeout.heartbeat_ms.or(timeout.heartbeat_ms),
                total_ms: self.timeout.total_ms.or(timeout.total_ms),
            },
            retry: RetryPart {
                attempts_max: self.retry.attempts_max.or(retry.attempts_max),
                backoff_ms: self.retry.backoff_ms.or(retry.backoff_ms),
                jitter_percent: self.retry.jitter_percent.or(retry.jitter_percent),
                budget_ms: self.retry.budget_ms.or(retry.budget_ms),
                not: self.retry.not.or(retry.not),
            },
        }
    }

    fn over_built_in(self) -> (Timeout, Retry) {
        let Self { timeout, retry } = self;
        let built_in = Retry::default();
        let (backoff_min_ms, backoff_max_ms) = retry
            .backoff_ms
            .unwrap_or((built_in.backoff_min_ms, built_in.backoff_max_ms));
        (
            Timeout {
                start_ms: timeout.start_ms,
                reply_ms: timeout.reply_ms.unwrap_or(Timeout::default().reply_ms),
                heartbeat_ms: timeout.heartbeat_ms,
                total_ms: timeout.total_ms,
            },
            Retry {
                attempts_max: retry.attempts_max.unwrap_or(built_in.attempts_max),
                backoff_min_ms,
                backoff_max_ms,
                jitter_percent: retry.jitter_percent.unwrap_or(built_in.jitter_percent),
                budget_ms: retry.budget_ms.or(built_in.budget_ms),
                not: retry.not.unwrap_or(built_in.not),
            },
        )
    }
}

impl Reader<'_> {
    /// What is written in this map.
    pub(super) fn settings(&mut self, fields: &Fields<'_>, place: &str) -> Settings {
        Settings {
            timeout: fields
                .get("timeout")
                .map(|node| self.timeout(node, &format!("{place}.timeout")))
                .unwrap_or_default(),
            retry: fields
                .get("retry")
                .map(|node| self.retry(node, &format!("{place}.retry")))
                .unwrap_or_default(),
        }
    }

    /// What holds for an activity that is asked here.
    pub(super) fn settings_of(
        &mut self,
        activity: &str,
        fields: &Fields<'_>,
        place: &str,
    ) -> (Timeout, Retry) {
        let own = self.settings(fields, place);
        match self.agreed.get(activity) {
            Some(agreed) => own.over(agreed),
            None => own,
        }
        .over(&self.defaults)
        .over_built_in()
    }

    fn timeout(&mut self, node: &Node, place: &str) -> TimeoutPart {
        if !matches!(node.yaml, Yaml::Map(_)) {
            // One duration is that of `reply`.
            return TimeoutPart {
                reply_ms: self.duration(node, place),
                ..TimeoutPart::default()
            };
        }
        let Some(fields) = self.fields(node, "`timeout`", keys::TIMEOUT) else {
            return TimeoutPart::default();
        };
        self.places.put(place, fields.span);
        TimeoutPart {
            start_ms: self.optional_duration(&fields, place, "start"),
            reply_ms: self.optional_duration(&fields, place, "reply"),
            heartbeat_ms: self.optional_duration(&fields, place, "heartbeat"),
            total_ms: self.optional_duration(&fields, place, "total"),
        }
    }

    fn retry(&mut self, node: &Node, place: &str) -> RetryPart {
        let Some(fields) = self.fields(node, "`retry`", keys::RETRY) else {
            return RetryPart::default();
        };
        self.places.put(place, fields.span);
        RetryPart {
            attempts_max: fields
                .get("attempts")
                .and_then(|node| self.count(node, &format!("{place}.attempts"), "`attempts`")),
            backoff_ms: fields.get("backoff").and_then(|node| {
                self.places.put(format!("{place}.backoff"), node.span);
                self.measured(node, range_ms)
            }),
            jitter_percent: fields
                .get("jitter")
                .and_then(|node| self.percent(node, &format!("{place}.jitter"))),
            budget_ms: self.optional_duration(&fields, place, "budget"),
            not: fields.get("not").and_then(|node| {
                self.texts_of(node, &format!("{place}.not"), "`not`", "an error code")
            }),
        }
    }
}

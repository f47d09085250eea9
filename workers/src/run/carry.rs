//! The task that owns the memory: carries out one batch after the other, purges in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::ears::Input;
use crate::batch::{Item, Outcome, run_batch};
use crate::config::WorkerConfig;
use crate::memory::{Memory, MemoryError};
use crate::said::Said;
use crate::stats::{Counters, count};
use crate::time::{millis, now_ms};

/// The first wait after a failed transaction; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(20);

/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How often one command may break a transaction, while others go through, before it is answered *failed*.
const ALONE_MAX: u32 = 3;

/// Purged answers are older than the window by this much, so that clocks may differ.
const PURGE_SLACK: Duration = Duration::from_hours(1);

/// What the task needs to know.
#[derive(Debug, Clone)]
pub(super) struct Carrying {
    handler_timeout: Duration,
    purge_every: Duration,
    purge_len_max: u32,
    keep: Duration,
    counters: Arc<Counters>,
}

impl Carrying {
    pub(super) fn new(config: &WorkerConfig, counters: Arc<Counters>) -> Self {
        Self {
            handler_timeout: config.handler_timeout,
            purge_every: config.purge_every.max(Duration::from_millis(1)),
            purge_len_max: config.purge_len_max.max(1),
            keep: config.memory_window.saturating_add(PURGE_SLACK),
            counters,
        }
    }

    /// Runs until no more batches come.
    pub(super) async fn run<M: Memory>(
        self,
        mut memory: M,
        mut batches: Receiver<Vec<Item>>,
        outcomes: UnboundedSender<Input>,
    ) {
        let mut purge = interval_at(Instant::now() + self.purge_every, self.purge_every);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                batch = batches.recv() => {
                    let Some(items) = batch else { return };
                    let done = self.carry(&mut memory, items).await;
                    if outcomes.send(Input::Batch(done)).is_err() {
                        return;
                    }
                }
                _ = purge.tick() => self.purge(&mut memory).await,
            }
        }
    }

    /// Carries a batch out, whatever it takes: together, else one by one.
    async fn carry<M: Memory>(&self, memory: &mut M, items: Vec<Item>) -> Vec<(u64, Outcome)> {
        match self.attempt(memory, &items).await {
            Ok(outcomes) => return outcomes,
            Err(error) => self.failed(&error),
        }
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items.chunks(1) {
            outcomes.append(&mut self.alone(memory, item).await);
        }
        outcomes
    }

    /// Carries one command out. While the database is away it waits; a command that alone breaks its transaction fails.
    async fn alone<M: Memory>(&self, memory: &mut M, item: &[Item]) -> Vec<(u64, Outcome)> {
        let mut backoff = BACKOFF_MIN;
        let mut broken_count = 0;
        loop {
            let error = match self.attempt(memory, item).await {
                Ok(outcomes) => return outcomes,
                Err(error) => error,
            };
            self.failed(&error);
            if answers(memory).await {
                broken_count += 1;
                if broken_count >= ALONE_MAX {
                    let said = Said::failed("transaction_failed", error.to_string());
                    return item
                        .iter()
                        .map(|item| (item.ticket, Outcome::Say(said.clone())))
                        .collect();
                }
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn attempt<M: Memory>(
        &self,
        memory: &mut M,
        items: &[Item],
    ) -> Result<Vec<(u64, Outcome)>, MemoryError> {
        let outcomes = run_batch(memory, items, self.handler_timeout, now_ms()).await?;
        let tickets = items.iter().map(|item| item.ticket);
        Ok(tickets.zip(outcomes).collect())
    }

    fn failed(&self, error: &MemoryError) {
        count(&self.counters.batch_failures, 1);
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "a transaction failed and is tried again"
        );
    }

    async fn purge<M: Memory>(&self, memory: &mut M) {
        let before_ms = now_ms().saturating_sub(millis(self.keep));
        match memory.purge(before_ms, self.purge_len_max).await {
            Ok(purged) => count(&self.counters.purged, purged),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old answers could not be purged; the next purge tries again"
                );
            }
        }
    }
}

/// Whether the database answers at all.
async fn answers<M: Memory>(memory: &mut M) -> bool {
    let answered = match memory.begin(&[], &[]).await {
        Ok(_) => memory.commit().await.is_ok(),
        Err(_) => false,
    };
    if !answered {
        memory.rollback().await;
    }
    answered
}

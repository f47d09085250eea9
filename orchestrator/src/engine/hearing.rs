//! The inbox consumer's ear: what it hears goes to the machine, and a rebalance waits for it.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstitch_broker::{ConsumerError, ConsumerHandler, IncomingRecord, StartAt, TopicPartition};

use super::machine::Input;
use super::turning::Event;
use crate::store::ShardId;

/// How long an assignment waits for the store. Later answers come by a seek.
const CLAIM_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a revocation waits for what is in flight.
const LET_GO_WAIT_MAX: Duration = Duration::from_secs(5);

/// Rebalances that wait for the machine.
#[derive(Debug, Default, Clone)]
pub(super) struct Waiting(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    starts: HashMap<ShardId, Sender<(ShardId, i64, u64)>>,
    ends: HashMap<ShardId, Sender<ShardId>>,
}

impl Waiting {
    fn waiters(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a waiting assignment where to begin. Returns false if none waits.
    pub(super) fn begin(&self, shard: ShardId, offset: i64, generation: u64) -> bool {
        let waiter = self.waiters().starts.remove(&shard);
        waiter.is_some_and(|waiter| waiter.send((shard, offset, generation)).is_ok())
    }

    /// Tells a waiting revocation that a shard is let go.
    pub(super) fn let_go(&self, shard: ShardId) {
        let mut waiters = self.waiters();
        // An assignment that came while draining has no begin to wait for.
        waiters.starts.remove(&shard);
        if let Some(waiter) = waiters.ends.remove(&shard) {
            // A revocation that waits no longer has gone on by itself.
            let _ = waiter.send(shard);
        }
    }
}

/// Hears the inbox.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) events: Sender<Event>,
    pub(super) waiting: Waiting,
    /// Told once why this consumer cannot go on.
    pub(super) ended: Sender<String>,
}

impl ConsumerHandler for Ear {
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt> {
        let shards: Vec<ShardId> = partitions.iter().map(|p| ShardId(p.partition)).collect();
        let (sender, answers) = channel();
        for shard in &shards {
            self.waiting.waiters().starts.insert(*shard, sender.clone());
        }
        drop(sender);
        let wait_max = if self.tell(Event::Input(Input::Assigned(shards))) {
            CLAIM_WAIT_MAX
        } else {
            Duration::ZERO
        };
        let starts: HashMap<ShardId, (i64, u64)> = gather(&answers, partitions.len(), wait_max)
            .into_iter()
            .map(|(shard, offset, generation)| (shard, (offset, generation)))
            .collect();
        partitions
            .iter()
            .map(|partition| {
                let shard = ShardId(partition.partition);
                self.waiting.waiters().starts.remove(&shard);
                let start = starts.get(&shard);
                StartAt {
                    partition: partition.clone(),
                    // Without an answer it waits, paused, for the seek that comes with the claim.
                    offset: Some(start.map_or(0, |(offset, _)| *offset)),
                    generation: start.map_or(0, |(_, generation)| *generation),
                    paused: start.is_none(),
                }
            })
            .collect()
    }

    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool) {
        let shards: Vec<ShardId> = partitions.iter().map(|p| ShardId(p.partition)).collect();
        let (sender, answers) = channel();
        for shard in &shards {
            self.waiting.waiters().ends.insert(*shard, sender.clone());
        }
        drop(sender);
        if self.tell(Event::Input(Input::Revoked { shards, lost })) {
            gather(&answers, partitions.len(), LET_GO_WAIT_MAX);
        }
    }

    fn records(&mut self, records: Vec<IncomingRecord>) {
        let mut run: Vec<IncomingRecord> = Vec::new();
        for record in records {
            if run
                .first()
                .is_some_and(|first| first.partition != record.partition)
            {
                self.hand_over(std::mem::take(&mut run));
            }
            run.push(record);
        }
        self.hand_over(run);
    }

    fn failed(&mut self, error: ConsumerError) {
        match error {
            // Fenced by another of its name, or by its own past after an outage: a new one joins.
            ConsumerError::Fatal { .. } => {
                // Nobody waits for it while the engine drains.
                let _ = self.ended.send(error.to_string());
            }
            ConsumerError::NoOffset { .. } => {
                tracing::error!(
                    %error,
                    "records of the inbox are gone that were not read yet; its shard stands still"
                );
            }
            ConsumerError::Transient { .. }
            | ConsumerError::Commit { .. }
            | ConsumerError::Control { .. }
            | ConsumerError::Denied { .. } => tracing::warn!(%error, "the inbox consumer"),
        }
    }
}

impl Ear {
    /// Returns whether anyone listens: nobody does once the engine has drained.
    fn tell(&self, event: Event) -> bool {
        self.events.send(event).is_ok()
    }

    fn hand_over(&self, records: Vec<IncomingRecord>) {
        if let Some(first) = records.first() {
            let shard = ShardId(first.partition);
            self.tell(Event::Input(Input::Records { shard, records }));
        }
    }
}

/// Waits for so many answers, but not for ever.
fn gather<T>(answers: &Receiver<T>, count: usize, wait_max: Duration) -> Vec<T> {
    let until = Instant::now() + wait_max;
    let mut gathered = Vec::with_capacity(count);
    while gathered.len() < count {
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            break;
        };
        match answers.recv_timeout(left) {
            Ok(answer) => gathered.push(answer),
            Err(_) => break,
        }
    }
    gathered
}

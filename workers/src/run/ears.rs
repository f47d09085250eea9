//! What comes in: from the consumer, the producer, the memory and the handlers, through one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use backstitch_broker::{
    BatchDone, ConsumerError, ConsumerHandler, IncomingRecord, StartAt, TopicPartition,
};
use tokio::sync::mpsc::UnboundedSender;

use crate::batch::Outcome;
use crate::work::Answer;

/// One thing that the bench learns. The channel has no limit of its own: records are bounded by pausing, all else by records.
#[derive(Debug)]
pub(super) enum Input {
    Assigned(Vec<(TopicPartition, u64)>),
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
        let_go: SyncSender<()>,
    },
    Records(Vec<IncomingRecord>),
    Batch(Vec<(u64, Outcome)>),
    Answered {
        ticket: u64,
        answer: Answer,
    },
    Delivered {
        producer: u64,
        done: BatchDone,
    },
    ConsumerFailed(ConsumerError),
    Drain,
}

/// Numbers the generations of partitions, over all consumers of a worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Generations(Arc<AtomicU64>);

impl Generations {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Passes on what the consumer hears.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) inputs: UnboundedSender<Input>,
    pub(super) generations: Generations,
    pub(super) revoke_wait: Duration,
    /// Whether the consumer has been replaced: what it hears while it ends is no news.
    pub(super) replaced: Arc<AtomicBool>,
}

impl Ears {
    fn tell(&self, input: Input) {
        if self.replaced.load(Ordering::Acquire) {
            return;
        }
        // Nobody listens any more: the worker is ending, and what comes is read again by the next.
        let _ = self.inputs.send(input);
    }
}

impl ConsumerHandler for Ears {
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt> {
        let starts: Vec<StartAt> = partitions
            .iter()
            .map(|partition| StartAt {
                partition: partition.clone(),
                offset: None,
                generation: self.generations.next(),
                paused: false,
            })
            .collect();
        let assigned = starts
            .iter()
            .map(|start| (start.partition.clone(), start.generation))
            .collect();
        self.tell(Input::Assigned(assigned));
        starts
    }

    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool) {
        let (let_go, gone) = sync_channel(1);
        self.tell(Input::Revoked {
            partitions: partitions.to_vec(),
            lost,
            let_go,
        });
        if !lost && gone.recv_timeout(self.revoke_wait).is_err() {
            tracing::info!(
                "partitions go while commands are at work; the next owner repeats their answers"
            );
        }
    }

    fn records(&mut self, records: Vec<IncomingRecord>) {
        self.tell(Input::Records(records));
    }

    fn failed(&mut self, error: ConsumerError) {
        self.tell(Input::ConsumerFailed(error));
    }
}

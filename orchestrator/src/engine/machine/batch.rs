//! What the next commit will hold.

use std::collections::VecDeque;
use std::sync::Arc;

use backstitch_broker::OutgoingRecord;

use super::io::{BatchId, Ticket};
use crate::store::{CommitPlan, Epoch, JournalRow, ShardId};

/// Transitions that are applied in memory and wait for the next commit.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counts batches from 1; a saga remembers the one that will write it.
    pub(super) number: u64,
    pub(super) journal: Vec<JournalRow>,
    /// The sagas to be written, each once, in order of their first change.
    pub(super) sagas: Vec<(ShardId, String)>,
    /// What leaves after the commit, with its shard.
    pub(super) records: Vec<(ShardId, OutgoingRecord)>,
    /// Records of the inbox that it has taken in.
    pub(super) taken: usize,
    /// Bytes of journal and records, roughly.
    pub(super) bytes: usize,
}

impl Batch {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            journal: Vec::new(),
            sagas: Vec::new(),
            records: Vec::new(),
            taken: 0,
            bytes: 0,
        }
    }

    /// Forgets what concerns a shard.
    pub(super) fn drop_shard(&mut self, shard: ShardId) {
        self.journal.retain(|row| row.shard != shard);
        self.sagas.retain(|(of, _)| *of != shard);
        self.records.retain(|(of, _)| *of != shard);
    }
}

/// A commit whose answer is awaited, or that is tried again.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) ticket: Ticket,
    pub(super) number: u64,
    pub(super) plan: Arc<CommitPlan>,
    pub(super) records: Vec<(ShardId, OutgoingRecord)>,
    /// Sagas of the plan that have ended.
    pub(super) ended: Vec<(ShardId, String)>,
    /// When to try again, if the store could not be reached.
    pub(super) retry_at_ms: Option<i64>,
    pub(super) tries: u32,
}

/// Batches that were handed to the producer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    batches: VecDeque<Published>,
    next: u64,
}

#[derive(Debug)]
struct Published {
    id: BatchId,
    /// Up to which journal row of which shard it goes.
    marks: Vec<(ShardId, Epoch, i64)>,
    is_done: bool,
}

impl Publishing {
    pub(super) fn begin(&mut self, marks: Vec<(ShardId, Epoch, i64)>) -> BatchId {
        self.next += 1;
        let id = BatchId(self.next);
        self.batches.push_back(Published {
            id,
            marks,
            is_done: false,
        });
        id
    }

    /// Notes that a batch was acknowledged; returns the marks that hold now. A batch counts once
    /// all earlier ones do.
    pub(super) fn done(&mut self, id: BatchId) -> Vec<(ShardId, Epoch, i64)> {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.id == id) {
            batch.is_done = true;
        }
        let mut marks = Vec::new();
        while self.batches.front().is_some_and(|batch| batch.is_done) {
            if let Some(batch) = self.batches.pop_front() {
                marks.extend(batch.marks);
            }
        }
        marks
    }

    /// Forgets all: the producer has ended.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    pub(super) fn count(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn concerns(&self, shard: ShardId) -> bool {
        self.batches
            .iter()
            .any(|batch| batch.marks.iter().any(|(of, _, _)| *of == shard))
    }
}

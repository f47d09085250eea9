//! The partitions that a worker reads: what may be committed, what goes away, what is read again, what is paused. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use backstitch_broker::{IncomingRecord, TopicPartition};

use super::ears::Generations;
use crate::offsets::Offsets;

/// A partition to be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reread {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) generation: u64,
    at_ms: i64,
}

#[derive(Debug)]
struct Partition {
    offsets: Offsets,
    /// Read and dropped again: they never finish here.
    dropped_count: usize,
    paused: bool,
    leaving: bool,
}

/// All partitions that are assigned.
#[derive(Debug)]
pub(super) struct Reading {
    partitions: HashMap<TopicPartition, Partition>,
    rereads: Vec<Reread>,
    generations: Generations,
    leaving: Option<SyncSender<()>>,
}

/// Partitions that may go: what to commit first, and whom to tell.
pub(super) type Gone = (Vec<(TopicPartition, i64)>, SyncSender<()>);

impl Reading {
    pub(super) fn new(generations: Generations) -> Self {
        Self {
            partitions: HashMap::new(),
            rereads: Vec::new(),
            generations,
            leaving: None,
        }
    }

    pub(super) fn assigned(&mut self, partitions: Vec<(TopicPartition, u64)>) {
        for (partition, generation) in partitions {
            let fresh = Partition {
                offsets: Offsets::new(generation),
                dropped_count: 0,
                paused: false,
                leaving: false,
            };
            self.rereads.retain(|reread| reread.partition != partition);
            self.partitions.insert(partition, fresh);
        }
    }

    /// Marks partitions as going, or forgets them if they are lost already. Returns who waited for an earlier call.
    pub(super) fn revoked(
        &mut self,
        partitions: &[TopicPartition],
        lost: bool,
        let_go: SyncSender<()>,
    ) -> Option<SyncSender<()>> {
        for partition in partitions {
            if lost {
                self.partitions.remove(partition);
            } else if let Some(partition) = self.partitions.get_mut(partition) {
                partition.leaving = true;
            }
            self.rereads.retain(|reread| reread.partition != *partition);
        }
        self.leaving.replace(let_go)
    }

    /// Forgets everything, for its consumer has ended. Returns who waited.
    pub(super) fn clear(&mut self) -> Option<SyncSender<()>> {
        self.partitions.clear();
        self.rereads.clear();
        self.leaving.take()
    }

    /// Notes a record; false if it is not to be handled: read before, of another time, or of a partition that goes.
    pub(super) fn read(&mut self, record: &IncomingRecord) -> bool {
        match self.partitions.get_mut(&place_of(record)) {
            Some(partition) => {
                !partition.leaving && partition.offsets.read(record.generation, record.offset)
            }
            None => false,
        }
    }

    /// Notes that a record was read and is not going to be finished here.
    pub(super) fn dropped(&mut self, record: &IncomingRecord) {
        if let Some(partition) = self.partitions.get_mut(&place_of(record))
            && partition.offsets.generation() == record.generation
        {
            partition.dropped_count += 1;
        }
    }

    /// Notes that a record is through; true if there is something new to commit.
    pub(super) fn finished(&mut self, record: &IncomingRecord) -> bool {
        match self.partitions.get_mut(&place_of(record)) {
            Some(partition) => {
                partition.offsets.finish(record.generation, record.offset);
                partition.offsets.has_moved()
            }
            None => false,
        }
    }

    /// Has a partition read again from its first unfinished record, under a new generation, from `at_ms` on.
    pub(super) fn reread(&mut self, place: &TopicPartition, at_ms: i64) {
        if let Some(partition) = self.partitions.get_mut(place)
            && let Some(offset) = partition.offsets.position()
        {
            let generation = self.generations.next();
            partition.offsets = Offsets::new(generation);
            partition.dropped_count = 0;
            self.rereads.retain(|reread| reread.partition != *place);
            self.rereads.push(Reread {
                partition: place.clone(),
                offset,
                generation,
                at_ms,
            });
        }
    }

    pub(super) fn reread_all(&mut self, at_ms: i64) {
        for place in self.partitions.keys().cloned().collect::<Vec<_>>() {
            self.reread(&place, at_ms);
        }
    }

    /// What is to be read again now.
    pub(super) fn due_rereads(&mut self, now_ms: i64) -> Vec<Reread> {
        self.rereads
            .extract_if(.., |reread| reread.at_ms <= now_ms)
            .collect()
    }

    pub(super) fn next_reread_ms(&self) -> Option<i64> {
        self.rereads.iter().map(|reread| reread.at_ms).min()
    }

    /// Takes the partitions that go, once nothing of theirs is at work.
    pub(super) fn take_gone(&mut self) -> Option<Gone> {
        let at_work =
            |partition: &Partition| partition.offsets.unfinished_count() > partition.dropped_count;
        let busy = |partition: &Partition| partition.leaving && at_work(partition);
        if self.leaving.is_none() || self.partitions.values().any(busy) {
            return None;
        }
        let offsets = self
            .partitions
            .extract_if(|_, partition| partition.leaving)
            .filter_map(|(place, mut partition)| Some((place, partition.offsets.take_commit()?)))
            .collect();
        Some((offsets, self.leaving.take()?))
    }

    /// What is to be committed.
    pub(super) fn take_commits(&mut self) -> Vec<(TopicPartition, i64)> {
        self.partitions
            .iter_mut()
            .filter_map(|(place, partition)| {
                Some((place.clone(), partition.offsets.take_commit()?))
            })
            .collect()
    }

    /// The partitions that have to be paused, or resumed, so that all are as asked; those that came meanwhile follow.
    pub(super) fn turn(&mut self, pause: bool) -> Vec<TopicPartition> {
        let mut turned = Vec::new();
        for (place, partition) in &mut self.partitions {
            if partition.paused != pause {
                partition.paused = pause;
                turned.push(place.clone());
            }
        }
        turned
    }
}

fn place_of(record: &IncomingRecord) -> TopicPartition {
    TopicPartition {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
    }
}

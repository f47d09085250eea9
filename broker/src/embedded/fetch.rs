//! Giving records out, within the limits that the reader sets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};

use super::batch::end_offset;
use super::broker::{Broker, read_error};
use super::fetched::{Fetched, FetchedPartition, FetchedTopic};
use super::lent::{Piece, bytes_held};
use super::memory::Held;
use super::partition::{Bounds, Partition, TailRead};
use super::storage::{Taken, read_aborted, read_batches};
use super::waker::Waker;

/// Record bytes in one answer, whatever the reader would take.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Record bytes that an answer may have though all memory of answers is held.
const ANSWER_BYTES_LEAST: usize = 64 << 10;
/// Record bytes of an answer that are known to be as they were written before it is begun. What is wrong with them is told in the
/// answer; what is wrong with those behind them ends the connection, and is told to whoever asks again.
const CHECKED_BYTES: usize = 64 << 10;
/// Longest wait for records, whatever the reader would wait: it is answered with none, and asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Readers of committed records ask with this level.
const READ_COMMITTED: i8 = 1;

/// What is left of an answer's bytes. The first batch of an answer is given whatever its size, so that a reader with
/// small limits gets on; after it, no batch goes over the answer's limit, and only the first of a partition over the
/// partition's.
struct Room {
    answer_max: usize,
    taken: usize,
    partition_max: usize,
    partition_taken: usize,
}

impl Room {
    fn start_partition(&mut self, max_bytes: i32) {
        self.partition_max = usize::try_from(max_bytes).unwrap_or(0);
        self.partition_taken = 0;
    }

    fn take(&mut self, size: usize) -> bool {
        let fits_answer = self.taken == 0 || self.taken + size <= self.answer_max;
        let fits_partition =
            self.partition_taken == 0 || self.partition_taken + size <= self.partition_max;
        if fits_answer && fits_partition {
            self.taken += size;
            self.partition_taken += size;
        }
        fits_answer && fits_partition
    }

    /// The same for a batch that is not in memory.
    fn take_cold(&mut self, size: usize) -> Option<Taken> {
        let is_enough = self.taken > 0 && self.taken + size > CHECKED_BYTES;
        let taken = if is_enough {
            Taken::Lent
        } else {
            Taken::Checked
        };
        self.take(size).then_some(taken)
    }
}

/// One look at all partitions that were asked for.
struct Look {
    topics: Vec<FetchedTopic>,
    /// Of records.
    bytes: usize,
    /// Held while it is sent.
    in_memory: usize,
    /// An error is told at once, not after the wait.
    failed: bool,
    seen: Vec<(Arc<Partition>, Bounds)>,
}

impl Broker {
    /// Answers when there is enough, or when the reader's patience ends. Sleeps in between.
    pub(crate) fn fetch(&self, request: &FetchRequest, waker: &Arc<Waker>) -> (Fetched, Held) {
        let answer_max = usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(ANSWER_BYTES_MAX);
        if request.session_epoch > 0 {
            // No session is ever begun, so this one belongs to another broker.
            let unknown = ResponseError::FetchSessionIdNotFound.code();
            let answer = Fetched {
                head: FetchResponse::default().with_error_code(unknown),
                topics: Vec::new(),
            };
            return (answer, self.answers.take(0));
        }
        let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + patience.min(WAIT_MAX);
        let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut is_there = true;
        loop {
            waker.arm();
            let answer_max = answer_max.min(self.answers.free().max(ANSWER_BYTES_LEAST));
            let look = self.look(request, answer_max);
            let held = self.answers.take(look.in_memory);
            if look.failed
                || look.bytes >= wanted.min(answer_max)
                || Instant::now() >= deadline
                || !is_there
                || self.is_stopping()
            {
                let answer = Fetched {
                    head: FetchResponse::default(),
                    topics: look.topics,
                };
                return (answer, held);
            }
            // Nothing is held while this waits, nor counted.
            drop((held, look.topics));
            for (partition, bounds) in &look.seen {
                partition.watch(waker, *bounds);
            }
            is_there = waker.wait_until(deadline);
            for (partition, _) in &look.seen {
                partition.unwatch(waker);
            }
        }
    }

    fn look(&self, request: &FetchRequest, answer_max: usize) -> Look {
        let mut room = Room {
            answer_max,
            taken: 0,
            partition_max: 0,
            partition_taken: 0,
        };
        let mut look = Look {
            topics: Vec::new(),
            bytes: 0,
            in_memory: 0,
            failed: false,
            seen: Vec::new(),
        };
        for asked in &request.topics {
            let topic = self.topics.get(&asked.topic);
            let mut partitions = Vec::with_capacity(asked.partitions.len());
            for position in &asked.partitions {
                let data = PartitionData::default()
                    .with_partition_index(position.partition)
                    .with_records(Some(Bytes::new()));
                let partition = topic
                    .as_ref()
                    .and_then(|topic| topic.partition(position.partition));
                let read = match partition {
                    None => Err(ResponseError::UnknownTopicOrPartition),
                    Some(partition) => {
                        let bounds = partition.bounds();
                        look.seen.push((Arc::clone(partition), bounds));
                        room.start_partition(position.partition_max_bytes);
                        self.read(
                            partition,
                            bounds,
                            position,
                            request.isolation_level,
                            &mut room,
                            data.clone(),
                        )
                    }
                };
                partitions.push(read.unwrap_or_else(|error| {
                    look.failed = true;
                    FetchedPartition {
                        head: data.with_error_code(error.code()).with_high_watermark(-1),
                        batches: Vec::new(),
                    }
                }));
            }
            look.topics.push(FetchedTopic {
                head: FetchableTopicResponse::default().with_topic(asked.topic.clone()),
                partitions,
            });
        }
        look.bytes = room.taken;
        let partitions = look.topics.iter().flat_map(|topic| &topic.partitions);
        let batches: Vec<&[Piece]> = partitions.map(|partition| &partition.batches[..]).collect();
        look.in_memory = bytes_held(&batches);
        look
    }

    fn read(
        &self,
        partition: &Partition,
        bounds: Bounds,
        position: &FetchPartition,
        isolation: i8,
        room: &mut Room,
        data: PartitionData,
    ) -> Result<FetchedPartition, ResponseError> {
        let from = position.fetch_offset;
        if position.current_leader_epoch > 0 {
            return Err(ResponseError::UnknownLeaderEpoch);
        }
        if from < bounds.start || from > bounds.next {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let upper = if isolation == READ_COMMITTED {
            bounds.stable
        } else {
            bounds.next
        };
        // Batches and transactions given up are read as of one moment: compaction changes both.
        let (batches, mut aborted) = if room.taken > 0 && room.taken >= room.answer_max {
            (Vec::new(), Vec::new())
        } else {
            match partition.read_tail(from, upper, |size| room.take(size)) {
                TailRead::Hot(batches, aborted) => {
                    (batches.into_iter().map(Piece::Memory).collect(), aborted)
                }
                TailRead::Cold => {
                    let read = |db: &rusqlite::Connection| {
                        let moment = db.unchecked_transaction()?;
                        let take = |size| room.take_cold(size);
                        let segments = &self.readers.segments;
                        let batches =
                            read_batches(&moment, segments, partition.id, from, upper, take)?;
                        let aborted = read_aborted(&moment, partition.id, from, upper)?;
                        Ok((batches, aborted))
                    };
                    self.readers.read(read).map_err(read_error)?
                }
            }
        };
        // Of these, the reader needs to know what it meets in the batches that it gets.
        let end = batches.last().map_or(from, |batch| match batch {
            Piece::Memory(bytes) => end_offset(bytes),
            Piece::Lent(lent) => lent.end_offset,
        });
        aborted.retain(|aborted| aborted.first_offset < end);
        let head = data
            .with_high_watermark(bounds.next)
            .with_last_stable_offset(bounds.stable)
            .with_log_start_offset(bounds.start);
        if isolation != READ_COMMITTED {
            return Ok(FetchedPartition { head, batches });
        }
        let aborted = aborted.into_iter().map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        });
        let head = head.with_aborted_transactions(Some(aborted.collect()));
        Ok(FetchedPartition { head, batches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(answer_max: usize, partition_max: i32) -> Room {
        let mut room = Room {
            answer_max,
            taken: 0,
            partition_max: 0,
            partition_taken: 0,
        };
        room.start_partition(partition_max);
        room
    }

    #[test]
    fn the_first_batch_is_given_whatever_its_size() {
        assert!(room(10, 10).take(1_000));
    }

    #[test]
    fn a_second_batch_stays_within_both_limits() {
        assert!({
            let mut room = room(1_000, 100);
            room.take(60) && !room.take(60)
        });
        assert!({
            let mut room = room(100, 1_000);
            room.take(60) && !room.take(60)
        });
    }

    #[test]
    fn a_later_partition_gets_its_first_batch_only_within_the_answer() {
        let mut room = room(100, 100);
        assert!(room.take(60));
        room.start_partition(10);
        assert!(!room.take(41));
        assert!(room.take(40));
        assert!(!room.take(1));
    }
}

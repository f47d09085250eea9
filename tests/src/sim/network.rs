//! Producing to topics and reading the inbox.

use backstitch_broker::OutgoingRecord;
use backstitch_orchestrator::engine::machine::{BatchId, Input};
use backstitch_orchestrator::store::ShardId;

use super::broker::Stored;
use super::faults::Bug;
use super::process::Reader;
use super::world::{Event, Life, World};

impl World {
    /// Sends records off: in order to each partition, as an idempotent producer does.
    pub(super) fn publish(&mut self, of: Life, batch: BatchId, records: Vec<OutgoingRecord>) {
        let mut last = self.now;
        for record in records {
            let Some(record) = self.garble(record) else {
                continue;
            };
            let partition = self.broker.place(&record);
            let mut at = self.now + self.latency();
            if self.strikes(self.faults.slow) {
                at += self.rng.between(20, 500);
            }
            let Some(process) = self.living(of) else {
                return;
            };
            let key = (record.topic.to_string(), partition);
            let earlier = process.arrivals.entry(key).or_insert(0);
            *earlier = at.max(*earlier);
            let at = *earlier;
            let producer = process.producer;
            last = last.max(at);
            let record = Box::new(record);
            self.at(
                at,
                Event::Arrive {
                    of,
                    producer,
                    record,
                    partition,
                },
            );
        }
        let is_early = self.has_bug(Bug::PublishedBeforeAck);
        let wait = self.latency();
        let now = self.now;
        let Some(process) = self.living(of) else {
            return;
        };
        let at = if is_early { now } else { last + wait };
        process.acked_at = process.acked_at.max(at);
        let (at, producer) = (process.acked_at, process.producer);
        self.at(at, Event::Acked(of, producer, batch));
    }

    pub(super) fn arrive(
        &mut self,
        of: Life,
        producer: u64,
        record: OutgoingRecord,
        partition: i32,
    ) {
        if self.judge.is_cut(of, producer, self.now) {
            return self.mark("a record was lost with its producer");
        }
        self.judge_arrival(of, &record);
        let topic = record.topic.to_string();
        let stored = Stored::from(record);
        let is_ours = topic != *self.broker.inbox && topic != self.broker.dead_letters;
        if is_ours && self.strikes(self.faults.twice) {
            self.append(&topic, partition, stored.clone());
        }
        self.append(&topic, partition, stored);
    }

    pub(super) fn acked(&mut self, of: Life, producer: u64, batch: BatchId) {
        let is_current = self.living(of).is_some_and(|p| p.producer == producer);
        if is_current {
            self.deliver(of, Input::Published(batch));
        }
    }

    /// The producer of a process ends: what is on its way arrives within a short while, or never.
    pub(super) fn lose_producer(&mut self, of: Life) {
        self.cut_producer(of);
        let Some(process) = self.living(of) else {
            return;
        };
        process.producer += 1;
        process.acked_at = 0;
        let wait = self.latency();
        self.trace(|_| format!("process {} loses its producer", of.process));
        self.after(wait, Event::Deliver(of, Input::ProducerLost));
    }

    pub(super) fn cut_producer(&mut self, of: Life) {
        let until = self.now + self.rng.between(0, 30);
        let producer = self.processes[of.process].producer;
        self.judge.cut(of, producer, until);
    }

    /// Puts a record onto a topic, and lets those know who wait for one.
    pub(super) fn append(&mut self, topic: &str, partition: i32, record: Stored) {
        if self.broker.append(topic, partition, record).is_none() {
            return self.fail(format!("there is no partition {partition} of {topic}"));
        }
        if topic == &*self.broker.inbox {
            self.call_readers(ShardId(partition));
        } else {
            self.call_workers(topic, partition);
        }
    }

    /// A record from outside reaches the inbox.
    pub(super) fn place(&mut self, partition: i32, record: Stored) {
        let inbox = self.broker.inbox.to_string();
        self.append(&inbox, partition, record);
    }

    pub(super) fn place_after(&mut self, wait_ms: i64, partition: i32, record: Stored) {
        self.on_the_way += 1;
        let record = Box::new(record);
        self.after(wait_ms, Event::Place { partition, record });
    }

    // ---- reading ---------------------------------------------------------------------------

    pub(super) fn read_from(&mut self, of: Life, shard: ShardId, offset: i64, generation: u64) {
        let offset = if self.has_bug(Bug::AutoCommit) {
            self.judge.auto_committed(shard).max(offset)
        } else {
            offset
        };
        let Some(process) = self.living(of) else {
            return;
        };
        let reader = Reader {
            generation,
            next: offset,
            is_paused: false,
            is_waiting: false,
            handed_at: 0,
        };
        process.readers.insert(shard, reader);
        let wait = self.latency();
        self.after(wait, Event::Fetch(of, shard, generation));
    }

    pub(super) fn pause_reader(&mut self, of: Life, shard: ShardId) {
        if let Some(process) = self.living(of)
            && let Some(reader) = process.readers.get_mut(&shard)
        {
            reader.is_paused = true;
        }
    }

    pub(super) fn resume_reader(&mut self, of: Life, shard: ShardId) {
        let Some(process) = self.living(of) else {
            return;
        };
        if let Some(reader) = process.readers.get_mut(&shard)
            && std::mem::take(&mut reader.is_paused)
        {
            let generation = reader.generation;
            reader.is_waiting = false;
            self.after(1, Event::Fetch(of, shard, generation));
        }
    }

    fn call_readers(&mut self, shard: ShardId) {
        for process in 0..self.processes.len() {
            let of = self.life_of(process);
            if let Some(reader) = self.processes[process].readers.get_mut(&shard)
                && std::mem::take(&mut reader.is_waiting)
            {
                let generation = reader.generation;
                self.after(1, Event::Fetch(of, shard, generation));
            }
        }
    }

    pub(super) fn fetch(&mut self, of: Life, shard: ShardId, generation: u64) {
        let wait = self.latency();
        let count_max = 1 + self.rng.below(8);
        let now = self.now;
        let Some(process) = self.living(of) else {
            return;
        };
        if process.is_paused {
            self.after(wait + 5, Event::Fetch(of, shard, generation));
            return;
        }
        let Some(from) = process
            .readers
            .get(&shard)
            .filter(|reader| reader.generation == generation && !reader.is_paused)
            .map(|reader| reader.next)
        else {
            return;
        };
        let records = self.broker.read_inbox(shard.0, from, count_max, generation);
        let Some(reader) = self.living(of).and_then(|p| p.readers.get_mut(&shard)) else {
            return;
        };
        let Some(last) = records.last() else {
            reader.is_waiting = true;
            return;
        };
        let end = last.offset + 1;
        reader.next = end;
        reader.handed_at = reader.handed_at.max(now + wait);
        let at = reader.handed_at;
        self.judge.auto_commit(shard, end);
        let (records, back_to) = self.choke(shard, records);
        if let Some(back_to) = back_to
            && let Some(process) = self.living(of)
            && let Some(reader) = process.readers.get_mut(&shard)
        {
            reader.next = back_to;
        }
        if !records.is_empty() {
            self.at(at, Event::Deliver(of, Input::Records { shard, records }));
        }
        self.after(wait.max(2), Event::Fetch(of, shard, generation));
    }
}

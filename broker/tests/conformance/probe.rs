//! A consumer that writes down what it sees.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use backstitch_broker::{
    Consumer, ConsumerControl, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord,
    KafkaConfig, StartAt, TopicPartition,
};

use crate::world::{PATIENCE, config};

/// What happened, in order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>, bool),
    Records(Vec<IncomingRecord>),
    Failed(ConsumerError),
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
}

impl Seen {
    /// The partitions that are assigned now.
    pub(crate) fn owned(&self) -> BTreeSet<i32> {
        let mut owned = BTreeSet::new();
        for event in &self.events {
            match event {
                Event::Assigned(partitions) => owned.extend(partitions),
                Event::Revoked(partitions, _) => {
                    owned.retain(|partition| !partitions.contains(partition))
                }
                Event::Records(_) | Event::Failed(_) => {}
            }
        }
        owned
    }

    /// No record comes of a partition that isn't assigned: asserted of every probe that is stopped.
    fn check(&self) {
        let mut owned = BTreeSet::new();
        for event in &self.events {
            match event {
                Event::Assigned(partitions) => owned.extend(partitions),
                Event::Revoked(partitions, _) => {
                    owned.retain(|partition| !partitions.contains(partition));
                }
                Event::Records(records) => {
                    for record in records {
                        assert!(owned.contains(&record.partition), "{record:?} of {owned:?}");
                    }
                }
                Event::Failed(_) => {}
            }
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &IncomingRecord> {
        self.events.iter().flat_map(|event| match event {
            Event::Records(records) => records.as_slice(),
            Event::Assigned(_) | Event::Revoked(..) | Event::Failed(_) => &[],
        })
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.records()
            .map(|record| crate::world::text(record.payload.as_ref()))
            .collect()
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &ConsumerError> {
        self.events.iter().filter_map(|event| match event {
            Event::Failed(error) => Some(error),
            Event::Assigned(_) | Event::Revoked(..) | Event::Records(_) => None,
        })
    }
}

type Log = Arc<(Mutex<Seen>, Condvar)>;
type Starts = Box<dyn FnMut(&[TopicPartition]) -> Vec<StartAt> + Send>;
type Reads = Box<dyn FnMut(&[IncomingRecord]) + Send>;
type Revokes = Box<dyn FnMut(&[TopicPartition], bool) + Send>;

struct Handler {
    log: Log,
    starts: Starts,
    revokes: Revokes,
    reads: Reads,
}

impl Handler {
    fn note(&self, event: Event) {
        self.log.0.lock().unwrap().events.push(event);
        self.log.1.notify_all();
    }
}

impl ConsumerHandler for Handler {
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt> {
        let starts = (self.starts)(partitions);
        self.note(Event::Assigned(
            partitions.iter().map(|p| p.partition).collect(),
        ));
        starts
    }

    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool) {
        (self.revokes)(partitions, lost);
        self.note(Event::Revoked(
            partitions.iter().map(|p| p.partition).collect(),
            lost,
        ));
    }

    fn records(&mut self, records: Vec<IncomingRecord>) {
        assert!(!records.is_empty());
        (self.reads)(&records);
        self.note(Event::Records(records));
    }

    fn failed(&mut self, error: ConsumerError) {
        self.note(Event::Failed(error));
    }
}

/// How a probe consumes.
pub(crate) struct Plan {
    pub(crate) config: KafkaConfig,
    pub(crate) options: ConsumerOptions,
    starts: Starts,
    revokes: Revokes,
    reads: Reads,
}

impl Plan {
    pub(crate) fn new(group: &str, topic: &str) -> Plan {
        Plan {
            config: config(),
            options: ConsumerOptions::new(group, [topic]),
            starts: Box::new(|_| Vec::new()),
            revokes: Box::new(|_, _| {}),
            reads: Box::new(|_| {}),
        }
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut ConsumerOptions)) -> Plan {
        change(&mut self.options);
        self
    }

    /// Begins every partition the same way.
    pub(crate) fn from(mut self, offset: Option<i64>, generation: u64, paused: bool) -> Plan {
        self.starts = Box::new(move |partitions| {
            partitions
                .iter()
                .map(|partition| StartAt {
                    partition: partition.clone(),
                    offset,
                    generation,
                    paused,
                })
                .collect()
        });
        self
    }

    pub(crate) fn on_revoked(
        mut self,
        revokes: impl FnMut(&[TopicPartition], bool) + Send + 'static,
    ) -> Plan {
        self.revokes = Box::new(revokes);
        self
    }

    pub(crate) fn on_records(
        mut self,
        reads: impl FnMut(&[IncomingRecord]) + Send + 'static,
    ) -> Plan {
        self.reads = Box::new(reads);
        self
    }

    pub(crate) fn start(self) -> Probe {
        let log = Log::default();
        let handler = Handler {
            log: log.clone(),
            starts: self.starts,
            revokes: self.revokes,
            reads: self.reads,
        };
        Probe {
            consumer: Consumer::start(&self.config, self.options, handler).unwrap(),
            log,
        }
    }
}

pub(crate) struct Probe {
    consumer: Consumer,
    log: Log,
}

impl Probe {
    /// Waits until what was seen satisfies the condition.
    pub(crate) fn await_until(&self, what: &str, mut holds: impl FnMut(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.log.0.lock().unwrap();
        while !holds(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let events: Vec<String> = seen
                    .events
                    .iter()
                    .map(|event| match event {
                        Event::Records(records) => format!("{} records", records.len()),
                        Event::Assigned(_) | Event::Revoked(..) | Event::Failed(_) => {
                            format!("{event:?}")
                        }
                    })
                    .collect();
                panic!("not within {PATIENCE:?}: {what}; seen: {events:?}");
            }
            seen = self.log.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    pub(crate) fn await_owned(&self, count: usize) {
        self.await_until(&format!("{count} partitions"), |seen| {
            seen.owned().len() == count
        });
    }

    pub(crate) fn await_records(&self, count: usize) {
        self.await_until(&format!("{count} records"), |seen| {
            seen.records().count() >= count
        });
    }

    pub(crate) fn look<R>(&self, read: impl FnOnce(&Seen) -> R) -> R {
        read(&self.log.0.lock().unwrap())
    }

    pub(crate) fn control(&self) -> ConsumerControl {
        self.consumer.control()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.consumer.is_running()
    }

    /// Stops and returns everything that was seen, the revocation at the end included.
    pub(crate) fn stop(self) -> Seen {
        self.consumer.stop();
        let seen = std::mem::take(&mut *self.log.0.lock().unwrap());
        seen.check();
        seen
    }
}

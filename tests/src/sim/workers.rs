//! Workers: two an activity, with one memory of answers, and a ledger that nobody else writes.

use std::collections::BTreeMap;

use backstitch_schemas::{Command, Direction, Reply};

use super::broker::COMMAND_PARTITIONS;
use super::scenario::topics;
use super::world::{Event, World};

/// What was really done, in order. Written by the work itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) saga: String,
    pub(super) step: String,
    pub(super) direction: Direction,
}

/// What is remembered under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// Its undo came first.
    Tombstone,
    Refused,
    Done,
}

/// All workers.
#[derive(Debug)]
pub(super) struct Guild {
    pub(super) workers: Vec<Worker>,
    pub(super) memory: BTreeMap<String, Answer>,
    pub(super) ledger: Vec<Deed>,
    /// By topic: what the group has committed.
    committed: BTreeMap<String, Vec<i64>>,
}

#[derive(Debug)]
pub(super) struct Worker {
    topic: String,
    partitions: Vec<i32>,
    positions: BTreeMap<i32, i64>,
    life: u64,
    stage: Stage,
}

/// How far a worker is with its present command.
#[derive(Debug)]
enum Stage {
    /// It waits for one.
    Idle,
    /// It was called, and looks for one.
    Looking,
    Holding {
        command: Box<Command>,
        partition: i32,
        offset: i64,
        known: Option<Answer>,
    },
    Answering {
        reply: Option<Box<(Reply, i32)>>,
        partition: i32,
        offset: i64,
    },
    Finishing {
        partition: i32,
        offset: i64,
    },
}

impl Guild {
    pub(super) fn new(activities: &[String]) -> Self {
        let mut workers = Vec::new();
        let mut committed = BTreeMap::new();
        for activity in activities {
            let topic = topics().commands(activity);
            let count = usize::try_from(COMMAND_PARTITIONS).unwrap_or(1);
            committed.insert(topic.clone(), vec![0; count]);
            workers.extend((0..COMMAND_PARTITIONS).map(|own| Worker {
                topic: topic.clone(),
                partitions: vec![own],
                positions: BTreeMap::new(),
                life: 0,
                stage: Stage::Idle,
            }));
        }
        Self {
            workers,
            memory: BTreeMap::new(),
            ledger: Vec::new(),
            committed,
        }
    }

    fn committed(&self, topic: &str, partition: i32) -> i64 {
        let partition = usize::try_from(partition).unwrap_or(0);
        let of_topic = self.committed.get(topic);
        of_topic
            .and_then(|c| c.get(partition))
            .copied()
            .unwrap_or(0)
    }

    /// The answer under any of the keys of a worker that has one for each attempt.
    pub(super) fn of_any_attempt(&self, key: &str) -> Option<Answer> {
        let prefix = format!("{key}@");
        let of = self.memory.iter().filter(|(k, _)| k.starts_with(&prefix));
        of.map(|(_, answer)| *answer).max()
    }

    fn commit(&mut self, topic: &str, partition: i32, next: i64) {
        let partition = usize::try_from(partition).unwrap_or(0);
        if let Some(committed) = self
            .committed
            .get_mut(topic)
            .and_then(|c| c.get_mut(partition))
        {
            *committed = next.max(*committed);
        }
    }
}

impl World {
    pub(super) fn workers_are_idle(&self) -> bool {
        let is_idle = |w: &Worker| matches!(w.stage, Stage::Idle);
        self.guild.workers.iter().all(is_idle)
            && self.guild.committed.iter().all(|(topic, committed)| {
                (0..COMMAND_PARTITIONS)
                    .zip(committed)
                    .all(|(p, next)| *next == self.broker.end(topic, p))
            })
    }

    pub(super) fn call_workers(&mut self, topic: &str, partition: i32) {
        for worker in 0..self.guild.workers.len() {
            let of = &self.guild.workers[worker];
            if of.topic == topic && of.partitions.contains(&partition) {
                self.wake_worker(worker);
            }
        }
    }

    pub(super) fn wake_worker(&mut self, worker: usize) {
        let of = &mut self.guild.workers[worker];
        if matches!(of.stage, Stage::Idle) {
            of.stage = Stage::Looking;
            self.move_soon(worker);
        }
    }

    fn move_soon(&mut self, worker: usize) {
        let wait = self.latency();
        let life = self.guild.workers[worker].life;
        self.after(wait, Event::Work(worker, life));
    }

    /// Gives a worker partitions; it goes on from what the group has committed.
    pub(super) fn assign_worker(&mut self, worker: usize, partitions: Vec<i32>) {
        let of = &mut self.guild.workers[worker];
        of.partitions = partitions;
        of.positions.clear();
        self.wake_worker(worker);
    }

    pub(super) fn work(&mut self, worker: usize, life: u64) {
        if self.guild.workers[worker].life != life {
            return;
        }
        if self.strikes(self.faults.worker_crash) {
            self.trace(|_| format!("worker {worker} dies and starts again"));
            let of = &mut self.guild.workers[worker];
            of.life += 1;
            of.stage = Stage::Looking;
            of.positions.clear();
            let (wait, life) = (self.rng.between(1, 150), life + 1);
            return self.after(wait, Event::Work(worker, life));
        }
        let stage = std::mem::replace(&mut self.guild.workers[worker].stage, Stage::Idle);
        let next = match stage {
            Stage::Idle | Stage::Looking => self.next_command(worker),
            Stage::Holding {
                command,
                partition,
                offset,
                known,
            } => Stage::Answering {
                reply: self.carry_out_command(worker, &command, known),
                partition,
                offset,
            },
            Stage::Answering {
                reply,
                partition,
                offset,
            } => {
                if let Some(reply) = reply {
                    self.send_reply(&reply.0, reply.1);
                }
                Stage::Finishing { partition, offset }
            }
            Stage::Finishing { partition, offset } => {
                let topic = self.guild.workers[worker].topic.clone();
                self.guild.commit(&topic, partition, offset + 1);
                Stage::Looking
            }
        };
        let is_idle = matches!(next, Stage::Idle);
        self.guild.workers[worker].stage = next;
        if !is_idle {
            self.move_soon(worker);
        }
    }

    fn next_command(&mut self, worker: usize) -> Stage {
        let shift = self.rng.below(2);
        let (topic, mut partitions) = {
            let of = &self.guild.workers[worker];
            (of.topic.clone(), of.partitions.clone())
        };
        if shift == 1 {
            partitions.reverse();
        }
        for partition in partitions {
            let committed = self.guild.committed(&topic, partition);
            let of = &mut self.guild.workers[worker];
            let position = of.positions.entry(partition).or_insert(committed);
            let offset = *position;
            let at = usize::try_from(offset).unwrap_or(0);
            let Some(stored) = self.broker.log(&topic, partition).get(at) else {
                continue;
            };
            *position += 1;
            let payload = stored.payload.clone().unwrap_or_default();
            match self.codec.decode_command(&payload) {
                Ok(command) => {
                    let known = self.guild.memory.get(&command.idempotency_key).copied();
                    return Stage::Holding {
                        command: Box::new(command),
                        partition,
                        offset,
                        known,
                    };
                }
                Err(error) => self.fail(format!("a command cannot be read: {error}")),
            }
        }
        Stage::Idle
    }
}

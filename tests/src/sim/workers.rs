//! Workers: two an activity, with one memory of answers, and a ledger that nobody else writes.

use std::collections::BTreeMap;

use backstitch_schemas::{Command, Direction, Reply, ReplyOutcome};

use super::broker::{COMMAND_PARTITIONS, Stored};
use super::faults::Bug;
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
enum Answer {
    /// Its undo came first.
    Tombstone,
    Refused,
    Done,
}

/// All workers.
#[derive(Debug)]
pub(super) struct Guild {
    pub(super) workers: Vec<Worker>,
    memory: BTreeMap<String, Answer>,
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
    fn of_any_attempt(&self, key: &str) -> Option<Answer> {
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

    /// Looks up, works, remembers and writes the ledger, in one transaction.
    fn carry_out_command(
        &mut self,
        worker: usize,
        command: &Command,
        seen: Option<Answer>,
    ) -> Option<Box<(Reply, i32)>> {
        let known = match self.bug {
            Some(Bug::CheckThenAct) => seen,
            Some(Bug::NoMemory) => None,
            _ => self.guild.memory.get(&command.idempotency_key).copied(),
        };
        let answer = match known {
            Some(Answer::Done) => {
                self.mark("a worker repeated its answer");
                ReplyOutcome::Done
            }
            Some(Answer::Refused) => ReplyOutcome::Refused,
            Some(Answer::Tombstone) => {
                self.mark("a do met a tombstone");
                ReplyOutcome::Refused
            }
            None => match command.direction {
                Direction::Do => self.do_it(command),
                Direction::Undo => self.undo_it(command),
            },
        };
        self.trace(|_| {
            let Command {
                idempotency_key,
                attempt,
                ..
            } = command;
            format!("worker {worker}: {idempotency_key} attempt {attempt}: {answer:?}")
        });
        if self.strikes(self.faults.hang) {
            return None;
        }
        let output = (answer == ReplyOutcome::Done && command.direction == Direction::Do)
            .then(|| br#"{"n":1}"#.to_vec());
        let words = (answer != ReplyOutcome::Done).then(|| "as\u{0} drawn".to_owned());
        let reply = Reply {
            saga: command.saga.clone(),
            step: command.step.clone(),
            direction: command.direction,
            attempt: command.attempt,
            idempotency_key: command.idempotency_key.clone(),
            outcome: answer,
            output,
            code: words.clone(),
            reason: words,
            worker: Some(format!("worker-{worker}")),
            at_ms: self.now,
        };
        Some(Box::new((
            self.mirror_reply(reply),
            command.reply_partition,
        )))
    }

    fn do_it(&mut self, command: &Command) -> ReplyOutcome {
        if self.strikes(self.faults.fail) {
            return ReplyOutcome::Failed;
        }
        let is_refused = self.strikes(self.faults.refuse);
        let (outcome, answer) = if is_refused {
            (ReplyOutcome::Refused, Answer::Refused)
        } else {
            self.write_down(command);
            (ReplyOutcome::Done, Answer::Done)
        };
        let key = command.idempotency_key.clone();
        self.guild.memory.insert(key, answer);
        outcome
    }

    fn undo_it(&mut self, command: &Command) -> ReplyOutcome {
        if self.strikes(self.faults.undo_fail) {
            return ReplyOutcome::Failed;
        }
        let key = command.idempotency_key.clone();
        if self.strikes(self.faults.undo_refuse) {
            self.guild.memory.insert(key, Answer::Refused);
            return ReplyOutcome::Refused;
        }
        let done_key = command.done_key.clone().unwrap_or_default();
        let done = match self.bug {
            Some(Bug::AttemptInKey) => self.guild.of_any_attempt(&done_key),
            _ => self.guild.memory.get(&done_key).copied(),
        };
        match done {
            Some(Answer::Done) => self.write_down(command),
            Some(Answer::Refused | Answer::Tombstone) => {}
            None if self.has_bug(Bug::NoTombstone) => {}
            None => {
                self.mark("an undo left a tombstone");
                self.guild.memory.insert(done_key, Answer::Tombstone);
            }
        }
        self.guild.memory.insert(key, Answer::Done);
        ReplyOutcome::Done
    }

    fn write_down(&mut self, command: &Command) {
        self.guild.ledger.push(Deed {
            saga: command.saga.clone(),
            step: command.step.clone(),
            direction: command.direction,
        });
    }

    pub(super) fn send_reply(&mut self, reply: &Reply, partition: i32) {
        let payload = match self.codec.encode_reply(reply) {
            Ok(payload) => payload,
            Err(error) => return self.fail(format!("a reply cannot be written: {error}")),
        };
        let record = Stored::new(reply.saga.as_bytes(), payload, self.now);
        let times = 1 + usize::from(self.strikes(self.faults.twice));
        for _ in 0..times {
            let late = self.strikes(self.faults.late);
            let wait = if late {
                self.rng.between(50, 900)
            } else {
                self.latency()
            };
            let partition = self.astray(partition);
            self.place_after(wait, partition, record.clone());
        }
    }
}

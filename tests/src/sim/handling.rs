//! What a worker does with a command: it looks up, works, remembers, writes the ledger, answers.

use backstitch_schemas::{Command, Direction, Reply, ReplyOutcome};

use super::broker::Stored;
use super::faults::Bug;
use super::workers::{Answer, Deed};
use super::world::World;

impl World {
    /// Looks up, works, remembers and writes the ledger, in one transaction.
    pub(super) fn carry_out_command(
        &mut self,
        worker: usize,
        command: &Command,
        seen: Option<Answer>,
    ) -> Option<Box<(Reply, i32)>> {
        if self.strikes(self.faults.late) {
            self.mark("a worker said that it was still at it");
            let reply = self.reply_to(worker, command, ReplyOutcome::Heartbeat);
            self.send_reply(&reply, command.reply_partition);
        }
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
        let reply = self.reply_to(worker, command, answer);
        Some(Box::new((reply, command.reply_partition)))
    }

    fn reply_to(&self, worker: usize, command: &Command, outcome: ReplyOutcome) -> Reply {
        let is_done = outcome == ReplyOutcome::Done;
        let output = is_done && command.direction == Direction::Do;
        let words = (!is_done).then(|| "as\u{0} drawn".to_owned());
        self.mirror_reply(Reply {
            saga: command.saga.clone(),
            step: command.step.clone(),
            direction: command.direction,
            attempt: command.attempt,
            idempotency_key: command.idempotency_key.clone(),
            outcome,
            output: output.then(|| br#"{"n":1}"#.to_vec()),
            code: words.clone(),
            reason: words,
            worker: Some(format!("worker-{worker}")),
            at_ms: self.now,
        })
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

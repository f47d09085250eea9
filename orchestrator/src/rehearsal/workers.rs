//! Workers as they should be, but for what the script has them do: they answer a key once (W-1),
//! and a book is kept of what really happened.

use std::collections::BTreeMap;

use backstitch_schemas::{Command, Direction, Reply, ReplyOutcome};

use super::script::Answering;

/// When a command whose worker died is taken by another one.
const AGAIN_MS: i64 = 10_000;

/// Something that really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    /// The idempotency key of the do.
    pub(super) key: String,
    /// Whether it was done or taken back.
    pub(super) direction: Direction,
}

/// What is remembered under a key.
#[derive(Debug, Clone)]
enum Known {
    Done(Option<Vec<u8>>),
    Refused(String),
    /// The undo came first: the do is refused.
    Tombstone,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) reply: Reply,
    pub(super) partition: i32,
    pub(super) wait_ms: i64,
}

impl Said {
    fn is_answer(&self) -> bool {
        self.reply.outcome != ReplyOutcome::Heartbeat
    }
}

/// What comes of a command.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) said: Vec<Said>,
    /// The worker died: the command is taken again after this.
    pub(super) again_ms: Option<i64>,
}

/// All workers, of whatever activity.
#[derive(Debug)]
pub(super) struct Workers {
    memory: BTreeMap<String, Known>,
    /// How often each key was asked for.
    served: BTreeMap<String, u32>,
    /// Answers that wait for the undo, by the key of the do.
    held: BTreeMap<String, Said>,
    /// What really happened, in order.
    pub(super) deeds: Vec<Deed>,
    /// After so many attempts, what went wrong for good goes well: there may be no end else.
    patience: u32,
    /// Whether something went well only because the attempts did not end.
    pub(super) gave_in: bool,
    /// They forget what they answered, which breaks W-1.
    pub(super) is_forgetful: bool,
}

impl Workers {
    pub(super) fn new(patience: u32) -> Self {
        Self {
            memory: BTreeMap::new(),
            served: BTreeMap::new(),
            held: BTreeMap::new(),
            deeds: Vec::new(),
            patience,
            gave_in: false,
            is_forgetful: false,
        }
    }

    /// Takes a command. `output` is what they answer if they do it.
    pub(super) fn take(
        &mut self,
        command: &Command,
        answering: Option<&Answering>,
        output: Option<Vec<u8>>,
        now_ms: i64,
    ) -> Work {
        let served = self
            .served
            .entry(command.idempotency_key.clone())
            .or_insert(0);
        *served += 1;
        let served = *served;
        let is_troubled = matches!(
            answering,
            Some(Answering::Failed { times: None, .. } | Answering::Unanswered { .. })
        );
        let answering = if served > self.patience {
            self.gave_in |= is_troubled;
            None
        } else {
            answering
        };
        if let Some(Answering::Unanswered { effect: false }) = answering {
            return Work::default();
        }
        let (outcome, output, code) = self.outcome(command, answering, output, served);
        let reply = Reply {
            saga: command.saga.clone(),
            step: command.step.clone(),
            direction: command.direction,
            attempt: command.attempt,
            idempotency_key: command.idempotency_key.clone(),
            outcome,
            output,
            reason: code.clone(),
            code,
            worker: Some("worker".to_owned()),
            at_ms: now_ms,
        };
        self.deliver(command, reply, answering, served, now_ms)
    }

    fn outcome(
        &mut self,
        command: &Command,
        answering: Option<&Answering>,
        output: Option<Vec<u8>>,
        served: u32,
    ) -> (ReplyOutcome, Option<Vec<u8>>, Option<String>) {
        let key = &command.idempotency_key;
        let known = self.memory.get(key).filter(|_| !self.is_forgetful);
        let known = match (known.cloned(), answering) {
            (Some(known), _) => known,
            (None, Some(Answering::Failed { code, times }))
                if times.is_none_or(|times| served <= times) =>
            {
                // Nothing happened, and nothing is remembered.
                return (ReplyOutcome::Failed, None, Some(code.clone()));
            }
            (None, Some(Answering::Refused { code })) => Known::Refused(code.clone()),
            (None, _) => self.work(command, output),
        };
        self.memory.insert(key.clone(), known.clone());
        match known {
            Known::Done(output) => (ReplyOutcome::Done, output, None),
            Known::Refused(code) => (ReplyOutcome::Refused, None, Some(code)),
            Known::Tombstone => {
                let code = Some("undone_before".to_owned());
                (ReplyOutcome::Refused, None, code)
            }
        }
    }

    /// Does what is asked, and writes it into the book.
    fn work(&mut self, command: &Command, output: Option<Vec<u8>>) -> Known {
        let key = match command.direction {
            Direction::Do => Some(command.idempotency_key.clone()),
            Direction::Undo => {
                let done_key = command.done_key.clone().unwrap_or_default();
                match self.memory.get(&done_key) {
                    Some(Known::Done(_)) => Some(done_key),
                    Some(Known::Refused(_) | Known::Tombstone) => None,
                    None => {
                        self.memory.insert(done_key, Known::Tombstone);
                        None
                    }
                }
            }
        };
        let direction = command.direction;
        self.deeds.extend(key.map(|key| Deed { key, direction }));
        match direction {
            Direction::Do => Known::Done(output),
            Direction::Undo => Known::Done(None),
        }
    }

    fn deliver(
        &mut self,
        command: &Command,
        reply: Reply,
        answering: Option<&Answering>,
        served: u32,
        now_ms: i64,
    ) -> Work {
        let partition = command.reply_partition;
        let said = |reply: &Reply, wait_ms| Said {
            reply: reply.clone(),
            partition,
            wait_ms,
        };
        let mut work = Work::default();
        match answering {
            Some(Answering::Unanswered { .. }) => work.said = beats(command, &reply, 1),
            Some(Answering::Crash) if served == 1 => {
                work.said = beats(command, &reply, 1);
                work.again_ms = Some(AGAIN_MS);
            }
            Some(Answering::Twice) => {
                work.said.push(said(&reply, 0));
                work.said.push(said(&reply, 5));
            }
            Some(Answering::Late(wait_ms)) if served == 1 => {
                let rest_ms = command.deadline_ms.saturating_sub(now_ms).max(0);
                let wait_ms = match wait_ms {
                    Some(wait_ms) => i64::try_from(*wait_ms).unwrap_or(i64::MAX),
                    None => rest_ms.saturating_add(1),
                };
                work.said = beats(command, &reply, wait_ms);
                work.said.push(said(&reply, wait_ms));
            }
            Some(Answering::AfterUndo) if command.direction == Direction::Do => {
                let held = said(&reply, 1);
                self.held.insert(command.idempotency_key.clone(), held);
            }
            Some(
                Answering::Done(_)
                | Answering::Refused { .. }
                | Answering::Failed { .. }
                | Answering::Crash
                | Answering::Late(_)
                | Answering::AfterUndo,
            )
            | None => work.said.push(said(&reply, 0)),
        }
        let is_answered = work.said.iter().any(Said::is_answer);
        if command.direction == Direction::Undo && is_answered {
            let done_key = command.done_key.as_deref().unwrap_or_default();
            work.said.extend(self.held.remove(done_key));
        }
        work
    }

    /// The answers that waited for an undo which never came.
    pub(super) fn release(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.held).into_values().collect()
    }

    /// How often something was done, and taken back.
    pub(super) fn times(&self, done_key: &str) -> (usize, usize) {
        let of = |direction| {
            let is_it = |deed: &&Deed| deed.key == done_key && deed.direction == direction;
            self.deeds.iter().filter(is_it).count()
        };
        (of(Direction::Do), of(Direction::Undo))
    }
}

/// The heartbeats of a worker that is at it for so long, where they are asked for.
fn beats(command: &Command, reply: &Reply, for_ms: i64) -> Vec<Said> {
    /// A worker that is at it for longer is taken for dead.
    const BEATS_MAX: i64 = 100;
    let Some(every_ms) = command.heartbeat_ms else {
        return Vec::new();
    };
    let every_ms = (every_ms / 2).max(1);
    let count = (for_ms / every_ms + 1).min(BEATS_MAX);
    let beat = Reply {
        outcome: ReplyOutcome::Heartbeat,
        output: None,
        code: None,
        reason: None,
        ..reply.clone()
    };
    let beats = (0..count).map(|n| Said {
        reply: beat.clone(),
        partition: command.reply_partition,
        wait_ms: n * every_ms,
    });
    beats.filter(|said| said.wait_ms < for_ms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(direction: Direction) -> Command {
        let is_undo = direction == Direction::Undo;
        let key = |word: &str| format!("order/1/charge/{word}");
        Command {
            saga: "order/1".to_owned(),
            definition: "order".to_owned(),
            step: "charge".to_owned(),
            direction,
            attempt: 1,
            activity: "charge".to_owned(),
            idempotency_key: key(direction.as_str()),
            done_key: is_undo.then(|| key("do")),
            input: b"{}".to_vec(),
            output: None,
            reply_topic: "inbox".to_owned(),
            reply_partition: 0,
            sent_at_ms: 0,
            deadline_ms: 5_000,
            heartbeat_ms: None,
        }
    }

    fn outcomes(work: &Work) -> Vec<(ReplyOutcome, i64)> {
        let said = work.said.iter();
        said.map(|said| (said.reply.outcome, said.wait_ms))
            .collect()
    }

    #[test]
    fn a_key_is_answered_once_and_the_answer_repeated() {
        let mut workers = Workers::new(10);
        for _ in 0..2 {
            let work = workers.take(&command(Direction::Do), None, Some(b"1".to_vec()), 0);
            assert_eq!(outcomes(&work), [(ReplyOutcome::Done, 0)]);
        }
        assert_eq!(workers.deeds.len(), 1);
    }

    #[test]
    fn an_undo_that_comes_first_leaves_a_tombstone() {
        let mut workers = Workers::new(10);
        workers.take(&command(Direction::Undo), None, None, 0);
        let work = workers.take(&command(Direction::Do), None, None, 0);
        assert_eq!(outcomes(&work), [(ReplyOutcome::Refused, 0)]);
        assert!(workers.deeds.is_empty());
    }

    #[test]
    fn what_fails_so_often_is_done_then() {
        let mut workers = Workers::new(10);
        let answering = Answering::Failed {
            code: "busy".to_owned(),
            times: Some(2),
        };
        let mut said = Vec::new();
        for _ in 0..3 {
            let work = workers.take(&command(Direction::Do), Some(&answering), None, 0);
            said.extend(outcomes(&work).into_iter().map(|(outcome, _)| outcome));
        }
        assert_eq!(
            said,
            [
                ReplyOutcome::Failed,
                ReplyOutcome::Failed,
                ReplyOutcome::Done
            ]
        );
        assert_eq!(workers.times("order/1/charge/do"), (1, 0));
    }

    #[test]
    fn a_lost_answer_leaves_its_effect_and_silence_none() {
        for effect in [true, false] {
            let mut workers = Workers::new(10);
            let answering = Answering::Unanswered { effect };
            let work = workers.take(&command(Direction::Do), Some(&answering), None, 0);
            assert!(work.said.is_empty());
            assert_eq!(workers.deeds.len(), usize::from(effect));
        }
    }

    #[test]
    fn an_answer_can_come_after_that_to_the_undo() {
        let mut workers = Workers::new(10);
        let answering = Answering::AfterUndo;
        let work = workers.take(&command(Direction::Do), Some(&answering), None, 0);
        assert!(work.said.is_empty());
        let work = workers.take(&command(Direction::Undo), None, None, 9);
        let directions: Vec<_> = work.said.iter().map(|s| s.reply.direction).collect();
        assert_eq!(directions, [Direction::Undo, Direction::Do]);
        assert_eq!(workers.times("order/1/charge/do"), (1, 1));
    }

    #[test]
    fn a_late_worker_says_that_it_is_at_it_where_that_is_asked_for() {
        let mut workers = Workers::new(10);
        let command = Command {
            heartbeat_ms: Some(2_000),
            ..command(Direction::Do)
        };
        let work = workers.take(&command, Some(&Answering::Late(Some(2_500))), None, 0);
        let beat = |wait_ms| (ReplyOutcome::Heartbeat, wait_ms);
        let answer = (ReplyOutcome::Done, 2_500);
        assert_eq!(outcomes(&work), [beat(0), beat(1_000), beat(2_000), answer]);
    }

    #[test]
    fn attempts_without_end_find_their_end() {
        let mut workers = Workers::new(3);
        let answering = Answering::Unanswered { effect: false };
        for n in 1..=4 {
            let work = workers.take(&command(Direction::Do), Some(&answering), None, 0);
            assert_eq!(work.said.is_empty(), n < 4);
        }
        assert!(workers.gave_in);
    }
}

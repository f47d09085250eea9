//! The workers: what they say, what they remember, and what their work leaves in the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backstitch_saga::Payload;
use backstitch_saga::core::{Answer, Command, Direction, Reply};
use serde_json::{Value, json};

use crate::core_support::chance::Chance;

/// What a worker makes of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Say {
    /// It does it, and says so.
    Done(Value),
    /// It refuses: nothing was changed.
    Refused(&'static str),
    /// It says that it failed; it may have changed something.
    Failed(&'static str),
    /// It does it, and says that it failed.
    Torn,
    /// It does it, and nobody hears of it.
    Silent,
    /// The command is lost on it.
    Deaf,
    /// It does it, and says so later: when the story lets it.
    Late,
}

pub(super) fn done() -> Say {
    Say::Done(Value::Null)
}

pub(super) fn gives(output: Value) -> Say {
    Say::Done(output)
}

pub(super) fn refused() -> Say {
    Say::Refused("no")
}

pub(super) fn failed() -> Say {
    Say::Failed("busy")
}

/// All workers, and the world that they change.
#[derive(Debug, Clone, Default)]
pub(super) struct Workers {
    /// By `step` or `occurrence`, with a `-` before it for the undo: what is said, in order. What
    /// is not written is done.
    script: BTreeMap<String, VecDeque<Say>>,
    /// Decides instead of the script.
    pub(super) chance: Option<Chance>,
    /// By key: the final answer (W-1).
    answers: BTreeMap<String, Answer>,
    /// By key and attempt: what was said to it, so that the same attempt is not two.
    said: BTreeMap<(String, u32), Option<Answer>>,
    /// The keys of what was done and is not undone.
    pub(super) effects: BTreeSet<String>,
    /// How often something was done under a key.
    pub(super) done_count: BTreeMap<String, u32>,
    /// The keys of what was taken back: what comes after is refused.
    taken_back: BTreeSet<String>,
    /// Answers that are held back.
    late: Vec<(String, Reply)>,
    /// Every command that was seen, with what it was given.
    pub(super) inputs: BTreeMap<String, Value>,
}

impl Workers {
    pub(super) fn script(&mut self, who: &str, says: impl IntoIterator<Item = Say>) {
        self.script.entry(who.to_owned()).or_default().extend(says);
    }

    /// Carries a command out. Returns what is answered, if anything is.
    pub(super) fn work(&mut self, command: &Command) -> Option<Reply> {
        let mark = (command.key.clone(), command.attempt);
        if let Some(said) = self.said.get(&mark) {
            return said.clone().map(|answer| reply(command, answer));
        }
        if let Some(answer) = self.answers.get(&command.key) {
            return Some(reply(command, answer.clone()));
        }
        let own = match command.direction {
            Direction::Do => command.key.as_str(),
            Direction::Undo => command.done_key.as_deref().unwrap(),
        };
        let own = own.to_owned();
        let input = command.input.value().clone();
        let known = self.inputs.insert(command.key.clone(), input.clone());
        assert!(
            known.is_none_or(|known| known == input),
            "{} is asked for twice, and differently (S-4)",
            command.key
        );
        if command.direction == Direction::Do && self.taken_back.contains(&own) {
            let answer = refusal("undone");
            self.answers.insert(command.key.clone(), answer.clone());
            return Some(reply(command, answer));
        }
        let mut say = self.say(command);
        if matches!(say, Say::Refused(_)) && self.effects.contains(&own) {
            // Who has done it cannot refuse it any more (W-2).
            let is_do = command.direction == Direction::Do;
            say = if is_do { done() } else { say };
        }
        match (&say, command.direction) {
            (Say::Refused(_) | Say::Failed(_) | Say::Deaf, _) => {}
            (Say::Done(_) | Say::Torn | Say::Silent | Say::Late, Direction::Do) => {
                if self.effects.insert(own.clone()) {
                    *self.done_count.entry(own).or_default() += 1;
                }
            }
            (Say::Done(_) | Say::Torn | Say::Silent | Say::Late, Direction::Undo) => {
                self.effects.remove(&own);
                self.taken_back.insert(own);
            }
        }
        let output = match &say {
            Say::Done(Value::Null) if command.direction == Direction::Do => {
                json!({ "of": command.occurrence })
            }
            Say::Done(output) => output.clone(),
            Say::Refused(_) | Say::Failed(_) | Say::Torn | Say::Silent | Say::Deaf | Say::Late => {
                json!({ "of": command.occurrence })
            }
        };
        let is_done = Answer::Done(Some(Payload::from_value(&output)));
        let answer = match say {
            Say::Done(_) => {
                self.answers.insert(command.key.clone(), is_done.clone());
                Some(is_done)
            }
            Say::Refused(code) => {
                let answer = refusal(code);
                self.answers.insert(command.key.clone(), answer.clone());
                Some(answer)
            }
            Say::Failed(code) => Some(Answer::Failed {
                code: code.to_owned(),
                reason: String::new(),
            }),
            Say::Torn => Some(Answer::Failed {
                code: "torn".to_owned(),
                reason: String::new(),
            }),
            Say::Silent => {
                // It remembers, and says so when it is asked again.
                self.answers.insert(command.key.clone(), is_done);
                None
            }
            Say::Deaf => None,
            Say::Late => {
                let late = reply(command, is_done.clone());
                self.late.push((command.saga.clone(), late));
                self.answers.insert(command.key.clone(), is_done);
                None
            }
        };
        self.said.insert(mark, answer.clone());
        answer.map(|answer| reply(command, answer))
    }

    fn say(&mut self, command: &Command) -> Say {
        if let Some(chance) = &mut self.chance {
            return drawn(chance, command.direction);
        }
        let step = command.occurrence.split(['[', '#']).next().unwrap();
        let sign = match command.direction {
            Direction::Do => "",
            Direction::Undo => "-",
        };
        for who in [&command.occurrence, step] {
            let said = self.script.get_mut(&format!("{sign}{who}"));
            if let Some(say) = said.and_then(VecDeque::pop_front) {
                return say;
            }
        }
        done()
    }

    /// What was held back is said now.
    pub(super) fn let_late(&mut self) -> Vec<(String, Reply)> {
        std::mem::take(&mut self.late)
    }

    pub(super) fn holds_back(&self) -> bool {
        !self.late.is_empty()
    }
}

/// Mostly good, never for ever bad.
fn drawn(chance: &mut Chance, direction: Direction) -> Say {
    let n = chance.below(24);
    match (n, direction) {
        (0 | 1, Direction::Do) | (0, Direction::Undo) => Say::Refused("no"),
        (2 | 3, _) => Say::Failed("busy"),
        (4, Direction::Do) => Say::Failed("fatal"),
        (8, _) => Say::Torn,
        (5, _) => Say::Silent,
        (6, _) => Say::Deaf,
        (7, _) => Say::Late,
        (n, _) => Say::Done(json!({ "n": n, "ok": n % 2 == 0 })),
    }
}

fn refusal(code: &str) -> Answer {
    Answer::Refused {
        code: code.to_owned(),
        reason: String::new(),
    }
}

pub(super) fn reply(command: &Command, answer: Answer) -> Reply {
    Reply {
        occurrence: command.occurrence.clone(),
        direction: command.direction,
        key: command.key.clone(),
        attempt: command.attempt,
        answer,
        worker: Some("w".to_owned()),
    }
}

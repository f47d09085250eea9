//! Who watches a saga from outside: it sees the commands that leave and the messages that arrive,
//! never the changes by which the core explains itself, and has its own idea of what is right.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::core::{
    Act, ActKind, Answer, Command, Direction, FailureKind, LineStatus, Message, Reply, Saga, Status,
};
use backstitch_saga::definition::{Definition, OnFailure, Undo};
use backstitch_saga::invariant::{Invariant, Violation};
use serde::Serialize;

use super::shapes::work_of;

/// What was asked for under one occurrence and direction.
#[derive(Debug, Clone, Serialize)]
struct Asked {
    key: String,
    attempt: u32,
}

/// What is known from outside of one occurrence.
#[derive(Debug, Clone, Default, Serialize)]
struct Seen {
    step: String,
    does: Option<Asked>,
    undoes: Option<Asked>,
    is_done: bool,
    is_refused: bool,
    is_undone: bool,
    is_waived: bool,
    undo_was_refused: bool,
}

/// The world around one saga.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct World {
    /// In the order in which they were first asked for.
    seen: Vec<(String, Seen)>,
    /// The final answer that a key has, once it has one (W-1).
    answers: BTreeMap<String, &'static str>,
    has_turned: bool,
    undone: Vec<String>,
}

fn violation(rule: Invariant, saga: &Saga, what: String) -> Violation {
    Violation {
        rule,
        saga: saga.key.clone(),
        what,
    }
}

impl World {
    /// Takes note of a message and of what it led to.
    pub(crate) fn arrived(&mut self, message: &Message, was_ignored: bool) {
        match message {
            Message::Wake
            | Message::Event(_)
            | Message::Decision(_)
            | Message::Want(_)
            | Message::Undo(_) => {}
            Message::Reply(reply) => self.answered(reply, was_ignored),
            Message::Act(act) => {
                let has_reason = act.reason.as_deref().is_some_and(|r| !r.trim().is_empty());
                if act.kind == ActKind::Waive && has_reason && !was_ignored {
                    let named = act.occurrence.as_deref();
                    for (occurrence, seen) in &mut self.seen {
                        seen.is_waived |= named == Some(occurrence);
                    }
                }
            }
        }
    }

    fn answered(&mut self, reply: &Reply, was_ignored: bool) {
        let Some((_, seen)) = self.seen.iter_mut().find(|s| s.0 == reply.occurrence) else {
            return;
        };
        match (&reply.answer, reply.direction) {
            (Answer::Failed { .. } | Answer::Heartbeat, _) => return,
            (Answer::Done(_), Direction::Do) => seen.is_done |= !was_ignored,
            (Answer::Refused { .. }, Direction::Do) => seen.is_refused |= !was_ignored,
            (Answer::Done(_), Direction::Undo) => {
                if !was_ignored && !seen.is_undone {
                    self.undone.push(reply.occurrence.clone());
                }
                seen.is_undone |= !was_ignored;
            }
            (Answer::Refused { .. }, Direction::Undo) => seen.undo_was_refused |= !was_ignored,
        }
        let word = word(&reply.answer);
        self.answers.insert(reply.key.clone(), word);
    }

    /// Takes note of a command, and says which rule it breaks, if one.
    pub(crate) fn left(
        &mut self,
        definition: &Definition,
        saga: &Saga,
        command: &Command,
    ) -> Result<(), Violation> {
        let occurrence = &command.occurrence;
        let s4 = |what| Err(violation(Invariant::OneKeyPerWork, saga, what));
        let s2 = |what| Err(violation(Invariant::UndoneInReverse, saga, what));
        let known = self.seen.iter().position(|s| s.0 == *occurrence);
        let at = match (known, command.direction) {
            (Some(at), _) => at,
            (None, Direction::Undo) => return s2(format!("`{occurrence}` never ran")),
            (None, Direction::Do) => {
                let step = occurrence.split('#').next().unwrap().to_owned();
                let seen = Seen {
                    step,
                    ..Seen::default()
                };
                self.seen.push((occurrence.clone(), seen));
                self.seen.len() - 1
            }
        };
        let others_have_key = self.seen.iter().enumerate().any(|(other, (_, seen))| {
            let has = |asked: &Option<Asked>| asked.as_ref().is_some_and(|a| a.key == command.key);
            match command.direction {
                Direction::Do => (other != at && has(&seen.does)) || has(&seen.undoes),
                Direction::Undo => (other != at && has(&seen.undoes)) || has(&seen.does),
            }
        });
        if others_have_key {
            return s4(format!("{} is the key of other work", command.key));
        }
        if command.direction == Direction::Do
            && (self.has_turned || self.seen[at].1.undoes.is_some())
        {
            return s2(format!("`{occurrence}` is asked for on the way back"));
        }
        if command.direction == Direction::Undo {
            self.may_undo(definition, saga, at)?;
        }
        let seen = &mut self.seen[at].1;
        let does_key = seen.does.as_ref().map(|asked| asked.key.clone());
        if command.direction == Direction::Undo && command.done_key != does_key {
            return s4(format!("`{occurrence}` is undone under another key"));
        }
        let earlier = match command.direction {
            Direction::Do => &mut seen.does,
            Direction::Undo => &mut seen.undoes,
        };
        let expected = earlier.as_ref().map_or(1, |asked| asked.attempt + 1);
        if command.attempt != expected {
            return s4(format!(
                "attempt {} of `{occurrence}` comes where {expected} should",
                command.attempt
            ));
        }
        // A refusal is remembered under its key, so only then is there a new one.
        let renewed = command.direction == Direction::Undo && seen.undo_was_refused;
        if let Some(asked) = earlier
            && (asked.key == command.key) == renewed
        {
            return s4(format!("`{occurrence}` goes from key {}", asked.key));
        }
        seen.undo_was_refused = false;
        *earlier = Some(Asked {
            key: command.key.clone(),
            attempt: command.attempt,
        });
        Ok(())
    }

    /// S-2: whatever was asked for later and may have run has been undone before.
    fn may_undo(
        &mut self,
        definition: &Definition,
        saga: &Saga,
        at: usize,
    ) -> Result<(), Violation> {
        let s2 = |what| Err(violation(Invariant::UndoneInReverse, saga, what));
        let (occurrence, seen) = &self.seen[at];
        if seen.is_refused || seen.is_undone || seen.is_waived {
            return s2(format!("`{occurrence}` has nothing to be undone"));
        }
        let ignores = step_of(definition, &seen.step) == OnFailure::Ignore;
        self.has_turned |= !ignores;
        let newer = &self.seen[at + 1..];
        if let Some((newer, _)) = newer.iter().find(|s| s.1.is_owed(definition)) {
            return s2(format!("`{occurrence}` is undone before `{newer}`"));
        }
        Ok(())
    }

    /// What must hold of a saga that has ended.
    pub(crate) fn ended(&self, definition: &Definition, saga: &Saga) -> Result<(), Violation> {
        let s2 = |what| Err(violation(Invariant::UndoneInReverse, saga, what));
        let s5 = |what| Err(violation(Invariant::EndedIsEnded, saga, what));
        match saga.status {
            Status::Compensated => {
                let owed = self.seen.iter().find(|s| s.1.is_owed(definition));
                if let Some((occurrence, _)) = owed {
                    return s2(format!("`{occurrence}` may have run and was not undone"));
                }
            }
            Status::Completed => {
                for step in &definition.steps {
                    let latest = self.seen.iter().rev().find(|s| s.1.step == step.id);
                    let ignores = step.on_failure == OnFailure::Ignore;
                    let fits = match latest {
                        None => step.when.is_some(),
                        Some((_, seen)) if ignores && !seen.is_done => !seen.is_owed(definition),
                        Some((_, seen)) => {
                            (seen.is_done || seen.is_waived) && seen.undoes.is_none()
                        }
                    };
                    if !fits {
                        return s5(format!("it completed without `{}`: {latest:?}", step.id));
                    }
                }
            }
            Status::Running | Status::Compensating | Status::Parked | Status::Terminated => {}
        }
        Ok(())
    }

    /// What was undone, in order.
    pub(crate) fn undone(&self) -> Vec<&str> {
        self.undone.iter().map(String::as_str).collect()
    }

    /// The answers that workers who keep W-1 can give now, each to the latest attempt.
    pub(crate) fn possible_replies(&self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for (occurrence, seen) in &self.seen {
            let asked = [(Direction::Do, &seen.does), (Direction::Undo, &seen.undoes)];
            for (direction, asked) in asked {
                let Some(asked) = asked else { continue };
                for answer in answers() {
                    let settled = self.answers.get(&asked.key);
                    if settled.is_some_and(|settled| *settled != word(&answer)) {
                        continue;
                    }
                    replies.push(Reply {
                        occurrence: occurrence.clone(),
                        direction,
                        key: asked.key.clone(),
                        attempt: asked.attempt,
                        answer,
                        worker: None,
                    });
                }
            }
        }
        replies
    }

    /// As it stands, in so far as it matters for what may come.
    pub(crate) fn standing(&self) -> String {
        let mut copy = self.clone();
        for (_, seen) in &mut copy.seen {
            for asked in [&mut seen.does, &mut seen.undoes].into_iter().flatten() {
                asked.attempt = 0;
            }
        }
        serde_json::to_string(&copy).unwrap()
    }
}

impl Seen {
    /// Whether it may have run, and the definition says how to undo it, and that is outstanding.
    fn is_owed(&self, definition: &Definition) -> bool {
        let may_have_run = !self.is_refused && !self.is_undone && !self.is_waived;
        let ignores = step_of(definition, &self.step) == OnFailure::Ignore;
        let is_owed = match work_of(definition, &self.step).undo {
            Undo::Same | Undo::Other(_) => true,
            Undo::Nothing => false,
            // A saga with such a step must not end compensated; but whether one that is ignored
            // ran is nobody's business.
            Undo::Absent => self.is_done || !ignores,
        };
        may_have_run && is_owed
    }
}

fn step_of(definition: &Definition, id: &str) -> OnFailure {
    let step = definition.steps.iter().find(|s| s.id == id).unwrap();
    step.on_failure.clone()
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done(_) => "done",
        Answer::Failed { .. } => "failed",
        Answer::Refused { .. } => "refused",
        Answer::Heartbeat => "heartbeat",
    }
}

/// One of each sort.
pub(crate) fn answers() -> Vec<Answer> {
    vec![Answer::Done(None), failed("busy"), refused("no")]
}

pub(crate) fn failed(code: &str) -> Answer {
    let (code, reason) = (code.to_owned(), String::new());
    Answer::Failed { code, reason }
}

pub(crate) fn refused(code: &str) -> Answer {
    let (code, reason) = (code.to_owned(), String::new());
    Answer::Refused { code, reason }
}

pub(crate) fn act(kind: ActKind, occurrence: Option<&str>, reason: Option<&str>) -> Message {
    Message::Act(Act {
        kind,
        occurrence: occurrence.map(str::to_owned),
        by: "anna".to_owned(),
        reason: reason.map(str::to_owned),
    })
}

/// As a saga stands, in so far as it matters for what may come: without number and hash, with
/// times only as set or not set, attempts only as far as the retry limit counts them and while
/// they count, and why something failed only where a later decision looks at it.
pub(crate) fn standing(definition: &Definition, saga: &Saga) -> String {
    let mut copy = saga.clone();
    let earliest = copy.lines.iter().filter_map(|line| line.due_ms).min();
    let deadline_first = copy.deadline_ms < earliest;
    copy.seq = 0;
    copy.head.clear();
    copy.turned_back = None;
    if let Some(parked) = &mut copy.parked {
        parked.reason.clear();
    }
    copy.changed_at_ms = i64::from(deadline_first && copy.deadline_ms.is_some());
    copy.ended_at_ms = copy.ended_at_ms.map(|_| 0);
    copy.deadline_ms = copy.deadline_ms.map(|_| 0);
    for line in &mut copy.lines {
        let retry = &work_of(definition, &line.step).retry;
        let limit = retry.attempts_max.max(2);
        let in_round = (line.attempt + 1).saturating_sub(line.round_first);
        let had_earlier = u32::from(line.attempt > 1);
        line.attempt = in_round.min(limit);
        line.round_first = had_earlier;
        if line.status.is_settled() {
            (line.attempt, line.round_first) = (0, 0);
        }
        let is_stuck = line.status == LineStatus::Stuck;
        let failure = line.failure.take();
        line.failure = failure.filter(|f| is_stuck && f.kind == FailureKind::Refused);
        line.round_at_ms = 0;
        line.due_ms = line.due_ms.map(|_| 0);
    }
    serde_json::to_string(&copy).unwrap()
}

/// Whether a saga was opened anew so often that going on shows nothing new.
pub(crate) fn is_far_out(saga: &Saga) -> bool {
    let mut occurrences: BTreeMap<&str, u32> = BTreeMap::new();
    for line in &saga.lines {
        *occurrences.entry(&line.step).or_default() += 1;
    }
    occurrences.values().any(|count| *count > 2) || saga.lines.iter().any(|l| l.undo_round > 2)
}

/// When something becomes due: each line's time, the deadline, and past all of them.
pub(crate) fn due_times(saga: &Saga) -> BTreeSet<i64> {
    let lines = saga.lines.iter().filter_map(|line| line.due_ms);
    lines.chain(saga.deadline_ms).collect()
}

/// What a person may sensibly do now.
pub(crate) fn possible_acts(saga: &Saga) -> Vec<Message> {
    let mut acts = vec![act(ActKind::Cancel, None, Some("asked for"))];
    if let Some(parked) = &saga.parked {
        acts.push(act(ActKind::Resume, None, None));
        let stuck = saga.lines.iter().find(|l| l.status == LineStatus::Stuck);
        let named = stuck.map(|l| l.occurrence.as_str());
        for occurrence in [named, parked.at.as_deref()].into_iter().flatten() {
            acts.push(act(ActKind::Retry, Some(occurrence), None));
            acts.push(act(ActKind::Waive, Some(occurrence), Some("by hand")));
        }
    }
    acts
}

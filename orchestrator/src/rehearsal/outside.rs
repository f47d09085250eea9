//! What the world outside does: services publish, workers answer, people decide, as the script has
//! it.

use std::borrow::Cow;

use backstitch_saga::definition::{Approve, Verb, Wait};
use backstitch_saga::expression::{Root, Scope, key_text};
use backstitch_schemas::{ActKind, Command, Decision, Direction};
use serde_json::Value;

use super::intake::Meant;
use super::post::Stored;
use super::script::{Answering, AskedKind, Coming, Deciding, MADE_UP, find, is_in, step_of};
use super::values::{Key, lay_over, put};
use super::witness::{Asked, definition_of};
use super::world::World;

/// An event or a decision that is late comes so much after its time.
const LATE_MS: i64 = 1_000;
/// An event or a decision comes so soon after it is awaited.
const SOON_MS: i64 = 1;

impl<'c> World<'c> {
    /// All goes well from here on, and a person resumes what is parked.
    pub(super) fn resume(&mut self, sagas: &[String]) {
        self.is_healed = true;
        for saga in sagas {
            let record = Stored::act(&self.codec, saga, ActKind::Resume, self.now);
            self.send(SOON_MS, record);
        }
    }

    /// Does what the script has for something that was asked.
    pub(super) fn respond(&mut self, asked: &Asked) {
        if !self.is_healed
            && is_in(&self.script.overdue, &asked.mark)
            && let Some(deadline_ms) = asked.deadline_ms
        {
            self.stand_still_until(deadline_ms);
        }
        if !self.is_healed && is_in(&self.script.cancels, &asked.mark) {
            let record = Stored::act(&self.codec, &asked.saga, ActKind::Cancel, self.now);
            self.send(0, record);
        }
        match asked.kind {
            AskedKind::Wait => self.event_comes(asked),
            AskedKind::Approve => self.person_decides(asked),
            AskedKind::Start
            | AskedKind::Do
            | AskedKind::Undo
            | AskedKind::Sleep
            | AskedKind::Run
            | AskedKind::Commit => {}
        }
    }

    // ---- workers -----------------------------------------------------------------------------

    /// How workers answer a command. A code that is made up is one of those that the contract has.
    pub(super) fn answering(&self, command: &Command) -> Option<Cow<'c, Answering>> {
        let script = self.script;
        let answering =
            find(&script.answers, &self.mark_of(command)).filter(|_| !self.is_healed)?;
        let agreed = |is_refusal| self.code_of(command, is_refusal);
        Some(match answering {
            Answering::Refused { code } if code == MADE_UP => {
                Cow::Owned(Answering::Refused { code: agreed(true) })
            }
            Answering::Failed { code, times } if code == MADE_UP => Cow::Owned(Answering::Failed {
                code: agreed(false),
                times: *times,
            }),
            Answering::Done(_)
            | Answering::Refused { .. }
            | Answering::Failed { .. }
            | Answering::Unanswered { .. }
            | Answering::Crash
            | Answering::Twice
            | Answering::Late(_)
            | Answering::AfterUndo => Cow::Borrowed(answering),
        })
    }

    /// The first code with which an activity may refuse, or fail so that it is tried again.
    fn code_of(&self, command: &Command, is_refusal: bool) -> String {
        let definition = self.cast.by_name.get(&command.definition);
        let contract = definition.and_then(|one| one.activities.get(&command.activity));
        let step = self.cast.step(&command.definition, step_of(&command.step));
        let is_final = |code: &String| match step.map(|step| &step.verb) {
            Some(Verb::Do(work)) => work.retry.not.contains(code),
            _ => false,
        };
        let codes = contract.into_iter().flat_map(|contract| &contract.errors);
        let mut codes = codes.filter(|code| is_refusal || !is_final(code));
        codes
            .next()
            .map_or_else(|| MADE_UP.to_owned(), Clone::clone)
    }

    /// What workers answer once they have done it.
    pub(super) fn output(&self, command: &Command) -> Option<Vec<u8>> {
        if command.direction == Direction::Undo {
            return None;
        }
        let mark = self.mark_of(command);
        let given = find(&self.script.outputs, &mark).cloned();
        let made_up = || {
            let values = self.data.by_name.get(&command.definition)?;
            values.output(&command.step)
        };
        given
            .or_else(made_up)
            .map(|value| value.to_string().into_bytes())
    }

    fn mark_of(&self, command: &Command) -> String {
        let is_undo = command.direction == Direction::Undo;
        self.witness.mark(&command.saga, &command.step, is_undo)
    }

    // ---- events ------------------------------------------------------------------------------

    fn event_comes(&mut self, asked: &Asked) {
        let script = self.script;
        let event = find(&script.events, &asked.mark).filter(|_| !self.is_healed);
        let coming = event.map_or(Coming::InTime, |event| event.coming);
        let with = event.and_then(|event| event.with.as_ref());
        let Some(mailbox) = asked.target.as_deref() else {
            return;
        };
        for wait_ms in waits(coming, asked, self.now) {
            let is_read_again = coming == Coming::ReadAgain;
            self.publish_event(mailbox, &asked.occurrence, with, wait_ms, is_read_again);
        }
    }

    /// A service publishes what an occurrence waits for in a mailbox, before the saga has begun where
    /// the script says so.
    pub(super) fn publish_event(
        &mut self,
        mailbox: &str,
        occurrence: &str,
        with: Option<&Value>,
        wait_ms: i64,
        is_read_again: bool,
    ) {
        let Some((name, value)) = of_mailbox(mailbox) else {
            return self.fail(format!("`{mailbox}` is no key of a mailbox"));
        };
        let cast = self.cast;
        let step = cast.step(name, step_of(occurrence));
        let Some(Verb::Wait(wait)) = step.map(|step| &step.verb) else {
            return self.fail(format!("nothing waits in {mailbox}"));
        };
        let made_up = self.data.by_name.get(name);
        let mut record = made_up.map_or(Value::Null, |values| values.message(occurrence));
        if let Some(with) = with {
            lay_over(&mut record, with);
        }
        let at_ms = self.now.saturating_add(wait_ms);
        match addressed(wait, record, value, at_ms) {
            Ok(record) => {
                let meant = Meant::Mailbox(mailbox.to_owned(), occurrence.to_owned());
                self.source_record(&wait.topic, &record, wait_ms, is_read_again, &meant);
            }
            Err(why) => {
                self.notes
                    .insert(format!("`{occurrence}` gets no event: {why}"));
            }
        }
    }

    // ---- people ------------------------------------------------------------------------------

    fn person_decides(&mut self, asked: &Asked) {
        let script = self.script;
        let usual = Deciding::default();
        let deciding = find(&script.decisions, &asked.mark).filter(|_| !self.is_healed);
        let deciding = deciding.unwrap_or(&usual);
        let cast = self.cast;
        let step = cast.step(definition_of(&asked.saga), step_of(&asked.occurrence));
        let Some(Verb::Approve(approve)) = step.map(|step| &step.verb) else {
            return;
        };
        for wait_ms in waits(deciding.coming, asked, self.now) {
            let decision = decision(approve, deciding, asked, self.now.saturating_add(wait_ms));
            let record = Stored::decision(&self.codec, &decision);
            self.send(wait_ms, record);
        }
    }
}

fn decision(approve: &Approve, deciding: &Deciding, asked: &Asked, at_ms: i64) -> Decision {
    let role = deciding.role.clone();
    Decision {
        saga: asked.saga.clone(),
        step: Some(asked.occurrence.clone()),
        approved: deciding.approved,
        by: deciding.by.clone().unwrap_or_else(|| "a person".to_owned()),
        role: role.or_else(|| approve.by.first().cloned()),
        reason: deciding.reason.clone(),
        at_ms,
    }
}

/// After which waits it comes, each time.
fn waits(coming: Coming, asked: &Asked, now_ms: i64) -> Vec<i64> {
    match coming {
        Coming::InTime => vec![SOON_MS],
        // Intake reads one record twice; a person says it once.
        Coming::ReadAgain => vec![SOON_MS],
        // What came early lies in the mailbox already.
        Coming::Early if asked.kind == AskedKind::Wait => Vec::new(),
        Coming::Early => vec![SOON_MS],
        Coming::Late => {
            let rest_ms = asked.due_ms.map_or(0, |due| due.saturating_sub(now_ms));
            vec![rest_ms.saturating_add(LATE_MS)]
        }
        Coming::Never => Vec::new(),
        Coming::Twice => vec![SOON_MS, SOON_MS + 5],
        Coming::After(wait_ms) => vec![i64::try_from(wait_ms).unwrap_or(i64::MAX)],
    }
}

/// The definition and the value in the key of a mailbox, `~definition.wait/value`.
fn of_mailbox(key: &str) -> Option<(&str, &str)> {
    let (named, value) = key.strip_prefix('~')?.split_once('/')?;
    Some((named.split_once('.')?.0, value))
}

/// The record, with a key that leads to this mailbox.
fn addressed(wait: &Wait, record: Value, value: &str, at_ms: i64) -> Result<Value, String> {
    let as_number = value.parse::<i64>().ok().map(Value::from);
    let tries = [None, Some(Value::from(value)), as_number];
    for wanted in tries
        .into_iter()
        .enumerate()
        .filter(|(n, w)| *n == 0 || w.is_some())
    {
        let mut record = record.clone();
        if let Some(wanted) = wanted.1 {
            for path in wait
                .key
                .paths()
                .filter(|path| *path.root() == Root::Message)
            {
                let path: Vec<Key> = path.segments().iter().map(Key::of).collect();
                put(&mut record, &path, &wanted);
            }
        }
        let scope = Scope::of_message(&record, at_ms);
        let key = wait.key.evaluate(&scope).map_err(|e| e.to_string());
        if key.and_then(|key| key_text(&key)).as_deref() != Ok(value) {
            continue;
        }
        return match wait.accept.as_ref().map(|accept| accept.holds(&scope)) {
            None | Some(Ok(true)) => Ok(record),
            Some(Ok(false)) => Err(format!("its condition does not hold for {record}")),
            Some(Err(error)) => Err(error.to_string()),
        };
    }
    let key = wait.key.source();
    Err(format!(
        "no record was found for which `{key}` gives `{value}`"
    ))
}

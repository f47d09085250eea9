//! Parents and children: a saga that another one runs as a step.

use super::advance::{Ignored, Turn};
use super::change::{Ask, Change, Told, ToldAnswer};
use super::forth::Forth;
use super::ledger::LineKind;
use super::message::{Answer, Direction, Note, NoteBody, Parent, ParentUndo, Reply, Start};
use super::state::{Course, Saga, Status, TurnedBackBy};
use crate::definition::{Run, Step};
use crate::payload::Payload;

impl<'d> Turn<'d> {
    pub(super) fn begin_run(&mut self, step: &'d Step, run: &'d Run, place: &[u16]) -> Forth {
        let event = match self.fill(place, &run.with, None) {
            Ok(event) => event,
            Err(error) => return self.cannot_evaluate("with", step, &error),
        };
        let ask = self.line_for(LineKind::Run, step, place, event);
        let business_key = match &run.key {
            None => format!("{}/{}", self.saga.key, ask.occurrence),
            Some(key) => match self.key(place, key) {
                // Opened anew, it is another child: the first keeps what became of it.
                Ok(key) => match ask.occurrence.rsplit_once('#') {
                    Some((_, number)) => format!("{key}#{number}"),
                    None => key,
                },
                Err(error) => return self.cannot_evaluate("key", step, &error),
            },
        };
        let key = self.saga.idempotency_key(&ask.occurrence, Direction::Do, 1);
        self.emit(Change::Asked(Box::new(Ask {
            target: Some(Saga::key_of(&run.saga, &business_key)),
            definition: Some(run.saga.clone()),
            key: Some(key),
            ..ask
        })));
        Forth::Waits
    }

    /// Asks a child to take back whatever it did.
    pub(super) fn ask_child_back(&mut self, index: usize) {
        let line = &self.saga.lines[index];
        let Some(child) = line.target.clone() else {
            return;
        };
        let occurrence = line.occurrence.clone();
        let round = self.undo_round(index);
        let key = self
            .saga
            .idempotency_key(&occurrence, Direction::Undo, round);
        let done_key = self.saga.idempotency_key(&occurrence, Direction::Do, 1);
        self.emit(Change::AskedBack {
            occurrence,
            child,
            key,
            done_key,
            round,
        });
    }

    /// Ends the saga, and tells its parent.
    pub(super) fn end(&mut self, status: Status, output: Option<Payload>) {
        if let Some(parent) = self.saga.parent.clone() {
            let told = self.told(parent, status, output.clone());
            self.emit(Change::Answered(Box::new(told)));
        }
        self.emit(Change::Ended { status, output });
    }

    fn told(&self, parent: Parent, status: Status, output: Option<Payload>) -> Told {
        let terminated = || ("terminated".to_owned(), "a person stopped it".to_owned());
        let asked_back = self.saga.undo_key.clone();
        let answer = match (status, &asked_back) {
            (Status::Terminated, None) => {
                let (code, reason) = terminated();
                ToldAnswer::Stopped { code, reason }
            }
            (Status::Terminated, Some(_)) => {
                let (code, reason) = terminated();
                ToldAnswer::Refused { code, reason }
            }
            (Status::Compensated, None) => {
                let (code, reason) = self.why_turned_back();
                ToldAnswer::Refused { code, reason }
            }
            (Status::Compensated, Some(_)) => ToldAnswer::Done(None),
            (Status::Completed | Status::Running | Status::Compensating | Status::Parked, _) => {
                ToldAnswer::Done(output)
            }
        };
        let direction = match asked_back {
            Some(_) => Direction::Undo,
            None => Direction::Do,
        };
        let key = asked_back.unwrap_or_else(|| parent.key.clone());
        Told {
            parent,
            direction,
            key,
            answer,
        }
    }

    fn why_turned_back(&self) -> (String, String) {
        match &self.saga.turned_back {
            Some(TurnedBackBy::Failure {
                occurrence,
                failure,
            }) => {
                let code = match failure.code.as_str() {
                    "" => failure.kind.name(),
                    code => code,
                };
                (
                    code.to_owned(),
                    format!("`{occurrence}`: {}", failure.reason),
                )
            }
            Some(TurnedBackBy::Cancel(act)) => {
                ("cancelled".to_owned(), format!("{} cancelled it", act.by))
            }
            Some(TurnedBackBy::Deadline) => ("deadline".to_owned(), "its time was up".to_owned()),
            Some(TurnedBackBy::Parent) | None => {
                ("undone".to_owned(), "it was taken back".to_owned())
            }
        }
    }

    /// The parent turns back. A child that had completed turns back too: it is settled only with
    /// its parent.
    pub(super) fn undo_by_parent(&mut self, undo: &ParentUndo) -> Result<(), Ignored> {
        let is_mine = self.saga.parent.as_ref() == Some(&undo.parent);
        if self.saga.undo_key.as_ref() == Some(&undo.key) {
            return Err(Ignored::NotAwaited);
        }
        let answer = |answer| {
            Change::Answered(Box::new(Told {
                parent: undo.parent.clone(),
                direction: Direction::Undo,
                key: undo.key.clone(),
                answer,
            }))
        };
        if !is_mine {
            // It was refused to that parent, and did nothing for it.
            self.emit(answer(ToldAnswer::Done(None)));
            return Ok(());
        }
        let key = undo.key.clone();
        let refusal = match (self.saga.status, self.may_turn_back()) {
            (Status::Compensated, _) => {
                self.emit(Change::UndoAsked { key });
                self.emit(answer(ToldAnswer::Done(None)));
                return Ok(());
            }
            (Status::Terminated, _) => Some(("terminated", "a person stopped it")),
            (Status::Compensating, _) => None,
            (Status::Parked, _) if self.saga.course == Course::Back => None,
            (Status::Running | Status::Parked | Status::Completed, Ok(())) => None,
            (Status::Running | Status::Parked | Status::Completed, Err(reason)) => {
                Some(("past_pivot", reason))
            }
        };
        if let Some((code, reason)) = refusal {
            self.emit(answer(ToldAnswer::Refused {
                code: code.to_owned(),
                reason: reason.to_owned(),
            }));
            return Ok(());
        }
        self.emit(Change::UndoAsked { key });
        if self.saga.course == Course::Forward {
            if self.saga.parked.is_some() && !self.is_stuck() {
                self.emit(Change::Unparked);
            }
            self.emit(Change::TurnedBack(TurnedBackBy::Parent));
        }
        Ok(())
    }
}

impl Saga {
    /// The answer to a parent that wants to run this saga, if it is another's or nobody's.
    pub fn refusal_of(&self, start: &Start) -> Option<Note> {
        let asking = start.parent.as_ref()?;
        if self.parent.as_ref() == Some(asking) {
            return None;
        }
        let reason = format!("there is a saga `{}` already", self.key);
        Some(refuse_start(asking, &self.key, "key_taken", reason))
    }
}

/// The answer to a parent whose child cannot be begun.
pub fn refuse_start(parent: &Parent, child: &str, code: &str, reason: String) -> Note {
    let answer = Answer::Refused {
        code: code.to_owned(),
        reason,
    };
    note_to(parent, child, Direction::Do, parent.key.clone(), answer)
}

/// The answer to a parent that turns back, from a child that never began.
pub fn nothing_to_undo(undo: &ParentUndo, child: &str) -> Note {
    let (key, answer) = (undo.key.clone(), Answer::Done(None));
    note_to(&undo.parent, child, Direction::Undo, key, answer)
}

fn note_to(
    parent: &Parent,
    child: &str,
    direction: Direction,
    key: String,
    answer: Answer,
) -> Note {
    Note {
        to: parent.saga.clone(),
        body: NoteBody::Reply(Reply {
            occurrence: parent.occurrence.clone(),
            direction,
            key,
            attempt: 1,
            answer,
            worker: Some(child.to_owned()),
        }),
    }
}

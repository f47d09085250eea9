//! What leaves for a change to another saga or a mailbox.

use super::change::{Change, Told, ToldAnswer};
use super::ledger::LineKind;
use super::message::{Answer, Note, NoteBody, Parent, ParentUndo, Reply, Start, Want};

impl Change {
    /// What leaves for it to another saga or a mailbox, if anything does. `at_ms` is when it was
    /// decided.
    pub(super) fn note(&self, saga: &str, at_ms: i64) -> Option<Note> {
        let note = |to: &str, body| {
            let to = to.to_owned();
            Some(Note { to, body })
        };
        let want = |to: &str, occurrence: &str, cancel| {
            note(
                to,
                NoteBody::Want(Want {
                    saga: saga.to_owned(),
                    occurrence: occurrence.to_owned(),
                    cancel,
                }),
            )
        };
        match self {
            Self::Asked(ask) => match ask.kind {
                LineKind::Wait => want(ask.target.as_deref()?, &ask.occurrence, false),
                LineKind::Run => {
                    let (to, definition) = (ask.target.as_deref()?, ask.definition.clone()?);
                    let parent = Parent {
                        saga: saga.to_owned(),
                        occurrence: ask.occurrence.clone(),
                        key: ask.key.clone()?,
                    };
                    let start = Start {
                        key: to.to_owned(),
                        event: ask.input.clone(),
                        trace: None,
                        by: None,
                        event_time_ms: at_ms,
                        parent: Some(parent),
                    };
                    note(to, NoteBody::Start { definition, start })
                }
                LineKind::Do | LineKind::Sleep | LineKind::Approve => None,
            },
            Self::Unwanted {
                occurrence,
                mailbox,
            } => want(mailbox, occurrence, true),
            Self::AskedBack {
                occurrence,
                child,
                key,
                done_key,
                ..
            } => {
                let parent = Parent {
                    saga: saga.to_owned(),
                    occurrence: occurrence.clone(),
                    key: done_key.clone(),
                };
                let key = key.clone();
                note(child, NoteBody::Undo(ParentUndo { key, parent }))
            }
            Self::Answered(told) => note(&told.parent.saga, NoteBody::Reply(told.reply(saga))),
            Self::Mail(change) => change.note(),
            Self::Began { .. }
            | Self::Tagged(_)
            | Self::Requested(_)
            | Self::UndoAsked { .. }
            | Self::Entered { .. }
            | Self::NextBegan { .. }
            | Self::Paused { .. }
            | Self::Collected { .. }
            | Self::Set { .. }
            | Self::Reversed { .. }
            | Self::Recovering { .. }
            | Self::NotDecided { .. }
            | Self::Skipped { .. }
            | Self::Left { .. }
            | Self::Backoff { .. }
            | Self::Extended { .. }
            | Self::Done { .. }
            | Self::Refused { .. }
            | Self::Doubted { .. }
            | Self::Undone { .. }
            | Self::Stuck { .. }
            | Self::Waived { .. }
            | Self::TurnedBack(_)
            | Self::Parked(_)
            | Self::Unparked
            | Self::DeadlinePassed
            | Self::Declined { .. }
            | Self::Ended { .. } => None,
        }
    }
}

impl Told {
    fn reply(&self, child: &str) -> Reply {
        let answer = match &self.answer {
            ToldAnswer::Done(output) => Answer::Done(output.clone()),
            ToldAnswer::Stopped { code, reason } => Answer::Failed {
                code: code.clone(),
                reason: reason.clone(),
            },
            ToldAnswer::Refused { code, reason } => Answer::Refused {
                code: code.clone(),
                reason: reason.clone(),
            },
        };
        Reply {
            occurrence: self.parent.occurrence.clone(),
            direction: self.direction,
            key: self.key.clone(),
            attempt: 1,
            answer,
            worker: Some(child.to_owned()),
        }
    }
}

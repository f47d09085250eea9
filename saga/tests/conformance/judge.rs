//! What must be true in the end, as it is seen from outside.

use backstitch_saga::core::{FailureKind, LineKind, LineStatus, NoteBody, Saga, Status};
use backstitch_saga::definition::{Undo, Verb, step_at};
use backstitch_saga::invariant;

use super::world::World;

impl World {
    /// The rules over whole journals, and over what the workers' world has become.
    pub(super) fn judge(&self) -> Result<(), String> {
        for running in self.sagas_only() {
            let saga = &running.saga;
            let history = self.bodies(&saga.key);
            invariant::history_is_exact(saga, &history).map_err(|wrong| wrong.to_string())?;
            invariant::settled_balances(saga).map_err(|wrong| wrong.to_string())?;
            if matches!(saga.status, Status::Completed | Status::Compensated) {
                self.judge_effects(saga)?;
            }
        }
        self.judge_families()?;
        self.judge_mailboxes()
    }

    /// The ledger says what the world is like.
    fn judge_effects(&self, saga: &Saga) -> Result<(), String> {
        let name = saga.key.split_once('/').unwrap().0;
        let definition = &self.definitions[name];
        for line in saga.lines.iter().filter(|line| line.kind == LineKind::Do) {
            let key = format!("{}/{}/do", saga.key, line.occurrence);
            let is_there = self.workers.effects.contains(&key);
            let step = step_at(&definition.steps, &line.place).unwrap();
            let Verb::Do(work) = &step.verb else {
                return Err(format!("{key} is no work"));
            };
            let can_be_undone = matches!(work.undo, Undo::Same | Undo::Other(_));
            let as_told = match line.status {
                LineStatus::Done => is_there,
                LineStatus::Refused => !is_there,
                LineStatus::Undone => !is_there || !can_be_undone,
                LineStatus::Waived => true,
                LineStatus::InFlight
                | LineStatus::Waiting
                | LineStatus::Ambiguous
                | LineStatus::Undoing
                | LineStatus::UndoWaiting
                | LineStatus::Stuck => false,
            };
            if !as_told {
                let (how, there) = (line.status.name(), if is_there { "" } else { "not " });
                return Err(format!("{key} ended {how}, and its effect is {there}there"));
            }
            if saga.status == Status::Compensated && line.status == LineStatus::Done {
                return Err(format!("{key} stays done in a compensated saga"));
            }
        }
        let own = format!("{}/", saga.key);
        for key in &self.workers.effects {
            let Some(rest) = key.strip_prefix(&own) else {
                continue;
            };
            let Some(occurrence) = rest.strip_suffix("/do") else {
                continue;
            };
            // A child's key may begin with its parent's.
            if !occurrence.contains('/') && saga.line(occurrence).is_none() {
                return Err(format!("{key} is in no ledger"));
            }
        }
        for (key, count) in &self.workers.done_count {
            if *count > 1 {
                return Err(format!("{key} was done {count} times"));
            }
        }
        // The same work under two keys: only what was refused, or taken off, is opened anew.
        for line in &saga.lines {
            let same = saga
                .lines
                .iter()
                .filter(|other| other.place == line.place && other.status == LineStatus::Done);
            if same.count() > 1 {
                return Err(format!("{} of {} was done twice", line.step, saga.key));
            }
        }
        Ok(())
    }

    /// Children are settled as their parents say.
    fn judge_families(&self) -> Result<(), String> {
        for running in self.sagas_only() {
            let saga = &running.saga;
            if !matches!(saga.status, Status::Completed | Status::Compensated) {
                continue;
            }
            for line in saga.lines.iter().filter(|line| line.kind == LineKind::Run) {
                let child = self.sagas.get(line.target.as_deref().unwrap());
                let own = child.filter(|child| {
                    let parent = child.saga.parent.as_ref();
                    parent.is_some_and(|parent| {
                        parent.saga == saga.key && parent.occurrence == line.occurrence
                    })
                });
                let status = own.map(|child| child.saga.status);
                let as_told = match line.status {
                    LineStatus::Done => status == Some(Status::Completed),
                    LineStatus::Refused => !matches!(status, Some(Status::Completed)),
                    LineStatus::Undone => matches!(status, None | Some(Status::Compensated)),
                    LineStatus::InFlight
                    | LineStatus::Waiting
                    | LineStatus::Ambiguous
                    | LineStatus::Undoing
                    | LineStatus::UndoWaiting
                    | LineStatus::Stuck
                    | LineStatus::Waived => true,
                };
                if !as_told {
                    let (how, key) = (line.status.name(), &saga.key);
                    let occurrence = &line.occurrence;
                    return Err(format!(
                        "{occurrence} of {key} ended {how}, and its child is {status:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nobody who has ended is listed as waiting, and no event was given twice.
    fn judge_mailboxes(&self) -> Result<(), String> {
        let mut given = std::collections::BTreeSet::new();
        for running in self.sagas.values() {
            let Some(mailbox) = running.saga.mailbox() else {
                continue;
            };
            for waiter in &mailbox.waiting {
                let saga = self.saga(&waiter.saga);
                let line = saga.line(&waiter.occurrence).unwrap();
                let timed_out = line
                    .failure
                    .as_ref()
                    .is_some_and(|failure| failure.kind == FailureKind::Unanswered);
                let is_late = saga.parked.is_some() && timed_out;
                if line.status != LineStatus::InFlight && !is_late {
                    let (occurrence, key) = (&waiter.occurrence, &running.saga.key);
                    return Err(format!(
                        "{key} holds that {occurrence} of {} waits",
                        waiter.saga
                    ));
                }
            }
            for note in self.notes_of(&running.saga.key) {
                if let NoteBody::Event(event) = note
                    && !given.insert((running.saga.key.clone(), event.source.clone()))
                {
                    return Err(format!("{:?} was given twice", event.source));
                }
            }
        }
        Ok(())
    }

    fn notes_of(&self, key: &str) -> Vec<NoteBody> {
        use backstitch_saga::core::Entry;
        let entries = self.sagas[key].journal.iter();
        entries
            .flat_map(|entry| {
                let body = Entry::read_body(&entry.body).unwrap();
                Entry::notes(key, entry.at_ms, &body)
            })
            .map(|note| note.body)
            .collect()
    }

    /// Nothing moves any more, and nobody who is open was forgotten: each waits for something that
    /// can still come from outside.
    pub(super) fn is_at_rest(&self) -> Result<(), String> {
        if !self.queue.is_empty() {
            return Err(format!("{} messages are on their way", self.queue.len()));
        }
        for running in self.sagas_only() {
            let saga = &running.saga;
            if saga.status.has_ended() || saga.parked.is_some() {
                continue;
            }
            let waits = saga.lines.iter().any(|line| {
                let open = matches!(line.status, LineStatus::InFlight | LineStatus::Undoing);
                let child = line.target.as_ref().and_then(|key| self.sagas.get(key));
                open && match line.kind {
                    LineKind::Approve => true,
                    LineKind::Wait => child.is_some_and(|mailbox| {
                        let waiting = &mailbox.saga.mailbox().unwrap().waiting;
                        waiting.iter().any(|waiter| {
                            waiter.saga == saga.key && waiter.occurrence == line.occurrence
                        })
                    }),
                    LineKind::Run => child.is_some_and(|child| !child.saga.status.has_ended()),
                    LineKind::Do | LineKind::Sleep => false,
                }
            });
            if !waits && saga.wake_at_ms().is_none() {
                return Err(format!("{} waits for nothing: {:?}", saga.key, saga.lines));
            }
        }
        Ok(())
    }
}

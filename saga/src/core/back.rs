//! Going back through the tree of running parts: undoing, newest first.

use super::advance::Turn;
use super::change::Change;
use super::ledger::{Failure, LineKind, LineStatus};
use super::message::Direction;
use super::part::{Part, Place};
use crate::definition::{Undo, Verb};

/// How far a part has come on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// It waits for someone.
    Waits,
    /// Nothing of it is left to undo.
    Undone,
}

impl Turn<'_> {
    /// Takes a part closer to undone. `place` is where it stands.
    pub(super) fn back(&mut self, part: &Part, place: &mut Place) -> Back {
        match part {
            Part::Sequence { behind, running } => {
                let running = running.as_deref().map(|part| (behind.len(), part));
                let behind = behind.iter().enumerate().rev();
                for (n, child) in running.into_iter().chain(behind) {
                    if self.back_at(child, place, n) == Back::Waits {
                        return Back::Waits;
                    }
                }
                Back::Undone
            }
            Part::Repeat(rounds) => {
                for (n, round) in rounds.iter().enumerate().rev() {
                    if self.back_at(round, place, n) == Back::Waits {
                        return Back::Waits;
                    }
                }
                Back::Undone
            }
            Part::Parallel(branches) => self.back_side_by_side(branches, usize::MAX, place),
            Part::Each { parts, .. } => {
                let at_once = if let Verb::Each(each) = &self.step_of(place).verb {
                    usize::from(each.at_once.max(1))
                } else {
                    usize::MAX
                };
                self.back_side_by_side(parts, at_once, place)
            }
            Part::Choose { case, steps } => self.back_at(steps, place, usize::from(*case)),
            Part::Reversing { part, .. } => self.back(part, place),
            Part::Recovering {
                failed,
                block,
                steps,
                ..
            } => match self.back_at(steps, place, usize::from(*block)) {
                Back::Waits => Back::Waits,
                Back::Undone => self.back(failed, place),
            },
            Part::Line(index) => self.undo(*index),
            Part::Skipped | Part::Mailbox(_) => Back::Undone,
        }
    }

    fn back_at(&mut self, part: &Part, place: &mut Place, n: usize) -> Back {
        place.push(u16::try_from(n).expect("positions are of 16 bits"));
        let back = self.back(part, place);
        place.pop();
        back
    }

    fn back_side_by_side(&mut self, parts: &[Part], at_once: usize, place: &mut Place) -> Back {
        let mut waiting = 0;
        for (n, part) in parts.iter().enumerate().rev() {
            if waiting == at_once {
                // Its turn comes later; until then it does not go on either.
                self.halt(part);
                continue;
            }
            if self.back_at(part, place, n) == Back::Waits {
                waiting += 1;
            }
        }
        if waiting == 0 {
            Back::Undone
        } else {
            Back::Waits
        }
    }

    /// Gives up what is in flight in a part that is to be undone later.
    fn halt(&mut self, part: &Part) {
        match part {
            Part::Sequence { running, .. } => {
                if let Some(running) = running {
                    self.halt(running);
                }
            }
            Part::Parallel(parts) | Part::Each { parts, .. } | Part::Repeat(parts) => {
                for part in parts {
                    self.halt(part);
                }
            }
            Part::Choose { steps: part, .. }
            | Part::Reversing { part, .. }
            | Part::Recovering { steps: part, .. } => self.halt(part),
            Part::Line(index) => {
                let line = &self.saga.lines[*index];
                if line.status.awaits() == Some(Direction::Do) {
                    let occurrence = line.occurrence.clone();
                    self.unwant(*index);
                    self.emit(Change::Doubted {
                        occurrence,
                        failure: Failure::overtaken(),
                    });
                }
            }
            Part::Skipped | Part::Mailbox(_) => {}
        }
    }

    /// Takes a line one move closer to undone.
    pub(super) fn undo(&mut self, index: usize) -> Back {
        self.unwant(index);
        let line = &self.saga.lines[index];
        let (occurrence, kind) = (line.occurrence.clone(), line.kind);
        match line.status {
            LineStatus::Refused | LineStatus::Undone | LineStatus::Waived => return Back::Undone,
            LineStatus::Undoing | LineStatus::UndoWaiting | LineStatus::Stuck => {
                return Back::Waits;
            }
            LineStatus::InFlight | LineStatus::Waiting => self.emit(Change::Doubted {
                occurrence: occurrence.clone(),
                failure: Failure::overtaken(),
            }),
            LineStatus::Ambiguous | LineStatus::Done => {}
        }
        match self.undo_of(index) {
            Undo::Nothing | Undo::Absent => {
                let asked = false;
                self.emit(Change::Undone { occurrence, asked });
                Back::Undone
            }
            Undo::Same if kind == LineKind::Run => {
                self.ask_child_back(index);
                Back::Waits
            }
            Undo::Same | Undo::Other(_) => {
                self.ask_undo(index, true);
                Back::Waits
            }
        }
    }

    /// Tells the mailbox of a wait that is over.
    pub(super) fn unwant(&mut self, index: usize) {
        let line = &self.saga.lines[index];
        if !line.wanted {
            return;
        }
        if let Some(mailbox) = line.target.clone() {
            let occurrence = line.occurrence.clone();
            self.emit(Change::Unwanted {
                occurrence,
                mailbox,
            });
        }
    }
}

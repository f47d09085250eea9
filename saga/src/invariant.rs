//! The rules that make a saga exact, each with its number and its one home.
//!
//! The same functions are asserted in tests, checked after every simulated fault, and run over
//! journals in production. S-3, S-7 and S-8 concern engine and store; their checks are in the
//! simulation.

use crate::core::{
    Ask, Body, Cause, Change, Course, Direction, FailureKind, Line, LineKind, LineStatus, Part,
    Request, Saga, Status, is_reaction,
};

/// The rules that one saga and its journal can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// S-1: an open saga has a command in flight, a timer, or is parked and listed.
    NeverForgotten,
    /// S-2: before it ends *compensated*, each step that may have run is undone, newest first.
    UndoneInReverse,
    /// S-4: attempts of the same work share the key, and their number never restarts.
    OneKeyPerWork,
    /// S-5: an ended saga does nothing any more, and its ledger balances.
    EndedIsEnded,
    /// S-6: folding the journal gives the state.
    Deterministic,
}

/// A rule that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} is broken by saga {saga}: {what}")]
pub struct Violation {
    /// Which rule.
    pub rule: Invariant,
    /// Which saga.
    pub saga: String,
    /// What was found.
    pub what: String,
}

fn broken(rule: Invariant, saga: &Saga, what: impl Into<String>) -> Violation {
    Violation {
        rule,
        saga: saga.key.clone(),
        what: what.into(),
    }
}

/// S-1: an open saga has a command in flight, a timer, an event, a person or a child that it waits
/// for, or is parked.
///
/// # Errors
///
/// The violation.
pub fn never_forgotten(saga: &Saga) -> Result<(), Violation> {
    let asks_others = |line: &Line| match line.kind {
        LineKind::Wait | LineKind::Approve | LineKind::Run => line.status.awaits().is_some(),
        LineKind::Do | LineKind::Sleep => false,
    };
    let is_awaited = saga.wake_at_ms().is_some() || saga.lines.iter().any(asks_others);
    if saga.mailbox().is_some() || saga.status.has_ended() || saga.parked.is_some() || is_awaited {
        return Ok(());
    }
    Err(broken(
        Invariant::NeverForgotten,
        saga,
        "it is open, and nothing will ever wake it",
    ))
}

/// S-5, the half that a state shows: a settled saga owes nothing.
///
/// # Errors
///
/// The violation.
pub fn settled_balances(saga: &Saga) -> Result<(), Violation> {
    let fails = |what: String| Err(broken(Invariant::EndedIsEnded, saga, what));
    let wrong = saga.lines.iter().find(|line| match saga.status {
        Status::Completed => !line.status.is_settled(),
        Status::Compensated => line.status.may_have_run() || line.status == LineStatus::Done,
        Status::Running | Status::Compensating | Status::Parked | Status::Terminated => false,
    });
    match wrong {
        Some(line) => fails(format!(
            "it ended {} with `{}` {}",
            saga.status.name(),
            line.occurrence,
            line.status.name()
        )),
        None => Ok(()),
    }
}

/// S-2, S-4 and S-5 over a whole journal: `history` is the body of each entry, in order.
///
/// # Errors
///
/// The first violation.
pub fn history_is_exact(saga: &Saga, history: &[Body]) -> Result<(), Violation> {
    let mut reader = Reader {
        saga,
        asked: Vec::new(),
        may_have_run: Vec::new(),
        done: Vec::new(),
        course: Course::Forward,
        ended: false,
    };
    for body in history {
        // A child that has ended is settled for good with its parent only.
        if matches!(body.cause, Cause::Undo(_)) {
            reader.ended = false;
        }
        for change in &body.changes {
            reader.read(&body.cause, change)?;
        }
    }
    Ok(())
}

/// An occurrence that may have run.
#[derive(Clone, Copy)]
struct Ran<'h> {
    occurrence: &'h str,
    place: &'h [u16],
}

/// Work that was asked for under one key.
struct Asked<'h> {
    occurrence: &'h str,
    direction: Direction,
    key: &'h str,
    attempt: u32,
    /// A refusal is remembered under its key: only then is a new one right.
    refused: bool,
}

/// Reads a journal, and trusts none of it.
struct Reader<'h> {
    saga: &'h Saga,
    asked: Vec<Asked<'h>>,
    /// Oldest first.
    may_have_run: Vec<Ran<'h>>,
    done: Vec<&'h str>,
    course: Course,
    ended: bool,
}

impl<'h> Reader<'h> {
    fn breaks(&self, rule: Invariant, what: impl Into<String>) -> Result<(), Violation> {
        Err(broken(rule, self.saga, what))
    }

    fn read(&mut self, cause: &Cause, change: &'h Change) -> Result<(), Violation> {
        if self.ended {
            let what = "its journal goes on after its end";
            return self.breaks(Invariant::EndedIsEnded, what);
        }
        match change {
            Change::Requested(request) => self.requested(request),
            Change::Asked(ask) => self.asked(ask),
            Change::AskedBack {
                occurrence,
                key,
                round,
                ..
            } => self.asked_back(occurrence, key, *round),
            Change::Done { occurrence, .. } => {
                self.done.push(occurrence);
                self.answered(cause, occurrence, "done")?;
                // What comes late, to a saga that is set aside for it, counts after its time was up.
                let saga = self.saga;
                if let Some(line) = saga.line(occurrence) {
                    self.ran(occurrence, &line.place);
                }
                Ok(())
            }
            Change::Refused { occurrence, .. } => {
                self.answered(cause, occurrence, "refused")?;
                self.settle(occurrence);
                Ok(())
            }
            Change::Undone { occurrence, asked } => self.undone(occurrence, *asked),
            Change::Stuck {
                occurrence,
                failure,
            } => {
                let undo = self.known(occurrence, Direction::Undo);
                if let Some(undo) = undo {
                    undo.refused = failure.kind == FailureKind::Refused;
                }
                Ok(())
            }
            Change::Waived { occurrence } => {
                self.settle(occurrence);
                Ok(())
            }
            Change::TurnedBack(_) => {
                self.course = Course::Back;
                Ok(())
            }
            Change::Ended { status, .. } => self.ended(*status),
            Change::Began { .. }
            | Change::Tagged(_)
            | Change::Unwanted { .. }
            | Change::Answered(_)
            | Change::UndoAsked { .. }
            | Change::Entered { .. }
            | Change::NextBegan { .. }
            | Change::Paused { .. }
            | Change::Collected { .. }
            | Change::Set { .. }
            | Change::Reversed { .. }
            | Change::Recovering { .. }
            | Change::NotDecided { .. }
            | Change::Mail(_)
            | Change::Skipped { .. }
            | Change::Left { .. }
            | Change::Backoff { .. }
            | Change::Extended { .. }
            | Change::Doubted { .. }
            | Change::Parked(_)
            | Change::Unparked
            | Change::DeadlinePassed
            | Change::Declined { .. } => Ok(()),
        }
    }

    fn known(&mut self, occurrence: &str, direction: Direction) -> Option<&mut Asked<'h>> {
        self.asked
            .iter_mut()
            .find(|asked| asked.occurrence == occurrence && asked.direction == direction)
    }

    fn settle(&mut self, occurrence: &str) {
        self.may_have_run
            .retain(|known| known.occurrence != occurrence);
    }

    fn ran(&mut self, occurrence: &'h str, place: &'h [u16]) {
        let known = self.may_have_run.iter();
        if known.clone().all(|known| known.occurrence != occurrence) {
            self.may_have_run.push(Ran { occurrence, place });
        }
    }

    /// Anything that is begun on the way forward, and is not work of workers.
    fn asked(&mut self, ask: &'h Ask) -> Result<(), Violation> {
        if self.course == Course::Back {
            let what = format!("`{}` is asked for on the way back", ask.occurrence);
            return self.breaks(Invariant::UndoneInReverse, what);
        }
        self.ran(&ask.occurrence, &ask.place);
        Ok(())
    }

    /// A child is asked to undo; each time under a key of its own.
    fn asked_back(
        &mut self,
        occurrence: &'h str,
        key: &'h str,
        round: u32,
    ) -> Result<(), Violation> {
        if let Some(known) = self.known(occurrence, Direction::Undo)
            && (known.key == key || known.attempt >= round)
        {
            let what = format!("`{occurrence}` is asked back twice under {key}");
            return self.breaks(Invariant::OneKeyPerWork, what);
        }
        self.asked.push(Asked {
            occurrence,
            direction: Direction::Undo,
            key,
            attempt: round,
            refused: false,
        });
        self.is_newest(occurrence)
    }

    fn requested(&mut self, request: &'h Request) -> Result<(), Violation> {
        let (occurrence, direction) = (request.occurrence.as_str(), request.direction);
        let known = self.known(occurrence, direction);
        let earlier = known.map(|asked| (asked.attempt, asked.key, asked.refused));
        if let Some((attempt, key, refused)) = earlier {
            if request.attempt <= attempt {
                let what = format!("attempt {} of `{occurrence}` comes twice", request.attempt);
                return self.breaks(Invariant::OneKeyPerWork, what);
            }
            if (request.key != key) != refused {
                let what = format!("`{occurrence}` goes from key {key} to {}", request.key);
                return self.breaks(Invariant::OneKeyPerWork, what);
            }
        }
        self.asked
            .retain(|asked| asked.occurrence != occurrence || asked.direction != direction);
        self.asked.push(Asked {
            occurrence,
            direction,
            key: &request.key,
            attempt: request.attempt,
            refused: false,
        });
        match (direction, self.course) {
            (Direction::Do, Course::Forward) => {
                self.ran(occurrence, &request.place);
                Ok(())
            }
            (Direction::Do, Course::Back) => {
                let what = format!("`{occurrence}` is asked for on the way back");
                self.breaks(Invariant::UndoneInReverse, what)
            }
            (Direction::Undo, _) => self.is_newest(occurrence),
        }
    }

    /// S-2: nothing that lies after it on its way may have run. What runs side by side has no
    /// order.
    fn is_newest(&self, occurrence: &str) -> Result<(), Violation> {
        let known = self.may_have_run.iter();
        let Some(at) = known.clone().position(|ran| ran.occurrence == occurrence) else {
            let what = format!("`{occurrence}` is undone, and never may have run");
            return self.breaks(Invariant::UndoneInReverse, what);
        };
        let own = self.may_have_run[at];
        let later = known
            .enumerate()
            .find(|(n, other)| *n != at && self.lies_after(other.place, own.place, *n > at));
        match later {
            None => Ok(()),
            Some((_, later)) => {
                let later = later.occurrence;
                let what = format!("`{occurrence}` is undone while `{later}` may have run");
                self.breaks(Invariant::UndoneInReverse, what)
            }
        }
    }

    /// Whether a place lies after another one on the way forward. At the same place, what was
    /// opened later does.
    fn lies_after(&self, place: &[u16], other: &[u16], is_younger: bool) -> bool {
        let differs = place.iter().zip(other).position(|(a, b)| a != b);
        let Some(depth) = differs else {
            // The steps of a reaction lie inside the step that failed.
            return match place.len().cmp(&other.len()) {
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => is_younger,
            };
        };
        // Positions of steps and of sequences alternate.
        if depth % 2 == 0 {
            return place[depth] > other[depth];
        }
        match (is_reaction(place[depth]), is_reaction(other[depth])) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => {
                let around = self.saga.root.at(&place[..depth]);
                place[depth] > other[depth] && around.is_some_and(Part::runs_in_order)
            }
        }
    }

    fn undone(&mut self, occurrence: &str, asked: bool) -> Result<(), Violation> {
        self.is_newest(occurrence)?;
        if asked && self.known(occurrence, Direction::Undo).is_none() {
            let what = format!("`{occurrence}` counts as undone, and nobody was asked to");
            return self.breaks(Invariant::UndoneInReverse, what);
        }
        self.settle(occurrence);
        Ok(())
    }

    /// W-2 and S-5: only the word of the one who was asked makes a step done or refused, and only in
    /// time.
    fn answered(&self, cause: &Cause, occurrence: &str, word: &str) -> Result<(), Violation> {
        let line = self.saga.line(occurrence);
        let kind = line.map_or(LineKind::Do, |line| line.kind);
        let is_said = match (kind, cause) {
            (
                LineKind::Do | LineKind::Run,
                Cause::Reply {
                    direction, answer, ..
                },
            ) => *direction == Direction::Do && answer == word,
            (LineKind::Wait, Cause::Event(_)) => word == "done",
            // Its time is up.
            (LineKind::Wait | LineKind::Approve, Cause::Wake) => word == "refused",
            (LineKind::Approve, Cause::Decision(decision)) => decision.approved == (word == "done"),
            // A time in the past is over at once, whatever led there.
            (LineKind::Sleep, _) => word == "done",
            (
                LineKind::Do | LineKind::Run | LineKind::Wait | LineKind::Approve,
                Cause::Start { .. }
                | Cause::Reply { .. }
                | Cause::Wake
                | Cause::Act(_)
                | Cause::Event(_)
                | Cause::Decision(_)
                | Cause::Want(_)
                | Cause::Undo(_),
            ) => false,
        };
        if !is_said {
            let what = format!("`{occurrence}` counts as {word}, and nobody said so");
            return self.breaks(Invariant::UndoneInReverse, what);
        }
        if self.course == Course::Back {
            let what = format!("`{occurrence}` is {word} after the saga turned back");
            return self.breaks(Invariant::EndedIsEnded, what);
        }
        Ok(())
    }

    fn ended(&mut self, status: Status) -> Result<(), Violation> {
        self.ended = true;
        let open: Vec<&str> = self.may_have_run.iter().map(|ran| ran.occurrence).collect();
        match status {
            Status::Compensated if !open.is_empty() => {
                let what = format!("it ended compensated, but {open:?} may have run");
                self.breaks(Invariant::UndoneInReverse, what)
            }
            Status::Completed if open.iter().any(|known| !self.done.contains(known)) => {
                let what = format!("it ended completed with {open:?} open");
                self.breaks(Invariant::EndedIsEnded, what)
            }
            Status::Running
            | Status::Compensating
            | Status::Parked
            | Status::Completed
            | Status::Compensated
            | Status::Terminated => Ok(()),
        }
    }
}

/// S-6: folding the journal gives the state. `entries` are `(seq, at_ms, body, hash)`, in order.
///
/// # Errors
///
/// The violation, or what stops the folding.
pub fn fold_gives_state<'a>(
    saga: &Saga,
    entries: impl IntoIterator<Item = (u64, i64, &'a [u8], &'a str)>,
) -> Result<(), Violation> {
    let mut folded = None;
    for (seq, at_ms, body, hash) in entries {
        folded = Some(
            Saga::fold(folded, &saga.key, seq, at_ms, body, hash)
                .map_err(|error| broken(Invariant::Deterministic, saga, error.to_string()))?,
        );
    }
    if folded.as_ref() == Some(saga) {
        return Ok(());
    }
    let what = "folding its journal gives another state";
    Err(broken(Invariant::Deterministic, saga, what))
}

//! The rules that make a saga exact, each with its number and its one home.
//!
//! The same functions are asserted in tests, checked after every simulated fault, and run over
//! journals in production. S-3, S-7 and S-8 concern engine and store; their checks are in the
//! simulation.

use crate::core::{Body, Change, Course, Direction, LineStatus, Saga, Status};

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

/// S-1: an open saga has a command in flight or a timer, or is parked.
///
/// # Errors
///
/// The violation.
pub fn never_forgotten(saga: &Saga) -> Result<(), Violation> {
    let is_awaited = saga.wake_at_ms().is_some();
    if saga.status.has_ended() || saga.parked.is_some() || is_awaited {
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
    let mut may_have_run: Vec<&str> = Vec::new();
    let mut keys: Vec<(&str, Direction, &str, u32)> = Vec::new();
    let mut course = Course::Forward;
    let mut ended = false;
    for change in history.iter().flat_map(|body| &body.changes) {
        if ended {
            let what = "its journal goes on after its end";
            return Err(broken(Invariant::EndedIsEnded, saga, what));
        }
        match change {
            Change::Requested(request) => {
                let (occurrence, direction) = (request.occurrence.as_str(), request.direction);
                let earlier = keys
                    .iter_mut()
                    .find(|k| k.0 == occurrence && k.1 == direction);
                match earlier {
                    None => keys.push((occurrence, direction, &request.key, request.attempt)),
                    Some(known) => {
                        if request.attempt <= known.3 {
                            let what = format!(
                                "attempt {} of `{occurrence}` comes twice",
                                request.attempt
                            );
                            return Err(broken(Invariant::OneKeyPerWork, saga, what));
                        }
                        *known = (occurrence, direction, &request.key, request.attempt);
                    }
                }
                match direction {
                    Direction::Do if !may_have_run.contains(&occurrence) => {
                        may_have_run.push(occurrence);
                    }
                    Direction::Do => {}
                    Direction::Undo => {
                        if may_have_run.last() != Some(&occurrence) {
                            let what = format!(
                                "`{occurrence}` is undone while {may_have_run:?} may have run"
                            );
                            return Err(broken(Invariant::UndoneInReverse, saga, what));
                        }
                    }
                }
                if course == Course::Back && direction == Direction::Do {
                    let what = format!("`{occurrence}` is asked for on the way back");
                    return Err(broken(Invariant::UndoneInReverse, saga, what));
                }
            }
            Change::Refused { occurrence, .. }
            | Change::Undone { occurrence, .. }
            | Change::Waived { occurrence } => {
                may_have_run.retain(|known| known != occurrence);
            }
            Change::TurnedBack(_) => course = Course::Back,
            Change::Ended { status, .. } => {
                ended = true;
                if *status == Status::Compensated && !may_have_run.is_empty() {
                    let what = format!("it ended compensated, but {may_have_run:?} may have run");
                    return Err(broken(Invariant::UndoneInReverse, saga, what));
                }
            }
            Change::Began { .. }
            | Change::Tagged(_)
            | Change::Skipped { .. }
            | Change::Left { .. }
            | Change::Backoff { .. }
            | Change::Extended { .. }
            | Change::Done { .. }
            | Change::Doubted { .. }
            | Change::Stuck { .. }
            | Change::Parked(_)
            | Change::Unparked
            | Change::DeadlinePassed
            | Change::Declined { .. } => {}
        }
    }
    Ok(())
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

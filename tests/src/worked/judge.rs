//! Whether the books balance: the ledgers of the sagas against what really happened.

use std::collections::BTreeMap;

use backstitch_saga::core::{Line, LineKind, LineStatus, Status};
use backstitch_saga::definition::{Undo, Verb, step_at};
use backstitch_saga::{Definition, Saga, invariant};
use backstitch_workers::order::Effect;

/// What is wrong with the books: nothing, if it is empty.
pub(super) fn faults(
    sagas: &[Saga],
    definitions: &[Definition],
    effects: &[Effect],
) -> Vec<String> {
    // By the key of the do: how often it was done, and undone.
    let mut book: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for effect in effects {
        let entry = book.entry(&effect.key).or_default();
        match effect.direction.as_str() {
            "do" => entry.0 += 1,
            _ => entry.1 += 1,
        }
    }
    let mut faults = Vec::new();
    for saga in sagas {
        if let Err(violation) = invariant::settled_balances(saga) {
            faults.push(violation.to_string());
        }
        if !matches!(saga.status, Status::Completed | Status::Compensated) {
            faults.push(format!(
                "{} is {}: {:?}",
                saga.key,
                saga.status.name(),
                saga.parked
            ));
        }
        for line in saga.lines.iter().filter(|line| line.kind == LineKind::Do) {
            let key = format!("{}/{}/do", saga.key, line.occurrence);
            let times = book.remove(key.as_str()).unwrap_or_default();
            if !is_right(line, stays(saga, line, definitions), times) {
                let (done, undone) = times;
                let status = line.status.name();
                faults.push(format!(
                    "{key} is {status}, and was done {done}×, undone {undone}×"
                ));
            }
        }
    }
    for (key, (done, undone)) in book {
        faults.push(format!(
            "{key} is in no ledger, and was done {done}×, undone {undone}×"
        ));
    }
    faults
}

/// Whether what really happened is what a line says. `stays`: there is nothing worth undoing.
fn is_right(line: &Line, stays: bool, times: (u32, u32)) -> bool {
    match line.status {
        LineStatus::Done => times == (1, 0),
        LineStatus::Undone if stays => matches!(times, (0 | 1, 0)),
        LineStatus::Undone => matches!(times, (0, 0) | (1, 1)),
        LineStatus::Refused => times == (0, 0),
        LineStatus::InFlight
        | LineStatus::Waiting
        | LineStatus::Ambiguous
        | LineStatus::Undoing
        | LineStatus::UndoWaiting
        | LineStatus::Stuck
        | LineStatus::Waived => false,
    }
}

/// Whether a line is of a step that says `undo: nothing`.
fn stays(saga: &Saga, line: &Line, definitions: &[Definition]) -> bool {
    let name = saga.key.split('/').next().unwrap_or_default();
    let definition = definitions.iter().find(|known| known.name == name);
    let step = definition.and_then(|known| step_at(&known.steps, &line.place));
    matches!(step.map(|step| &step.verb), Some(Verb::Do(work)) if work.undo == Undo::Nothing)
}

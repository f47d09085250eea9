//! What was lost or doubled, by the workers' own ledgers and not by the engine's word.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use backstitch_workers::order::{Effect, LedgerError, order_activities, read_ledger};

use super::watch::Settled;

/// What the ledgers say of a set of sagas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Sagas that ended with every step done.
    pub completed: usize,
    /// Sagas that ended with every step undone.
    pub compensated: usize,
    /// Sagas that wait for a person.
    pub parked: usize,
    /// Sagas that did not settle, or whose effects are not those of how they settled.
    pub lost: usize,
    /// Effects that happened more than once under one key.
    pub doubled: usize,
    /// The first few of what is wrong, in words.
    pub wrong: Vec<String>,
}

/// At most so many wrongs are kept in words.
const WRONG_MAX: usize = 20;

/// Holds how sagas settled against what the services did.
///
/// # Errors
///
/// If a ledger cannot be read.
pub async fn judge(
    workers_dir: &Path,
    sagas: impl IntoIterator<Item = String>,
    settled: &HashMap<String, Settled>,
) -> Result<Judgement, LedgerError> {
    let mut effects: HashMap<String, Vec<Effect>> = HashMap::new();
    for activity in order_activities() {
        let path = workers_dir.join(format!("{activity}.db"));
        for effect in read_ledger(&path).await? {
            effects.entry(effect.saga.clone()).or_default().push(effect);
        }
    }
    let mut judgement = Judgement::default();
    for saga in sagas {
        let own = effects.get(&saga).map_or(&[][..], Vec::as_slice);
        judgement.doubled += doubled(own);
        let status = settled.get(&saga).map(|s| s.status.as_str());
        let verdict = match status {
            Some("completed") => {
                judgement.completed += 1;
                all_done(own)
            }
            Some("compensated") => {
                judgement.compensated += 1;
                all_undone_in_reverse(own)
            }
            Some("parked") => {
                judgement.parked += 1;
                Ok(())
            }
            Some(other) => Err(format!("ended {other}")),
            None => Err("did not settle".to_owned()),
        };
        if let Err(why) = verdict {
            judgement.lost += 1;
            if judgement.wrong.len() < WRONG_MAX {
                judgement.wrong.push(format!("{saga} {why}"));
            }
        }
    }
    Ok(judgement)
}

fn doubled(effects: &[Effect]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for effect in effects {
        *counts.entry(&effect.key).or_default() += 1;
    }
    counts.values().map(|count| count - 1).sum()
}

fn all_done(effects: &[Effect]) -> Result<(), String> {
    let done = effects.iter().filter(|e| e.direction == "do").count();
    let undone = effects.iter().filter(|e| e.direction == "undo").count();
    if done == order_activities().len() && undone == 0 {
        Ok(())
    } else {
        Err(format!("completed with {done} effects, {undone} undone"))
    }
}

/// Each effect that can be undone is, newest first. The clock is one machine's, and an undo is
/// asked for only after the one before it was answered.
fn all_undone_in_reverse(effects: &[Effect]) -> Result<(), String> {
    let of = |direction: &str| {
        let mut steps: Vec<(i64, &str)> = effects
            .iter()
            .filter(|e| e.direction == direction && e.step != "check_fraud")
            .map(|e| (e.at_ms, e.step.as_str()))
            .collect();
        // Two effects in one millisecond are of different services, one after the other.
        steps.sort_by_key(|(at, step)| (*at, order_of(step, direction)));
        steps
            .into_iter()
            .map(|(_, step)| step.to_owned())
            .collect::<Vec<_>>()
    };
    let mut done = of("do");
    done.reverse();
    let undone = of("undo");
    if done == undone {
        Ok(())
    } else {
        Err(format!(
            "compensated, but {done:?} was undone as {undone:?}"
        ))
    }
}

fn order_of(step: &str, direction: &str) -> usize {
    let name = step.replace('_', "-");
    let place = order_activities()
        .iter()
        .position(|activity| *activity == name)
        .unwrap_or(usize::MAX / 2);
    if direction == "do" {
        place
    } else {
        usize::MAX - place
    }
}

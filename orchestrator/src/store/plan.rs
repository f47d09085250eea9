//! What every store checks of a plan before it sends anything, and what it expects to find.

use std::collections::{BTreeMap, BTreeSet};

use super::{CommitError, CommitPlan, SagaStatus, ShardCommit, ShardId, ShardRow};

/// Tells whether every store can hold this text: Postgres cannot hold the character U+0000.
///
/// What comes from outside (saga keys, tags) has to be tested *before* it reaches a plan: a plan that
/// holds such a text is refused whole.
pub fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// A plan that breaks the rules of [`CommitPlan`]: the caller's mistake, found before anything is sent.
#[derive(Debug, thiserror::Error)]
#[error("the plan is wrong: {0}")]
struct WrongPlan(String);

/// What a plan expects of one shard row, and what it makes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    pub(super) id: i32,
    pub(super) epoch: i64,
    pub(super) offset_from: i64,
    pub(super) offset_to: i64,
    /// Follows from the plan: the position after it less the rows in it. Without it, a batch of
    /// timers only (which moves no offset) could be committed twice after a lost answer.
    pub(super) journal_from: i64,
    pub(super) journal_to: i64,
    pub(super) published: i64,
}

impl Guard {
    /// Tells whether a shard row is the one that the plan was made on.
    pub(super) fn matches(&self, row: &ShardRow) -> bool {
        row.id.0 == self.id
            && row.epoch.0 == self.epoch
            && row.inbox_next_offset == self.offset_from
            && row.journal_seq == self.journal_from
    }
}

/// Names the shards whose row is missing or is not the one that the plan was made on.
///
/// All of them when every row matches after all: something else has moved in between, and to drop a
/// shard too many only costs reading it again.
pub(super) fn fenced(guards: &[Guard], rows: &[ShardRow]) -> Vec<ShardId> {
    let mismatched: Vec<ShardId> = guards
        .iter()
        .filter(|guard| !rows.iter().any(|row| guard.matches(row)))
        .map(|guard| ShardId(guard.id))
        .collect();
    if mismatched.is_empty() {
        return guards.iter().map(|guard| ShardId(guard.id)).collect();
    }
    mismatched
}

/// Checks a plan against the rules that hold in every store, and returns its guards in the order of
/// the shards' ids (so that two owners lock rows in the same order).
pub(super) fn check(plan: &CommitPlan) -> Result<Vec<Guard>, CommitError> {
    guards_of(plan).map_err(|what| CommitError::Refused {
        source: Box::new(WrongPlan(what)),
    })
}

fn guards_of(plan: &CommitPlan) -> Result<Vec<Guard>, String> {
    if plan.shards.is_empty() {
        return Err("it names no shard".to_owned());
    }
    let mut guards = BTreeMap::new();
    for shard in &plan.shards {
        check_shard(shard)?;
        if guards
            .insert(shard.id, guard_before_journal(shard))
            .is_some()
        {
            return Err(format!("shard {} is in it twice", shard.id.0));
        }
    }
    for row in &plan.journal {
        let Some(guard) = guards.get_mut(&row.shard) else {
            return Err(format!(
                "a journal row is of shard {}, which is not in it",
                row.shard.0
            ));
        };
        guard.journal_from -= 1;
        if !is_storable(&row.saga_key) {
            return Err(format!("the saga key {:?} cannot be stored", row.saga_key));
        }
    }
    check_journal_has_no_gap(plan, &guards)?;
    check_sagas(plan, &guards)?;
    Ok(guards.into_values().collect())
}

/// Its journal starts where it ends until the rows of the plan are taken off.
fn guard_before_journal(shard: &ShardCommit) -> Guard {
    Guard {
        id: shard.id.0,
        epoch: shard.epoch.0,
        offset_from: shard.offset_from,
        offset_to: shard.offset_to,
        journal_from: shard.journal_seq,
        journal_to: shard.journal_seq,
        published: shard.published_seq,
    }
}

fn check_shard(shard: &ShardCommit) -> Result<(), String> {
    if shard.offset_to < shard.offset_from {
        return Err(format!("the offset of shard {} goes back", shard.id.0));
    }
    if shard.published_seq > shard.journal_seq {
        return Err(format!(
            "shard {} has published more than its journal holds",
            shard.id.0
        ));
    }
    Ok(())
}

/// In the plan's order, the rows of a shard have to run from `journal_from + 1` to its end.
fn check_journal_has_no_gap(
    plan: &CommitPlan,
    guards: &BTreeMap<ShardId, Guard>,
) -> Result<(), String> {
    let mut next: BTreeMap<ShardId, i64> = guards
        .iter()
        .map(|(id, guard)| (*id, guard.journal_from + 1))
        .collect();
    for row in &plan.journal {
        let expected = next.entry(row.shard).or_default();
        if row.seq != *expected {
            return Err(format!(
                "the journal of shard {} has {} where {expected} belongs",
                row.shard.0, row.seq
            ));
        }
        *expected += 1;
    }
    Ok(())
}

fn check_sagas(plan: &CommitPlan, guards: &BTreeMap<ShardId, Guard>) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for saga in &plan.sagas {
        let key = &saga.key;
        if !guards.contains_key(&saga.shard) {
            return Err(format!(
                "saga {key:?} is of shard {}, which is not in it",
                saga.shard.0
            ));
        }
        if !keys.insert(key.as_str()) {
            return Err(format!("saga {key:?} is in it twice"));
        }
        if saga.parked_reason.is_some() && saga.status != SagaStatus::Parked {
            return Err(format!(
                "saga {key:?} is not parked but has a reason for it"
            ));
        }
        let texts = [key, &saga.definition_hash, &saga.tags];
        if !texts
            .into_iter()
            .chain(&saga.parked_reason)
            .all(|text| is_storable(text))
        {
            return Err(format!("saga {key:?} holds a text that cannot be stored"));
        }
        if !are_tags(&saga.tags) {
            return Err(format!(
                "the tags of saga {key:?} are no JSON object of strings"
            ));
        }
    }
    Ok(())
}

/// The filter of a list runs in SQL; one row that is no such object would fail the whole list.
fn are_tags(text: &str) -> bool {
    text == "{}" || tags(text).is_some_and(|tags| tags.into_values().all(|v| is_storable(&v)))
}

/// Reads tags.
pub(super) fn tags(text: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(text).ok()
}

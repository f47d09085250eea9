//! `approve` and `refuse`: what a person says to a step that waits for it.

use std::sync::Arc;

use backstitch_saga::core::{Body, Cause, Decision as Decided, LineKind};
use backstitch_saga::definition::{Approve, Verb, step_at};
use backstitch_saga::{Change, Definition, Line, LineStatus, Saga};
use backstitch_schemas::Decision;

use super::act::{Effect, carry, check_open};
use super::answer::Answer;
use super::args::{ApproveArgs, By, RefuseArgs};
use super::context::Context;
use super::error::CliError;
use super::text::now_ms;
use crate::store::{SagaRow, Store};

/// What is decided of which saga, by whom, and why.
#[derive(Debug)]
pub(crate) struct Verdict {
    key: String,
    step: Option<String>,
    approved: bool,
    role: Option<String>,
    reason: Option<String>,
    by: By,
}

impl From<ApproveArgs> for Verdict {
    fn from(args: ApproveArgs) -> Self {
        Self {
            key: args.key,
            step: args.step,
            approved: true,
            role: args.role,
            reason: args.reason,
            by: args.by,
        }
    }
}

impl From<RefuseArgs> for Verdict {
    fn from(args: RefuseArgs) -> Self {
        Self {
            key: args.key,
            step: args.step,
            approved: false,
            role: args.role,
            reason: Some(args.reason),
            by: args.by,
        }
    }
}

/// Sends a decision through the saga's inbox partition, so that it is in the audit, and tells what came of it.
pub(crate) fn decide(context: &Context, verdict: Verdict) -> Result<Answer, CliError> {
    let store = context.store_to_look()?;
    let row = context.saga(&store, &verdict.key)?;
    check_open(&row)?;
    let step = step_of(context, &store, &row, &verdict)?;
    let decision = Decision {
        saga: row.key.clone(),
        step,
        approved: verdict.approved,
        by: verdict.by.by.clone(),
        role: verdict.role,
        reason: verdict.reason,
        at_ms: now_ms(),
    };
    let payload = context
        .codec()?
        .encode_decision(&decision)
        .map_err(|error| CliError::of(&error))?;
    let verb = if decision.approved {
        "approve"
    } else {
        "refuse"
    };
    let patience = verdict.by.wait;
    carry(context, &store, row, payload, verb, patience, &|body| {
        came_of(body, &decision)
    })
}

/// Finds out which step is meant, and whether that role may decide it, before anything is sent.
fn step_of(
    context: &Context,
    store: &Arc<dyn Store>,
    row: &SagaRow,
    verdict: &Verdict,
) -> Result<Option<String>, CliError> {
    // What this version cannot read, the orchestrators may.
    let Ok(saga) = serde_json::from_slice::<Saga>(&row.state) else {
        return Ok(verdict.step.clone());
    };
    let open: Vec<&Line> = approvals(&saga).collect();
    let named = verdict.step.as_deref();
    let line = match (named, open.as_slice()) {
        (Some(step), _) => open.iter().find(|line| line.occurrence == step).copied(),
        (None, [line]) => Some(*line),
        (None, []) => None,
        (None, several) => {
            let names: Vec<&str> = several
                .iter()
                .map(|line| line.occurrence.as_str())
                .collect();
            return Err(CliError::usage(format!(
                "several steps of saga {} wait for approval",
                row.key
            ))
            .with_help(format!("say which: {}", names.join(", "))));
        }
    };
    let Some(line) = line else {
        let names: Vec<&str> = open.iter().map(|line| line.occurrence.as_str()).collect();
        let missing = match named {
            Some(step) => format!("`{step}` of saga {} does not wait for approval", row.key),
            None => format!("no step of saga {} waits for approval", row.key),
        };
        let error = CliError::not_found(missing);
        return Err(if names.is_empty() {
            error
        } else {
            error.with_help(format!("what waits: {}", names.join(", ")))
        });
    };
    let definition = definition_of(context, store, &saga)?;
    if let Some(approve) = definition
        .as_ref()
        .and_then(|known| approve_of(known, line))
    {
        let role = verdict.role.as_deref();
        if !approve.by.is_empty() && !role.is_some_and(|role| approve.by.contains(role)) {
            let roles: Vec<&str> = approve.by.iter().map(String::as_str).collect();
            return Err(CliError::usage(format!(
                "`{}` is decided by: {}",
                line.occurrence,
                roles.join(", ")
            ))
            .with_help("say in which role you decide: --role ROLE"));
        }
    }
    Ok(Some(line.occurrence.clone()))
}

/// The steps that wait for a person, those whose time is up included where the saga is set aside for it.
pub(crate) fn approvals(saga: &Saga) -> impl Iterator<Item = &Line> {
    let parked_at = saga.parked.as_ref().and_then(|parked| parked.at.as_deref());
    saga.lines.iter().filter(move |line| {
        let waits = line.status == LineStatus::InFlight;
        let is_late = line.status == LineStatus::Refused && parked_at == Some(&line.occurrence);
        line.kind == LineKind::Approve && (waits || is_late)
    })
}

/// What the definition says of an approval.
pub(crate) fn approve_of<'d>(definition: &'d Definition, line: &Line) -> Option<&'d Approve> {
    match &step_at(&definition.steps, &line.place)?.verb {
        Verb::Approve(approve) => Some(approve),
        Verb::Do(_)
        | Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Repeat(_)
        | Verb::Wait(_)
        | Verb::Sleep(_)
        | Verb::Run(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => None,
    }
}

/// The definition that a saga is pinned to, if this version can read it.
pub(crate) fn definition_of(
    context: &Context,
    store: &Arc<dyn Store>,
    saga: &Saga,
) -> Result<Option<Definition>, CliError> {
    let known = context.block_on(store.definitions())?;
    let row = known.iter().find(|row| row.hash == saga.definition_hash);
    Ok(row.and_then(|row| Definition::from_stored(&row.source).ok()))
}

fn came_of(body: &Body, decision: &Decision) -> Option<Effect> {
    if !matches!(&body.cause, Cause::Decision(found) if is_same(found, decision)) {
        return None;
    }
    let declined = body.changes.iter().find_map(|change| {
        if let Change::NotDecided { reason, .. } = change {
            Some(reason.clone())
        } else {
            None
        }
    });
    Some(declined.map_or(Effect::Applied, Effect::Declined))
}

fn is_same(found: &Decided, decision: &Decision) -> bool {
    found.occurrence == decision.step
        && found.approved == decision.approved
        && found.by == decision.by
        && found.role == decision.role
        && found.reason == decision.reason
}

//! `list`: sagas, newest first.

use std::collections::HashSet;
use std::sync::Arc;

use backstitch_saga::core::LineKind;
use backstitch_saga::core::mailbox::is_mailbox;
use backstitch_saga::{LineStatus, Saga};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::{ListArgs, WaitingFor};
use super::context::Context;
use super::decide::approvals;
use super::error::CliError;
use super::text::{harmless, now_ms, shortened, table, write_span, write_table, write_time};
use crate::store::{ListQuery, SagaRow, SagaStatus, SagaSummary, Store};

/// Lists a page of sagas.
pub(crate) fn list(context: &Context, args: ListArgs) -> Result<Answer, CliError> {
    let store = context.store_to_look()?;
    let query = ListQuery {
        statuses: args.status,
        key_prefix: if args.mailboxes && !is_mailbox(&args.key_prefix) {
            format!("~{}", args.key_prefix)
        } else {
            args.key_prefix
        },
        tag: args.tag,
        after: args.after,
        limit: args.limit,
    };
    let sagas = match args.waiting_for {
        None => context.block_on(store.list(&query))?,
        Some(what) => waiting(context, &store, query, what)?,
    };
    let is_full = u32::try_from(sagas.len()) == Ok(args.limit);
    let next = sagas
        .last()
        .filter(|_| is_full)
        .map(|last| format!("{}/{}", last.started_at_ms, last.key));
    let json = json!({
        "sagas": sagas.iter().map(json_of).collect::<Vec<_>>(),
        "next": next,
    });
    if sagas.is_empty() {
        return Ok(Answer::good("no such sagas", json));
    }
    let now = now_ms();
    let mut rows = table(["saga", "status", "seq", "started", "took", "tags", "parked"]);
    for saga in &sagas {
        let took = write_span(saga.ended_at_ms.unwrap_or(now) - saga.started_at_ms);
        let parked = saga.parked_reason.as_deref().unwrap_or_default();
        rows.add_row([
            harmless(&saga.key),
            saga.status.name().to_owned(),
            saga.seq.to_string(),
            write_time(saga.started_at_ms),
            took,
            tags_of(saga),
            shortened(&harmless(parked), 60),
        ]);
    }
    let mut text = write_table(&rows);
    if let Some(next) = next {
        text.push_str(&format!("\nmore: --after {}", harmless(&next)));
    }
    Ok(Answer::good(text, json))
}

/// The first sagas of a query of which a step waits for this. What waits stands in a saga's state, so each
/// open one is looked at, page by page.
fn waiting(
    context: &Context,
    store: &Arc<dyn Store>,
    query: ListQuery,
    what: WaitingFor,
) -> Result<Vec<SagaSummary>, CliError> {
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut query = ListQuery {
        limit: ListQuery::LIMIT_MAX,
        ..query
    };
    if query.statuses.is_empty() {
        query.statuses = vec![
            SagaStatus::Running,
            SagaStatus::Compensating,
            SagaStatus::Parked,
        ];
    }
    let mut found = Vec::new();
    while found.len() < wanted {
        let page = context.block_on(store.list(&query))?;
        let Some(last) = page.last() else { break };
        query.after = Some((last.started_at_ms, last.key.clone()));
        let keys: Vec<String> = page.iter().map(|line| line.key.clone()).collect();
        let rows = context.block_on(store.load(&keys))?;
        let waits: HashSet<String> = rows
            .into_iter()
            .filter(|row| does_wait(row, what))
            .map(|row| row.key)
            .collect();
        found.extend(page.into_iter().filter(|line| waits.contains(&line.key)));
    }
    found.truncate(wanted);
    Ok(found)
}

fn does_wait(row: &SagaRow, what: WaitingFor) -> bool {
    // What this version cannot read is told of by `show`.
    let Ok(saga) = serde_json::from_slice::<Saga>(&row.state) else {
        return false;
    };
    let kind = match what {
        WaitingFor::Approval => return approvals(&saga).next().is_some(),
        WaitingFor::Event => LineKind::Wait,
        WaitingFor::Child => LineKind::Run,
        WaitingFor::Worker => LineKind::Do,
    };
    saga.lines.iter().any(|line| {
        let is_asked = matches!(line.status, LineStatus::InFlight | LineStatus::Undoing);
        line.kind == kind && is_asked
    })
}

fn tags_of(saga: &SagaSummary) -> String {
    let tags: Value = serde_json::from_str(&saga.tags).unwrap_or_default();
    let tags: Vec<String> = tags
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    shortened(&harmless(&tags.join(" ")), 60)
}

fn json_of(saga: &SagaSummary) -> Value {
    let tags: Value = serde_json::from_str(&saga.tags).unwrap_or_default();
    json!({
        "key": saga.key,
        "status": saga.status.name(),
        "seq": saga.seq,
        "shard": saga.shard.0,
        "parked_reason": saga.parked_reason,
        "tags": tags,
        "started_at_ms": saga.started_at_ms,
        "ended_at_ms": saga.ended_at_ms,
    })
}

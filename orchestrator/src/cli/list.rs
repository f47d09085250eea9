//! `list`: sagas, newest first.

use serde_json::{Value, json};

use super::answer::Answer;
use super::args::ListArgs;
use super::context::Context;
use super::error::CliError;
use super::text::{harmless, now_ms, shortened, table, write_span, write_table, write_time};
use crate::store::{ListQuery, SagaSummary};

/// Lists a page of sagas.
pub(crate) fn list(context: &Context, args: ListArgs) -> Result<Answer, CliError> {
    let store = context.store_to_look()?;
    let query = ListQuery {
        statuses: args.status,
        key_prefix: args.key_prefix,
        tag: args.tag,
        after: args.after,
        limit: args.limit,
    };
    let sagas = context.block_on(store.list(&query))?;
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

//! `show`: one saga, with its ledger, its journal, and what it waits for.

use std::sync::Arc;

use backstitch_saga::core::{Body, ParkedBy};
use backstitch_saga::{Change, Entry, Line, LineStatus, Saga};
use backstitch_schemas::{Codec, JournalEntry};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::ShowArgs;
use super::changes::{self, turned_back, write_failure};
use super::context::Context;
use super::decide::definition_of;
use super::error::CliError;
use super::show_waits::{Waits, waits};
use super::text::{harmless, now_ms, shortened, table, write_span, write_table, write_time};
use crate::store::{JournalKind, JournalRow, SagaRow, Store};

/// Journal rows asked for at once.
const PAGE: u32 = 1_000;

/// Shows one saga.
pub(crate) fn show(context: &Context, args: &ShowArgs) -> Result<Answer, CliError> {
    let store = context.store_to_look()?;
    let row = context.saga(&store, &args.key)?;
    let saga: Saga = serde_json::from_slice(&row.state).map_err(|error| {
        CliError::failed(format!(
            "the state of saga {} can't be read: {error}",
            row.key
        ))
    })?;
    let rows = journal(context, &store, &row, args.journal)?;
    let codec = context.codec()?;
    let entries: Vec<Transition> = rows.iter().map(|row| transition(&codec, row)).collect();
    let definition = definition_of(context, &store, &saga)?;
    let name = match &definition {
        Some(definition) => Some(definition.name.as_str()),
        None => saga.mailbox().map(|_| "a mailbox"),
    };
    let waits = waits(context, &store, &saga, definition.as_ref())?;
    let text = write(&row, &saga, name, &waits, &entries);
    let mut json = json_of(&row, &saga, name, &entries);
    if let (Value::Object(json), Value::Object(more)) = (&mut json, waits.json()) {
        json.extend(more);
    }
    Ok(Answer::good(harmless(&text), json))
}

/// The latest journal rows of a saga, in order.
fn journal(
    context: &Context,
    store: &Arc<dyn Store>,
    row: &SagaRow,
    count_max: usize,
) -> Result<Vec<JournalRow>, CliError> {
    let wanted = i64::try_from(count_max).unwrap_or(i64::MAX);
    let mut after = row.seq.saturating_sub(wanted).max(0);
    let mut rows = Vec::new();
    while rows.len() < count_max {
        let page = context.block_on(store.journal_of_saga(&row.key, after, PAGE))?;
        let Some(last) = page.last() else { break };
        after = last.saga_seq;
        rows.extend(
            page.into_iter()
                .filter(|row| row.kind == JournalKind::Transition),
        );
    }
    Ok(rows)
}

/// A journal row, understood as far as it can be.
pub(crate) struct Transition {
    seq: i64,
    at_ms: i64,
    status: String,
    body: Result<Body, String>,
    raw: Value,
}

/// Reads a journal row.
pub(crate) fn transition(codec: &Codec, row: &JournalRow) -> Transition {
    let unread = |reason: String| Transition {
        seq: row.saga_seq,
        at_ms: row.at_ms,
        status: String::new(),
        body: Err(reason),
        raw: Value::Null,
    };
    let entry: JournalEntry = match codec.decode_journal_entry(&row.entry) {
        Ok(entry) => entry,
        Err(error) => return unread(error.to_string()),
    };
    Transition {
        status: entry.status.clone(),
        body: Entry::read_body(&entry.body).map_err(|error| error.to_string()),
        raw: serde_json::from_slice(&entry.body).unwrap_or_default(),
        ..unread(String::new())
    }
}

impl Transition {
    /// What led to it and what it changed, if it can be read.
    pub(crate) fn body(&self) -> Option<&Body> {
        self.body.as_ref().ok()
    }
}

fn write(
    row: &SagaRow,
    saga: &Saga,
    name: Option<&str>,
    waits: &Waits,
    entries: &[Transition],
) -> String {
    let mut text = head(row, saga, name);
    text.push_str(&waits.text());
    if let Some(parked) = &saga.parked {
        text.push_str(&format!(
            "parked      {}: {}\n",
            parked.by.name(),
            parked.reason
        ));
        for verb in verbs(saga, parked.by, parked.at.as_deref()) {
            text.push_str(&format!("            {verb}\n"));
        }
    }
    if !saga.lines.is_empty() {
        text.push_str(&format!("\nLEDGER\n{}\n", ledger(saga)));
    }
    text.push_str("\nJOURNAL\n");
    text.push_str(&journal_table(entries));
    text
}

fn head(row: &SagaRow, saga: &Saga, name: Option<&str>) -> String {
    let ended = match row.ended_at_ms {
        Some(ended) => format!(
            ", ended {} (took {})",
            write_time(ended),
            write_span(ended - row.started_at_ms)
        ),
        None => format!(", {} ago", write_span(now_ms() - row.started_at_ms)),
    };
    let mut head = format!(
        "saga        {}\nstatus      {}\nstarted     {}{ended}\ndefinition  {} {}\n",
        row.key,
        row.status.name(),
        write_time(row.started_at_ms),
        name.unwrap_or("?"),
        saga.definition_hash,
    );
    if !saga.tags.is_empty() {
        let tags: Vec<String> = saga.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        head.push_str(&format!("tags        {}\n", tags.join(" ")));
    }
    if let Some(trace) = &saga.trace {
        head.push_str(&format!("trace       {trace}\n"));
    }
    if let Some(by) = &saga.turned_back {
        head.push_str(&format!("turned back {}\n", turned_back(by)));
    }
    if let Some(output) = &saga.output {
        head.push_str(&format!(
            "output      {}\n",
            shortened(output.as_str(), 400)
        ));
    }
    head
}

fn ledger(saga: &Saga) -> String {
    let mut rows = table(["step", "occurrence", "status", "attempt", "due", "failure"]);
    let now = now_ms();
    for line in &saga.lines {
        let due = line
            .due_ms
            .map(|due| {
                if due > now {
                    format!("in {}", write_span(due - now))
                } else {
                    "now".to_owned()
                }
            })
            .unwrap_or_default();
        rows.add_row([
            line.step.clone(),
            line.occurrence.clone(),
            format!(
                "{}{}",
                line.status.name(),
                if line.pivot { " (pivot)" } else { "" }
            ),
            line.attempt.to_string(),
            due,
            line.failure.as_ref().map(write_failure).unwrap_or_default(),
        ]);
    }
    write_table(&rows)
}

fn journal_table(entries: &[Transition]) -> String {
    let mut rows = table(["seq", "time", "cause", "changes", "status"]);
    for entry in entries {
        let (cause, changes) = match &entry.body {
            Ok(body) => (
                changes::cause(&body.cause),
                body.changes
                    .iter()
                    // The next line says where it went.
                    .filter(|change| !matches!(change, Change::Left { .. }))
                    .map(|change| changes::change(change, entry.at_ms))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            Err(reason) => ("?".to_owned(), format!("can't be read: {reason}")),
        };
        rows.add_row([
            entry.seq.to_string(),
            write_time(entry.at_ms),
            cause,
            changes,
            entry.status.clone(),
        ]);
    }
    write_table(&rows)
}

/// What a person can do about a parked saga.
fn verbs(saga: &Saga, by: ParkedBy, at: Option<&str>) -> Vec<String> {
    let key = &saga.key;
    let mut verbs = vec![format!("backstitch resume {key}")];
    let stuck = saga
        .lines
        .iter()
        .filter(|line| line.status == LineStatus::Stuck)
        .map(|line| line.occurrence.as_str());
    let mut named: Vec<&str> = stuck.chain(at).collect();
    named.retain(|occurrence| saga.line(occurrence).is_some());
    named.sort_unstable();
    named.dedup();
    for occurrence in named {
        verbs.push(format!("backstitch retry {key} {occurrence}"));
        verbs.push(format!("backstitch waive {key} {occurrence} --reason WHY"));
    }
    let can_cancel = match by {
        ParkedBy::Stuck | ParkedBy::Deadline => false,
        ParkedBy::Step | ParkedBy::Expression => !saga.is_past_pivot(),
    };
    if can_cancel && saga.turned_back.is_none() {
        verbs.push(format!("backstitch cancel {key} --reason WHY"));
    }
    verbs.push(format!("backstitch terminate {key} --reason WHY"));
    verbs
}

fn json_of(row: &SagaRow, saga: &Saga, name: Option<&str>, entries: &[Transition]) -> Value {
    let verbs = saga
        .parked
        .as_ref()
        .map(|parked| verbs(saga, parked.by, parked.at.as_deref()));
    json!({
        "key": row.key,
        "status": row.status.name(),
        "seq": row.seq,
        "shard": row.shard.0,
        "definition": name,
        "definition_hash": saga.definition_hash,
        "started_at_ms": row.started_at_ms,
        "ended_at_ms": row.ended_at_ms,
        "event_time_ms": saga.event_time_ms,
        "deadline_ms": saga.deadline_ms,
        "tags": saga.tags,
        "traceparent": saga.trace,
        "event": saga.event,
        "output": saga.output,
        "turned_back": saga.turned_back,
        "parked": saga.parked,
        "verbs": verbs,
        "ledger": saga.lines.iter().map(line_json).collect::<Vec<_>>(),
        "journal": entries.iter().map(entry_json).collect::<Vec<_>>(),
    })
}

fn line_json(line: &Line) -> Value {
    json!({
        "step": line.step,
        "occurrence": line.occurrence,
        "status": line.status.name(),
        "kind": line.kind.name(),
        "target": line.target,
        "pivot": line.pivot,
        "attempt": line.attempt,
        "due_ms": line.due_ms,
        "input": line.input,
        "output": line.output,
        "failure": line.failure,
    })
}

fn entry_json(entry: &Transition) -> Value {
    let words: Vec<String> = entry
        .body()
        .map(|body| {
            body.changes
                .iter()
                .map(|change| changes::change(change, entry.at_ms))
                .collect()
        })
        .unwrap_or_default();
    json!({
        "seq": entry.seq,
        "at_ms": entry.at_ms,
        "status": entry.status,
        "cause": entry.raw["cause"],
        "changes": entry.raw["changes"],
        "words": words,
        "unreadable": entry.body.as_ref().err(),
    })
}

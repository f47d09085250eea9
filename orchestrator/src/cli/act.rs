//! `cancel`, `resume`, `retry`, `waive`, `terminate`: what a person asks of one saga.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_broker::{OutgoingRecord, Producer, partition_of};
use backstitch_saga::Change;
use backstitch_saga::core::{self, Body, Cause};
use backstitch_schemas::{Act, ActKind, wire};
use serde_json::json;

use super::answer::Answer;
use super::args::{By, CancelArgs, ResumeArgs, RetryArgs, TerminateArgs, WaiveArgs};
use super::context::Context;
use super::error::CliError;
use super::show::transition;
use super::text::{harmless, now_ms, write_span};
use crate::store::{SagaRow, SagaStatus, ShardId, Store};

/// How often the store is looked at while waiting.
const LOOK: Duration = Duration::from_millis(50);
/// How long the broker may take to acknowledge.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// What is asked of which saga, by whom, and why.
#[derive(Debug)]
pub(crate) struct Wish {
    key: String,
    kind: ActKind,
    step: Option<String>,
    reason: Option<String>,
    by: By,
}

impl From<CancelArgs> for Wish {
    fn from(args: CancelArgs) -> Self {
        Self {
            key: args.key,
            kind: ActKind::Cancel,
            step: None,
            reason: Some(args.reason),
            by: args.by,
        }
    }
}

impl From<ResumeArgs> for Wish {
    fn from(args: ResumeArgs) -> Self {
        Self {
            key: args.key,
            kind: ActKind::Resume,
            step: None,
            reason: args.reason,
            by: args.by,
        }
    }
}

impl From<RetryArgs> for Wish {
    fn from(args: RetryArgs) -> Self {
        Self {
            key: args.key,
            kind: ActKind::Retry,
            step: Some(args.step),
            reason: args.reason,
            by: args.by,
        }
    }
}

impl From<WaiveArgs> for Wish {
    fn from(args: WaiveArgs) -> Self {
        Self {
            key: args.key,
            kind: ActKind::Waive,
            step: Some(args.step),
            reason: Some(args.reason),
            by: args.by,
        }
    }
}

impl From<TerminateArgs> for Wish {
    fn from(args: TerminateArgs) -> Self {
        Self {
            key: args.key,
            kind: ActKind::Terminate,
            step: None,
            reason: Some(args.reason),
            by: args.by,
        }
    }
}

/// What became of an act or a decision.
pub(crate) enum Effect {
    /// The saga has it in its journal.
    Applied,
    /// The saga has it in its journal, with the reason why it had no effect.
    Declined(String),
    /// The saga was in no state to which it applies: nothing was changed.
    NotApplicable,
    /// It lies in the inbox, and nobody has read it so far.
    Waiting,
}

impl Effect {
    fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Declined(_) => "declined",
            Self::NotApplicable => "not_applicable",
            Self::Waiting => "waiting",
        }
    }
}

/// Sends the act through the saga's inbox partition, so that it is in the audit, and tells what came of it.
pub(crate) fn act(context: &Context, wish: Wish) -> Result<Answer, CliError> {
    let store = context.store_to_look()?;
    let row = context.saga(&store, &wish.key)?;
    check_open(&row)?;
    if let Some(step) = &wish.step {
        check_step(&row, step)?;
    }
    let act = Act {
        saga: row.key.clone(),
        act: wish.kind,
        step: wish.step,
        by: wish.by.by,
        reason: wish.reason,
        at_ms: now_ms(),
    };
    let payload = context
        .codec()?
        .encode_act(&act)
        .map_err(|error| CliError::of(&error))?;
    let verb = act.act.as_str();
    carry(context, &store, row, payload, verb, wish.by.wait, &|body| {
        if !matches!(&body.cause, Cause::Act(found) if is_same(found, &act)) {
            return None;
        }
        let declined = body.changes.iter().find_map(|change| {
            if let Change::Declined { reason, .. } = change {
                Some(reason.clone())
            } else {
                None
            }
        });
        Some(declined.map_or(Effect::Applied, Effect::Declined))
    })
}

/// Sends what a person wants through the saga's inbox partition, and waits for what comes of it: `came_of` knows it in the
/// journal.
pub(crate) fn carry(
    context: &Context,
    store: &Arc<dyn Store>,
    row: SagaRow,
    payload: Vec<u8>,
    verb: &str,
    patience: Duration,
    came_of: &dyn Fn(&Body) -> Option<Effect>,
) -> Result<Answer, CliError> {
    let place = send(context, &row.key, payload, verb)?;
    let effect = wait(context, store, &row, came_of, place, patience)?;
    let after = context
        .block_on(store.load(std::slice::from_ref(&row.key)))?
        .pop()
        .unwrap_or(row);
    Ok(answer(verb, &effect, &after, patience))
}

/// Produces one record to the inbox partition that a saga's key hashes to; returns where it lies.
pub(crate) fn send(
    context: &Context,
    key: &str,
    payload: Vec<u8>,
    kind: &str,
) -> Result<(i32, i64), CliError> {
    let kafka = context.kafka()?;
    let inbox = context.topics().inbox();
    let partitions = context.partitions_of(&kafka, &inbox)?;
    let mut record = OutgoingRecord::new(inbox, payload).with_key(key);
    record.partition = Some(partition_of(key.as_bytes(), partitions));
    let own = [
        (wire::SAGA_ID, key),
        (wire::SAGA_KIND, kind),
        (wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO),
    ];
    for (name, value) in own {
        record.headers.push(name, value);
    }
    let producer = Producer::new(&kafka, |_| {})?;
    let place = producer.send_one(record)?;
    producer.flush(FLUSH_WAIT)?;
    Ok(place)
}

/// Nothing can be asked of a saga that has ended.
pub(crate) fn check_open(row: &SagaRow) -> Result<(), CliError> {
    match row.status {
        SagaStatus::Running | SagaStatus::Compensating | SagaStatus::Parked => Ok(()),
        SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Terminated => {
            Err(CliError::failed(format!(
                "saga {} has ended ({}): nothing changes it any more",
                row.key,
                row.status.name()
            )))
        }
    }
}

fn check_step(row: &SagaRow, step: &str) -> Result<(), CliError> {
    let Ok(saga) = serde_json::from_slice::<backstitch_saga::Saga>(&row.state) else {
        return Ok(());
    };
    if saga.line(step).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = saga
        .lines
        .iter()
        .map(|line| line.occurrence.as_str())
        .collect();
    Err(CliError::not_found(format!(
        "saga {} has no step `{step}` in its ledger",
        row.key
    ))
    .with_help(format!("there are {}", known.join(", "))))
}

/// Waits until the shard has read past the act: offset and effect are in one transaction, so then the journal has it, or it had
/// no effect.
fn wait(
    context: &Context,
    store: &Arc<dyn Store>,
    before: &SagaRow,
    came_of: &dyn Fn(&Body) -> Option<Effect>,
    (partition, offset): (i32, i64),
    wait: Duration,
) -> Result<Effect, CliError> {
    let deadline = Instant::now() + wait;
    let shard = [ShardId(partition)];
    loop {
        let is_read = context
            .block_on(store.shards(&shard))?
            .iter()
            .any(|row| row.inbox_next_offset > offset);
        if is_read {
            return found(context, store, before, came_of);
        }
        if Instant::now() >= deadline {
            return Ok(Effect::Waiting);
        }
        std::thread::sleep(LOOK);
    }
}

fn found(
    context: &Context,
    store: &Arc<dyn Store>,
    before: &SagaRow,
    came_of: &dyn Fn(&Body) -> Option<Effect>,
) -> Result<Effect, CliError> {
    let codec = context.codec()?;
    let rows = context.block_on(store.journal_of_saga(&before.key, before.seq, 1_000))?;
    let mut effects = rows
        .iter()
        .filter_map(|row| came_of(transition(&codec, row).body()?));
    Ok(effects.next().unwrap_or(Effect::NotApplicable))
}

fn is_same(found: &core::Act, act: &Act) -> bool {
    super::changes::act_name(found.kind) == act.act.as_str()
        && found.by == act.by
        && found.reason == act.reason
        && found.occurrence == act.step
}

fn answer(verb: &str, effect: &Effect, after: &SagaRow, wait: Duration) -> Answer {
    let (key, status) = (harmless(&after.key), after.status.name());
    let reason = match effect {
        Effect::Declined(reason) => Some(reason.clone()),
        Effect::Applied | Effect::NotApplicable | Effect::Waiting => None,
    };
    let json = json!({
        "saga": after.key,
        "act": verb,
        "effect": effect.name(),
        "reason": reason,
        "status": status,
        "seq": after.seq,
    });
    match effect {
        Effect::Applied => Answer::good(format!("{verb}: done; {key} is {status}"), json),
        Effect::Declined(reason) => Answer::bad(
            format!("{verb}: declined, {reason}; {key} is {status}"),
            json,
        ),
        Effect::NotApplicable => Answer::bad(
            format!("{verb}: does not apply; {key} is {status} and was left as it is"),
            json,
        ),
        Effect::Waiting if wait.is_zero() => {
            Answer::good(format!("{verb}: sent; {key} was {status}"), json)
        }
        Effect::Waiting => Answer::bad(
            format!(
                "{verb}: sent, but no orchestrator has read it within {}; it will have its effect when one does \
                 (is `backstitch serve` running?)",
                write_span(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
            ),
            json,
        ),
    }
}

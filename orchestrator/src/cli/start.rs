//! `start`: begins a saga by hand.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_saga::Saga;
use backstitch_schemas::Start;
use serde_json::json;

use super::act::send;
use super::answer::Answer;
use super::args::StartArgs;
use super::context::Context;
use super::error::CliError;
use super::text::{harmless, now_ms, write_span};
use crate::store::{SagaRow, Store};

/// How often the store is looked at while waiting.
const LOOK: Duration = Duration::from_millis(50);

/// Sends the start through the saga's inbox partition, and waits until the saga is there.
pub(crate) fn start(context: &Context, args: &StartArgs) -> Result<Answer, CliError> {
    let event = event_of(&args.event)?;
    let key = Saga::key_of(&args.name, &args.key);
    if args.key.is_empty() {
        return Err(CliError::usage("the business key is empty"));
    }
    let store = context.store_to_look()?;
    check_definition(context, &store, &args.name)?;
    if let Some(row) = load(context, &store, &key)? {
        return Ok(answer(&row, "already there: the same key is the same saga"));
    }
    let at_ms = now_ms();
    let start = Start {
        definition: args.name.clone(),
        saga: key.clone(),
        event,
        source: None,
        event_time_ms: at_ms,
        by: Some(args.by.by.clone()),
        at_ms,
        parent: None,
    };
    let payload = context
        .codec()?
        .encode_start(&start)
        .map_err(|error| CliError::of(&error))?;
    let (partition, offset) = send(context, &key, payload, "start")?;
    let deadline = Instant::now() + args.by.wait;
    loop {
        if let Some(row) = load(context, &store, &key)? {
            return Ok(answer(&row, "started"));
        }
        if Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let json = json!({ "saga": key, "started": false, "partition": partition, "offset": offset });
    let key = harmless(&key);
    Ok(if args.by.wait.is_zero() {
        Answer::good(
            format!("sent; {key} begins when an orchestrator reads it"),
            json,
        )
    } else {
        let waited = write_span(i64::try_from(args.by.wait.as_millis()).unwrap_or(i64::MAX));
        Answer::bad(
            format!(
                "sent, but {key} has not begun within {waited}: is `backstitch serve` running, and does it know {}? \
                 If it does not, the start is among the dead letters",
                args.name
            ),
            json,
        )
    })
}

fn answer(row: &SagaRow, what: &str) -> Answer {
    let json = json!({
        "saga": row.key,
        "started": true,
        "status": row.status.name(),
        "seq": row.seq,
        "started_at_ms": row.started_at_ms,
    });
    let key = harmless(&row.key);
    let text = format!(
        "{what}; {key} is {}\nbackstitch show {key}",
        row.status.name()
    );
    Answer::good(text, json)
}

fn load(context: &Context, store: &Arc<dyn Store>, key: &str) -> Result<Option<SagaRow>, CliError> {
    Ok(context.block_on(store.load(&[key.to_owned()]))?.pop())
}

/// The orchestrators write down what they run; a name that none has written down would only make a dead letter.
fn check_definition(context: &Context, store: &Arc<dyn Store>, name: &str) -> Result<(), CliError> {
    let known = context.block_on(store.definitions())?;
    if known.is_empty() || known.iter().any(|row| row.name == name) {
        return Ok(());
    }
    let mut names: Vec<String> = known.into_iter().map(|row| row.name).collect();
    names.sort();
    names.dedup();
    Err(
        CliError::not_found(format!("no orchestrator has run a definition `{name}`"))
            .with_help(format!("there are {}", names.join(", "))),
    )
}

/// Reads `--event`: JSON, `@FILE`, or `-` for stdin.
fn event_of(given: &str) -> Result<Vec<u8>, CliError> {
    let (text, from) = if given == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::failed(format!("cannot read stdin: {error}")))?;
        (text, "stdin")
    } else if let Some(path) = given.strip_prefix('@') {
        let text = std::fs::read_to_string(path)
            .map_err(|error| CliError::failed(format!("cannot read {path}: {error}")))?;
        (text, path)
    } else {
        (given.to_owned(), "--event")
    };
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| CliError::usage(format!("{from} is no JSON: {error}")))?;
    Ok(value.to_string().into_bytes())
}

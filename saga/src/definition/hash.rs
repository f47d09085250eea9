//! The name of a definition's structure: comments, order of keys and spelling of durations change
//! nothing.
//!
//! Each structure is taken apart field by field, so that a new field cannot be forgotten.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{
    Approve, Case, Choose, Contract, Definition, Do, Each, Fail, Need, OnFailure, OtherUndo,
    Parallel, Repeat, Retry, Run, SchemaFile, Sleep, StartRule, Step, Timeout, Undo, Verb, Wait,
};
use crate::expression::{Expression, Template};

/// Changes when the same structure would be written down differently.
const FORMAT: u32 = 2;

/// Lower-case hex of the BLAKE3 hash of the canonical structure.
pub(super) fn hash(definition: &Definition) -> String {
    let mut text = String::new();
    write_sorted(&canonical(definition), &mut text);
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// JSON with sorted keys and no white space, whatever order the maps of `serde_json` have.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (n, (name, field)) in sorted.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_sorted(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

fn canonical(definition: &Definition) -> Value {
    // The text and the hash itself are no part of the structure; of the files, what the schemas
    // and contracts say is.
    let Definition {
        name,
        hash: _,
        source: _,
        files: _,
        activities,
        start,
        input,
        tags,
        deadline_ms,
        steps: steps_,
        output,
    } = definition;
    json!({
        "format": FORMAT,
        "saga": name,
        "start": start.iter().map(start_rule).collect::<Vec<_>>(),
        "input": input.as_ref().map(schema),
        "activities": map(activities, contract),
        "tags": map(tags, template),
        "deadline_ms": deadline_ms,
        "steps": steps(steps_),
        "output": output.as_ref().map(template),
    })
}

fn map<T>(entries: &BTreeMap<String, T>, value: fn(&T) -> Value) -> Value {
    let entries = entries
        .iter()
        .map(|(name, entry)| (name.clone(), value(entry)));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// What it says, if that is known: where it stands is nobody's business then.
fn schema(SchemaFile { path, schema }: &SchemaFile) -> Value {
    match schema {
        Some(schema) => json!({ "schema": schema.source() }),
        None => json!({ "path": path }),
    }
}

fn contract(
    Contract {
        input,
        output,
        errors,
    }: &Contract,
) -> Value {
    json!({
        "input": input.as_ref().map(schema),
        "output": output.as_ref().map(schema),
        "errors": errors,
    })
}

fn start_rule(StartRule { topic, when, key }: &StartRule) -> Value {
    json!({
        "topic": topic,
        "when": logic(when.as_ref()),
        "key": key.source(),
    })
}

fn logic(expression: Option<&Expression>) -> Option<&str> {
    expression.map(Expression::source)
}

fn steps(steps: &[Step]) -> Value {
    Value::Array(steps.iter().map(step).collect())
}

fn step(
    Step {
        id,
        when,
        on_failure,
        on_timeout,
        on_refused,
        verb,
    }: &Step,
) -> Value {
    json!({
        "id": id,
        "when": logic(when.as_ref()),
        "on_failure": reaction(on_failure),
        "on_timeout": on_timeout.as_ref().map(reaction),
        "on_refused": on_refused.as_ref().map(reaction),
        "verb": { verb.name(): does(verb) },
    })
}

fn reaction(reaction: &OnFailure) -> Value {
    match reaction {
        OnFailure::TurnBack => json!("turn_back"),
        OnFailure::Ignore => json!("ignore"),
        OnFailure::Park => json!("park"),
        OnFailure::Steps(taken) => steps(taken),
    }
}

fn does(verb: &Verb) -> Value {
    match verb {
        Verb::Do(does) => activity(does),
        Verb::Parallel(does) => parallel(does),
        Verb::Choose(does) => choose(does),
        Verb::Each(does) => each(does),
        Verb::Repeat(does) => repeat(does),
        Verb::Wait(does) => wait(does),
        Verb::Sleep(does) => match does {
            Sleep::For(ms) => json!({ "for_ms": ms }),
            Sleep::Until(time) => json!({ "until": time.source() }),
        },
        Verb::Run(Run { saga, key, with }) => json!({
            "saga": saga,
            "key": logic(key.as_ref()),
            "with": template(with),
        }),
        Verb::Approve(Approve {
            by,
            show,
            within_ms,
        }) => json!({
            "by": by,
            "show": template(show),
            "within_ms": within_ms,
        }),
        Verb::Set(values) => map(values, template),
        Verb::Fail(Fail { code, reason }) => json!({
            "code": code,
            "reason": reason.as_ref().map(template),
        }),
        // Without an output it is null.
        Verb::End(output) => template(output.as_ref().unwrap_or(&Template::Literal(Value::Null))),
    }
}

fn parallel(Parallel { branches, need }: &Parallel) -> Value {
    // A list: the position of a branch is in the state of a saga.
    let branches: Vec<Value> = branches
        .iter()
        .map(|(name, taken)| json!([name, steps(taken)]))
        .collect();
    let need = match need {
        Need::All => json!("all"),
        Need::Count(count) => json!(count),
    };
    json!({ "branches": branches, "need": need })
}

fn choose(Choose { cases, otherwise }: &Choose) -> Value {
    let cases: Vec<Value> = cases
        .iter()
        .map(|Case { when, steps: taken }| json!([when.source(), steps(taken)]))
        .collect();
    json!({ "cases": cases, "else": otherwise.as_deref().map(steps) })
}

fn each(
    Each {
        item,
        over,
        at_once,
        items_max,
        steps: taken,
        collect,
    }: &Each,
) -> Value {
    json!({
        "item": item,
        "over": over.source(),
        "at_once": at_once,
        "items_max": items_max,
        "steps": steps(taken),
        "collect": collect.as_ref().map(template),
    })
}

fn repeat(
    Repeat {
        steps: taken,
        until,
        rounds_max,
        pause_ms,
    }: &Repeat,
) -> Value {
    json!({
        "steps": steps(taken),
        "until": until.source(),
        "rounds_max": rounds_max,
        "pause_ms": pause_ms,
    })
}

fn wait(
    Wait {
        topic,
        key,
        matches,
        accept,
        input,
        early_ms,
        within_ms,
    }: &Wait,
) -> Value {
    let mut wait = json!({
        "topic": topic,
        "key": key.source(),
        "matches": logic(matches.as_ref()),
        "accept": logic(accept.as_ref()),
        "early_ms": early_ms,
        "within_ms": within_ms,
    });
    // It came later: a wait without it keeps the name that it had, and sagas are pinned by that.
    if let Some(input) = input {
        wait["input"] = schema(input);
    }
    wait
}

fn activity(
    Do {
        activity,
        with,
        undo,
        timeout,
        retry,
        pivot,
    }: &Do,
) -> Value {
    let undo = match undo {
        Undo::Same => json!("yes"),
        Undo::Nothing => json!("nothing"),
        Undo::Absent => Value::Null,
        Undo::Other(other) => {
            let OtherUndo {
                activity,
                with,
                timeout,
                retry,
            } = other.as_ref();
            json!({
                "do": activity,
                "with": template(with),
                "timeout": limits(timeout),
                "retry": retrying(retry),
            })
        }
    };
    json!({
        "activity": activity,
        "with": template(with),
        "undo": undo,
        "timeout": limits(timeout),
        "retry": retrying(retry),
        "pivot": pivot,
    })
}

fn limits(
    Timeout {
        start_ms,
        reply_ms,
        heartbeat_ms,
        total_ms,
    }: &Timeout,
) -> Value {
    json!({
        "start_ms": start_ms,
        "reply_ms": reply_ms,
        "heartbeat_ms": heartbeat_ms,
        "total_ms": total_ms,
    })
}

fn retrying(
    Retry {
        attempts_max,
        backoff_min_ms,
        backoff_max_ms,
        jitter_percent,
        budget_ms,
        not,
    }: &Retry,
) -> Value {
    json!({
        "attempts_max": attempts_max,
        "backoff_min_ms": backoff_min_ms,
        "backoff_max_ms": backoff_max_ms,
        "jitter_percent": jitter_percent,
        "budget_ms": budget_ms,
        "not": not,
    })
}

/// Tells a literal `=x` from an expression.
fn template(template_: &Template) -> Value {
    match template_ {
        Template::Literal(value) => json!({ "is": value }),
        Template::Expression(expression) => json!({ "cel": expression.source() }),
        Template::List(items) => json!({ "list": items.iter().map(template).collect::<Vec<_>>() }),
        Template::Object(fields) => json!({ "map": map(fields, template) }),
    }
}

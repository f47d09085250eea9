//! The name of a definition's structure: comments, order of keys and spelling of durations change
//! nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Definition, Do, OnFailure, OtherUndo, Retry, StartRule, Step, Undo, Verb};
use crate::expression::{Expression, Template};

/// Changes when the same structure would be written down differently.
const FORMAT: u32 = 1;

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
    // The text and the hash itself are no part of the structure.
    let Definition {
        name,
        hash: _,
        source: _,
        files: _,
        activities: _,
        start,
        input,
        tags,
        deadline_ms,
        steps,
        output,
    } = definition;
    json!({
        "format": FORMAT,
        "saga": name,
        "start": start.iter().map(start_rule).collect::<Vec<_>>(),
        "input": input.as_ref().map(|file| &file.path),
        "tags": tags.iter().map(|(name, tag)| (name.clone(), template(tag))).collect::<serde_json::Map<_, _>>(),
        "deadline_ms": deadline_ms,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "output": output.as_ref().map(template),
    })
}

fn start_rule(StartRule { topic, when, key }: &StartRule) -> Value {
    json!({
        "topic": topic,
        "when": when.as_ref().map(Expression::source),
        "key": key.source(),
    })
}

fn step(
    Step {
        id,
        when,
        on_failure,
        on_timeout: _,
        on_refused: _,
        verb,
    }: &Step,
) -> Value {
    let on_failure = match on_failure {
        OnFailure::TurnBack => "turn_back",
        OnFailure::Ignore => "ignore",
        OnFailure::Park => "park",
        OnFailure::Steps(_) => "steps",
    };
    let verb = match verb {
        Verb::Do(done) => json!({ "do": activity(done) }),
        _ => json!(null),
    };
    json!({
        "id": id,
        "when": when.as_ref().map(Expression::source),
        "on_failure": on_failure,
        "verb": verb,
    })
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
                "timeout_ms": timeout.reply_ms,
                "retry": retrying(retry),
            })
        }
    };
    json!({
        "activity": activity,
        "with": template(with),
        "undo": undo,
        "timeout_ms": timeout.reply_ms,
        "retry": retrying(retry),
        "pivot": pivot,
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
        Template::Object(fields) => {
            let fields: serde_json::Map<_, _> = fields
                .iter()
                .map(|(name, field)| (name.clone(), template(field)))
                .collect();
            json!({ "map": fields })
        }
    }
}

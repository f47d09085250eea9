//! The language as a JSON Schema, for editors: what may stand where, and what it is for.
//!
//! It is made of the same list of keys by which definitions are read. It knows the shape only;
//! whether names resolve and types fit is `check`'s to say.

use serde_json::{Map, Value, json};

use super::keys::{
    CASE, CONTRACT, DEFAULTS, DEFINITION, ELSE, Holds, Key, RETRY, SLEEP, START, STEP, TIMEOUT,
    UNDO, VERBS,
};
use super::limits::{
    ATTEMPTS_MAX, NAME_CHARS_MAX, START_RULES_MAX, STEPS_MAX, TAGS_MAX, TOPIC_CHARS_MAX,
};
use super::model::Definition;

const KEBAB: &str = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$";
const SNAKE: &str = "^[a-z][a-z0-9]*(_[a-z0-9]+)*$";
const WORD: &str = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$";
const TOPIC: &str = "^[A-Za-z0-9._-]+$";
const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";
const RANGE: &str = "^[0-9]+(ms|s|m|h|d)( *\\.\\. *[0-9]+(ms|s|m|h|d))?$";
const PERCENT: &str = "^[0-9]{1,3} *%$";

impl Definition {
    /// The JSON Schema (draft 7) of a definition's text.
    pub fn editor_schema() -> Value {
        let mut schema = map(DEFINITION);
        if let Value::Object(fields) = &mut schema {
            fields.insert(
                "$schema".to_owned(),
                json!("http://json-schema.org/draft-07/schema#"),
            );
            fields.insert("title".to_owned(), json!("A saga of Backstitch"));
            fields.insert("definitions".to_owned(), definitions());
        }
        schema
    }
}

/// What keys refer to.
fn definitions() -> Value {
    let steps = |least: usize| {
        json!({
            "type": "array",
            "minItems": least,
            "maxItems": STEPS_MAX,
            "items": refer("step"),
        })
    };
    let texts = json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
    let mut definitions = json!({
        "kebab": name(KEBAB),
        "snake": name(SNAKE),
        "word": name(WORD),
        "topic": { "type": "string", "pattern": TOPIC, "maxLength": TOPIC_CHARS_MAX },
        "path": { "type": "string", "minLength": 1 },
        "expression": {
            "description": "An expression in CEL.",
            "type": ["string", "boolean", "number"],
        },
        "document": {
            "description": "A document. A text that begins with `=` is an expression in CEL; `==` begins a text with `=`.",
        },
        "duration": {
            "description": "A whole number and a unit: `200ms`, `5s`, `10m`, `2h`, `3d`.",
            "type": "string",
            "pattern": DURATION,
        },
        "range": {
            "description": "Two durations: `200ms..10s`.",
            "type": "string",
            "pattern": RANGE,
        },
        "count": { "type": "integer", "minimum": 1, "maximum": ATTEMPTS_MAX },
        "percent": {
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 100 },
                { "type": "string", "pattern": PERCENT },
            ],
        },
        "truth": { "enum": [true, false, "yes", "no"] },
        "start": {
            "anyOf": [
                refer("start_rule"),
                { "type": "array", "maxItems": START_RULES_MAX, "items": refer("start_rule") },
            ],
        },
        "start_rule": map(START),
        "tags": {
            "type": "object",
            "maxProperties": TAGS_MAX,
            "propertyNames": name(SNAKE),
            "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
        },
        "defaults": map(DEFAULTS),
        "activities": {
            "anyOf": [
                refer("path"),
                {
                    "type": "object",
                    "propertyNames": name(KEBAB),
                    "additionalProperties": refer("contract"),
                },
            ],
        },
        "contract": map(CONTRACT),
        "steps": steps(1),
        "steps_or_none": steps(0),
        "step": { "oneOf": VERBS.iter().map(|verb| refer(verb.verb.name)).collect::<Vec<_>>() },
        "undo": {
            "anyOf": [{ "enum": [true, "yes", "true", "nothing"] }, refer("undo_by")],
        },
        "undo_by": map(UNDO),
        "timeout": { "anyOf": [refer("duration"), refer("timeout_in_parts")] },
        "timeout_in_parts": map(TIMEOUT),
        "retry": map(RETRY),
        "reaction": {
            "anyOf": [{ "enum": ["turn_back", "ignore", "park"] }, steps(0)],
        },
        "branches": {
            "type": "object",
            "minProperties": 2,
            "propertyNames": name(SNAKE),
            "additionalProperties": steps(0),
        },
        "need": {
            "anyOf": [
                { "enum": ["all", "any"] },
                { "type": "integer", "minimum": 1, "maximum": u16::MAX },
            ],
        },
        "cases": {
            "type": "array",
            "minItems": 1,
            "items": { "anyOf": [refer("case"), refer("else")] },
        },
        "case": map(CASE),
        "else": map(ELSE),
        "texts": texts,
        "sleep_time": { "anyOf": [refer("duration"), refer("sleep_until")] },
        "sleep_until": map(SLEEP),
        "settings": {
            "type": "object",
            "propertyNames": name(SNAKE),
            "additionalProperties": refer("document"),
        },
    });
    if let Value::Object(definitions) = &mut definitions {
        definitions.extend(verbs());
    }
    definitions
}

/// A step of each verb, by the name of the verb.
fn verbs() -> impl Iterator<Item = (String, Value)> {
    VERBS.iter().map(|verb| {
        let keys: Vec<Key> = std::iter::once(&verb.verb)
            .chain(STEP)
            .chain(verb.keys)
            .copied()
            .collect();
        let mut step = map(&keys);
        step["description"] = json!(verb.verb.about);
        (verb.verb.name.to_owned(), step)
    })
}

fn name(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "maxLength": NAME_CHARS_MAX })
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// A map with these keys and no others.
fn map(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut property = refer(held(key.holds));
            property["description"] = json!(key.about);
            (key.name.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The name, among the definitions, of what stands under a key.
fn held(holds: Holds) -> &'static str {
    match holds {
        Holds::Kebab => "kebab",
        Holds::Snake | Holds::Code => "snake",
        Holds::Word => "word",
        Holds::Topic => "topic",
        Holds::Path => "path",
        Holds::Logic => "expression",
        Holds::Data => "document",
        Holds::Duration => "duration",
        Holds::Range => "range",
        Holds::Count => "count",
        Holds::Percent => "percent",
        Holds::Truth => "truth",
        Holds::Start => "start",
        Holds::Tags => "tags",
        Holds::Defaults => "defaults",
        Holds::Activities => "activities",
        Holds::Steps => "steps",
        Holds::StepsOrNone => "steps_or_none",
        Holds::Undo => "undo",
        Holds::Timeout => "timeout",
        Holds::Retry => "retry",
        Holds::Reaction => "reaction",
        Holds::Branches => "branches",
        Holds::Need => "need",
        Holds::Cases => "cases",
        Holds::Roles | Holds::Codes => "texts",
        Holds::Sleep => "sleep_time",
        Holds::Settings => "settings",
    }
}

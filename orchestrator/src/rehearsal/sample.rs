//! A document that fits an Avro schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// From here on lists are empty and what may be null is: a type that contains itself has an end then.
const FULL_DEPTH_MAX: usize = 3;
/// A type without an end is broken off here.
const DEPTH_MAX: usize = 40;

/// Makes a document up that fits a schema; as good as can be where the schema has no end.
pub(super) fn sample(schema: &Value) -> Value {
    let mut named = BTreeMap::new();
    name_types(schema, &mut named);
    value_of(schema, "text", &named, 0)
}

fn name_types<'s>(schema: &'s Value, named: &mut BTreeMap<String, &'s Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| name_types(branch, named)),
        Value::Object(fields) => {
            if let Some(name) = fields.get("name").and_then(Value::as_str) {
                let short = name.rsplit('.').next().unwrap_or(name);
                named.insert(short.to_owned(), schema);
            }
            for key in ["type", "items", "values"] {
                if let Some(inner) = fields.get(key).filter(|inner| !inner.is_string()) {
                    name_types(inner, named);
                }
            }
            let inner = fields.get("fields").and_then(Value::as_array);
            for field in inner.into_iter().flatten() {
                if let Some(of) = field.get("type") {
                    name_types(of, named);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn value_of(schema: &Value, name: &str, named: &BTreeMap<String, &Value>, depth: usize) -> Value {
    match schema {
        Value::String(of) => match of.as_str() {
            "null" => Value::Null,
            "boolean" => json!(true),
            "int" | "long" => json!(100),
            "float" | "double" => json!(100.5),
            "string" => json!(name),
            "bytes" => json!("AA=="),
            other => {
                let short = other.rsplit('.').next().unwrap_or(other);
                match named.get(short) {
                    Some(known) if depth <= DEPTH_MAX => value_of(known, name, named, depth + 1),
                    Some(_) | None => Value::Null,
                }
            }
        },
        Value::Array(branches) => {
            let null = json!("null");
            let useful = branches.iter().find(|branch| **branch != null);
            match useful.filter(|_| depth <= FULL_DEPTH_MAX || !branches.contains(&null)) {
                Some(branch) => value_of(branch, name, named, depth),
                None => Value::Null,
            }
        }
        Value::Object(of) => logical(of).unwrap_or_else(|| complex(of, name, named, depth)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Value::Null,
    }
}

fn complex(
    of: &Map<String, Value>,
    name: &str,
    named: &BTreeMap<String, &Value>,
    depth: usize,
) -> Value {
    let inner = |key: &str| of.get(key).unwrap_or(&Value::Null);
    match of.get("type") {
        Some(Value::String(kind)) if kind == "record" || kind == "error" => {
            let fields = of.get("fields").and_then(Value::as_array);
            let fields = fields.into_iter().flatten().filter_map(|field| {
                let name = field.get("name")?.as_str()?;
                let value = value_of(field.get("type")?, name, named, depth + 1);
                Some((name.to_owned(), value))
            });
            Value::Object(fields.collect())
        }
        Some(Value::String(kind)) if kind == "enum" => {
            inner("symbols").get(0).cloned().unwrap_or_default()
        }
        Some(Value::String(kind)) if kind == "array" => {
            if depth > FULL_DEPTH_MAX {
                return json!([]);
            }
            json!([value_of(inner("items"), name, named, depth + 1)])
        }
        Some(Value::String(kind)) if kind == "map" => json!({}),
        Some(Value::String(kind)) if kind == "fixed" => {
            let size = inner("size").as_u64().unwrap_or(0);
            json!(zeros(usize::try_from(size).unwrap_or(0)))
        }
        Some(other) => value_of(other, name, named, depth + 1),
        None => Value::Null,
    }
}

/// The types that are shown otherwise than their types below.
fn logical(of: &Map<String, Value>) -> Option<Value> {
    match of.get("logicalType")?.as_str()? {
        "decimal" => Some(json!("1")),
        "uuid" => Some(json!("00000000-0000-4000-8000-000000000000")),
        "duration" => Some(json!({ "months": 0, "days": 1, "millis": 0 })),
        "timestamp-millis" | "local-timestamp-millis" => Some(json!(super::world::BEGIN_MS)),
        "timestamp-micros" | "local-timestamp-micros" => {
            Some(json!(super::world::BEGIN_MS * 1_000))
        }
        _ => None,
    }
}

/// Base64 of so many zero bytes.
fn zeros(size: usize) -> String {
    let mut text = "AAAA".repeat(size / 3);
    text.push_str(match size % 3 {
        0 => "",
        1 => "AA==",
        _ => "AAA=",
    });
    text
}

#[cfg(test)]
mod tests {
    use backstitch_saga::contract::Schema;

    use super::*;

    #[test]
    fn a_sample_fits_its_schema() {
        for schema in [
            json!("string"),
            json!(["null", "int"]),
            json!({ "type": "array", "items": { "type": "map", "values": "long" } }),
            json!({ "type": "fixed", "name": "F", "size": 5 }),
            json!({ "type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2 }),
            json!({ "type": "string", "logicalType": "uuid" }),
            json!({ "type": "long", "logicalType": "timestamp-millis" }),
            json!({ "type": "record", "name": "a.Order", "fields": [
                { "name": "id", "type": "string" },
                { "name": "kind", "type": { "type": "enum", "name": "Kind", "symbols": ["X", "Y"] } },
                { "name": "again", "type": "Kind" },
                { "name": "parts", "type": { "type": "array", "items": "a.Order" } },
                { "name": "next", "type": ["null", "Order"] },
            ] }),
        ] {
            let parsed = Schema::parse(&schema.to_string()).unwrap();
            let made_up = sample(&schema);
            assert_eq!(parsed.misfit(&made_up), None, "{schema}: {made_up}");
        }
    }
}

//! What a JSON Schema says of a document, as far as the schema of the language goes.

use serde_json::Value;

/// Where the document does not fit, and why. Panics at a rule that it does not know, so that none is
/// left out in silence.
pub(crate) fn misfits(schema: &Value, document: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    Shape { root: schema }.hold(schema, document, "", &mut wrong);
    wrong
}

struct Shape<'s> {
    root: &'s Value,
}

impl Shape<'_> {
    fn hold(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        for (rule, wanted) in schema.as_object().unwrap() {
            match rule.as_str() {
                "$schema" | "title" | "description" | "definitions" => {}
                "$ref" => {
                    let name = wanted.as_str().unwrap().replace("#/definitions/", "");
                    self.hold(&self.root["definitions"][&name], value, at, wrong);
                }
                "anyOf" | "oneOf" => self.ways(rule, wanted, value, at, wrong),
                "properties" | "additionalProperties" | "propertyNames" | "required" => {}
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.hold(wanted, item, &format!("{at}[{n}]"), wrong);
                    }
                }
                rule => {
                    if !fits(rule, wanted, value) {
                        wrong.push(format!("{at}: {rule} {wanted}, and is {value}"));
                    }
                }
            }
        }
        if let Some(fields) = value.as_object() {
            self.fields(schema, fields, at, wrong);
        }
    }

    fn ways(&self, rule: &str, ways: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let tried: Vec<Vec<String>> = ways
            .as_array()
            .unwrap()
            .iter()
            .map(|way| {
                let mut wrong = Vec::new();
                self.hold(way, value, at, &mut wrong);
                wrong
            })
            .collect();
        let fitting = tried.iter().filter(|wrong| wrong.is_empty()).count();
        if fitting == 0 || (rule == "oneOf" && fitting > 1) {
            wrong.push(format!("{at}: {fitting} of {rule} fit: {tried:?}"));
        }
    }

    fn fields(
        &self,
        schema: &Value,
        fields: &serde_json::Map<String, Value>,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}: there is no {name}"));
            }
        }
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            if let Some(names) = schema.get("propertyNames") {
                self.hold(names, &Value::from(name.as_str()), &at, wrong);
            }
            match (
                schema["properties"].get(name),
                &schema["additionalProperties"],
            ) {
                (Some(property), _) => self.hold(property, value, &at, wrong),
                (None, Value::Bool(false)) => wrong.push(format!("{at} is not known")),
                (None, Value::Null) => {}
                (None, others) => self.hold(others, value, &at, wrong),
            }
        }
    }
}

fn fits(rule: &str, wanted: &Value, value: &Value) -> bool {
    let least = |count: Option<usize>| count.is_none_or(|n| n as u64 >= wanted.as_u64().unwrap());
    let most = |count: Option<usize>| count.is_none_or(|n| n as u64 <= wanted.as_u64().unwrap());
    let chars = value.as_str().map(|text| text.chars().count());
    let items = value.as_array().map(Vec::len);
    let fields = value.as_object().map(serde_json::Map::len);
    match rule {
        "type" => match wanted.as_array() {
            Some(kinds) => kinds.iter().any(|kind| is(kind, value)),
            None => is(wanted, value),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "pattern" => value
            .as_str()
            .is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
        "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
        "minLength" => least(chars),
        "maxLength" => most(chars),
        "minItems" => least(items),
        "maxItems" => most(items),
        "minProperties" => least(fields),
        "maxProperties" => most(fields),
        rule => panic!("the rule {rule} is not known"),
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        kind => panic!("the type {kind} is not known"),
    }
}

/// A regular expression, by CEL.
fn matches(pattern: &str, text: &str) -> bool {
    use backstitch_saga::expression::{Expression, Scope};
    let quoted = serde_json::to_string(pattern).unwrap();
    let expression = Expression::compile(&format!("event.matches({quoted})")).unwrap();
    let event = Value::from(text);
    expression.holds(&Scope::of_event(&event, 0)).unwrap()
}

//! The data of a path: the event that starts it, what workers answer, what comes from outside.

use std::collections::BTreeMap;

use backstitch_saga::expression::Segment;
use serde_json::{Map, Value};

use super::script::step_of;

/// One stretch of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// The field of this name.
    Field(String),
    /// The element at this position.
    Item(usize),
    /// Each element.
    All,
}

impl Key {
    /// As an expression has it.
    pub(super) fn of(segment: &Segment) -> Self {
        match segment {
            Segment::Field(name) => Self::Field(name.clone()),
            Segment::Index(n) => Self::Item(usize::try_from(*n).unwrap_or(0)),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// The start event.
    Event,
    /// What the workers of this step answer.
    Output(String),
    /// The record that this wait is given.
    Message(String),
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Leaf {
    pub(super) source: Source,
    pub(super) path: Vec<Key>,
}

/// A value that is other than usual.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) leaf: Leaf,
    pub(super) value: Value,
    /// Only from this round on: which of the numbers of an occurrence counts it, and from which.
    pub(super) from_round: Option<(usize, u16)>,
}

/// The data of one definition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values {
    /// The start event.
    pub(super) event: Value,
    /// By step.
    pub(super) outputs: BTreeMap<String, Value>,
    /// By wait.
    pub(super) messages: BTreeMap<String, Value>,
    /// Laid over all of these; later ones over earlier ones.
    pub(super) settings: Vec<Setting>,
}

impl Values {
    /// What starts it.
    pub(super) fn event(&self) -> Value {
        self.laid_over(self.event.clone(), &Source::Event, "")
    }

    /// What the workers of an occurrence answer.
    pub(super) fn output(&self, occurrence: &str) -> Option<Value> {
        let step = step_of(occurrence);
        let source = Source::Output(step.to_owned());
        let known = self.outputs.get(step).cloned();
        let is_set = self.settings.iter().any(|set| set.leaf.source == source);
        let value = known.or_else(|| is_set.then_some(Value::Null))?;
        Some(self.laid_over(value, &source, occurrence))
    }

    /// The record for an occurrence of a wait.
    pub(super) fn message(&self, occurrence: &str) -> Value {
        let step = step_of(occurrence);
        let known = self.messages.get(step).cloned();
        let known = known.unwrap_or_else(|| Value::Object(Map::new()));
        self.laid_over(known, &Source::Message(step.to_owned()), occurrence)
    }

    /// The value of a source without its settings, to be changed.
    pub(super) fn base_mut(&mut self, source: &Source) -> &mut Value {
        match source {
            Source::Event => &mut self.event,
            Source::Output(step) => self.outputs.entry(step.clone()).or_default(),
            Source::Message(step) => self.messages.entry(step.clone()).or_default(),
        }
    }

    /// The value of a source without its settings.
    pub(super) fn base(&self, source: &Source) -> &Value {
        match source {
            Source::Event => &self.event,
            Source::Output(step) => self.outputs.get(step).unwrap_or(&Value::Null),
            Source::Message(step) => self.messages.get(step).unwrap_or(&Value::Null),
        }
    }

    fn laid_over(&self, mut value: Value, source: &Source, occurrence: &str) -> Value {
        for setting in &self.settings {
            let is_its_round = setting
                .from_round
                .is_none_or(|(depth, from)| round_of(occurrence, depth) >= from);
            if setting.leaf.source == *source && is_its_round {
                put(&mut value, &setting.leaf.path, &setting.value);
            }
        }
        value
    }
}

/// The number of an occurrence at a depth: that of `check[2][1]` at depth 1 is 1.
fn round_of(occurrence: &str, depth: usize) -> u16 {
    let numbers = occurrence.split('[').skip(1 + depth);
    let mut numbers = numbers.map(|rest| rest.split(']').next().and_then(|n| n.parse().ok()));
    numbers.next().flatten().unwrap_or(0)
}

/// The value at a place; of the first element where each is meant.
pub(super) fn get<'v>(value: &'v Value, path: &[Key]) -> Option<&'v Value> {
    let mut at = value;
    for key in path {
        at = match key {
            Key::Field(name) => at.get(name)?,
            Key::Item(n) => at.get(*n)?,
            Key::All => at.get(0)?,
        };
    }
    Some(at)
}

/// Puts a value at a place, and makes the way there. What stands in the way is replaced.
pub(super) fn put(value: &mut Value, path: &[Key], new: &Value) {
    let Some((key, rest)) = path.split_first() else {
        new.clone_into(value);
        return;
    };
    match key {
        Key::Field(name) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            put(&mut value[name.as_str()], rest, new);
        }
        Key::Item(n) => {
            let items = list_of(value);
            while items.len() <= *n {
                items.push(Value::Null);
            }
            put(&mut items[*n], rest, new);
        }
        Key::All => {
            let items = list_of(value);
            if items.is_empty() {
                items.push(Value::Null);
            }
            for item in items {
                put(item, rest, new);
            }
        }
    }
}

fn list_of(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("it was made a list just now")
}

/// Lays the fields of one document over another, object by object; anything else replaces.
pub(super) fn lay_over(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, over) in over {
                lay_over(fields.entry(name.as_str()).or_insert(Value::Null), over);
            }
        }
        (value, over) => over.clone_into(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str) -> Key {
        Key::Field(name.to_owned())
    }

    #[test]
    fn the_way_to_a_value_is_made() {
        let mut value = Value::Null;
        put(
            &mut value,
            &[field("a"), Key::Item(1), field("b")],
            &json!(7),
        );
        assert_eq!(value, json!({ "a": [null, { "b": 7 }] }));
        put(&mut value, &[field("a"), Key::All, field("c")], &json!("x"));
        assert_eq!(value, json!({ "a": [{ "c": "x" }, { "b": 7, "c": "x" }] }));
        assert_eq!(
            get(&value, &[field("a"), Key::Item(1), field("b")]),
            Some(&json!(7))
        );
        assert_eq!(get(&value, &[field("z")]), None);
    }

    #[test]
    fn a_setting_counts_from_its_round_on() {
        let leaf = Leaf {
            source: Source::Output("check".to_owned()),
            path: vec![field("ready")],
        };
        let set = |value: bool, from_round| Setting {
            leaf: leaf.clone(),
            value: json!(value),
            from_round,
        };
        let values = Values {
            settings: vec![set(false, None), set(true, Some((0, 2)))],
            ..Values::default()
        };
        let ready = |occurrence: &str| values.output(occurrence);
        assert_eq!(ready("check[1]"), Some(json!({ "ready": false })));
        assert_eq!(ready("check[2]"), Some(json!({ "ready": true })));
        assert_eq!(values.output("other"), None);
    }

    #[test]
    fn fields_are_laid_over_fields() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        lay_over(&mut value, &json!({ "a": { "b": 5 }, "d": [] }));
        assert_eq!(value, json!({ "a": { "b": 5, "c": 2 }, "d": [] }));
    }
}

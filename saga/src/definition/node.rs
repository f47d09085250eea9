//! YAML as a tree that knows where everything stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

use super::limits::{DEFINITION_BYTES_MAX, YAML_DEPTH_MAX, YAML_NODES_MAX};
use super::place::Span;

/// A value of a YAML text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) yaml: Yaml,
    pub(super) span: Span,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a text is no YAML.
#[derive(Debug)]
pub(super) enum YamlError {
    TooLarge(String),
    Syntax { message: String, span: Span },
    DuplicateKey { message: String, span: Span },
}

impl Node {
    /// Reads one document. `yes`, `no`, `on` and `off` are texts, as in YAML 1.2, and so are `01234`
    /// and `1_000`: they are more often keys than counts.
    pub(super) fn read(source: &str) -> Result<Self, YamlError> {
        if source.len() > DEFINITION_BYTES_MAX {
            return Err(YamlError::TooLarge(format!(
                "the definition has {} bytes, and at most {DEFINITION_BYTES_MAX} are allowed",
                source.len()
            )));
        }
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_depth: YAML_DEPTH_MAX,
                max_nodes: YAML_NODES_MAX,
                max_aliases: 1_000,
                max_anchors: 1_000,
                max_documents: 1,
            },
        };
        serde_saphyr::from_str_with_options::<Self>(source, options).map_err(|error| {
            let span = error.location().map(span_of).unwrap_or_default();
            let error = error.without_snippet();
            let message = plain(&error.to_string());
            if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
                let message = match key {
                    Some(key) => format!("`{key}` is written twice"),
                    None => "a key is written twice".to_owned(),
                };
                YamlError::DuplicateKey { message, span }
            } else if matches!(error, serde_saphyr::Error::Budget { .. }) {
                YamlError::TooLarge(format!(
                    "more than one document, {YAML_DEPTH_MAX} levels or {YAML_NODES_MAX} values ({message})"
                ))
            } else {
                YamlError::Syntax { message, span }
            }
        })
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.yaml {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Number(_) => "a number",
            Yaml::Text(_) => "a text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Text(text) => Some(text),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As JSON, if it is neither a list nor a map.
    pub(super) fn scalar(&self) -> Option<Value> {
        match &self.yaml {
            Yaml::Null => Some(Value::Null),
            Yaml::Bool(truth) => Some(Value::Bool(*truth)),
            Yaml::Number(number) => Some(Value::Number(number.clone())),
            Yaml::Text(text) => Some(Value::String(text.clone())),
            Yaml::List(_) | Yaml::Map(_) => None,
        }
    }
}

/// The message without the position, which is told otherwise.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = match line.rfind(" at line ") {
        Some(end) => &line[..end],
        None => line,
    };
    let line = match line.strip_prefix("error: line ") {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, message)| message),
        None => line,
    };
    line.trim().trim_end_matches(['.', ':']).to_owned()
}

fn span_of(location: Location) -> Span {
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Span {
        line: small(location.line()),
        column: small(location.column()),
        len: small(location.span().len()),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self {
            yaml: spanned.value,
            span: span_of(spanned.referenced),
        })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Yaml, E> {
        Number::from_f64(number)
            .map(Yaml::Number)
            .ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Node>()? {
            if matches!(key.yaml, Yaml::List(_) | Yaml::Map(_)) {
                return Err(A::Error::custom("a key must be a text"));
            }
            map.push((key, entries.next_value()?));
        }
        Ok(Yaml::Map(map))
    }
}

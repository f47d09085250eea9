//! YAML as a tree that knows where everything stands, and what is wrong with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// Bytes of a test file.
const BYTES_MAX: usize = 4 << 20;
/// Documents of a test file.
const DOCUMENTS_MAX: usize = 1_000;

/// A value of a YAML text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) yaml: Yaml,
    pub(super) place: Place,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub(super) enum Yaml {
    /// Neither a list nor a map.
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Where something stands. Both count from 1; 0 if unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// In characters.
    pub column: usize,
    /// How many characters.
    pub len: usize,
}

/// Something that is wrong with a test file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where.
    pub place: Place,
    /// What, in a sentence without its full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Wrong {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same for people, with the line it is about.
    pub fn told(&self, file: &str, source: &str) -> String {
        let Place { line, column, len } = self.place;
        let mut text = format!("error: {}", self.message);
        if line > 0 {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            let snippet = source.lines().nth(line - 1).unwrap_or_default();
            let snippet = snippet.replace('\t', " ");
            let rest = (snippet.chars().count() + 1).saturating_sub(column);
            let carets = "^".repeat(len.min(rest).max(1));
            let before = " ".repeat(column.saturating_sub(1));
            text += &format!("\n{gutter}┌─ {file}:{line}:{column}");
            text += &format!("\n{number}│ {snippet}\n{gutter}│ {before}{carets}");
            if let Some(help) = &self.help {
                text += &format!("\n{gutter}= {help}");
            }
        } else if let Some(help) = &self.help {
            text += &format!("\n= {help}");
        }
        text
    }
}

impl Node {
    /// Reads all documents of a text. `yes`, `no`, `on` and `off` are texts, as in definitions.
    pub(super) fn read_all(source: &str) -> Result<Vec<Self>, Wrong> {
        if source.len() > BYTES_MAX {
            let message = format!("the file has more than {BYTES_MAX} bytes");
            return Err(Wrong::new(Place::default(), message));
        }
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_depth: 64,
                max_documents: DOCUMENTS_MAX,
            },
        };
        serde_saphyr::from_multiple_with_options::<Self>(source, options).map_err(|error| {
            let place = error.location().map(place_of).unwrap_or_default();
            let error = error.without_snippet();
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            let message = message.split(" at line ").next().unwrap_or_default();
            let wrong = Wrong::new(place, message);
            if message.contains("unknown anchor") {
                let help =
                    "an anchor holds within its document: write the tests as one list, `- test: …`";
                return wrong.with_help(help);
            }
            wrong
        })
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.yaml {
            Yaml::Scalar(Value::Null) => "nothing",
            Yaml::Scalar(Value::Bool(_)) => "a boolean",
            Yaml::Scalar(Value::Number(_)) => "a number",
            Yaml::Scalar(_) => "a text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Scalar(value) => value.as_str(),
            Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As JSON.
    pub(super) fn value(&self) -> Value {
        match &self.yaml {
            Yaml::Scalar(value) => value.clone(),
            Yaml::List(items) => items.iter().map(Self::value).collect(),
            Yaml::Map(entries) => {
                let entries = entries.iter().map(|(key, of)| (key.word(), of.value()));
                Value::Object(entries.collect::<Map<String, Value>>())
            }
        }
    }

    /// A scalar as text: the name of a field may be written as a number.
    pub(super) fn word(&self) -> String {
        match &self.yaml {
            Yaml::Scalar(Value::String(text)) => text.clone(),
            Yaml::Scalar(value) => value.to_string(),
            Yaml::List(_) | Yaml::Map(_) => String::new(),
        }
    }
}

fn place_of(location: Location) -> Place {
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Place {
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
            place: place_of(spanned.referenced),
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
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(truth.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Yaml, E> {
        Number::from_f64(number)
            .map(|number| Yaml::Scalar(number.into()))
            .ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Node, Node>()? {
            if !matches!(key.yaml, Yaml::Scalar(_)) {
                return Err(A::Error::custom("a key must be a word"));
            }
            entries.push((key, value));
        }
        Ok(Yaml::Map(entries))
    }
}

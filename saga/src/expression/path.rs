//! Looking up `event.order_id` in a JSON document without CEL.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::scope::Scope;

/// A fixed way into one of the documents of a [`Scope`], e.g. `steps.check_fraud.score`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    pub(super) root: Root,
    pub(super) segments: Vec<Segment>,
    /// From this segment on, missing is no error: `event.?coupon`.
    pub(super) optional_from: Option<usize>,
}

/// Where a [`Path`] begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// `event`
    Event,
    /// `key`
    Key,
    /// `steps.<id>`
    Step(String),
    /// `vars`
    Vars,
    /// `now`
    Now,
    /// `result`
    Result,
    /// `failure`
    Failure,
    /// `message`
    Message,
    /// A name of the definition's own: the item of an `each`, or `index`.
    Local(String),
}

/// One stretch of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// `.name` or `["name"]`
    Field(String),
    /// `[0]`; the first element is 0.
    Index(i64),
}

impl Path {
    /// Where it begins.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The way from there.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment from which on missing is no error: 0 for `event.?coupon`.
    pub fn optional_from(&self) -> Option<usize> {
        self.optional_from
    }

    /// Looks it up. `None` where an optional stretch leads nowhere.
    pub(super) fn find<'a>(&self, scope: &Scope<'a>) -> Result<Option<Cow<'a, Value>>, String> {
        let mut at = self.root.find(scope)?;
        for (n, segment) in self.segments.iter().enumerate() {
            match segment.of(at) {
                Ok(next) => at = next,
                Err(_) if self.optional_from.is_some_and(|from| n >= from) => return Ok(None),
                Err(missing) => return Err(missing.tell(segment, &self.prefix(n))),
            }
        }
        Ok(Some(at))
    }

    /// Answers `has(…)`: whether its last segment is there, given that the way to it is.
    pub(super) fn is_there(&self, scope: &Scope<'_>) -> Result<bool, String> {
        let Some((last, before)) = self.segments.split_last() else {
            return match &self.root {
                Root::Step(id) => Ok(scope.steps.output(id).is_some()),
                Root::Event
                | Root::Key
                | Root::Vars
                | Root::Now
                | Root::Result
                | Root::Failure
                | Root::Message
                | Root::Local(_) => self.root.find(scope).map(|_| true),
            };
        };
        let holder = Self {
            root: self.root.clone(),
            segments: before.to_vec(),
            optional_from: self.optional_from,
        };
        match holder.find(scope)? {
            None => Ok(false),
            Some(value) => match last.of(value) {
                Ok(_) => Ok(true),
                Err(Missing::NoField(_) | Missing::Null) => Ok(false),
                Err(missing @ (Missing::NoElement(_) | Missing::Other(_))) => {
                    Err(missing.tell(last, &holder.to_string()))
                }
            },
        }
    }

    fn prefix(&self, len: usize) -> String {
        Self {
            root: self.root.clone(),
            segments: self.segments.iter().take(len).cloned().collect(),
            optional_from: self.optional_from,
        }
        .to_string()
    }
}

impl Root {
    fn find<'a>(&self, scope: &Scope<'a>) -> Result<Cow<'a, Value>, String> {
        match self {
            Self::Event => Ok(Cow::Borrowed(scope.event)),
            Self::Key => Ok(Cow::Owned(Value::from(scope.key))),
            Self::Step(id) => Ok(scope.steps.output(id).unwrap_or(Cow::Owned(Value::Null))),
            Self::Vars => Ok(Cow::Owned(Value::Object(
                scope
                    .vars
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            ))),
            Self::Now => Ok(Cow::Owned(Value::from(scope.now_ms))),
            Self::Result => scope
                .result
                .map(Cow::Borrowed)
                .ok_or_else(|| "`result` is only there in an undo".to_owned()),
            Self::Failure => scope
                .failure
                .map(Cow::Borrowed)
                .ok_or_else(|| "`failure` is only there in `on_failure`".to_owned()),
            Self::Message => scope
                .message
                .map(Cow::Borrowed)
                .ok_or_else(|| "`message` is only there in a `wait`".to_owned()),
            Self::Local(name) => scope
                .locals
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| format!("nothing is called `{name}` here")),
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("event"),
            Self::Key => f.write_str("key"),
            Self::Step(id) => write!(f, "steps.{id}"),
            Self::Vars => f.write_str("vars"),
            Self::Now => f.write_str("now"),
            Self::Result => f.write_str("result"),
            Self::Failure => f.write_str("failure"),
            Self::Message => f.write_str("message"),
            Self::Local(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        for (n, segment) in self.segments.iter().enumerate() {
            let mark = if self.optional_from == Some(n) {
                "?"
            } else {
                ""
            };
            match segment {
                Segment::Field(name) if is_identifier(name) => write!(f, ".{mark}{name}")?,
                Segment::Field(name) => write!(f, "[{mark}{name:?}]")?,
                Segment::Index(index) => write!(f, "[{mark}{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Why a segment leads nowhere.
enum Missing {
    NoField(Vec<String>),
    NoElement(usize),
    Null,
    Other(&'static str),
}

impl Missing {
    fn tell(&self, segment: &Segment, place: &str) -> String {
        match (self, segment) {
            (Self::NoField(there), Segment::Field(name)) if there.is_empty() => {
                format!("`{place}` has no field `{name}`; it is empty")
            }
            (Self::NoField(there), Segment::Field(name)) => {
                format!("`{place}` has no field `{name}`; it has {}", listed(there))
            }
            (Self::NoField(_), Segment::Index(index)) => {
                format!("`{place}` is an object and has no element {index}")
            }
            (Self::NoElement(len), Segment::Index(index)) => {
                format!("`{place}` has no element {index}; it has {len}, counted from 0")
            }
            (Self::NoElement(_), Segment::Field(name)) => {
                format!("`{place}` is a list and has no field `{name}`")
            }
            (Self::Null, Segment::Field(name)) => {
                format!("`{place}` is null and has no field `{name}`")
            }
            (Self::Null, Segment::Index(index)) => {
                format!("`{place}` is null and has no element {index}")
            }
            (Self::Other(kind), Segment::Field(name)) => {
                format!("`{place}` is {kind} and has no field `{name}`")
            }
            (Self::Other(kind), Segment::Index(index)) => {
                format!("`{place}` is {kind} and has no element {index}")
            }
        }
    }
}

/// The names that are there, at most twelve of them.
fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Segment {
    fn of<'v>(&self, value: Cow<'v, Value>) -> Result<Cow<'v, Value>, Missing> {
        match value {
            Cow::Borrowed(value) => match (self, value) {
                (Self::Field(name), Value::Object(fields)) => fields.get(name).map(Cow::Borrowed),
                (Self::Index(index), Value::Array(items)) => usize::try_from(*index)
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(Cow::Borrowed),
                _ => None,
            }
            .ok_or_else(|| missing(value)),
            Cow::Owned(mut value) => match (self, &mut value) {
                (Self::Field(name), Value::Object(fields)) => fields.remove(name),
                (Self::Index(index), Value::Array(items)) => usize::try_from(*index)
                    .ok()
                    .filter(|index| *index < items.len())
                    .map(|index| items.swap_remove(index)),
                _ => None,
            }
            .map(Cow::Owned)
            .ok_or_else(|| missing(&value)),
        }
    }
}

fn missing(value: &Value) -> Missing {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<String> = fields.keys().cloned().collect();
            names.sort();
            Missing::NoField(names)
        }
        Value::Array(items) => Missing::NoElement(items.len()),
        Value::Null => Missing::Null,
        Value::Bool(_) => Missing::Other("a boolean"),
        Value::Number(_) => Missing::Other("a number"),
        Value::String(_) => Missing::Other("a string"),
    }
}

//! Whether a document fits.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::kind::{Field, Kind, TypeId};
use super::limits::DOCUMENT_DEPTH_MAX;
use super::schema::Schema;
use super::text::{base64_len, is_decimal, is_uuid};

/// Why a document does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(.at))]
pub struct Misfit {
    /// Where in the document, e.g. `.lines[0].sku`; empty at its top.
    pub at: String,
    /// What is wrong there: the rest of a sentence that begins with the place.
    pub reason: String,
}

fn place(at: &str) -> String {
    if at.is_empty() {
        String::new()
    } else {
        format!("`{at}` ")
    }
}

impl Schema {
    /// Returns the first reason why a document does not fit, or `None` if it does.
    ///
    /// The document is plain JSON: a union is its value, bytes and fixed are base64, a decimal is
    /// its text, dates and timestamps are numbers, a number that JSON lacks is `NaN`, `Infinity` or
    /// `-Infinity`. A field with a default may be left out, and fields that the schema does not have
    /// are let pass: they are a newer producer's.
    ///
    /// The time it takes grows with the size of the document times that of the schema, at most.
    pub fn misfit(&self, value: &Value) -> Option<Misfit> {
        self.misfit_of(value, self.root())
    }

    /// The same for a part of a document.
    pub(crate) fn misfit_of(&self, value: &Value, id: TypeId) -> Option<Misfit> {
        let fitter = Fitter {
            kind: &|id| self.kind(id),
            defaults: false,
            known: RefCell::default(),
        };
        fitter.misfit(value, id)
    }
}

/// Why the default of a field is not of its type; bytes are any text there.
pub(super) fn default_misfit(kinds: &[Kind], id: TypeId, value: &Value) -> Option<Misfit> {
    let fitter = Fitter {
        kind: &|id| &kinds[id.0],
        defaults: true,
        known: RefCell::default(),
    };
    fitter.misfit(value, id)
}

struct Fitter<'s> {
    kind: &'s dyn Fn(TypeId) -> &'s Kind,
    defaults: bool,
    /// What was found out below a union with several records: without it, records inside each other
    /// would be tried twice at each level. By the address of the value.
    known: RefCell<BTreeMap<(usize, TypeId), bool>>,
}

impl Fitter<'_> {
    fn misfit(&self, value: &Value, id: TypeId) -> Option<Misfit> {
        if self.fits(value, id, 0, false) {
            return None;
        }
        let mut at = String::new();
        let reason = self.explain(value, id, &mut at, 0);
        Some(Misfit { at, reason })
    }

    fn fits(&self, value: &Value, id: TypeId, depth: usize, remember: bool) -> bool {
        if depth > DOCUMENT_DEPTH_MAX {
            return false;
        }
        let entry = (std::ptr::from_ref(value).addr(), id);
        if remember && let Some(known) = self.known.borrow().get(&entry) {
            return *known;
        }
        let fits = match ((self.kind)(id), value) {
            (Kind::Union(branches), value) => {
                let mut likely = branches
                    .iter()
                    .filter(|branch| self.is_likely(value, **branch));
                let many = likely.clone().nth(1).is_some();
                likely.any(|branch| self.fits(value, *branch, depth, remember || many))
            }
            (Kind::Array(of), Value::Array(items)) => items
                .iter()
                .all(|item| self.fits(item, *of, depth + 1, remember)),
            (Kind::Map(of), Value::Object(entries)) => entries
                .values()
                .all(|entry| self.fits(entry, *of, depth + 1, remember)),
            (Kind::Record { fields, .. }, Value::Object(entries)) => {
                fields.iter().all(|field| match entries.get(&field.name) {
                    Some(entry) => self.fits(entry, field.of, depth + 1, remember),
                    None => field.default.is_some(),
                })
            }
            (kind, value) => self.scalar(kind, value).is_none(),
        };
        if remember {
            self.known.borrow_mut().insert(entry, fits);
        }
        fits
    }

    /// Whether a value is of the right sort, its parts apart.
    fn is_likely(&self, value: &Value, id: TypeId) -> bool {
        match ((self.kind)(id), value) {
            (Kind::Union(_), _)
            | (Kind::Array(_), Value::Array(_))
            | (Kind::Map(_) | Kind::Record { .. }, Value::Object(_)) => true,
            (kind, value) => self.scalar(kind, value).is_none(),
        }
    }

    /// Why a value that does not fit does not; `at` becomes its place.
    fn explain(&self, value: &Value, id: TypeId, at: &mut String, depth: usize) -> String {
        if depth > DOCUMENT_DEPTH_MAX {
            return format!("is more than {DOCUMENT_DEPTH_MAX} levels deep");
        }
        match ((self.kind)(id), value) {
            (Kind::Union(branches), value) => self.explain_union(value, branches, at, depth),
            (Kind::Array(of), Value::Array(items)) => {
                for (n, item) in items.iter().enumerate() {
                    if !self.fits(item, *of, depth + 1, true) {
                        at.push_str(&format!("[{n}]"));
                        return self.explain(item, *of, at, depth + 1);
                    }
                }
                "does not fit".to_owned()
            }
            (Kind::Map(of), Value::Object(entries)) => {
                for (name, entry) in entries {
                    if !self.fits(entry, *of, depth + 1, true) {
                        at.push_str(&format!(".{name}"));
                        return self.explain(entry, *of, at, depth + 1);
                    }
                }
                "does not fit".to_owned()
            }
            (Kind::Record { name, fields, .. }, Value::Object(entries)) => {
                for field in fields {
                    let entry = entries.get(&field.name);
                    let wrong = match entry {
                        Some(entry) => !self.fits(entry, field.of, depth + 1, true),
                        None => field.default.is_none(),
                    };
                    if wrong {
                        at.push_str(&format!(".{}", field.name));
                        return match entry {
                            Some(entry) => self.explain(entry, field.of, at, depth + 1),
                            None => self.explain_missing(name, field),
                        };
                    }
                }
                "does not fit".to_owned()
            }
            (kind, value) => self
                .scalar(kind, value)
                .unwrap_or_else(|| "does not fit".to_owned()),
        }
    }

    fn explain_missing(&self, record: &str, field: &Field) -> String {
        let of = (self.kind)(field.of);
        format!(
            "is missing: `{record}` has it, {}, without a default",
            self.tell(of)
        )
    }

    fn explain_union(
        &self,
        value: &Value,
        branches: &[TypeId],
        at: &mut String,
        depth: usize,
    ) -> String {
        // The one that is most like the value says most.
        let near = branches
            .iter()
            .filter(|branch| self.is_likely(value, **branch))
            .max_by_key(|branch| match ((self.kind)(**branch), value) {
                (Kind::Record { fields, .. }, Value::Object(entries)) => fields
                    .iter()
                    .filter(|field| entries.contains_key(&field.name))
                    .count(),
                _ => 0,
            });
        match near {
            Some(branch) => self.explain(value, *branch, at, depth),
            None => format!("is {}, and must be {}", sort(value), self.one_of(branches)),
        }
    }

    fn one_of(&self, branches: &[TypeId]) -> String {
        let mut told: Vec<String> = branches
            .iter()
            .map(|branch| (self.kind)(*branch).tell())
            .collect();
        match (told.pop(), told.is_empty()) {
            (Some(last), false) => format!("{} or {last}", told.join(", ")),
            (Some(last), true) => last,
            (None, _) => "nothing".to_owned(),
        }
    }

    fn tell(&self, kind: &Kind) -> String {
        match kind {
            Kind::Union(branches) => self.one_of(branches),
            Kind::Null
            | Kind::Boolean
            | Kind::Int
            | Kind::Long
            | Kind::Float
            | Kind::Double
            | Kind::String
            | Kind::Uuid
            | Kind::Bytes
            | Kind::Fixed { .. }
            | Kind::Decimal { .. }
            | Kind::Duration
            | Kind::Enum { .. }
            | Kind::Array(_)
            | Kind::Map(_)
            | Kind::Record { .. } => kind.tell(),
        }
    }

    /// Why a value is not of a type without parts.
    fn scalar(&self, kind: &Kind, value: &Value) -> Option<String> {
        let fits = match (kind, value) {
            (Kind::Null, Value::Null) | (Kind::Boolean, Value::Bool(_)) => true,
            (Kind::Int, Value::Number(number)) => number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            (Kind::Long, Value::Number(number)) => number.is_i64(),
            (Kind::Float | Kind::Double, Value::Number(_)) | (Kind::String, Value::String(_)) => {
                true
            }
            (Kind::Float | Kind::Double, Value::String(text)) => {
                ["NaN", "Infinity", "-Infinity"].contains(&text.as_str())
            }
            (Kind::Bytes | Kind::Fixed { .. } | Kind::Decimal { .. }, Value::String(_))
                if self.defaults =>
            {
                true
            }
            (Kind::Duration, Value::String(_)) => self.defaults,
            (Kind::Uuid, Value::String(text)) => is_uuid(text) || self.defaults,
            (Kind::Bytes, Value::String(text)) => base64_len(text).is_some(),
            (Kind::Fixed { size, .. }, Value::String(text)) => base64_len(text) == Some(*size),
            (Kind::Decimal { precision, scale }, Value::String(text)) => {
                is_decimal(text, *precision, *scale)
            }
            (Kind::Duration, Value::Object(parts)) => {
                ["months", "days", "millis"].iter().all(|part| {
                    parts
                        .get(*part)
                        .and_then(Value::as_u64)
                        .is_some_and(|part| u32::try_from(part).is_ok())
                })
            }
            (Kind::Enum { name, symbols, .. }, Value::String(text)) => {
                if symbols.contains(text) {
                    true
                } else {
                    let known = listed(symbols);
                    return Some(format!("is `{}`, and `{name}` has {known}", short(text)));
                }
            }
            _ => false,
        };
        if fits {
            return None;
        }
        let found = match value {
            Value::Number(number) => format!("{number}"),
            Value::String(text) if !matches!(kind, Kind::Null | Kind::Boolean) => {
                format!("the text `{}`", short(text))
            }
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => sort(value).to_owned(),
        };
        Some(format!("is {found}, and must be {}", kind.tell()))
    }
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first characters of a text: a reason goes into a journal.
fn short(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > SHOWN_MAX {
        shown.push(format!("and {} more", names.len() - SHOWN_MAX));
    }
    shown.join(", ")
}

//! Whether what was written with one schema can be read with another.

use std::collections::BTreeSet;
use std::fmt;

use super::kind::{Field, Kind, TypeId};
use super::limits::DIFFERENCES_MAX;
use super::schema::Schema;

/// One reason why two versions of a schema do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatible {
    /// Where in a document, e.g. `.lines[].sku`; empty at its top.
    pub at: String,
    /// What is wrong there: the rest of a sentence that begins with the place.
    pub reason: String,
    /// For which readers.
    pub change: Change,
}

/// Who cannot read what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The newer schema cannot read what was written with the older one.
    Backward,
    /// The older schema cannot read what is written with the newer one.
    Forward,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            write!(f, "the document {}", self.reason)
        } else {
            write!(f, "`{}` {}", self.at, self.reason)
        }
    }
}

impl Schema {
    /// Returns why documents of an older schema and of this one cannot be exchanged; empty where each
    /// can be read with the other, which Avro calls full compatibility.
    ///
    /// The rules are Avro's for a reader and a writer, with one difference: bytes and texts do not
    /// stand for each other, because documents are JSON, where bytes are base64.
    pub fn compatible_with(&self, older: &Self) -> Vec<Incompatible> {
        let mut found = Vec::new();
        for (reader, writer, change) in [
            (self, older, Change::Backward),
            (older, self, Change::Forward),
        ] {
            let mut resolver = Resolver {
                reader,
                writer,
                change,
                assumed: BTreeSet::new(),
                found: Vec::new(),
            };
            resolver.resolve(reader.root(), writer.root(), "");
            found.append(&mut resolver.found);
        }
        found.truncate(DIFFERENCES_MAX);
        found
    }
}

struct Resolver<'s> {
    reader: &'s Schema,
    writer: &'s Schema,
    change: Change,
    /// Pairs that are looked at, or were: a type may be part of itself.
    assumed: BTreeSet<(TypeId, TypeId)>,
    found: Vec<Incompatible>,
}

impl Resolver<'_> {
    fn report(&mut self, at: &str, reason: String) {
        if self.found.len() < DIFFERENCES_MAX {
            self.found.push(Incompatible {
                at: at.to_owned(),
                reason,
                change: self.change,
            });
        }
    }

    fn resolve(&mut self, reads: TypeId, writes: TypeId, at: &str) {
        if !self.assumed.insert((reads, writes)) {
            return;
        }
        let (reader, writer) = (self.reader, self.writer);
        match (reader.kind(reads), writer.kind(writes)) {
            (_, Kind::Union(branches)) => {
                for branch in branches {
                    self.branch(reads, *branch, at);
                }
            }
            (Kind::Union(_), _) => self.branch(reads, writes, at),
            (Kind::Array(reads), Kind::Array(writes)) => {
                self.resolve(*reads, *writes, &format!("{at}[]"));
            }
            (Kind::Map(reads), Kind::Map(writes)) => {
                self.resolve(*reads, *writes, &format!("{at}.*"));
            }
            (
                Kind::Record { fields, .. },
                Kind::Record {
                    fields: written, ..
                },
            ) if self.is_near(reads, writes) => {
                for field in fields {
                    self.field(field, written, at);
                }
            }
            (
                Kind::Enum {
                    symbols, default, ..
                },
                Kind::Enum {
                    symbols: written, ..
                },
            ) if self.is_near(reads, writes) => {
                let unknown: Vec<String> = written
                    .iter()
                    .filter(|symbol| !symbols.contains(symbol))
                    .map(|symbol| format!("`{symbol}`"))
                    .collect();
                if default.is_none() && !unknown.is_empty() {
                    let unknown = unknown.join(", ");
                    let reason = match self.change {
                        Change::Backward => {
                            format!("may be {unknown}, which the enum no longer has")
                        }
                        Change::Forward => format!(
                            "may be {unknown}, which the older enum does not have, nor a default for what it does not know"
                        ),
                    };
                    self.report(at, reason);
                }
            }
            (reads_as, written_as) => {
                if !self.is_near(reads, writes) {
                    let reason = format!(
                        "is written as {} and read as {}",
                        written_as.tell(),
                        reads_as.tell()
                    );
                    self.report(at, reason);
                }
            }
        }
    }

    fn field(&mut self, field: &Field, written: &[Field], at: &str) {
        let at = format!("{at}.{}", field.name);
        let of = written
            .iter()
            .find(|known| known.name == field.name)
            .or_else(|| {
                written
                    .iter()
                    .find(|known| field.aliases.contains(&known.name))
            });
        match of {
            Some(known) => self.resolve(field.of, known.of, &at),
            None if field.default.is_some() => {}
            None => {
                let reason = match self.change {
                    Change::Backward => "is new and has no default: older documents do not have it",
                    Change::Forward => {
                        "is gone, and the older schema has no default for it: its readers need it"
                    }
                };
                self.report(&at, reason.to_owned());
            }
        }
    }

    /// One branch of a written union, or what is no union, against what reads it.
    fn branch(&mut self, reads: TypeId, writes: TypeId, at: &str) {
        let Kind::Union(branches) = self.reader.kind(reads) else {
            return self.resolve(reads, writes, at);
        };
        let near: Vec<TypeId> = branches
            .iter()
            .copied()
            .filter(|branch| self.is_near(*branch, writes))
            .collect();
        let Some(first) = near.first() else {
            let written = self.writer.kind(writes).tell();
            let reason = format!("may be {written}, which is none of the types that are read");
            return self.report(at, reason);
        };
        // One that goes all the way, or else what is wrong with the first.
        for branch in &near {
            let mut attempt = Resolver {
                reader: self.reader,
                writer: self.writer,
                change: self.change,
                assumed: self.assumed.clone(),
                found: Vec::new(),
            };
            attempt.resolve(*branch, writes, at);
            if attempt.found.is_empty() {
                self.assumed = attempt.assumed;
                return;
            }
        }
        self.resolve(*first, writes, at);
    }

    /// Whether two types go together, their parts apart.
    fn is_near(&self, reads: TypeId, writes: TypeId) -> bool {
        match (self.reader.kind(reads), self.writer.kind(writes)) {
            (Kind::Null, Kind::Null)
            | (Kind::Boolean, Kind::Boolean)
            | (Kind::Int, Kind::Int)
            | (Kind::Long, Kind::Int | Kind::Long)
            | (Kind::Float, Kind::Int | Kind::Long | Kind::Float)
            | (Kind::Double, Kind::Int | Kind::Long | Kind::Float | Kind::Double)
            | (Kind::String, Kind::String | Kind::Uuid)
            | (Kind::Uuid, Kind::Uuid)
            | (Kind::Bytes, Kind::Bytes)
            | (Kind::Duration, Kind::Duration)
            | (Kind::Array(_), Kind::Array(_))
            | (Kind::Map(_), Kind::Map(_)) => true,
            (
                Kind::Fixed { name, size },
                Kind::Fixed {
                    name: other,
                    size: written,
                },
            ) => size == written && last(name) == last(other),
            (
                Kind::Decimal { precision, scale },
                Kind::Decimal {
                    precision: other,
                    scale: written,
                },
            ) => precision == other && scale == written,
            (Kind::Enum { name, .. }, Kind::Enum { name: other, .. }) => last(name) == last(other),
            (Kind::Record { name, aliases, .. }, Kind::Record { name: other, .. }) => {
                last(name) == last(other) || aliases.contains(other)
            }
            _ => false,
        }
    }
}

/// A name without its namespace, by which Avro compares.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

//! Types, and what is known of their fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::contract::{Field, Kind, Schema, TypeId};

/// Alternatives of one type; with more it counts as unknown.
const ALTERNATIVES_MAX: usize = 12;

/// What is known of a value before there is one.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Nothing is known: anything may be done with it.
    Any,
    /// Null.
    Null,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is not negative, `5u`.
    Uint,
    /// A number with a fraction.
    Double,
    /// A text.
    Text,
    /// A text that is one of these.
    Symbol(Arc<Vec<String>>),
    /// Bytes.
    Bytes,
    /// A list of such elements.
    List(Box<Type>),
    /// An object whose names are not known, with such values.
    Map(Box<Type>),
    /// An object with these fields.
    Object(Arc<BTreeMap<String, Type>>),
    /// A record of a schema.
    Record(Record),
    /// A value or nothing, as `event.?x` gives it.
    Optional(Box<Type>),
    /// A type, as `type(x)` gives it.
    TypeName,
    /// One of these, none of which is one of several itself. None of none is the type of the
    /// elements of an empty list.
    OneOf(Vec<Type>),
}

/// A record of a schema. Its fields are looked up when they are asked for: a record may be part of
/// itself.
#[derive(Clone)]
pub struct Record {
    schema: Arc<Schema>,
    id: TypeId,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && (Arc::ptr_eq(&self.schema, &other.schema) || self.schema == other.schema)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.name()).finish()
    }
}

impl Record {
    /// The name, without its namespace.
    pub fn name(&self) -> &str {
        if let Kind::Record { name, .. } = self.schema.kind(self.id) {
            name.rsplit('.').next().unwrap_or(name)
        } else {
            "record"
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<Type> {
        self.fields()
            .iter()
            .find(|field| field.name == name)
            .map(|field| Type::of_kind(&self.schema, field.of))
    }

    /// Whether each document has the field.
    pub(super) fn requires(&self, name: &str) -> bool {
        let mut fields = self.fields().iter();
        fields.any(|field| field.name == name && field.default.is_none())
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.fields()
            .iter()
            .map(|field| field.name.as_str())
            .collect()
    }

    fn fields(&self) -> &[Field] {
        if let Kind::Record { fields, .. } = self.schema.kind(self.id) {
            fields
        } else {
            &[]
        }
    }
}

impl Type {
    /// The type of the documents of a schema.
    pub fn of_schema(schema: &Arc<Schema>) -> Self {
        Self::of_kind(schema, schema.root())
    }

    fn of_kind(schema: &Arc<Schema>, id: TypeId) -> Self {
        match schema.kind(id) {
            Kind::Null => Self::Null,
            Kind::Boolean => Self::Bool,
            Kind::Int | Kind::Long => Self::Int,
            Kind::Float | Kind::Double => Self::Double,
            Kind::String | Kind::Uuid | Kind::Bytes | Kind::Fixed { .. } | Kind::Decimal { .. } => {
                Self::Text
            }
            Kind::Enum { symbols, .. } => Self::Symbol(Arc::new(symbols.clone())),
            Kind::Duration => Self::Object(Arc::new(
                ["months", "days", "millis"]
                    .map(|part| (part.to_owned(), Self::Int))
                    .into(),
            )),
            Kind::Array(of) => Self::List(Box::new(Self::of_kind(schema, *of))),
            Kind::Map(of) => Self::Map(Box::new(Self::of_kind(schema, *of))),
            Kind::Record { .. } => Self::Record(Record {
                schema: Arc::clone(schema),
                id,
            }),
            Kind::Union(branches) => {
                Self::one_of(branches.iter().map(|branch| Self::of_kind(schema, *branch)))
            }
        }
    }

    /// The type of a value that is at hand.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(number) if number.is_u64() => Self::Uint,
            Value::Number(_) => Self::Double,
            Value::String(_) => Self::Text,
            Value::Array(items) => {
                Self::List(Box::new(Self::one_of(items.iter().map(Self::of_value))))
            }
            Value::Object(fields) => Self::Object(Arc::new(
                fields
                    .iter()
                    .map(|(name, field)| (name.clone(), Self::of_value(field)))
                    .collect(),
            )),
        }
    }

    /// One of several types.
    pub fn one_of(types: impl IntoIterator<Item = Self>) -> Self {
        let mut distinct: Vec<Self> = Vec::new();
        for of in types {
            match of {
                Self::Any => return Self::Any,
                Self::OneOf(inner) => {
                    for of in inner {
                        add(&mut distinct, of);
                    }
                }
                of => add(&mut distinct, of),
            }
        }
        if distinct.len() > ALTERNATIVES_MAX {
            return Self::Any;
        }
        match (distinct.pop(), distinct.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                distinct.push(last);
                Self::OneOf(distinct)
            }
            (None, _) => Self::OneOf(Vec::new()),
        }
    }

    /// This or null.
    #[must_use]
    pub fn or_null(self) -> Self {
        Self::one_of([self, Self::Null])
    }

    /// The types of which it is one.
    pub fn alternatives(&self) -> &[Self] {
        match self {
            Self::OneOf(types) => types,
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Text
            | Self::Symbol(_)
            | Self::Bytes
            | Self::List(_)
            | Self::Map(_)
            | Self::Object(_)
            | Self::Record(_)
            | Self::Optional(_)
            | Self::TypeName => std::slice::from_ref(self),
        }
    }

    /// Whether nothing is known of it.
    pub fn is_any(&self) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(types) => types.is_empty(),
            Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Text
            | Self::Symbol(_)
            | Self::Bytes
            | Self::List(_)
            | Self::Map(_)
            | Self::Object(_)
            | Self::Record(_)
            | Self::Optional(_)
            | Self::TypeName => false,
        }
    }

    /// Whether it may be null, and may be something else.
    pub fn may_be_null(&self) -> bool {
        let types = self.alternatives();
        types.len() > 1 && types.contains(&Self::Null)
    }

    /// The same, null left out where it is not all there is.
    #[must_use]
    pub fn not_null(self) -> Self {
        match self {
            Self::OneOf(types) => Self::one_of(types.into_iter().filter(|of| *of != Self::Null)),
            other => other,
        }
    }

    /// What an expression of this type gives in the end: nothing becomes null there.
    #[must_use]
    pub fn as_result(self) -> Self {
        match self {
            Self::Optional(of) => of.or_null(),
            Self::OneOf(types) => Self::one_of(types.into_iter().map(Self::as_result)),
            Self::Bytes | Self::TypeName => Self::Text,
            other => other,
        }
    }
}

fn add(distinct: &mut Vec<Type>, of: Type) {
    // A list of these or a list of those is told as a list of either.
    if let Type::List(item) = &of
        && let Some(Type::List(known)) = distinct.iter_mut().find(|of| matches!(of, Type::List(_)))
    {
        let both = [(**known).clone(), (**item).clone()];
        **known = Type::one_of(both);
    } else if !distinct.contains(&of) {
        distinct.push(of);
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("a boolean"),
            Self::Int => f.write_str("an int"),
            Self::Uint => f.write_str("a uint"),
            Self::Double => f.write_str("a double"),
            Self::Text | Self::Symbol(_) => f.write_str("a string"),
            Self::Bytes => f.write_str("bytes"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
            Self::Object(_) => f.write_str("an object"),
            Self::Record(record) => write!(f, "a record `{}`", record.name()),
            Self::Optional(_) => f.write_str("an optional value"),
            Self::TypeName => f.write_str("a type"),
            Self::OneOf(types) => {
                for (n, of) in types.iter().enumerate() {
                    let joint = match n {
                        0 => "",
                        n if n + 1 == types.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{joint}{of}")?;
                }
                Ok(())
            }
        }
    }
}

//! What a schema's types are.

use serde_json::Value;

/// The position of a type in its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeId(pub(super) usize);

/// A type, as documents show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    /// 32 bits, signed. Dates and times of a day in milliseconds as well.
    Int,
    /// 64 bits, signed. Timestamps as well.
    Long,
    Float,
    Double,
    String,
    /// A text in the form of a UUID, whatever it is written as.
    Uuid,
    /// Base64.
    Bytes,
    /// Base64 of so many bytes.
    Fixed {
        name: String,
        size: u64,
    },
    /// A decimal number as text, so that no digit is lost.
    Decimal {
        precision: u64,
        scale: u64,
    },
    /// `{ months, days, millis }`.
    Duration,
    /// One of these texts.
    Enum {
        name: String,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Array(TypeId),
    Map(TypeId),
    Record {
        name: String,
        aliases: Vec<String>,
        fields: Vec<Field>,
    },
    /// The value of one of these; none of them is a union.
    Union(Vec<TypeId>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) doc: Option<String>,
    pub(crate) of: TypeId,
    /// What it is where it is left out. As Avro writes defaults: bytes are not base64.
    pub(crate) default: Option<Value>,
}

impl Kind {
    /// What it is, for a message.
    pub(crate) fn tell(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "a boolean".to_owned(),
            Self::Int => "a whole number of 32 bits".to_owned(),
            Self::Long => "a whole number of 64 bits".to_owned(),
            Self::Float | Self::Double => "a number".to_owned(),
            Self::String => "a text".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
            Self::Bytes => "bytes in base64".to_owned(),
            Self::Fixed { size, .. } => format!("{size} bytes in base64"),
            Self::Decimal { precision, scale } => format!(
                "a decimal number as text, with at most {precision} digits and {scale} after the point"
            ),
            Self::Duration => "a duration of months, days and millis".to_owned(),
            Self::Enum { name, .. } => format!("a symbol of `{name}`"),
            Self::Array(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Record { name, .. } => format!("a record `{name}`"),
            Self::Union(_) => "one of several types".to_owned(),
        }
    }
}

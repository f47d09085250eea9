//! A JSON document that stays text unless an expression reads it.

use std::sync::{Arc, OnceLock};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// One well-formed JSON document, kept as text and parsed at most once; cheap to clone.
#[derive(Debug, Clone)]
pub struct Payload(Arc<Document>);

#[derive(Debug)]
struct Document {
    text: Box<RawValue>,
    value: OnceLock<Value>,
}

impl Payload {
    /// Takes bytes that should be one JSON document.
    ///
    /// # Errors
    ///
    /// What `serde_json` says if they are none. Nesting is limited to 128 levels.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // A raw value is looked at by its brackets and quotes only: alone, it would let pass what
        // cannot be read later.
        serde_json::from_slice::<Readable>(bytes)?;
        serde_json::from_slice::<Box<RawValue>>(bytes).map(Self::from_raw)
    }

    /// Writes a value down.
    pub fn from_value(value: &Value) -> Self {
        Self::from_raw(to_raw_value(value).expect("a value writes itself as JSON"))
    }

    /// Whether it is JSON's `null`.
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// JSON's `null`.
    pub fn null() -> Self {
        Self::from_value(&Value::Null)
    }

    fn from_raw(text: Box<RawValue>) -> Self {
        Self(Arc::new(Document {
            text,
            value: OnceLock::new(),
        }))
    }

    /// The document as text.
    pub fn as_str(&self) -> &str {
        self.0.text.get()
    }

    /// The document as a value. Parsed on the first call; copies share the result.
    pub fn value(&self) -> &Value {
        self.0.value.get_or_init(|| {
            serde_json::from_str(self.as_str()).expect("a payload was checked when it was made")
        })
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Box<RawValue>>::deserialize(deserializer).map(Self::from_raw)
    }
}

/// Any document that can be read as a value: no number out of range, no half of a surrogate pair,
/// no nesting beyond the limit. Nothing of it is kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

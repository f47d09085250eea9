//! A JSON document that stays text unless an expression reads it.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

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
        serde_json::from_slice::<Box<RawValue>>(bytes).map(Self::from_raw)
    }

    /// Writes a value down.
    pub fn from_value(value: &Value) -> Self {
        Self::from_raw(
            RawValue::from_string(value.to_string()).expect("a value writes itself as JSON"),
        )
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

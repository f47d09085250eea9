//! An Avro schema as a type, and whether a JSON document fits it.

use serde_json::Value;

/// An Avro schema, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    source: Value,
}

/// Why a text is no Avro schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SchemaError {
    /// What is wrong, in a sentence without its full stop.
    pub reason: String,
}

/// Why a document does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(.at))]
pub struct Misfit {
    /// Where in the document, e.g. `.lines[0].sku`; empty at its top.
    pub at: String,
    /// What is wrong there.
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
    /// Reads an Avro schema.
    ///
    /// # Errors
    ///
    /// If the text is no JSON, or no Avro schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let source = serde_json::from_str(text).map_err(|error| SchemaError {
            reason: format!("not JSON: {error}"),
        })?;
        Ok(Self { source })
    }

    /// The schema as JSON.
    pub fn source(&self) -> &Value {
        &self.source
    }
}

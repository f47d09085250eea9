//! A schema, and why a text is none.

use serde_json::Value;

use super::kind::{Kind, TypeId};
use super::parse::parse;

/// An Avro schema, read.
///
/// Its types lie in a list and refer to each other by position: a type may be part of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    source: Value,
    kinds: Vec<Kind>,
    root: TypeId,
}

/// Why a text is no Avro schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(.at))]
pub struct SchemaError {
    /// Where in the schema, e.g. `.fields[2].type`; empty at its top, and where the text is no JSON.
    pub at: String,
    /// What is wrong there, in a sentence without its full stop.
    pub reason: String,
}

fn place(at: &str) -> String {
    if at.is_empty() {
        String::new()
    } else {
        format!("at `{at}`: ")
    }
}

impl Schema {
    /// Reads an Avro schema.
    ///
    /// What a logical type asks for is checked where documents show it; an unknown one counts as the
    /// type below it, as Avro has it.
    ///
    /// # Errors
    ///
    /// If the text is no JSON, is no Avro schema, or exceeds one of [`limits`](super::limits).
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let (source, kinds, root) = parse(text)?;
        Ok(Self {
            source,
            kinds,
            root,
        })
    }

    /// The schema as JSON.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// The type of a whole document.
    pub(crate) fn root(&self) -> TypeId {
        self.root
    }

    pub(crate) fn kind(&self, id: TypeId) -> &Kind {
        self.kinds
            .get(id.0)
            .expect("a type refers to types of its own schema")
    }
}

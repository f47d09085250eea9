//! What is agreed about payloads: schemas, as far as documents are held against them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `schema.rs` | an Avro schema as a type, and whether a JSON document fits it |

mod schema;

pub use schema::{Misfit, Schema, SchemaError};

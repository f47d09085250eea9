//! What is agreed about payloads: schemas, as far as documents are held against them.
//!
//! Avro schemas describe the documents, and the documents are plain JSON: what an event or an answer
//! is once it was decoded. A union is its value, bytes are base64, a decimal is its text.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `schema.rs` | a schema, and why a text is none |
//! | `kind.rs` | what a schema's types are |
//! | `parse.rs` | from a text to types |
//! | `fit.rs` | whether a document fits |
//! | `text.rs` | texts with a form: base64, decimals, UUIDs |
//! | `resolve.rs` | whether what was written with one schema can be read with another |
//! | `limits.rs` | what a schema may hold at most |

mod fit;
mod kind;
mod parse;
mod resolve;
mod schema;
mod text;

pub mod limits;

pub use fit::Misfit;
pub(crate) use kind::{Field, Kind, TypeId};
pub use resolve::{Change, Incompatible};
pub use schema::{Schema, SchemaError};

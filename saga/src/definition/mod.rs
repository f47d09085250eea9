//! What a saga does: data, not code.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `model.rs` | the structure, whichever way it was written |
//! | `blocks.rs` | the sequences inside a step |
//! | [`builder`] | definitions, written in Rust |
//! | `yaml.rs` | reading and checking a text |
//! | `node.rs` | YAML as a tree that knows where everything stands |
//! | `read/` | from that tree to the structure |
//! | `keys/` | the keys of the language |
//! | `editor.rs` | the language as a JSON Schema |
//! | `files.rs` | the files that a definition names |
//! | `ids.rs` | the ids of steps for which none is written |
//! | `words.rs` | names and durations, as they are written |
//! | `check/` | what must hold before a definition is run |
//! | `hash.rs` | the name of a structure |
//! | `write/` | from the structure to canonical YAML |
//! | `stored.rs` | a definition as one text, for stores and journals |
//! | `diagnostic.rs`, `place.rs` | what is wrong, and where |
//! | `codes/` | what each code of a diagnostic means |

mod blocks;
mod check;
mod codes;
mod diagnostic;
mod editor;
mod files;
mod hash;
mod ids;
mod keys;
mod model;
mod node;
mod place;
mod read;
mod stored;
mod words;
mod write;
mod yaml;

pub mod builder;
pub mod limits;

pub use blocks::{Block, ON_FAILURE, ON_REFUSED, ON_TIMEOUT, Slot, step_at, walk};
pub use check::{Checked, Source, check_against, check_all};
pub use codes::{CODES, Code, explain};
pub use diagnostic::{Diagnostic, Severity};
pub use files::Files;
pub use model::*;

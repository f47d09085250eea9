//! From a YAML tree to the structure.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `definition.rs` | the top of a definition: what starts it, its tags, its defaults |
//! | `contracts.rs` | contracts and schemas, and the files they stand in |
//! | `step.rs` | a step: its verb, what all steps have, sequences of them |
//! | `work.rs` | the verbs that ask someone or let time pass: `do wait sleep run approve`, and `fail` |
//! | `ways.rs` | the verbs with steps inside: `parallel choose each repeat` |
//! | `settings.rs` | `timeout` and `retry`, and where they come from |
//! | `parts.rs` | maps with fixed keys, numbers, durations, expressions |
//!
//! Reading goes on after an error, so that an author sees all of them at once; what could not be
//! read is left at a harmless value, and the result is not used.

mod contracts;
mod definition;
mod parts;
mod settings;
mod step;
mod ways;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::files::Files;
use super::model::Definition;
use super::node::Node;
use super::place::Places;
use crate::contract::Schema;
use settings::Settings;

/// Reads the structure; what is found wrong is pushed to `found`.
///
/// Without `files`, schemas are left unread.
pub(super) fn read(
    root: &Node,
    files: Option<&dyn Files>,
    places: &mut Places,
    found: &mut Vec<Diagnostic>,
) -> Definition {
    Reader {
        places,
        found,
        files,
        texts: BTreeMap::new(),
        schemas: BTreeMap::new(),
        defaults: Settings::default(),
        agreed: BTreeMap::new(),
        nested: 0,
    }
    .definition(root)
}

struct Reader<'r> {
    places: &'r mut Places,
    found: &'r mut Vec<Diagnostic>,
    files: Option<&'r dyn Files>,
    /// What was read, by path.
    texts: BTreeMap<String, String>,
    /// The schemas among them; `None` for one that is none, which has been said.
    schemas: BTreeMap<String, Option<Arc<Schema>>>,
    defaults: Settings,
    /// What the contracts say in the place of the defaults, by activity.
    agreed: BTreeMap<String, Settings>,
    /// How many steps are around the sequence that is read.
    nested: usize,
}

//! What must hold before a definition is run.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `checker.rs` | what all checks share: the definition, where its parts stand, what was found |
//! | `index.rs` | every step: where it stands, and inside what |
//! | `names.rs` | names, ids, topics |
//! | `numbers.rs` | numbers and limits |
//! | `state.rs` | what has happened, or may have, before a step |
//! | `flow.rs`, `ways.rs` | the paths through the steps |
//! | `undo.rs` | pivots, and what can be undone |
//! | `wait.rs` | events that have to come |
//! | `sight.rs` | names in expressions |
//! | `types.rs` | types of expressions, and what they stand for |
//! | `payload.rs` | templates, literals, contracts |
//! | `family.rs` | definitions that run each other |
//! | `against.rs` | a definition and an older version of it |
//! | `all.rs` | checking files together |

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule is about some verbs, types or places, and none of its business are the others"
)]

mod against;
mod all;
mod checker;
mod family;
mod flow;
mod index;
mod names;
mod numbers;
mod payload;
mod sight;
mod state;
mod types;
mod undo;
mod wait;
mod ways;

pub use all::{Checked, Source, check_against, check_all};
pub(super) use checker::check;

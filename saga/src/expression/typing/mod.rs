//! What an expression gives, as far as schemas tell, and what cannot be right in it.
//!
//! Nothing here is needed to run an expression: the text is read again, with its places.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `kind.rs` | types, and what is known of their fields |
//! | `scope.rs` | the types of what an expression can see |
//! | `walk.rs` | from the syntax tree to a type |
//! | `access.rs` | fields, indexes and `has` |
//! | `operators.rs` | operators |
//! | `functions.rs` | functions |
//! | `known.rs` | what a condition says about null |
//! | `payload.rs` | whether a template fits a schema |
//! | `problem.rs` | what is wrong, and where |

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a type or a node that is not named has nothing of what is asked for"
)]

mod access;
mod functions;
mod kind;
mod known;
mod operators;
mod payload;
mod problem;
mod scope;
mod walk;

pub use kind::{Record, Type};
pub use payload::PayloadProblem;
pub use problem::{Rule, TypeProblem};
pub use scope::{NoTypes, StepTypes, TypeScope};

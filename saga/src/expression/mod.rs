//! Expressions: CEL where logic stands, and templates where data stands.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `scope.rs` | what an expression can see |
//! | `path.rs` | looking up `event.order_id` in a JSON document without CEL |
//! | `source.rs` | what is refused before the parser sees it |
//! | `compile.rs` | from text to a program that reads only the paths it names |
//! | `evaluate.rs` | running it |
//! | `value.rs` | between JSON and CEL |
//! | `read.rs` | values as keys and as times |
//! | `template.rs` | documents with expressions in them |
//! | `typing/` | what an expression gives, and what cannot be right in it |
//!
//! # What an expression can see
//!
//! | name | what it is |
//! | --- | --- |
//! | `event` | what started the saga |
//! | `key` | the business key, a string |
//! | `steps.<id>` | the output of a step; null if it has none (not reached, skipped, ignored) |
//! | `vars.<name>` | what was set |
//! | `now` | the time of the message at hand, an int: milliseconds since the Unix epoch |
//! | `result` | in `undo`: the output of the step that is undone, or null |
//! | `failure` | in `on_failure`: what went wrong |
//!
//! # Where it differs from CEL as others have it
//!
//! - JSON integers are CEL's `int` (or `uint` above 2⁶³ - 1), other numbers `double`. As CEL has
//!   it, they compare with each other but do not add: write `double(event.n) * 1.5`.
//! - A field that is not there is an error, and so is a field of null. `has(event.x)` asks first
//!   (false for a field of null), `event.?x` is null, or [`orValue`], where it is missing.
//! - There are no timestamps and durations: `now` is a number.
//! - A comprehension over a map goes through its keys in order, so that a journal folds to the
//!   same state on every machine.
//!
//! [`orValue`]: https://github.com/google/cel-spec/wiki/proposal-246

mod compile;
mod error;
mod evaluate;
mod path;
mod read;
mod scope;
mod source;
mod template;
mod typing;
mod value;

pub mod limits;

pub use compile::Expression;
pub use error::{EvaluationError, ExpressionError};
pub use path::{Path, Root, Segment};
pub use read::{key_text, time_ms};
pub use scope::{NoSteps, Scope, Steps};
pub use template::Template;
pub use typing::{NoTypes, PayloadProblem, Record, Rule, StepTypes, Type, TypeProblem, TypeScope};

//! One run of a definition.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `message.rs` | what reaches a saga |
//! | `ledger.rs` | a line per occurrence that asked someone for something |
//! | `part.rs` | the tree of running parts, in the shape of the definition |
//! | `state.rs` | the saga itself |
//! | `change.rs` | what a transition changes; the only way in which a saga changes |
//! | `entry.rs` | a transition in the journal, chained by hash |
//! | `advance.rs` | which changes a message leads to |
//! | `course.rs` | going forward and going back through the tree |
//! | `retry.rs` | how long until the next attempt |

mod advance;
mod change;
mod course;
mod entry;
mod ledger;
mod message;
mod part;
mod retry;
mod state;

pub use advance::{Ignored, Outcome, Transition};
pub use change::{Change, Request};
pub use entry::{Body, Cause, Entry, FoldError};
pub use ledger::{Failure, FailureKind, Line, LineStatus};
pub use message::{Act, ActKind, Answer, Command, Direction, Message, Reply, Start};
pub use part::{Part, Place};
pub use retry::backoff_ms;
pub use state::{Course, Parked, ParkedBy, Saga, Status, TurnedBackBy};

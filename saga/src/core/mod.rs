//! One run of a definition.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `message.rs` | what reaches a saga, and what it says |
//! | `ledger.rs` | a line per occurrence that asked someone for something |
//! | `part.rs` | the tree of running parts, in the shape of the definition |
//! | `state.rs` | the saga itself |
//! | `change.rs` | what a transition changes; the only way in which a saga changes |
//! | `apply.rs`, `note.rs` | how a change changes a saga, and what leaves for it |
//! | `entry.rs` | a transition in the journal, chained by hash |
//! | `advance.rs` | which changes a message leads to |
//! | `act.rs` | those of a person's act or decision |
//! | `forth.rs`, `back.rs` | going forward and going back through the tree |
//! | `fate.rs` | what a failure leads to |
//! | `ask.rs` | asking workers, the clock, people, the world and other sagas |
//! | `fit.rs` | whether payloads keep to what was agreed |
//! | `family.rs` | parents and children |
//! | `mailbox.rs` | events that wait for a saga, and sagas that wait for an event |
//! | `sight.rs`, `outputs.rs` | what expressions see |
//! | `retry.rs` | how long until the next attempt |

mod act;
mod advance;
mod apply;
mod ask;
mod back;
mod change;
mod entry;
mod family;
mod fate;
mod fit;
mod forth;
mod ledger;
mod message;
mod note;
mod outputs;
mod part;
mod retry;
mod sight;
mod state;

pub mod mailbox;

pub use advance::{Ignored, Outcome, Transition};
pub use change::{Ask, Change, Request, Shape, Told, ToldAnswer};
pub use entry::{Body, Cause, Entry, FoldError};
pub use family::{nothing_to_undo, refuse_start};
pub use ledger::{Failure, FailureKind, Line, LineKind, LineStatus};
pub use message::{
    Act, ActKind, Answer, Command, Decision, Direction, Event, Message, Note, NoteBody, Parent,
    ParentUndo, Reply, Source, Start, Want,
};
pub(crate) use part::is_reaction;
pub use part::{Caught, Part, Place};
pub use retry::backoff_ms;
pub use state::{Course, Parked, ParkedBy, Saga, Status, TurnedBackBy};

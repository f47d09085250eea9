//! The records of the wire.

mod act;
mod command;
mod dead_letter;
mod decision;
mod definition;
mod event;
mod journal;
mod order;
mod reply;
mod start;
mod undo;
mod want;

pub use act::{Act, ActKind};
pub use command::{Command, Direction};
pub use dead_letter::{DeadLetter, DeadLetterReason, HeaderField};
pub use decision::Decision;
pub use definition::Definition;
pub use event::WaitEvent;
pub use journal::{HASH_LEN, JournalEntry};
pub use order::{Address, Line, OrderPlaced};
pub use reply::{Reply, ReplyOutcome};
pub use start::{Parent, SourcePosition, Start};
pub use undo::Undo;
pub use want::Want;

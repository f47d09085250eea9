//! The records of the wire.

mod act;
mod command;
mod dead_letter;
mod definition;
mod journal;
mod order;
mod reply;
mod start;

pub use act::{Act, ActKind};
pub use command::{Command, Direction};
pub use dead_letter::{DeadLetter, DeadLetterReason, HeaderField};
pub use definition::Definition;
pub use journal::{HASH_LEN, JournalEntry};
pub use order::{Address, Line, OrderPlaced};
pub use reply::{Reply, ReplyOutcome};
pub use start::{SourcePosition, Start};

//! The engine as a state machine.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `io.rs` | inputs and effects |
//! | `inbox.rs` | what a record of the inbox is |
//! | `shard.rs` | one shard: position, cache, timers |
//! | `batch.rs` | what the next commit will hold |
//! | `outbox.rs` | records that leave, made from journal rows |
//! | `notes.rs` | what sagas say to each other |
//! | `apply.rs` | messages to transitions |
//! | `hear.rs` | what a record says to a saga, to a mailbox, or to nobody |
//! | `letters.rs` | records that are put aside, sent on or answered |
//! | `commit.rs` | batches to commits to publishing, and every way in which these end |
//! | `turn.rs` | the machine itself |

mod apply;
mod batch;
mod commit;
mod hear;
mod inbox;
mod io;
mod letters;
mod notes;
mod outbox;
mod shard;
mod turn;

pub(crate) use inbox::{Arrival, dead_letter, read};
pub use io::{BatchId, CommitOutcome, Effect, Input, Report, Ticket};
pub(crate) use notes::NOTE_SLACK_BYTES;
pub(crate) use outbox::{Names, journal_entry};
pub use turn::{
    Counters, JOURNAL_BYTES_MAX, MESSAGE_BYTES_MAX, Machine, MachineConfig, message_limits,
};

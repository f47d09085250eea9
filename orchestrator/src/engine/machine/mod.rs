//! The engine as a state machine.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `io.rs` | inputs and effects |
//! | `inbox.rs` | what a record of the inbox is |
//! | `shard.rs` | one shard: position, cache, timers |
//! | `batch.rs` | what the next commit will hold |
//! | `outbox.rs` | records that leave, made from journal rows |
//! | `apply.rs` | messages to transitions |
//! | `commit.rs` | batches to commits to publishing, and every way in which these end |
//! | `turn.rs` | the machine itself |

mod apply;
mod batch;
mod commit;
mod inbox;
mod io;
mod outbox;
mod shard;
mod turn;

pub(crate) use inbox::{Arrival, dead_letter, read};
pub use io::{BatchId, CommitOutcome, Effect, Input, Report, Ticket};
pub(crate) use outbox::{Names, journal_entry};
pub use turn::{
    Counters, JOURNAL_BYTES_MAX, MESSAGE_BYTES_MAX, Machine, MachineConfig, message_limits,
};

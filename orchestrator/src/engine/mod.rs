//! The engine: from inbox records to committed transitions and published commands.
//!
//! What decides is a state machine, [`machine::Machine`]: inputs in, effects out, no clock, no
//! thread, no IO. The shells around it carry effects out and bring answers back; they decide
//! nothing, so the same machine runs in production and in the simulation.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `machine/` | what decides |
//! | `book.rs` | the definitions that are known |
//! | `run.rs` | an orchestrator: starts the shells, drains them |
//! | `turning.rs` | the thread that turns the machine and carries its effects out |
//! | `hearing.rs` | the inbox consumer's ear |
//! | `asking.rs` | the tasks that speak to the store |
//! | `saying.rs` | the thread that hands records to the producer |
//! | `keeping.rs` | another consumer in the place of one that has ended |
//! | `intake.rs` | from source topics to the inbox |
//! | `topics.rs` | the topics that all this lives on |
//! | `matching.rs` | what a source record leads to; `awaiting.rs`: for whom it may be |
//! | `sources.rs` | what the intake reads by, kept fresh |

mod asking;
mod awaiting;
pub mod book;
mod hearing;
mod intake;
mod keeping;
pub mod machine;
mod matching;
mod run;
mod saying;
mod sources;
mod topics;
mod turning;

pub use book::Book;
pub use intake::IntakeCounters;
pub use matching::{Found, Matched, Matcher};
pub use run::{EngineError, Orchestrator, OrchestratorConfig};
pub use topics::{TopicNames, TopicSizes, apply_topics, check_topics, topics_needed};

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

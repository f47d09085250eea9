//! The crash tier: real processes on a real Kafka and Postgres, killed at random, judged by what the workers wrote down.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `story.rs` | the whole run, from an empty database to the verdict |
//! | `needs.rs` | what the environment has to provide |
//! | `fleet.rs` | the ten processes: started, killed, restarted, drained |
//! | `servers.rs` | Kafka and Postgres: killed and resumed, asked and cleaned up |
//! | `orders.rs` | the outside producer, and what it says that it sent |
//! | `checker.rs` | orders, endings and effects held against each other; shares no code with the orchestrator |
//! | `journal.rs` | the journal topic held against the store's journal |
//! | `chance.rs` | which process is killed, from a seed |

mod chance;
pub mod checker;
mod fleet;
pub mod journal;
mod needs;
mod orders;
mod servers;
mod story;

pub use story::run;

/// Why the tier could not be carried through, or what it found wrong.
pub type CrashError = Box<dyn std::error::Error + Send + Sync>;

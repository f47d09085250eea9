//! The world in a simulation: the real engine and core over a simulated store, broker, clock and
//! workers, on one thread, from one seed.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `run.rs` | runs a seed, or many |
//! | `world.rs` | everything there is, and the loop that turns its time |
//! | `scenario.rs` | definition, sizes and limits of a seed |
//! | `faults.rs` | what goes wrong, and which bugs can be planted |
//! | `process.rs` | orchestrators: a real machine each, in a shell that decides nothing |
//! | `storekeeper.rs` | the way to the store and back |
//! | `broker.rs`, `network.rs` | topics; producing and reading |
//! | `group.rs` | who owns which partition, and who believes so |
//! | `workers.rs`, `handling.rs` | workers, their memory, and the ledger of what was really done |
//! | `chaos.rs` | orders, people, accidents, and the end of them |
//! | `planted.rs` | where the planted bugs sit |
//! | `tracing.rs` | what happened, as a hash and as lines |
//! | `judge.rs`, `verdict.rs` | what is checked on the way, and at the end |

mod broker;
mod chaos;
mod faults;
mod group;
mod handling;
mod judge;
mod network;
mod planted;
mod process;
mod rng;
mod run;
mod scenario;
mod storekeeper;
mod tracing;
mod verdict;
mod workers;
mod world;

pub use faults::Bug;
pub use run::{Run, Tally, replay_command, run, run_many};

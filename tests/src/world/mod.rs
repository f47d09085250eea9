//! A world for tests over the whole path: a broker, a store, orchestrators and workers, all real, in one process.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `ground.rs` | what it stands on: embedded broker and SQLite, or a Kafka and a Postgres that run already |
//! | `world.rs` | the servers: started, drained, dropped |
//! | `orders.rs` | a definition with a knob at every step, and orders for it |
//! | `tape.rs` | everything that was written to its topics, as it comes |
//! | `letters.rs` | whether a bad record was set aside as it should be |
//! | `book.rs` | what the store and the workers' ledgers hold of a saga |

mod book;
mod ground;
mod letters;
mod orders;
mod tape;
#[expect(
    clippy::module_inception,
    reason = "the world is the one thing that this module is named for"
)]
mod world;

pub use ground::Ground;
pub(crate) use ground::{Standing, unique_name};
pub use orders::{DEFINITION, Order};
pub use tape::{Tape, eventually};
pub use world::{World, WorldOptions};

/// How long a test waits for anything. What is not there by then does not come.
pub const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

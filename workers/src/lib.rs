//! The worker kit and the reference order workers.

mod batch;
mod config;
mod handler;
mod intake;
mod lanes;
pub mod memory;
mod offsets;
pub mod order;
mod outlet;
mod run;
mod said;
mod stats;
mod time;
mod verdict;
mod work;

pub use backstitch_schemas::Direction;
pub use config::{MemoryUrl, WorkerConfig};
pub use handler::{External, Local};
pub use memory::Tx;
pub use run::{RunningWorker, Worker, WorkerBuilder, WorkerError};
pub use stats::Stats;
pub use work::{Answer, Work};

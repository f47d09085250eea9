//! A running worker: the bench that decides, and the shell around it.

mod bench;
mod builder;
mod carry;
mod ears;
mod outbox;
mod reading;
mod shell;

pub use builder::{Worker, WorkerBuilder, WorkerError};
pub use shell::RunningWorker;

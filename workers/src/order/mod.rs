//! The reference order workers: four small services, each with its own database, its undo, and knobs to misbehave.

mod knobs;
mod ledger;
mod service;
mod start;

pub use knobs::Knobs;
pub use ledger::{Effect, LedgerError, read_ledger};
pub use start::{
    OrderWorkerOptions, order_activities, order_activities_with_undo, run_order_worker,
    start_order_worker,
};

//! The orchestrator: store, engine, commands.
//!
//! Inside, imports go one way: `cli` → `engine` → `store`.

pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod engine;
pub mod graph;
pub mod rehearsal;
pub mod store;
pub mod telemetry;

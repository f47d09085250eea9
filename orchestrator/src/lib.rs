//! The orchestrator: store, engine, commands.
//!
//! Inside, imports go one way: `cli` → `engine` → `store`.

pub mod store;

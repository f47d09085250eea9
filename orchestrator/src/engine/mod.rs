//! The engine: from inbox records to committed transitions and published commands.
//!
//! What decides is a state machine, [`machine::Machine`]: inputs in, effects out, no clock, no
//! thread, no IO. The shells around it carry effects out and bring answers back; they decide
//! nothing, so the same machine runs in production and in the simulation.

pub mod book;
pub mod machine;

pub use book::Book;

//! The saga core: definitions, expressions, state and [`Saga::advance`]. Pure.
//!
//! Nothing here reads a clock, a socket, a file or a random number: the same definition and the
//! same journal give the same saga on every machine (S-6).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`contract`] | what is agreed about payloads: schemas |
//! | [`definition`] | what a saga does: data, read from YAML, checked, named by its hash |
//! | [`expression`] | CEL, in the two places where it may stand |
//! | [`core`] | one run of a definition: state, ledger, messages, changes, `advance` |
//! | [`invariant`] | S-1 … S-8 as functions |

pub mod contract;
pub mod core;
pub mod definition;
pub mod expression;
pub mod invariant;

mod nearest;
mod payload;

pub use crate::core::{
    Act, Answer, Change, Command, Direction, Entry, Ignored, Line, LineStatus, Message, Outcome,
    Saga, Start, Status, Transition,
};
pub use definition::{Definition, Diagnostic};
pub use nearest::nearest;
pub use payload::Payload;

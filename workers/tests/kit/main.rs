//! The worker kit and the order workers, end to end over the embedded broker.
#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod kit;
mod order;
mod world;

//! The worker kit and the order workers, end to end over the embedded broker.

mod kit;
mod order;
mod world;

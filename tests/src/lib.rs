//! The world in a simulation, the invariants, real Kafka and Postgres, faults.

pub mod crash;
pub mod sim;
pub mod worked;
pub mod world;

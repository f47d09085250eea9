//! The benchmark of the embedded broker: producers and a reader of our own, on it and on a Kafka in turn.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `plan.rs` | what is measured, and the report |
//! | `load.rs` | producers that keep records on their way, and a reader that reads all of them |
//! | `alone.rs` | the embedded broker as a process: how it starts, and what it uses when nothing comes |

mod alone;
mod load;
mod plan;

pub use plan::{BrokerBenchOptions, BrokerBenchReport, BrokerPoint, StartPoint, run};

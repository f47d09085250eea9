//! The benchmark: the real program as separate processes, under a load from outside.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `plan.rs` | what is measured, and the report |
//! | `load.rs` | orders at a fixed rate, or with a fixed number on their way |
//! | `children.rs` | the processes, and what CPU they used |
//! | `counts.rs` | what the machine's noise cannot touch: statements, WAL bytes, records |
//! | `broker/` | the embedded broker, beside a Kafka |
//! | `naive.rs` | the way it is usually done: a transaction a transition, and a polling relay |

pub mod broker;
mod children;
mod counts;
mod load;
mod naive;
mod plan;

pub use naive::{NaiveError, run_naive};
pub use plan::{BenchError, BenchOptions, BenchReport, Point, run};

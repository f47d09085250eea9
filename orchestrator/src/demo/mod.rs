//! Everything on one machine: the embedded broker, an orchestrator, the order workers and a stream
//! of orders. `demo` and `dev` are made of it, and the benchmark borrows its orders and its judge.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `laptop.rs` | the servers, in one process |
//! | `orders.rs` | a stream of orders |
//! | `watch.rs` | how each order settled, as read from the journal topic |
//! | `judge.rs` | what was lost or doubled, by the workers' own ledgers |
//! | `run.rs` | the demo |

mod judge;
mod laptop;
mod orders;
mod run;
mod watch;

pub use judge::{Judgement, judge};
pub use laptop::{Laptop, LaptopError, LaptopOptions, built_in_definition};
pub use orders::{OrderSpec, Orders};
pub(crate) use run::percentile;
pub use run::{DemoOptions, DemoReport, run};
pub use watch::{Settled, Watch};

//! Definitions, written in Rust.
//!
//! One function a verb; what a verb cannot do without stands where it cannot be forgotten. The
//! result is the same structure, with the same hash, as that of the YAML: [`Definition::to_yaml`]
//! shows it.
//!
//! ```
//! use std::time::Duration;
//!
//! use backstitch_saga::Definition;
//! use backstitch_saga::definition::builder::{
//!     act, by, ignore, limits, on, parallel, park, saga, steps, wait,
//! };
//! use serde_json::json;
//!
//! let quick = limits().reply(Duration::from_secs(5)).attempts(3);
//! let built = saga("process-order")
//!     .start(on("orders").key("event.order_id").when("event.type == 'OrderPlaced'"))
//!     .tag("customer", "=event.customer_id")
//!     .step(
//!         act("reserve-stock")
//!             .with(json!({ "lines": "=event.lines" }))
//!             .undo_same()
//!             .limits(quick),
//!     )
//!     .step(
//!         act("charge-payment")
//!             .with(json!({ "amount": "=event.total" }))
//!             .undo(by("refund-payment").with(json!({ "payment": "=result" })))
//!             .pivot(),
//!     )
//!     .step(parallel([
//!         ("label", steps![act("print-label")]),
//!         ("notice", steps![act("notify-customer").on_failure(ignore())]),
//!     ]))
//!     .step(
//!         wait("shipment_confirmed")
//!             .topic("shipments")
//!             .key("message.order_id")
//!             .within(Duration::from_secs(2 * 86_400))
//!             .on_timeout(park()),
//!     )
//!     .output(json!({ "label": "=steps.print_label" }))
//!     .build()
//!     .expect("nothing is wrong with it");
//!
//! let read = Definition::from_yaml(
//!     "
//! saga: process-order
//! start:
//!   - topic: orders
//!     when: event.type == 'OrderPlaced'
//!     key: event.order_id
//! tags: { customer: =event.customer_id }
//! steps:
//!   - do: reserve-stock
//!     with: { lines: =event.lines }
//!     undo: yes
//!     timeout: 5s
//!     retry: { attempts: 3 }
//!   - do: charge-payment
//!     with: { amount: =event.total }
//!     undo: { do: refund-payment, with: { payment: =result } }
//!     pivot: yes
//!   - parallel:
//!       label:
//!         - do: print-label
//!       notice:
//!         - do: notify-customer
//!           on_failure: ignore
//!   - wait: shipment_confirmed
//!     topic: shipments
//!     key: message.order_id
//!     within: 2d
//!     on_timeout: park
//! output: { label: =steps.print_label }
//! ",
//! )
//! .expect("nothing is wrong with it");
//! assert_eq!(built.hash, read.hash);
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `saga.rs` | the definition, what starts it, contracts |
//! | `step.rs` | what all steps have, and what happens when one fails |
//! | `work.rs` | the verbs that ask someone or let time pass |
//! | `ways.rs` | the verbs with steps inside, and `set`, `fail`, `end` |
//! | `limits.rs` | how long an answer may take, and how often it is asked for |
//! | `faults.rs` | what is wrong with the parts, until it can be told |
//!
//! [`Definition::to_yaml`]: super::Definition::to_yaml

mod faults;
mod limits;
mod saga;
mod step;
mod ways;
mod work;

pub use crate::steps;
pub use limits::{Limits, limits};
pub use saga::{ContractDraft, SagaDraft, StartDraft, StartOn, contract, on, saga};
pub use step::{AnyStep, Reaction, StepOf, ignore, park, take, turn_back};
pub use ways::{
    CaseDraft, EachOf, EachOver, Rounds, case, choose, each, end, end_with, fail, parallel, repeat,
    set,
};
pub use work::{UndoBy, WaitFor, WaitOn, act, approve, by, run, sleep, sleep_until, wait};

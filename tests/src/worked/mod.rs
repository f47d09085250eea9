//! The worked definitions of `docs/definitions`, on real parts: a broker, a store, orchestrators, and workers that fail as they are told.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `play.rs` | a definition with its children, and what the world does for it: events, decisions, outputs |
//! | `plays.rs` | the five of them |
//! | `troupe.rs` | the workers: what they answer, when they fail, and the book of what really happened |
//! | `stage.rs` | the servers, from the first event to the last saga settled |
//! | `judge.rs` | whether the books balance |

mod judge;
mod play;
mod plays;
mod stage;
mod troupe;

pub use play::Play;
pub use plays::{bank_transfer, batch_payout, order_split, subscription, travel_booking};
pub use stage::{Outcome, Stage};

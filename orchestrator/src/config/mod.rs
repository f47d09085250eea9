//! Configuration: defaults, then a file, then the environment, then flags; each value knows where it came from.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `model.rs` | the sections, with their defaults |
//! | `keys.rs` | the table of keys: what each is, in which unit, within which bounds |
//! | `value.rs` | durations and sizes as people write them |
//! | `layers.rs` | file, environment and flags as settings that have a place |
//! | `load.rs` | from settings to a [`Config`] |
//! | `error.rs` | what is wrong, where, and what was probably meant |
//! | `reference.rs` | what is in force and where it came from; the page of all keys |
//! | `uses.rs` | what the rest of the program makes of a [`Config`] |

mod error;
mod keys;
mod layers;
mod load;
mod model;
mod reference;
mod uses;
mod value;

pub use error::ConfigError;
pub use keys::{KEYS, Key, Kind};
pub use layers::{Origin, Sources};
pub use load::{Loaded, load};
pub use model::{
    Config, Definitions, Embedded, Engine, Kafka, LogFormat, Schemas, Startup, Store, Telemetry,
    TopicPlan, Workers,
};
pub(crate) use reference::key_line;
pub use reference::{Shown, markdown};
pub use uses::{BUILT_IN_DEFINITION, Unusable};
pub(crate) use value::parse_duration;

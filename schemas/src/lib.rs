//! The Avro schemas of the wire, and the one place that reads and writes them.
//!
//! The `.avsc` files beside this crate are the truth. [`Codec`] turns messages into framed bytes and
//! back, bounded by [`Limits`]; [`wire`] names topics, headers and partitions; [`decode_event`] reads
//! what other services publish.

mod codec;
mod datum;
mod error;
mod event;
mod fingerprint;
mod frame;
mod guard;
mod json;
mod known;
mod limits;
mod message;
#[cfg(feature = "registry")]
mod registry;
mod time;
mod trace;
pub mod wire;
mod writer;

pub use codec::{Codec, InboxMessage};
pub use error::{DecodeError, EncodeError, RegistryError, SchemaRef};
pub use event::{Event, EventSchemas, ReadValue, SchemaError, decode_event};
pub use known::RecordKind;
pub use limits::Limits;
pub use message::{
    Act, ActKind, Address, Command, DeadLetter, DeadLetterReason, Decision, Definition, Direction,
    HASH_LEN, HeaderField, JournalEntry, Line, OrderPlaced, Parent, Reply, ReplyOutcome,
    SourcePosition, Start, Undo, WaitEvent, Want,
};
#[cfg(feature = "registry")]
pub use registry::{Registry, RegistryConfig};
pub use time::rfc3339_ms;
pub use trace::TraceParent;

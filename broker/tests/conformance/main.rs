//! What every broker must do for this project: the same facts for Apache Kafka and for the embedded broker.
//!
//! `BACKSTITCH_TEST_BOOTSTRAP` names a running broker; without it the embedded one is started. Every fact uses names of its own, so the
//! suite can run again and again against the same broker. Clients of other languages join in when they are there:
//! `BACKSTITCH_TEST_PYTHON` (a Python that has `confluent_kafka`), `kcat` in the path, and `BACKSTITCH_TEST_KAFKA_TOOLS` (a command to
//! which a Kafka tool's class and arguments are added).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the answer, and a skipped client is told"
)]

mod away;
mod cleaning;
mod clients;
mod crash;
mod demands;
#[path = "../embedded_support/frames.rs"]
mod frames;
mod groups;
mod listings;
mod looking;
mod offsets;
mod placement;
mod probe;
mod records;
mod sequences;
mod settings;
mod times;
mod topics;
mod wire;
mod world;

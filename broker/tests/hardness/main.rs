//! The embedded broker among bad clients and many: slow ones, broken ones, a thousand, requests of any size.
//!
//! Each fact has a broker in a process of its own, whose memory, threads and open files are read from `/proc`.
//! `BACKSTITCH_SOAK_SECONDS` lengthens the soak: see CONTRIBUTING.md.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the answer, and figures are told"
)]

mod crowd;
mod figures;
#[path = "../embedded_support/frames.rs"]
mod frames;
mod memory;
mod order;
#[path = "../embedded_support/process.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "shared with other tests"
)]
mod process;
mod sizes;
mod slow;
mod soak;
mod wire;
mod world;

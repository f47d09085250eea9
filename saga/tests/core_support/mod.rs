//! What the tests of the core share: definitions as structures, and a told story.

#![allow(dead_code, reason = "each test file uses the part of it that it needs")]
#![allow(
    clippy::unwrap_used,
    reason = "as in tests: what fails here is a test that fails"
)]

pub(crate) mod chance;
pub(crate) mod shapes;
pub(crate) mod story;
pub(crate) mod world;

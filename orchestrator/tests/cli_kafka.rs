//! `broker`, `topics`, `records` and `groups`, as a user runs them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod cli_kafka {
    mod broker;
    mod groups;
    mod records;
    mod topics;
    mod world;
}

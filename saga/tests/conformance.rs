//! The language's own conformance suite: what each construct does for each outcome, and whole
//! histories of definitions that nobody wrote.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what fails here is a test that fails; and it says how much it has seen"
)]

mod core_support;

mod conformance {
    mod judge;
    mod play;
    mod workers;
    mod world;

    mod branches;
    mod items;
    mod rounds;
    mod works;

    mod generated;
    mod random;
}

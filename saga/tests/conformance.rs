//! The language's own conformance suite: what each construct does for each outcome, and whole
//! histories of definitions that nobody wrote.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::double_ended_iterator_last,
    reason = "what fails here is a test that fails; it looks at few of many changes, and says how much it has seen"
)]

mod core_support;

mod conformance {
    mod judge;
    mod play;
    mod told;
    mod workers;
    mod world;

    mod acts;
    mod branches;
    mod failures;
    mod families;
    mod items;
    mod persons;
    mod pivots;
    mod rounds;
    mod values;
    mod waits;
    mod works;

    mod generated;
    mod mutants;
    mod random;
}

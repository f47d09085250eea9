//! What sagas say to each other, through whole orchestrators: the machine, a store and an inbox.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod machine_family {
    mod family;
    mod mail;
    mod versions;
    mod world;
}

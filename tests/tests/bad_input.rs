//! The list of bad inputs, each with its test: on a source topic, on the inbox, on a command topic.
//!
//! Each bad record becomes one dead letter, whole and with its reason, and the order right after it on the same partition settles.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

#[path = "bad_input/bombs.rs"]
mod bombs;
#[path = "bad_input/commands.rs"]
mod commands;
#[path = "bad_input/inbox.rs"]
mod inbox;
#[path = "bad_input/messages.rs"]
mod messages;
#[path = "bad_input/source.rs"]
mod source;

use std::sync::Arc;

use backstitch_tests::world::{Ground, World, WorldOptions};

/// Sizes in bytes.
mod sizes {
    /// More than a message may have here, and less than a client's own limit.
    pub(crate) const ABOVE_OURS: usize = 950_000;
    /// More than a client's own limit, and less than what Kafka takes by default.
    pub(crate) const NEARLY_KAFKAS: usize = 1_040_000;
}

/// One world for all tests that run at the same time: what each of them does concerns its own records.
fn shared() -> Arc<World> {
    World::shared(&options(Ground::Embedded))
}

fn options(ground: Ground) -> WorldOptions {
    WorldOptions {
        ground,
        schemas: bombs::schemas(),
        ..WorldOptions::default()
    }
}

/// The short list, on a real Kafka and Postgres where the environment names them.
#[test]
fn bad_records_are_set_aside_on_servers_too() {
    let Some(ground) = Ground::servers() else {
        println!("left out: the environment names no servers");
        return;
    };
    let world = World::start(&options(ground));
    source::short_list(&world);
    inbox::short_list(&world);
    commands::short_list(&world);
}

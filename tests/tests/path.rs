//! The path of an order, from its event to its end, over a real broker, store, orchestrators and workers in one process.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

#[path = "path/acts.rs"]
mod acts;
#[path = "path/events.rs"]
mod events;
#[path = "path/owners.rs"]
mod owners;

use backstitch_tests::world::{Ground, World, WorldOptions};

/// A world with nothing special about it.
fn usual(ground: Ground) -> WorldOptions {
    WorldOptions {
        ground,
        ..WorldOptions::default()
    }
}

/// The same paths on a real Kafka and Postgres, where the environment names them.
mod on_servers {
    use super::*;

    fn with_servers(path: impl Fn(Ground)) {
        match Ground::servers() {
            Some(ground) => path(ground),
            None => println!("left out: the environment names no servers"),
        }
    }

    #[test]
    fn every_form_of_an_event_starts_a_saga() {
        with_servers(|ground| events::every_form_starts_a_saga(&World::start(&usual(ground))));
    }

    #[test]
    fn the_journal_topic_folds_to_the_stores_state() {
        with_servers(|ground| events::the_journal_folds(&World::start(&usual(ground))));
    }

    #[test]
    fn what_one_orchestrator_drops_another_finishes() {
        with_servers(owners::what_one_drops_another_finishes);
    }

    #[test]
    fn a_timer_outlives_its_orchestrator() {
        with_servers(owners::a_timer_outlives_its_owner);
    }

    #[test]
    fn a_drained_orchestrator_leaves_nothing_to_do_again() {
        with_servers(owners::nothing_is_done_again);
    }

    #[test]
    fn a_stuck_saga_goes_on_when_resumed() {
        with_servers(|ground| acts::a_stuck_saga_goes_on(&World::start(&usual(ground))));
    }
}

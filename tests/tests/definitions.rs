//! The five worked definitions on real parts: two orchestrators, of which one is lost half way, and workers of which every fifth
//! command has trouble. Every saga settles, and what really happened is what the ledgers say.

#![allow(
    clippy::print_stdout,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use backstitch_tests::worked::{
    Outcome, Play, Stage, bank_transfer, batch_payout, order_split, subscription, travel_booking,
};
use backstitch_tests::world::Ground;

/// Sagas of each play.
const COUNT: u64 = 40;

/// `BACKSTITCH_DEFINITIONS_SEED` gives other troubles.
fn seed() -> u64 {
    let named = std::env::var("BACKSTITCH_DEFINITIONS_SEED");
    named.ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// All of them settle; some complete, and some turn back.
fn settles(ground: &Ground, play: Play) -> Outcome {
    let outcome = Stage::start(ground, play, seed()).perform(COUNT);
    println!("{outcome:?}");
    assert!(
        outcome.completed > 0 && outcome.compensated > 0,
        "{outcome:?}"
    );
    outcome
}

#[test]
fn every_trip_settles() {
    settles(&Ground::Embedded, travel_booking());
}

#[test]
fn every_transfer_settles() {
    settles(&Ground::Embedded, bank_transfer());
}

#[test]
fn every_subscription_settles() {
    settles(&Ground::Embedded, subscription());
}

#[test]
fn every_batch_of_payouts_settles() {
    settles(&Ground::Embedded, batch_payout());
}

#[test]
fn every_order_in_parcels_settles_with_its_children() {
    let outcome = settles(&Ground::Embedded, order_split());
    assert!(outcome.children > 0, "{outcome:?}");
}

/// The same on a real Kafka and Postgres, where the environment names them.
mod on_servers {
    use super::*;

    fn settles_there(play: Play) {
        match Ground::servers() {
            Some(ground) => {
                settles(&ground, play);
            }
            None => println!("left out: the environment names no servers"),
        }
    }

    #[test]
    fn every_trip_settles() {
        settles_there(travel_booking());
    }

    #[test]
    fn every_transfer_settles() {
        settles_there(bank_transfer());
    }

    #[test]
    fn every_subscription_settles() {
        settles_there(subscription());
    }

    #[test]
    fn every_batch_of_payouts_settles() {
        settles_there(batch_payout());
    }

    #[test]
    fn every_order_in_parcels_settles_with_its_children() {
        settles_there(order_split());
    }
}

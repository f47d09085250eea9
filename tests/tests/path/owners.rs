//! Who owns the shards, and what becomes of it when that changes.

use std::sync::atomic::Ordering;

use backstitch_orchestrator::engine::Orchestrator;
use backstitch_orchestrator::store::ShardId;
use backstitch_tests::world::{Ground, Order, World, WorldOptions, eventually};

use super::usual;

/// Waits until all four shards are owned, each orchestrator having one at least.
fn wait_for_owners(world: &World) {
    eventually("each orchestrator to own shards", || {
        let counts: Vec<usize> = world
            .orchestrators()
            .iter()
            .map(Orchestrator::shard_count)
            .collect();
        (counts.iter().sum::<usize>() == 4 && !counts.contains(&0)).then_some(())
    });
}

fn place(world: &World, count: usize) -> Vec<Order> {
    (0..count)
        .map(|number| {
            let order = world.order();
            let order = if number % 4 == 3 {
                order.failing_to_ship("refuse")
            } else {
                order
            };
            world.place(&order);
            order
        })
        .collect()
}

/// Each effect of each order is there once, and undone if its order turned back.
fn all_settle(world: &World, orders: &[Order]) {
    for order in orders {
        if order.ship_fails.is_none() {
            world.completes(order);
            continue;
        }
        world.wait_for(&order.saga(), "compensated");
        let expected = [
            ("check-fraud", "do"),
            ("reserve-stock", "do"),
            ("reserve-stock", "undo"),
            ("charge-payment", "do"),
            ("refund-payment", "undo"),
        ];
        assert_eq!(world.effects_in_short(&order.saga()), expected);
    }
}

#[test]
fn what_one_orchestrator_drops_another_finishes() {
    what_one_drops_another_finishes(Ground::Embedded);
}

pub(crate) fn what_one_drops_another_finishes(ground: Ground) {
    let mut world = World::start(&WorldOptions {
        orchestrators: 2,
        ..usual(ground)
    });
    wait_for_owners(&world);
    let mut orders = place(&world, 30);
    world.wait_for(&orders[0].saga(), "completed");
    world.drop_orchestrator();
    orders.extend(place(&world, 10));
    all_settle(&world, &orders);
    wait_for_owners(&world);
}

#[test]
fn what_one_orchestrator_drains_another_finishes() {
    let mut world = World::start(&WorldOptions {
        orchestrators: 2,
        ..usual(Ground::Embedded)
    });
    wait_for_owners(&world);
    let mut orders = place(&world, 30);
    world.wait_for(&orders[0].saga(), "completed");
    let counters = world.drain_orchestrator().unwrap();
    assert_eq!((counters.violations, counters.in_doubt), (0, 0));
    orders.extend(place(&world, 10));
    all_settle(&world, &orders);
    wait_for_owners(&world);
}

#[test]
fn a_dropped_orchestrator_takes_nothing_in_any_more() {
    let mut world = World::start(&usual(Ground::Embedded));
    all_settle(&world, &place(&world, 4));
    world.drop_orchestrator();
    let orders: Vec<Order> = (0..8).map(|_| world.order()).collect();
    for (partition, order) in (0..4).cycle().zip(&orders) {
        let mut event = world.event(order);
        event.partition = Some(partition);
        world.produce(event);
    }
    world.add_orchestrator();
    all_settle(&world, &orders);
    let taken_in = &world.orchestrators()[0].intake_counters().starts;
    assert_eq!(taken_in.load(Ordering::Relaxed), 8);
}

#[test]
fn a_timer_outlives_its_orchestrator() {
    a_timer_outlives_its_owner(Ground::Embedded);
}

pub(crate) fn a_timer_outlives_its_owner(ground: Ground) {
    let mut world = World::start(&usual(ground));
    let order = world.order().failing("check-fraud", "hang");
    let saga = order.saga();
    world.place(&order);
    // Nobody answers the first command, so that from here on only time moves the saga.
    world.wait_for_command(&saga, "check-fraud");
    world.drain_orchestrator().unwrap();
    assert_eq!(world.saga(&saga).status.name(), "running");
    world.add_orchestrator();
    world.completes(&order);
    assert!(world.commands_of(&saga, "check-fraud").len() >= 2);
    let attempt = world.effects_of(&saga)[0].attempt;
    assert!(attempt >= 2, "{attempt}");
}

#[test]
fn a_drained_orchestrator_leaves_nothing_to_do_again() {
    nothing_is_done_again(Ground::Embedded);
}

pub(crate) fn nothing_is_done_again(ground: Ground) {
    let mut world = World::start(&usual(ground));
    let orders = place(&world, 12);
    all_settle(&world, &orders);
    world.drain_orchestrator().unwrap();

    let shards: Vec<ShardId> = (0..4).map(ShardId).collect();
    let rows = |world: &World| {
        let read = |shard| world.store().journal_of_shard(shard, 0, 10_000);
        let rows: Vec<_> = shards
            .iter()
            .flat_map(|s| world.block_on(read(*s)).unwrap())
            .collect();
        rows
    };
    let before = world.block_on(world.store().shards(&shards)).unwrap();
    for shard in &before {
        assert_eq!(shard.owner, "", "shard {:?} is given up", shard.id);
        assert_eq!(shard.published_seq, shard.journal_seq, "all is published");
    }
    let rows_before = rows(&world);
    let own = |world: &World| {
        let sagas: Vec<String> = orders.iter().map(Order::saga).collect();
        let is_own = |key: &[u8]| sagas.iter().any(|saga| saga.as_bytes() == key);
        let records = world.tape();
        records
            .all(|record| record.key.as_deref().is_some_and(is_own))
            .len()
    };
    let records_before = own(&world);

    world.add_orchestrator();
    // One order in each shard: whatever a shard had to do again, it would have done before these.
    for partition in 0..4 {
        let order = world.order_in(partition, 4);
        world.place(&order);
        world.completes(&order);
    }
    assert_eq!(own(&world), records_before, "nothing is published again");
    let kept: Vec<_> = rows(&world)
        .into_iter()
        .filter(|row| orders.iter().any(|order| order.saga() == row.saga_key))
        .collect();
    assert_eq!(kept, rows_before);
}

//! What a person asks of a saga.

use std::sync::Arc;

use backstitch_orchestrator::store::{ListQuery, SagaStatus};
use backstitch_schemas::ActKind;
use backstitch_tests::world::{Ground, Order, World, WorldOptions, eventually};

use super::usual;

fn shared() -> Arc<World> {
    World::shared(&usual(Ground::Embedded))
}

/// Places an order that turns back at its last step, and whose stock then cannot be put back.
fn stuck(world: &World, how: &'static str) -> Order {
    let order = world
        .order()
        .failing("reserve-stock/undo", how)
        .failing_to_ship("refuse");
    world.place(&order);
    world.wait_for(&order.saga(), "parked");
    order
}

const UNDONE: [(&str, &str); 5] = [
    ("check-fraud", "do"),
    ("reserve-stock", "do"),
    ("reserve-stock", "undo"),
    ("charge-payment", "do"),
    ("refund-payment", "undo"),
];

#[test]
fn a_stuck_saga_is_listed_with_its_reason() {
    let world = shared();
    let order = stuck(&world, "refuse");
    let query = ListQuery {
        statuses: vec![SagaStatus::Parked],
        key_prefix: order.saga(),
        ..ListQuery::default()
    };
    let listed = world.block_on(world.store().list(&query)).unwrap();
    let found = listed.iter().find(|row| row.key == order.saga()).unwrap();
    let reason = found.parked_reason.as_deref().unwrap();
    assert!(reason.contains("reserve_stock"), "{reason}");
    let saga = world.saga(&order.saga());
    assert_eq!(saga.line("reserve_stock").unwrap().status.name(), "stuck");
    assert_eq!(saga.line("charge_payment").unwrap().status.name(), "undone");
}

#[test]
fn a_stuck_saga_goes_on_when_resumed() {
    a_stuck_saga_goes_on(&shared());
}

pub(crate) fn a_stuck_saga_goes_on(world: &World) {
    // Its undo fails twice, which is all its definition asks for, and is done the third time.
    let order = stuck(world, "fail");
    world.act(&order.saga(), ActKind::Resume, None);
    world.wait_for(&order.saga(), "compensated");
    assert_eq!(world.effects_in_short(&order.saga()), UNDONE);
}

#[test]
fn a_saga_that_stays_stuck_ends_when_its_step_is_waived() {
    let world = shared();
    let order = stuck(&world, "fail_always");
    let saga = order.saga();
    let parked = |world: &World| {
        let entries = world.journal_of(&saga);
        entries
            .iter()
            .filter(|entry| entry.status == "parked")
            .count()
    };
    let before = parked(&world);
    world.act(&saga, ActKind::Resume, None);
    eventually("the saga to be parked again", || {
        (parked(&world) > before).then_some(())
    });
    world.act(&saga, ActKind::Waive, Some("reserve_stock"));
    world.wait_for(&saga, "compensated");
    let waived = world.saga(&saga);
    assert_eq!(
        waived.line("reserve_stock").unwrap().status.name(),
        "waived"
    );
    let effects = world.effects_in_short(&saga);
    assert!(!effects.contains(&("reserve-stock", "undo")), "{effects:?}");
}

#[test]
fn a_terminated_saga_stops_where_it_stands() {
    let world = shared();
    let order = stuck(&world, "refuse");
    let saga = order.saga();
    world.act(&saga, ActKind::Terminate, None);
    world.wait_for(&saga, "terminated");
    let rows = world.rows_of(&saga);
    // Ended is ended (S-5).
    let mut last = (0, 0);
    for act in [ActKind::Resume, ActKind::Cancel, ActKind::Terminate] {
        last = world.act(&saga, act, None);
    }
    world.reads_past(last.0, last.1);
    assert_eq!(world.rows_of(&saga), rows);
}

#[test]
fn a_cancelled_saga_undoes_even_what_was_never_answered() {
    let mut world = World::start(&WorldOptions {
        workers: vec!["check-fraud", "reserve-stock", "charge-payment"],
        ..WorldOptions::default()
    });
    let order = world.order();
    let saga = order.saga();
    world.place(&order);
    world.wait_for_command(&saga, "ship-order");
    world.act(&saga, ActKind::Cancel, None);
    // Nobody has said whether the parcel left, so the shipment is cancelled first of all.
    world.wait_for_command(&saga, "cancel-shipment");
    world.add_worker("ship-order");
    world.wait_for(&saga, "compensated");

    let effects = world.effects_in_short(&saga);
    assert_eq!(effects[..5], UNDONE);
    // It comes to nothing in either order: shipped and cancelled, or the undo came first and barred the shipment.
    let shipped = effects[5..].to_vec();
    let both = [("ship-order", "do"), ("cancel-shipment", "undo")];
    assert!(shipped.is_empty() || shipped == both, "{shipped:?}");
    let cause = world.saga(&saga).turned_back.unwrap();
    assert!(format!("{cause:?}").contains("Cancel"), "{cause:?}");
}

#[test]
fn a_completed_saga_is_not_cancelled() {
    let world = shared();
    let order = world.order();
    world.place(&order);
    world.completes(&order);
    let rows = world.rows_of(&order.saga());
    let at = world.act(&order.saga(), ActKind::Cancel, None);
    world.reads_past(at.0, at.1);
    assert_eq!(world.rows_of(&order.saga()), rows);
    world.completes(&order);
}

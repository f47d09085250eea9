//! A good world is passed, and each way of breaking it is found.

use super::*;

const ACTIVITIES: [&str; 4] = [
    "check-fraud",
    "reserve-stock",
    "charge-payment",
    "ship-order",
];

fn order(saga: &str, mark: Option<(&str, How)>) -> Order {
    Order {
        saga: saga.to_owned(),
        mark: mark.map(|(at, how)| Mark {
            at: at.to_owned(),
            how,
        }),
    }
}

fn effect(saga: &str, at_ms: i64, seq: i64, step: &str, direction: &str) -> Effect {
    Effect {
        seq,
        at_ms,
        saga: saga.to_owned(),
        step: step.to_owned(),
        direction: direction.to_owned(),
        key: format!("{saga}/{step}/{direction}"),
        attempt: 1,
        activity: step.replace('_', "-"),
        pid: 1,
    }
}

/// What three orders leave behind: one goes through, one is refused by the shipper, one fails at first.
struct World {
    orders: Vec<Order>,
    endings: Vec<(String, Ending)>,
    effects: Vec<Effect>,
}

impl World {
    fn good() -> Self {
        let done = |saga: &str| {
            STEPS
                .iter()
                .zip(1..)
                .map(|((step, ..), at)| effect(saga, at, 1, step, "do"))
                .collect::<Vec<_>>()
        };
        let mut effects = done("plain");
        effects.extend(done("flaky"));
        effects.extend(done("refused").into_iter().take(3));
        effects.push(effect("refused", 5, 2, "charge_payment", "undo"));
        effects.push(effect("refused", 6, 2, "reserve_stock", "undo"));
        Self {
            orders: vec![
                order("plain", None),
                order("flaky", Some(("charge-payment", How::Fail))),
                order("refused", Some(("ship-order", How::Refuse))),
            ],
            endings: vec![
                ("plain".to_owned(), Ending::Completed),
                ("flaky".to_owned(), Ending::Completed),
                ("refused".to_owned(), Ending::Compensated),
            ],
            effects,
        }
    }

    fn verdict(&self) -> Verdict {
        check(&self.orders, &self.endings, &self.effects)
    }

    fn place(&self, saga: &str, step: &str, direction: &str) -> usize {
        self.effects
            .iter()
            .position(|e| e.saga == saga && e.step == step && e.direction == direction)
            .unwrap()
    }

    fn of(&mut self, saga: &str, step: &str, direction: &str) -> &mut Effect {
        let place = self.place(saga, step, direction);
        &mut self.effects[place]
    }

    fn remove(&mut self, saga: &str, step: &str, direction: &str) {
        let place = self.place(saga, step, direction);
        self.effects.remove(place);
    }
}

/// Breaks the good world in one way, and sees what the checker says of it.
fn faults(break_it: impl FnOnce(&mut World)) -> Vec<(String, Fault)> {
    let mut world = World::good();
    break_it(&mut world);
    let wrongs = world.verdict().wrongs;
    assert!(wrongs.iter().all(|wrong| !wrong.to_string().is_empty()));
    wrongs
        .into_iter()
        .map(|wrong| (wrong.saga, wrong.fault))
        .collect()
}

fn one(saga: &str, fault: Fault) -> Vec<(String, Fault)> {
    vec![(saga.to_owned(), fault)]
}

#[test]
fn a_good_world_is_passed() {
    let verdict = World::good().verdict();
    assert_eq!(verdict.wrongs, []);
    assert_eq!((verdict.completed, verdict.compensated), (2, 1));
    assert_eq!(verdict.turned_back, Vec::<String>::new());
    assert_eq!(verdict.effects, 13);
}

#[test]
fn the_checkers_steps_are_those_of_the_reference_workers() {
    assert_eq!(STEPS.map(|(_, activity, _)| activity), ACTIVITIES);
    assert_eq!(backstitch_workers::order::order_activities(), ACTIVITIES);
}

#[test]
fn a_missing_effect_is_found() {
    for (step, ..) in STEPS {
        let found = faults(|world| world.remove("plain", step, "do"));
        assert_eq!(found, one("plain", Fault::Missing(format!("do of {step}"))));
    }
}

#[test]
fn a_missing_undo_is_found() {
    for step in ["charge_payment", "reserve_stock"] {
        let found = faults(|world| world.remove("refused", step, "undo"));
        assert_eq!(
            found,
            one("refused", Fault::Missing(format!("undo of {step}")))
        );
    }
}

#[test]
fn an_effect_that_happened_twice_is_found() {
    for (saga, step, direction) in [
        ("plain", "check_fraud", "do"),
        ("flaky", "ship_order", "do"),
        ("refused", "charge_payment", "undo"),
    ] {
        let found = faults(|world| {
            let twin = world.of(saga, step, direction).clone();
            world.effects.push(Effect { attempt: 2, ..twin });
        });
        let key = format!("the effect of key {saga}/{step}/{direction}");
        assert_eq!(found, one(saga, Fault::Doubled(key)));
    }
}

#[test]
fn an_effect_that_happened_again_under_another_key_is_found() {
    let found = faults(|world| {
        let twin = world.of("plain", "ship_order", "do").clone();
        let key = twin.key.clone() + "#2";
        world.effects.push(Effect { key, ..twin });
    });
    let what = "do of ship_order, under several keys,".to_owned();
    assert_eq!(found, one("plain", Fault::Doubled(what)));
}

#[test]
fn undos_in_the_order_of_their_dos_are_found() {
    let found = faults(|world| {
        world.of("refused", "reserve_stock", "undo").at_ms = 5;
        world.of("refused", "charge_payment", "undo").at_ms = 6;
    });
    let what = "undos (charge_payment, reserve_stock)".to_owned();
    assert_eq!(found, one("refused", Fault::OutOfOrder(what)));
}

#[test]
fn an_undo_before_its_do_is_found() {
    let found = faults(|world| world.of("refused", "reserve_stock", "undo").seq = 0);
    assert_eq!(
        found,
        one("refused", Fault::UndoBeforeDo("reserve_stock".to_owned()))
    );
}

#[test]
fn an_undo_amid_the_dos_is_found() {
    let found = faults(|world| {
        world.of("refused", "charge_payment", "do").at_ms = 9;
    });
    let what = "dos and undos".to_owned();
    assert_eq!(found, one("refused", Fault::OutOfOrder(what)));
}

#[test]
fn dos_out_of_order_are_found() {
    let found = faults(|world| world.of("plain", "check_fraud", "do").at_ms = 9);
    assert!(
        matches!(&found[..], [(saga, Fault::OutOfOrder(_))] if saga == "plain"),
        "{found:?}"
    );
}

#[test]
fn an_effect_without_a_saga_is_found() {
    let found = faults(|world| {
        world
            .effects
            .push(effect("ghost", 1, 9, "ship_order", "do"))
    });
    assert_eq!(found, one("ghost", Fault::EffectWithoutOrder));
}

#[test]
fn a_saga_that_nobody_ordered_is_found() {
    let found = faults(|world| world.endings.push(("ghost".to_owned(), Ending::Completed)));
    assert_eq!(found, one("ghost", Fault::Unordered));
}

#[test]
fn two_sagas_of_one_order_are_found() {
    let found = faults(|world| world.endings.push(("plain".to_owned(), Ending::Completed)));
    assert_eq!(found, one("plain", Fault::Unordered));
}

#[test]
fn a_lost_order_is_found() {
    let found = faults(|world| {
        world.endings.remove(0);
        world.effects.retain(|effect| effect.saga != "plain");
    });
    assert_eq!(found, one("plain", Fault::Lost));
}

#[test]
fn an_order_that_is_not_settled_is_found() {
    for status in ["running", "parked"] {
        let found = faults(|world| world.endings[0].1 = Ending::Open(status.to_owned()));
        assert_eq!(found, one("plain", Fault::Unsettled(status.to_owned())));
    }
}

#[test]
fn a_completed_order_with_an_undo_is_found() {
    let found = faults(|world| {
        world
            .effects
            .push(effect("plain", 9, 2, "ship_order", "undo"))
    });
    assert_eq!(
        found,
        one("plain", Fault::Uncalled("undo of ship_order".to_owned()))
    );
}

#[test]
fn an_undo_of_what_was_never_done_is_found() {
    let found = faults(|world| {
        world
            .effects
            .push(effect("refused", 4, 2, "ship_order", "undo"))
    });
    let what = "undo of ship_order, never done,".to_owned();
    assert_eq!(found, one("refused", Fault::Uncalled(what)));
}

#[test]
fn an_undo_of_what_only_reads_is_found() {
    let found = faults(|world| {
        world
            .effects
            .push(effect("refused", 7, 2, "check_fraud", "undo"))
    });
    assert_eq!(
        found,
        one("refused", Fault::Uncalled("undo of check_fraud".to_owned()))
    );
}

#[test]
fn a_refusal_that_was_passed_over_is_found() {
    let done = faults(|world| {
        world
            .effects
            .push(effect("refused", 4, 1, "ship_order", "do"));
        world
            .effects
            .push(effect("refused", 4, 2, "ship_order", "undo"));
    });
    assert_eq!(
        done,
        one("refused", Fault::NotRefused("ship-order".to_owned()))
    );
    let completed = faults(|world| {
        world.orders[0].mark = Some(Mark {
            at: "ship-order".to_owned(),
            how: How::Refuse,
        });
    });
    assert_eq!(
        completed,
        one("plain", Fault::NotRefused("ship-order".to_owned()))
    );
}

#[test]
fn an_order_that_time_turned_back_is_counted_and_still_judged() {
    let mut world = World::good();
    world.orders[2].mark = None;
    let verdict = world.verdict();
    assert_eq!(verdict.wrongs, []);
    assert_eq!(verdict.turned_back, ["refused"]);
    world.remove("refused", "reserve_stock", "undo");
    assert_eq!(world.verdict().wrongs.len(), 1);
}

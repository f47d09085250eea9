//! A saga drawn over its definition.

use backstitch_saga::{Payload, Saga, Start};

use super::super::{Drawing, Glyphs, Metrics, Node, NodeRole, Overlay, Rect, State, lay_out, text};
use super::definition;

fn order(overlay: &Overlay) -> Drawing {
    lay_out(
        &definition("definitions/order.yaml"),
        &Metrics::pixels(),
        Some(overlay),
    )
}

fn node<'d>(drawing: &'d Drawing, step: &str, role: NodeRole) -> &'d Node {
    let mut nodes = drawing.nodes.iter();
    nodes
        .find(|node| node.step.as_deref() == Some(step) && node.role == role)
        .unwrap()
}

#[test]
fn a_step_shows_how_a_saga_stands_with_it() {
    let mut overlay = Overlay::default();
    overlay.mark("reserve_stock", "reserve_stock", State::Done);
    let drawing = order(&overlay);
    assert_eq!(
        node(&drawing, "reserve_stock", NodeRole::Step).state,
        Some(State::Done)
    );
    assert_eq!(node(&drawing, "reserve_stock", NodeRole::Undo).state, None);
    assert_eq!(node(&drawing, "ship_order", NodeRole::Step).state, None);
}

#[test]
fn an_undo_that_is_stuck_shows_at_the_undo() {
    let mut overlay = Overlay::default();
    overlay.mark("charge_payment", "charge_payment", State::Stuck);
    let drawing = order(&overlay);
    let undo = node(&drawing, "charge_payment", NodeRole::Undo);
    assert_eq!(undo.state, Some(State::Stuck));
    assert!(
        undo.lines.iter().any(|line| line.text == "stuck"),
        "{undo:?}"
    );
}

#[test]
fn of_several_occurrences_the_most_urgent_colours_the_box_and_all_are_counted() {
    let definition = definition("src/graph/golden/every-verb.yaml");
    let mut overlay = Overlay::default();
    overlay.mark("reserve_stock", "reserve_stock[0]", State::Done);
    overlay.mark("reserve_stock", "reserve_stock[1]", State::Done);
    overlay.mark("reserve_stock", "reserve_stock[2]", State::InFlight);
    let drawing = lay_out(&definition, &Metrics::characters(100), Some(&overlay));
    assert_eq!(
        node(&drawing, "reserve_stock", NodeRole::Step).state,
        Some(State::InFlight)
    );
    let picture = text(&drawing, Glyphs::Unicode);
    assert!(picture.contains("1 in flight, 2 done"), "{picture}");
}

#[test]
fn the_latest_word_on_an_occurrence_counts() {
    let mut overlay = Overlay::default();
    overlay.mark("ship_order", "ship_order", State::InFlight);
    overlay.mark("ship_order", "ship_order", State::Refused);
    let drawing = order(&overlay);
    assert_eq!(
        node(&drawing, "ship_order", NodeRole::Step).state,
        Some(State::Refused)
    );
}

#[test]
fn the_picture_does_not_move_with_the_saga() {
    let places = |overlay: &Overlay| -> Vec<Rect> {
        order(overlay).nodes.iter().map(|node| node.rect).collect()
    };
    let nothing_yet = places(&Overlay::default());
    for state in [
        State::InFlight,
        State::Ambiguous,
        State::Done,
        State::Refused,
        State::Undoing,
        State::Undone,
        State::Stuck,
        State::Waived,
    ] {
        let mut overlay = Overlay::default();
        for step in [
            "check_fraud",
            "reserve_stock",
            "charge_payment",
            "ship_order",
        ] {
            overlay.mark(step, step, state);
        }
        assert_eq!(places(&overlay), nothing_yet, "{state:?}");
    }
}

#[test]
fn a_saga_gives_its_ledger_to_the_picture() {
    let definition = definition("definitions/order.yaml");
    let event = serde_json::json!({
        "type": "OrderPlaced", "order_id": "1", "customer_id": "c", "total": 5, "currency": "EUR",
        "lines": [], "address": { "country": "DE" },
    });
    let start = Start {
        key: "process-order/1".to_owned(),
        event: Payload::from_value(&event),
        trace: None,
        by: None,
        event_time_ms: 0,
        parent: None,
    };
    let (saga, _) = Saga::start(&definition, start, 0);
    let overlay = Overlay::of_saga(&saga);
    let (state, words) = overlay.of_step("check_fraud").unwrap();
    assert_eq!((state, words.as_str()), (State::InFlight, "in flight"));
    assert_eq!(overlay.of_step("reserve_stock"), None);
    assert!(!overlay.is_at(NodeRole::Completed));
}

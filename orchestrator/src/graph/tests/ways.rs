//! Where the ways lead.

use backstitch_saga::Definition;

use super::super::{Drawing, EdgeRole, Metrics, Node, NodeRole, lay_out};
use super::definition;

fn drawn(definition: &Definition) -> Drawing {
    lay_out(definition, &Metrics::pixels(), None)
}

fn from_yaml(steps: &str) -> Drawing {
    let text = format!("saga: ways\nsteps:\n{steps}");
    drawn(&Definition::from_yaml(&text).unwrap())
}

/// A node in a word: its title, or what kind of dot it is and whose.
fn word(node: &Node) -> String {
    match node.lines.first() {
        Some(line) => line.text.clone(),
        None => format!("dot of {}", node.step.as_deref().unwrap_or_default()),
    }
}

fn ways(drawing: &Drawing, role: EdgeRole) -> Vec<(String, String)> {
    let edges = drawing.edges.iter().filter(|edge| edge.role == role);
    edges
        .map(|edge| {
            (
                word(&drawing.nodes[edge.from]),
                word(&drawing.nodes[edge.to]),
            )
        })
        .collect()
}

fn has(ways: &[(String, String)], from: &str, to: &str) -> bool {
    ways.iter().any(|way| way.0 == from && way.1 == to)
}

#[test]
fn the_way_forward_goes_through_the_steps_in_order_to_the_end() {
    let ways = ways(
        &drawn(&definition("definitions/order.yaml")),
        EdgeRole::Forward,
    );
    let path = [
        "start",
        "check_fraud",
        "reserve_stock",
        "charge_payment",
        "ship_order",
        "completed",
    ];
    assert_eq!(ways.len(), path.len() - 1);
    for pair in path.windows(2) {
        assert!(has(&ways, pair[0], pair[1]), "{pair:?} in {ways:?}");
    }
}

#[test]
fn the_way_back_goes_through_the_undos_newest_first_to_compensated() {
    let ways = ways(
        &drawn(&definition("definitions/order.yaml")),
        EdgeRole::Back,
    );
    let path = [
        "cancel-shipment",
        "refund-payment",
        "release-stock",
        "undo: nothing",
        "compensated",
    ];
    assert_eq!(ways.len(), path.len() - 1);
    for pair in path.windows(2) {
        assert!(has(&ways, pair[0], pair[1]), "{pair:?} in {ways:?}");
    }
}

#[test]
fn no_way_back_crosses_the_pivot() {
    let drawing = from_yaml(
        "  - { do: a, undo: yes }\n  - { do: b, undo: yes, pivot: true }\n  - { do: c, undo: yes, on_failure: ignore }\n",
    );
    let back = ways(&drawing, EdgeRole::Back);
    assert!(has(&back, "b", "a"), "{back:?}");
    assert!(!back.iter().any(|way| way.0 == "c"), "{back:?}");
    assert!(
        has(&ways(&drawing, EdgeRole::Drop), "c", "c"),
        "it is undone by itself"
    );
}

#[test]
fn branches_are_undone_side_by_side() {
    let drawing = from_yaml(
        "  - parallel:\n      left: [ { do: a, undo: yes } ]\n      right: [ { do: b, undo: yes } ]\n    id: both\n",
    );
    let back = ways(&drawing, EdgeRole::Back);
    for branch in ["a", "b"] {
        assert!(has(&back, "dot of both", branch), "{back:?}");
        assert!(has(&back, branch, "dot of both"), "{back:?}");
    }
    assert!(has(&back, "dot of both", "compensated"), "{back:?}");
}

#[test]
fn nothing_follows_a_fail_without_a_condition() {
    let drawing = from_yaml(
        "  - choose:\n      - when: event.bad\n        steps: [ { fail: too_bad } ]\n      - else: []\n  - { do: a, undo: nothing }\n",
    );
    let forward = ways(&drawing, EdgeRole::Forward);
    assert!(!forward.iter().any(|way| way.0 == "fail_1"), "{forward:?}");
    assert!(has(&forward, "choose_1", "dot of choose_1"), "{forward:?}");
    assert!(has(
        &ways(&drawing, EdgeRole::Drop),
        "fail_1",
        "dot of fail_1"
    ));
}

#[test]
fn side_ways_lead_from_their_step_and_come_back_behind_it() {
    let drawing = from_yaml(
        "  - wait: paid\n    topic: payments\n    key: message.id\n    within: 1d\n    on_timeout: [ { do: remind, undo: nothing } ]\n",
    );
    let side = ways(&drawing, EdgeRole::SideWay);
    assert!(has(&side, "paid", "remind"), "{side:?}");
    assert!(has(&side, "remind", "dot of paid"), "{side:?}");
    let labels: Vec<_> = drawing
        .edges
        .iter()
        .filter_map(|edge| edge.label.as_deref())
        .collect();
    assert_eq!(labels, ["if it times out"]);
}

#[test]
fn nothing_to_undo_and_no_undo_are_told_apart() {
    let drawing = from_yaml(
        "  - { do: a, undo: nothing }\n  - { do: b, undo: yes, pivot: true }\n  - { do: c }\n",
    );
    let role = |step: &str, role: NodeRole| {
        let mut nodes = drawing.nodes.iter();
        nodes.any(|node| node.step.as_deref() == Some(step) && node.role == role)
    };
    assert!(role("a", NodeRole::Nothing) && !role("a", NodeRole::OneWay));
    assert!(role("c", NodeRole::OneWay) && !role("c", NodeRole::Nothing));
    assert!(role("b", NodeRole::Pivot));
}

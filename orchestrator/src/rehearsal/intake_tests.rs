//! Tests of how a saga begins and how its time is up: what the real intake has a part in.

use std::collections::BTreeMap;

use backstitch_saga::Definition;
use serde_json::json;

use super::cast::Cast;
use super::rehearse::Rehearsal;
use super::run::End;
use super::test_file::Test;
use super::tests::{explore, play, rehearsal, test_file};

const ORDER: &str = r#"
saga: order
start:
  - topic: orders
    when: event.type == "OrderPlaced"
    key: event.id
  - topic: returns
    key: event.order
deadline: 2d
defaults: { timeout: 5s, retry: { attempts: 2, backoff: 100ms..1s } }
steps:
  - do: reserve
    undo: yes
  - do: charge
    undo: yes
    pivot: true
  - wait: shipped
    topic: shipments
    key: message.order
    accept: message.type == "Shipped"
    within: 1d
    on_timeout: park
"#;

/// `order`, and both its events and those that it waits for have schemas.
fn agreed() -> Rehearsal {
    let text = ORDER
        .replace("deadline:", "input: order.avsc\ndeadline:")
        .replace("    within: 1d", "    input: shipped.avsc\n    within: 1d");
    let order = json!({ "type": "record", "name": "Order", "fields": [
        { "name": "type", "type": "string" }, { "name": "id", "type": "string" },
        { "name": "order", "type": ["null", "string"], "default": null },
    ] });
    let shipped = json!({ "type": "record", "name": "Shipped", "fields": [
        { "name": "type", "type": "string" }, { "name": "order", "type": "string" },
        { "name": "parcels", "type": "long" },
    ] });
    let files = BTreeMap::from([
        ("order.avsc".to_owned(), order.to_string()),
        ("shipped.avsc".to_owned(), shipped.to_string()),
    ]);
    let definition = Definition::from_yaml_with("order.yaml", &text, &files);
    let definition = definition.unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Rehearsal::new(Cast::new(definition, Vec::new()), None)
}

/// Why the first test of a file is not as it should be.
fn violation(rehearsal: &Rehearsal, text: &str) -> String {
    let tested = test_file(rehearsal, text);
    tested[0]
        .violation
        .clone()
        .unwrap_or_else(|| panic!("{tested:#?}"))
}

// ---- starts ------------------------------------------------------------------------------------

#[test]
fn an_event_of_another_type_starts_nothing() {
    let order = rehearsal(ORDER, &[]);
    let passes = "
test: a cancelled order is none
event: { type: OrderCancelled, id: '1' }
expect: { status: not_begun, never: [reserve] }
";
    let tested = test_file(&order, passes);
    assert!(tested[0].passed(), "{tested:#?}");
    let begins = passes.replace("OrderCancelled", "OrderPlaced");
    let unmet = test_file(&order, &begins)[0].unmet.len();
    assert_eq!(unmet, 2, "it begins, and reserves");
}

#[test]
fn a_test_whose_event_starts_nothing_is_told_why() {
    let order = rehearsal(ORDER, &[]);
    let why = violation(
        &order,
        "{ test: x, event: { type: OrderCancelled, id: '1' }, expect: { status: completed } }",
    );
    assert!(why.starts_with("the event starts no `order`: in `orders`, `event.type == \"OrderPlaced\"` does not hold; in `returns`, it becomes a dead letter: a start rule of `order`: cannot evaluate `event.order`"), "{why}");
    assert!(
        why.ends_with(r#"it is {"id":"1","type":"OrderCancelled"}"#),
        "{why}"
    );
}

#[test]
fn an_event_that_breaks_its_schema_is_told_of() {
    let why = violation(
        &agreed(),
        "{ test: x, event: { type: OrderPlaced, id: 1 } }",
    );
    assert!(why.contains("the event does not fit `order.avsc`"), "{why}");
}

#[test]
fn a_walk_from_an_event_that_starts_nothing_fails() {
    let definition = Definition::from_yaml(ORDER).unwrap();
    let event = json!({ "type": "OrderCancelled", "id": "1" });
    let rehearsal = Rehearsal::new(Cast::new(definition, Vec::new()), Some(&event));
    let broken = rehearsal.explore(Default::default()).broken.unwrap();
    assert!(broken.what.contains("does not hold"), "{}", broken.what);
}

#[test]
fn each_start_rule_has_a_path_and_so_has_an_event_that_none_takes() {
    let order = rehearsal(
        &ORDER.replace(
            "    key: event.order\n",
            "    key: event.order\n    when: event.is_odd\n",
        ),
        &[],
    );
    let paths = order.paths().iter();
    let words: Vec<&str> = paths.map(|path| path.words.as_str()).collect();
    assert_eq!(
        words,
        [
            "as usual",
            "start rule 2 (`returns`)",
            "an event that no start rule takes"
        ]
    );
    assert_eq!(play(&order, "p1").end, End::Completed);
    let run = play(&order, "p2");
    assert_eq!(run.end, End::Nothing);
    assert!(run.begun.is_empty());
}

#[test]
fn the_same_event_twice_starts_one_saga() {
    let order = rehearsal(ORDER, &[]);
    for how in ["twice", "read_again"] {
        let run = play(&order, &format!("p0+start:{how}"));
        assert_eq!(run.end, End::Completed, "{how}");
    }
}

#[test]
fn a_key_that_is_another_whenever_it_is_read_is_found() {
    let order = rehearsal(&ORDER.replace("key: event.id", "key: string(now)"), &[]);
    let case = "p0+start:read_again".parse().unwrap();
    let what = order.play(&case, false).unwrap().violation.unwrap();
    assert!(what.contains("begins more than one saga"), "{what}");
}

// ---- waits -------------------------------------------------------------------------------------

#[test]
fn a_record_that_is_read_again_is_taken_once() {
    let order = rehearsal(ORDER, &[]);
    assert_eq!(play(&order, "p0+shipped:read_again").end, End::Completed);
}

#[test]
fn a_record_that_breaks_the_schema_of_its_wait_reaches_nobody() {
    let order = agreed();
    let tests = "
- test: the usual record is made up from the schema
  expect: { status: completed }
- test: one that breaks it reaches nobody
  events: { shipped: { at: 1h, with: { parcels: many } } }
  expect: { status: parked, parked_at: shipped }
";
    let tested = test_file(&order, tests);
    assert!(
        tested.iter().all(super::expect::Tested::passed),
        "{tested:#?}"
    );
    let notes = &tested[1].run.as_ref().unwrap().notes;
    let note = notes.first().unwrap();
    assert!(
        note.contains("does not reach it") && note.contains("does not fit `shipped.avsc`"),
        "{note}"
    );
}

// ---- deadlines ---------------------------------------------------------------------------------

#[test]
fn a_saga_whose_time_is_up_turns_back_before_its_pivot_and_parks_after_it() {
    let order = rehearsal(ORDER, &[]);
    let run = play(&order, "p0+charge:deadline");
    assert_eq!(
        (run.end, run.undone),
        (
            End::Compensated,
            vec!["charge".to_owned(), "reserve".to_owned()]
        )
    );
    assert!(run.took_ms >= 2 * 86_400_000, "{}", run.took_ms);
    let run = play(&order, "p0+shipped:deadline");
    let by = "deadline".to_owned();
    assert_eq!(run.end, End::Parked { at: None, by });
}

#[test]
fn the_time_of_a_parent_can_be_up_while_its_child_is_at_work() {
    const PARENT: &str = "
saga: parent
deadline: 1h
steps:
  - do: plan
    undo: yes
  - run: child
";
    const CHILD: &str = "
saga: child
steps:
  - do: pick
    undo: yes
";
    let family = rehearsal(PARENT, &[CHILD]);
    let run = play(&family, "p0+child/pick:deadline");
    assert_eq!(run.end, End::Compensated);
    let explored = explore(&family, 400);
    assert_eq!(explored.coverage.missed, []);
}

#[test]
fn a_deadline_is_among_what_can_go_otherwise_alone_and_in_pairs() {
    let order = rehearsal(ORDER, &[]);
    let explored = explore(&order, 20_000);
    assert_eq!(explored.pairs_cut, 0);
    let is_deadline = |end: &End| matches!(end, End::Parked { by, .. } if by == "deadline");
    let mut groups = explored.groups.iter();
    assert!(
        groups.any(|group| is_deadline(&group.end)),
        "{:#?}",
        explored.groups
    );
    let without = rehearsal(&ORDER.replace("deadline: 2d\n", ""), &[]);
    let fewer = explore(&without, 0).singles;
    // Three are asked on each of two paths that begin, and nobody after the time is up.
    assert_eq!(explored.singles - fewer, 6);
}

#[test]
fn a_test_can_let_the_time_be_up() {
    let order = rehearsal(ORDER, &[]);
    let tests = "
test: an order that nobody charges in time is given up
deadline: charge
expect: { status: compensated, undone: [charge, reserve] }
";
    let tested = test_file(&order, tests);
    assert!(tested[0].passed(), "{tested:#?}");
    let without = rehearsal(&ORDER.replace("deadline: 2d\n", ""), &[]);
    let wrong = Test::read_all(tests, without.cast()).unwrap_err();
    assert!(
        wrong[0]
            .told("order.test.yaml", tests)
            .contains("has no deadline"),
        "{wrong:?}"
    );
}

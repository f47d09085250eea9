use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_broker::IncomingRecord;
use backstitch_saga::Definition;
use backstitch_schemas::EventSchemas;

use crate::engine::{Found, Matched, Matcher};

const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 24 * 3_600_000;

fn deliver(extra: &str) -> Arc<Definition> {
    let yaml = format!(
        "
saga: deliver
start:
  - topic: orders
    when: event.kind == \"placed\"
    key: event.order
steps:
  - wait: arrived
    topic: shipments
    key: message.order
    early: 2h
{extra}"
    );
    Arc::new(Definition::from_yaml(&yaml).unwrap_or_else(|found| panic!("{found:?}")))
}

fn record(topic: &str, value: &str) -> IncomingRecord {
    IncomingRecord {
        topic: Arc::from(topic),
        partition: 2,
        offset: 17,
        generation: 0,
        key: None,
        payload: Some(value.as_bytes().to_vec()),
        headers: Default::default(),
        timestamp_ms: NOW - 1_000,
    }
}

fn found(matcher: &Matcher, record: &IncomingRecord) -> Found {
    match matcher.matches(record, NOW) {
        Matched::Found(found) => found,
        other @ (Matched::Dead { .. } | Matched::Later(_)) => panic!("{other:?}"),
    }
}

fn matcher(current: &Arc<Definition>, all: &[&Arc<Definition>]) -> Matcher {
    let all = all.iter().map(|one| Arc::clone(one)).collect();
    Matcher::new(vec![Arc::clone(current)], all, EventSchemas::new())
}

fn mailboxes(found: &Found) -> Vec<&str> {
    found
        .events
        .iter()
        .map(|event| event.saga.as_str())
        .collect()
}

#[test]
fn a_record_of_a_wait_goes_to_its_mailbox() {
    let definition = deliver("");
    let matcher = matcher(&definition, &[&definition]);
    assert_eq!(matcher.topics(), ["orders", "shipments"]);
    let found = found(&matcher, &record("shipments", r#"{"order":4711}"#));
    assert_eq!(mailboxes(&found), ["~deliver.arrived/4711"]);
    let event = &found.events[0];
    assert_eq!(event.value, br#"{"order":4711}"#);
    assert_eq!((event.source.partition, event.source.offset), (2, 17));
    assert_eq!(event.until_ms, Some(NOW + 7_200_000));
    assert!(found.starts.is_empty());
}

#[test]
fn versions_with_the_same_wait_give_one_event_and_the_longest_time() {
    let one = deliver("");
    let other =
        Arc::new(Definition::from_yaml(&one.source.replace("early: 2h", "early: 5h")).unwrap());
    let same = deliver("  - sleep: 1s\n");
    let matcher = matcher(&one, &[&one, &same, &other]);
    let found = found(&matcher, &record("shipments", r#"{"order":"a"}"#));
    assert_eq!(mailboxes(&found), ["~deliver.arrived/a"]);
    assert_eq!(found.events[0].until_ms, Some(NOW + 5 * 3_600_000));
}

#[test]
fn several_waits_of_one_record_are_several_mailboxes() {
    let definition = deliver(
        "  - wait: paid
    topic: shipments
    key: message.invoice
    match: key
",
    );
    let matcher = matcher(&definition, &[&definition]);
    let both = record("shipments", r#"{"order":"a","invoice":"b"}"#);
    let expected = ["~deliver.arrived/a", "~deliver.paid/b"];
    assert_eq!(mailboxes(&found(&matcher, &both)), expected);
}

#[test]
fn only_the_current_version_starts_sagas_and_every_version_waits() {
    let old = deliver("");
    let new = Arc::new(
        Definition::from_yaml("saga: deliver\nsteps:\n  - do: ship\n    undo: nothing\n").unwrap(),
    );
    let matcher = matcher(&new, &[&old, &new]);
    assert_eq!(matcher.topics(), ["shipments"]);
    let placed = record("orders", r#"{"kind":"placed","order":"a"}"#);
    assert!(found(&matcher, &placed).starts.is_empty());
    let arrived = record("shipments", r#"{"order":"a"}"#);
    assert_eq!(
        mailboxes(&found(&matcher, &arrived)),
        ["~deliver.arrived/a"]
    );
}

#[test]
fn a_record_that_lacks_the_key_is_not_meant_and_no_trouble() {
    let definition = deliver("");
    let matcher = matcher(&definition, &[&definition]);
    for value in [r#"{"parcel":1}"#, r#"{"order":null}"#, "[]", "7"] {
        let found = found(&matcher, &record("shipments", value));
        assert_eq!(found, Found::default(), "{value}");
    }
}

#[test]
fn a_record_on_which_a_wait_cannot_be_evaluated_is_told_of_and_passed_over() {
    let definition = Arc::new(
        Definition::from_yaml(
            &deliver("")
                .source
                .replace("    early: 2h", "    accept: message.weight > 5"),
        )
        .unwrap(),
    );
    let matcher = matcher(&definition, &[&definition]);
    let heavy = record("shipments", r#"{"order":"a","weight":6}"#);
    assert_eq!(found(&matcher, &heavy).events.len(), 1);
    let light = record("shipments", r#"{"order":"a","weight":1}"#);
    assert_eq!(found(&matcher, &light), Found::default());
    let odd = found(
        &matcher,
        &record("shipments", r#"{"order":"a","weight":"six"}"#),
    );
    assert!(odd.events.is_empty());
    assert_eq!(odd.troubles.len(), 1);
    assert!(
        odd.troubles[0].contains("`arrived` of `deliver`"),
        "{}",
        odd.troubles[0]
    );
    let listed = found(&matcher, &record("shipments", r#"{"order":[],"weight":9}"#));
    assert!(
        listed.troubles[0].contains("the key"),
        "{}",
        listed.troubles[0]
    );
}

#[test]
fn a_wait_does_not_mind_how_records_are_keyed_and_a_start_does() {
    let definition = deliver("");
    let matcher = matcher(&definition, &[&definition]);
    let mut arrived = record("shipments", r#"{"order":"a"}"#);
    arrived.key = Some(vec![0xff]);
    assert_eq!(found(&matcher, &arrived).events.len(), 1);
    let mut placed = record("orders", r#"{"kind":"placed","order":"a"}"#);
    placed.key = Some(vec![0xff]);
    assert!(matches!(
        matcher.matches(&placed, NOW),
        Matched::Dead { .. }
    ));
}

#[test]
fn a_backlog_is_kept_from_its_own_time_on() {
    let definition = deliver("");
    let matcher = matcher(&definition, &[&definition]);
    let mut old = record("shipments", r#"{"order":"a"}"#);
    old.timestamp_ms = NOW - DAY - 1;
    let event = &found(&matcher, &old).events[0];
    assert!(event.until_ms.unwrap() < NOW);
    old.timestamp_ms = NOW - DAY;
    let event = &found(&matcher, &old).events[0];
    assert!(
        event.until_ms.unwrap() > NOW,
        "it came late, as after an outage"
    );
}

const ARRIVED: &str = r#"{ "type": "record", "name": "Arrived", "fields": [
    { "name": "type", "type": "string" }, { "name": "order", "type": "long" }, { "name": "at", "type": "string" }] }"#;

/// As `deliver`, and the record has a schema.
fn agreed(extra: &str, avro: &str) -> Arc<Definition> {
    let plain = deliver(&format!("    input: arrived.avsc\n{extra}"));
    let files = BTreeMap::from([("arrived.avsc".to_owned(), avro.to_owned())]);
    Arc::new(Definition::from_yaml_with("deliver.yaml", &plain.source, &files).unwrap())
}

#[test]
fn a_record_that_breaks_the_schema_of_its_wait_goes_to_the_dead_letters() {
    let definition = agreed("", ARRIVED);
    let matcher = matcher(&definition, &[&definition]);
    let good = r#"{ "type": "Arrived", "order": 4711, "at": "noon" }"#;
    let good = found(&matcher, &record("shipments", good));
    assert_eq!(mailboxes(&good), ["~deliver.arrived/4711"]);
    assert!(good.misfits.is_empty());
    let bad = found(
        &matcher,
        &record("shipments", r#"{ "type": "Arrived", "order": 4711 }"#),
    );
    assert_eq!(mailboxes(&bad), Vec::<&str>::new());
    assert_eq!(
        bad.misfits,
        [
            "the record for `arrived` of `deliver` does not fit `arrived.avsc`: `.at` is missing: `Arrived` has it, a text, without a default"
        ]
    );
}

#[test]
fn a_record_that_is_for_nobody_breaks_no_schema() {
    let definition = agreed("    accept: message.type == \"Arrived\"\n", ARRIVED);
    let matcher = matcher(&definition, &[&definition]);
    for other in [
        r#"{ "type": "Lost", "order": 4711 }"#,
        r#"{ "order": 4711 }"#,
        r#"{ "type": "Arrived" }"#,
    ] {
        let found = found(&matcher, &record("shipments", other));
        assert_eq!(found, Found::default(), "{other}");
    }
}

#[test]
fn a_record_that_one_version_takes_is_no_dead_letter() {
    let (strict, lax) = (agreed("", ARRIVED), deliver(""));
    let matcher = matcher(&strict, &[&strict, &lax]);
    let found = found(&matcher, &record("shipments", r#"{ "order": 4711 }"#));
    assert_eq!(mailboxes(&found), ["~deliver.arrived/4711"]);
    assert!(found.misfits.is_empty());
}

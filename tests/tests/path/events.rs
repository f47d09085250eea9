//! What starts a saga, and what is written of it.

use std::sync::Arc;

use backstitch_broker::OutgoingRecord;
use backstitch_saga::Saga;
use backstitch_schemas::wire;
use backstitch_tests::world::{Ground, Order, World};
use serde_json::json;

use super::usual;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn shared() -> Arc<World> {
    World::shared(&usual(Ground::Embedded))
}

fn with_headers(mut record: OutgoingRecord, headers: &[(&'static str, &str)]) -> OutgoingRecord {
    for (name, value) in headers {
        record.headers.push(name, value);
    }
    record
}

/// The headers of a CloudEvent in binary mode.
fn cloud(order: &Order) -> [(&'static str, &str); 5] {
    [
        (wire::CE_SPECVERSION, wire::CE_SPECVERSION_VALUE),
        (wire::CE_ID, &order.id),
        (wire::CE_TYPE, "OrderPlaced"),
        (wire::CE_SOURCE, "/shop"),
        (wire::CE_TIME, "2023-11-14T22:13:20Z"),
    ]
}

#[test]
fn every_form_of_an_event_starts_a_saga() {
    every_form_starts_a_saga(&shared());
}

pub(crate) fn every_form_starts_a_saga(world: &World) {
    let [json, avro, binary, binary_avro, structured] = std::array::from_fn(|_| world.order());
    world.place(&json);

    let encode = |order: &Order| world.codec().encode_order_placed(&order.placed()).unwrap();
    let in_avro = |order: &Order| OutgoingRecord::new(world.source(), encode(order));
    world.produce(in_avro(&avro));

    world.produce(with_headers(world.event(&binary), &cloud(&binary)));
    let content_type = (wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO);
    let record = with_headers(in_avro(&binary_avro), &cloud(&binary_avro));
    world.produce(with_headers(record, &[content_type]));

    let envelope = json!({
        "specversion": "1.0",
        "id": structured.id,
        "type": "OrderPlaced",
        "source": "/shop",
        "time": "2023-11-14T22:13:20Z",
        "data": structured.event(),
    });
    let record = OutgoingRecord::new(world.source(), envelope.to_string());
    let content_type = (
        wire::CONTENT_TYPE,
        "application/cloudevents+json; charset=utf-8",
    );
    world.produce(with_headers(record, &[content_type]));

    for order in [&json, &avro, &binary, &binary_avro, &structured] {
        world.completes(order);
    }
    for order in [&binary, &binary_avro, &structured] {
        assert_eq!(world.saga(&order.saga()).event_time_ms, 1_700_000_000_000);
    }
}

#[test]
fn the_trace_of_an_event_goes_all_the_way() {
    let world = shared();
    let order = world.order();
    let trace = format!("00-{TRACE_ID}-b7ad6b7169203331-01");
    world.produce(with_headers(
        world.event(&order),
        &[(wire::TRACEPARENT, &trace)],
    ));
    world.completes(&order);
    let saga = order.saga();

    let topics = world.topics();
    let records = world
        .tape()
        .all(|record| record.key.as_deref() == Some(saga.as_bytes()));
    let count = |topic: &str| records.iter().filter(|r| *r.topic == *topic).count();
    assert!(count(&topics.commands("ship-order")) >= 1);
    // The start and a reply to each of four commands.
    assert!(count(&topics.inbox()) >= 5);
    assert!(count(&topics.journal()) >= 5);
    for record in &records {
        let found = record
            .header(wire::TRACEPARENT)
            .map(String::from_utf8_lossy);
        let found = found.unwrap_or_else(|| panic!("no trace on {record:?}"));
        assert_eq!(found.split('-').nth(1), Some(TRACE_ID), "{record:?}");
    }
    for entry in world.journal_of(&saga) {
        let trace = entry.traceparent.unwrap();
        assert_eq!(trace.split('-').nth(1), Some(TRACE_ID));
    }
}

#[test]
fn the_journal_topic_folds_to_the_stores_state() {
    the_journal_folds(&shared());
}

pub(crate) fn the_journal_folds(world: &World) {
    let done = world.order();
    let undone = world.order().failing_to_ship("refuse");
    for (order, status) in [(&done, "completed"), (&undone, "compensated")] {
        world.place(order);
        world.wait_for(&order.saga(), status);
        let key = order.saga();
        let mut folded = None;
        for entry in world.journal_of(&key) {
            let hash: String = entry
                .hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let seq = u64::try_from(entry.saga_seq).unwrap();
            let next = Saga::fold(folded, &key, seq, entry.at_ms, &entry.body, &hash).unwrap();
            assert_eq!(next.status.name(), entry.status);
            folded = Some(next);
        }
        assert_eq!(folded, Some(world.saga(&key)));
    }
}

#[test]
fn a_repeated_event_starts_nothing() {
    let world = shared();
    let order = world.order();
    let place = world.place(&order);
    world.completes(&order);
    let rows = world.rows_of(&order.saga());

    // Once more, and once with other content: the same key is the same saga.
    world.place(&order);
    world.place(&order.clone().failing_to_ship("refuse"));
    let mut next = world.event(&world.order());
    let after = world.order();
    next.payload = Some(after.event().to_string().into_bytes());
    next.partition = Some(place.0);
    world.produce(next);
    world.completes(&after);
    let inbox = world.topics().inbox();
    let starts = world.tape().wait("three starts", |records| {
        let of = |key: &[u8]| key == order.saga().as_bytes();
        let starts = records.iter().filter(|record| {
            *record.topic == *inbox
                && record.key.as_deref().is_some_and(of)
                && record.header(wire::SAGA_KIND) != Some(b"reply")
        });
        let starts: Vec<i64> = starts.map(|record| record.offset).collect();
        (starts.len() == 3).then_some(starts)
    });
    world.reads_past(
        backstitch_broker::partition_of(order.saga().as_bytes(), 4),
        starts[2],
    );

    assert_eq!(world.rows_of(&order.saga()), rows);
    world.completes(&order);
}

//! What other services publish, in every way they do.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod support;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use backstitch_schemas::{Codec, DecodeError, Event, EventSchemas, RecordKind, decode_event};
use serde_json::json;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn read(payload: &[u8], headers: &[(&'static str, &'static str)]) -> Event {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    decode_event(payload, headers, &EventSchemas::new()).unwrap()
}

#[test]
fn plain_json_is_the_event() {
    let event = read(br#" {"order_id": "4711", "total": 120}"#, &[]);
    assert_eq!(event.value, json!({"order_id": "4711", "total": 120}));
    assert_eq!((event.ce_type, event.time_ms), (None, None));
    assert_eq!(read(b"\xef\xbb\xbf[1]", &[]).value, json!([1]));
}

#[test]
fn a_cloud_event_in_binary_mode_tells_by_its_headers() {
    let event = read(
        br#"{"order_id": "4711"}"#,
        &[
            ("ce_specversion", "1.0"),
            ("ce_id", "e-1"),
            ("ce_type", "OrderPlaced"),
            ("ce_source", "/shop"),
            ("ce_subject", "4711"),
            ("CE_time", "2026-03-01T00:00:00Z"),
            ("Content-Type", "application/json"),
            ("traceparent", TRACE),
            ("tracestate", "a=b"),
        ],
    );
    assert_eq!(event.value, json!({"order_id": "4711"}));
    assert_eq!(event.ce_id.as_deref(), Some("e-1"));
    assert_eq!(event.ce_type.as_deref(), Some("OrderPlaced"));
    assert_eq!(event.ce_source.as_deref(), Some("/shop"));
    assert_eq!(event.ce_subject.as_deref(), Some("4711"));
    assert_eq!(event.time_ms, Some(1_772_323_200_000));
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
    assert_eq!(event.tracestate.as_deref(), Some("a=b"));
}

#[test]
fn a_cloud_event_in_structured_mode_carries_its_data() {
    let envelope = json!({
        "specversion": "1.0", "id": "e-1", "type": "OrderPlaced", "source": "/shop", "subject": "4711",
        "time": "2026-03-01T01:00:00.5+01:00", "traceparent": TRACE, "data": {"order_id": "4711"},
    });
    let event = read(
        envelope.to_string().as_bytes(),
        &[(
            "content-type",
            "application/cloudevents+json; charset=UTF-8",
        )],
    );
    assert_eq!(event.value, json!({"order_id": "4711"}));
    assert_eq!(event.ce_type.as_deref(), Some("OrderPlaced"));
    assert_eq!(event.ce_subject.as_deref(), Some("4711"));
    assert_eq!(event.time_ms, Some(1_772_323_200_500));
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
    // Without the header it is a JSON event like any other.
    assert_eq!(read(envelope.to_string().as_bytes(), &[]).value, envelope);
}

#[test]
fn a_structured_cloud_event_may_carry_avro() {
    use base64::Engine as _;
    let order = support::order_placed();
    let avro = Codec::single_object().encode_order_placed(&order).unwrap();
    let data = base64::prelude::BASE64_STANDARD.encode(avro);
    let envelope =
        json!({"specversion": "1.0", "id": "e", "type": "t", "source": "s", "data_base64": data});
    let event = read(
        envelope.to_string().as_bytes(),
        &[("content-type", "application/cloudevents+json")],
    );
    assert_eq!(event.value["order_id"], "4711");
}

#[test]
fn the_example_event_is_read_without_any_schema_file() {
    let avro = Codec::single_object()
        .encode_order_placed(&support::order_placed())
        .unwrap();
    let event = read(&avro, &[("traceparent", TRACE)]);
    assert_eq!(event.value["lines"][1], json!({"sku": "b", "n": 64}));
    assert_eq!(event.value["placed_at_ms"], json!(1_772_323_199_000_i64));
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
}

#[test]
fn every_avro_type_becomes_json() {
    let avsc = r#"{"type":"record","name":"Every","namespace":"n","fields":[
        {"name":"no","type":"null"}, {"name":"yes","type":"boolean"}, {"name":"int","type":"int"},
        {"name":"long","type":"long"}, {"name":"float","type":"float"}, {"name":"double","type":"double"},
        {"name":"nan","type":"double"}, {"name":"bytes","type":"bytes"}, {"name":"text","type":"string"},
        {"name":"fixed","type":{"type":"fixed","name":"F","size":2}}, {"name":"again","type":"F"},
        {"name":"suit","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"some","type":["null","string"]}, {"name":"none","type":["null","string"]},
        {"name":"list","type":{"type":"array","items":"long"}},
        {"name":"map","type":{"type":"map","values":"int"}},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"day","type":{"type":"int","logicalType":"date"}},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"id","type":{"type":"string","logicalType":"uuid"}},
        {"name":"span","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}}
    ]}"#;
    let schema = Schema::parse_str(avsc).unwrap();
    let id = "3d7c6ae4-7e9b-4b8e-9a3c-0a0b0c0d0e0f";
    let span: [u8; 12] = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
    let value = Value::Record(
        [
            ("no", Value::Null),
            ("yes", Value::Boolean(true)),
            ("int", Value::Int(-7)),
            ("long", Value::Long(i64::MIN)),
            ("float", Value::Float(0.5)),
            ("double", Value::Double(-2.25)),
            ("nan", Value::Double(f64::NAN)),
            ("bytes", Value::Bytes(vec![0xff, 0x00])),
            ("text", Value::String("ü".to_owned())),
            ("fixed", Value::Fixed(2, vec![1, 2])),
            ("again", Value::Fixed(2, vec![3, 4])),
            ("suit", Value::Enum(1, "B".to_owned())),
            (
                "some",
                Value::Union(1, Box::new(Value::String("s".to_owned()))),
            ),
            ("none", Value::Union(0, Box::new(Value::Null))),
            ("list", Value::Array(vec![Value::Long(1), Value::Long(2)])),
            ("map", Value::Map([("k".to_owned(), Value::Int(1))].into())),
            ("price", Value::Decimal(vec![0xcf, 0xc7].into())),
            ("day", Value::Date(20_000)),
            ("at", Value::TimestampMicros(5)),
            ("id", Value::Uuid(id.parse().unwrap())),
            ("span", Value::Duration(span.into())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    );
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let datum = writer.write_value_to_vec(value).unwrap();
    // What fastavro computes for this schema; apache-avro 0.22 gives another.
    let fingerprint: [u8; 8] = EVERY_FINGERPRINT;
    let message = [&[0xc3, 0x01], &fingerprint[..], &datum].concat();
    let schemas = EventSchemas::new().with_schema(avsc).unwrap();
    let event = decode_event(&message, [], &schemas).unwrap();
    assert_eq!(
        event.value,
        json!({
            "no": null, "yes": true, "int": -7, "long": i64::MIN, "float": 0.5, "double": -2.25,
            "nan": "NaN", "bytes": "/wA=", "text": "ü", "fixed": "AQI=", "again": "AwQ=", "suit": "B",
            "some": "s", "none": null, "list": [1, 2], "map": {"k": 1}, "price": "-123.45",
            "day": 20_000, "at": 5, "id": id, "span": {"months": 1, "days": 2, "millis": 3},
        })
    );
}

const EVERY_FINGERPRINT: [u8; 8] = [0xe1, 0xce, 0x51, 0x9c, 0x20, 0x7f, 0x2c, 0x5e];

#[test]
fn what_is_no_event_says_why() {
    let schemas = EventSchemas::new();
    let error = |payload: &[u8]| decode_event(payload, [], &schemas).unwrap_err();
    assert!(matches!(error(b""), DecodeError::Garbage { .. }));
    assert!(matches!(error(b"\xc3\x01"), DecodeError::Garbage { .. }));
    assert!(matches!(
        error(b"\x00\x00\x00\x00\x01x"),
        DecodeError::UnknownSchema { .. }
    ));
    assert!(matches!(
        error(b"\xc3\x0112345678"),
        DecodeError::UnknownSchema { .. }
    ));
    assert!(matches!(error(b"{"), DecodeError::Malformed { .. }));
    assert!(matches!(error(b"\xff\xfe"), DecodeError::Malformed { .. }));
    assert!(matches!(
        error(&vec![b' '; (1 << 20) + 1]),
        DecodeError::TooLarge { .. }
    ));
    EventSchemas::new().with_schema("{}").unwrap_err();
    EventSchemas::new().with_schema("not json").unwrap_err();
}

#[test]
fn a_structured_event_that_is_none_is_malformed() {
    for payload in [
        "[]",
        r#"{"data": 1, "data_base64": "AA=="}"#,
        r#"{"data_base64": "?"}"#,
        r#"{"data_base64": 1}"#,
    ] {
        let headers = [("content-type", &b"application/cloudevents+json"[..])];
        let error = decode_event(payload.as_bytes(), headers, &EventSchemas::new()).unwrap_err();
        assert!(
            matches!(error, DecodeError::Malformed { .. }),
            "{payload}: {error}"
        );
    }
}

#[test]
fn any_value_is_read_and_says_what_it_was_written_with() {
    let schemas = EventSchemas::new();
    let command = schemas
        .read(
            &Codec::single_object()
                .encode_command(&support::command())
                .unwrap(),
        )
        .unwrap();
    assert_eq!(command.schema.as_deref(), Some("backstitch.v1.Command"));
    assert_eq!(command.kind, Some(RecordKind::Command));
    assert!(command.value["idempotency_key"].is_string());
    let plain = schemas.read(b"{\"a\": 1}").unwrap();
    assert_eq!((plain.schema, plain.kind), (None, None));
    assert_eq!(plain.value, json!({"a": 1}));
    assert!(matches!(
        schemas.read(b"\x00\x00\x00\x00\x07\x02a"),
        Err(DecodeError::UnknownSchema { .. })
    ));
}

#[test]
fn a_schema_that_was_given_reads_what_names_none() {
    let avsc = r#"{"type": "record", "name": "shop.Note", "fields": [{"name": "text", "type": "string"}]}"#;
    let schemas = EventSchemas::new().with_schema_otherwise(avsc).unwrap();
    let bare = b"\x04hi";
    let framed_by_a_registry_that_is_away = b"\x00\x00\x00\x00\x07\x04hi";
    for bytes in [&bare[..], framed_by_a_registry_that_is_away] {
        let read = schemas.read(bytes).unwrap();
        assert_eq!(read.value, json!({"text": "hi"}));
        assert_eq!(read.schema.as_deref(), Some("shop.Note"));
    }
    // What is no such record, and is JSON, is JSON all the same; what is neither says what is wrong.
    assert_eq!(schemas.read(b"{\"a\": 1}").unwrap().schema, None);
    let wrong = schemas.read(b"\x09").unwrap_err();
    assert!(wrong.to_string().contains("shop.Note"), "{wrong}");
    // A record that names its schema is read with that.
    let own = schemas
        .read(
            &Codec::single_object()
                .encode_reply(&support::reply())
                .unwrap(),
        )
        .unwrap();
    assert_eq!(own.kind, Some(RecordKind::Reply));
}

//! The registry's client against an HTTP server that behaves as Confluent's documentation says.

#![cfg(feature = "registry")]
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstitch_schemas::wire::Topics;
use backstitch_schemas::{
    Codec, DecodeError, EncodeError, EventSchemas, InboxMessage, RecordKind, Registry,
    RegistryConfig, RegistryError, decode_event,
};
use serde_json::{Value, json};
use support::Any;

/// A registry on a loopback port. It ends with the process.
#[derive(Clone)]
struct Server {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What each id stands for, as `GET /schemas/ids/{id}` answers it.
    schemas: BTreeMap<u64, Value>,
    /// The versions of each subject, as ids.
    subjects: BTreeMap<String, Vec<u64>>,
    requests: Vec<String>,
    /// Where set, every answer has this status.
    broken: Option<u16>,
    /// Where set, the `authorization` header that each request must have.
    authorization: Option<String>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}/", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &state);
            }
        });
        server
    }

    fn client(&self) -> Registry {
        Registry::new(RegistryConfig::new(self.url.as_str())).unwrap()
    }

    fn set(&self, id: u64, schema: Value) {
        self.state.lock().unwrap().schemas.insert(id, schema);
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let request = line.trim_end_matches(" HTTP/1.1\r\n").to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let (status, answer) = if let Some(status) = state.broken {
        (
            status,
            json!({"error_code": 50001, "message": "Error in the backend data store"}),
        )
    } else if state.authorization.is_some() && state.authorization != authorization {
        (401, json!({"error_code": 401, "message": "Unauthorized"}))
    } else {
        route(&mut state, &request, body)
    };
    let text = answer.to_string();
    let length = text.len();
    let head =
        format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let mut stream = reader.into_inner();
    stream.write_all((head + &text).as_bytes()).unwrap();
}

fn route(state: &mut State, request: &str, mut body: Value) -> (u16, Value) {
    let (method, path) = request.split_once(' ').unwrap();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let missing = |code: u64, what: &str| (404, json!({"error_code": code, "message": what}));
    match (method, parts.as_slice()) {
        ("GET", ["schemas", "ids", id]) => match state.schemas.get(&id.parse().unwrap()) {
            Some(schema) => (200, schema.clone()),
            None => missing(40403, "Schema not found"),
        },
        ("POST", ["subjects", subject, "versions"]) => {
            body.as_object_mut().unwrap().remove("schemaType");
            let known = state.schemas.iter().find(|(_, known)| **known == body);
            let id = known.map_or(state.schemas.len() as u64 + 1, |(id, _)| *id);
            state.schemas.insert(id, body);
            let versions = state.subjects.entry((*subject).to_owned()).or_default();
            if !versions.contains(&id) {
                versions.push(id);
            }
            (200, json!({"id": id}))
        }
        ("POST", ["subjects", subject]) => {
            body.as_object_mut().unwrap().remove("schemaType");
            let Some(versions) = state.subjects.get(*subject) else {
                return missing(40401, "Subject not found");
            };
            match versions.iter().find(|id| state.schemas[id] == body) {
                Some(id) => (200, json!({"subject": subject, "id": id, "version": 1})),
                None => missing(40403, "Schema not found"),
            }
        }
        ("GET", ["subjects", subject, "versions", version]) => {
            let version: usize = version.parse().unwrap();
            match state
                .subjects
                .get(*subject)
                .and_then(|ids| ids.get(version - 1))
            {
                Some(id) => (200, state.schemas[id].clone()),
                None => missing(40402, "Version not found"),
            }
        }
        _ => missing(404, "HTTP 404 Not Found"),
    }
}

#[test]
fn each_record_travels_in_the_confluent_framing() {
    let server = Server::start();
    let writer = Codec::confluent(server.client());
    let reader = Codec::confluent(server.client());
    for kind in RecordKind::ALL {
        let record = Any::sample(kind);
        let bytes = record.encode(&writer);
        assert_eq!(bytes[0], 0);
        let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        assert!(id > 0);
        assert_eq!(Any::decode(kind, &reader, &bytes).unwrap(), record);
        // Both framings are read, and the datum is the same in both.
        let single = record.encode(&Codec::single_object());
        assert_eq!(single[10..], bytes[5..]);
        assert_eq!(Any::decode(kind, &reader, &single).unwrap(), record);
    }
    let bytes = writer.encode_act(&support::act()).unwrap();
    let message = reader.decode_inbox(&bytes).unwrap();
    assert_eq!(message, InboxMessage::Act(support::act()));
}

#[test]
fn the_registry_is_asked_once_for_each_schema() {
    let server = Server::start();
    let codec = Codec::confluent(server.client());
    for _ in 0..3 {
        let bytes = codec.encode_reply(&support::reply()).unwrap();
        codec.clone().decode_reply(&bytes).unwrap();
    }
    assert_eq!(
        server.requests(),
        [
            "POST /subjects/backstitch.v1.Reply/versions",
            "GET /schemas/ids/1"
        ]
    );
    // An id that nobody knows is not asked for with every record.
    for _ in 0..3 {
        let error = codec.decode_reply(b"\0\0\0\0\x63 ").unwrap_err();
        assert!(
            matches!(error, DecodeError::UnknownSchema { .. }),
            "{error}"
        );
    }
    assert_eq!(server.requests(), ["GET /schemas/ids/99"]);
}

#[test]
fn register_names_the_subjects_that_other_tools_look_for() {
    let server = Server::start();
    let codec = Codec::confluent(server.client());
    let topics = Topics::new("shop");
    codec.register(&topics, ["charge-payment"]).unwrap();
    let state = server.state.lock().unwrap();
    let subjects: Vec<&str> = state.subjects.keys().map(String::as_str).collect();
    assert_eq!(
        subjects,
        [
            "backstitch.v1.Act",
            "backstitch.v1.Command",
            "backstitch.v1.DeadLetter",
            "backstitch.v1.Decision",
            "backstitch.v1.Definition",
            "backstitch.v1.Event",
            "backstitch.v1.JournalEntry",
            "backstitch.v1.Reply",
            "backstitch.v1.Start",
            "backstitch.v1.Undo",
            "backstitch.v1.Want",
            "shop.commands.charge-payment-value",
            "shop.dead-letters-value",
            "shop.inbox-backstitch.v1.Act",
            "shop.inbox-backstitch.v1.Decision",
            "shop.inbox-backstitch.v1.Event",
            "shop.inbox-backstitch.v1.Reply",
            "shop.inbox-backstitch.v1.Start",
            "shop.inbox-backstitch.v1.Undo",
            "shop.inbox-backstitch.v1.Want",
            "shop.journal-backstitch.v1.Definition",
            "shop.journal-backstitch.v1.JournalEntry",
        ]
    );
    assert_eq!(
        state.subjects["shop.commands.charge-payment-value"],
        state.subjects["backstitch.v1.Command"]
    );
}

#[test]
fn a_reply_of_another_version_is_resolved() {
    let server = Server::start();
    // A newer worker: a field more, the fields in another order, one of ours left out.
    let newer = r#"{"type":"record","name":"Reply","namespace":"backstitch.v1","fields":[
        {"name":"mood","type":"string"},
        {"name":"at_ms","type":"int"},
        {"name":"saga","type":"string"},
        {"name":"step","type":"string"},
        {"name":"direction","type":{"type":"enum","name":"Direction","symbols":["UNDO","DO"]}},
        {"name":"attempt","type":"int"},
        {"name":"idempotency_key","type":"string"},
        {"name":"outcome","type":{"type":"enum","name":"Outcome","symbols":["DONE"]}},
        {"name":"output","type":["null","bytes"],"default":null}
    ]}"#;
    server.set(7, json!({ "schema": newer }));
    let datum = [
        b"\x06joy".as_slice(), // mood
        &[84],                 // at_ms 42
        b"\x04s1",
        b"\x06pay",
        &[2], // DO
        &[8], // attempt 4
        b"\x02k",
        &[0],          // DONE
        b"\x02\x04{}", // output
    ]
    .concat();
    let codec = Codec::confluent(server.client());
    let message = [b"\0\0\0\0\x07".as_slice(), &datum].concat();
    let reply = codec.decode_reply(&message).unwrap();
    assert_eq!((reply.saga.as_str(), reply.step.as_str()), ("s1", "pay"));
    assert_eq!(reply.direction, backstitch_schemas::Direction::Do);
    assert_eq!(reply.outcome, backstitch_schemas::ReplyOutcome::Done);
    assert_eq!((reply.attempt, reply.at_ms), (4, 42));
    assert_eq!(reply.output.as_deref(), Some(&b"{}"[..]));
    assert_eq!((reply.code, reply.reason, reply.worker), (None, None, None));
    assert!(matches!(
        codec.decode_inbox(&message).unwrap(),
        InboxMessage::Reply(_)
    ));
    // apache-avro alone would read a reply that is cut off as one with nulls.
    for len in 0..datum.len() {
        let error = codec.decode_reply(&message[..5 + len]).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
    }
}

#[test]
fn a_schema_that_lacks_what_a_reply_needs_is_malformed() {
    let server = Server::start();
    let poor = r#"{"type":"record","name":"Reply","namespace":"backstitch.v1","fields":[
        {"name":"saga","type":"string"}]}"#;
    server.set(7, json!({ "schema": poor }));
    server.set(8, json!({ "schema": "nonsense" }));
    server.set(
        9,
        json!({ "schemaType": "PROTOBUF", "schema": "syntax = \"proto3\";" }),
    );
    server.set(10, json!({ "schema": "\"string\"" }));
    let codec = Codec::confluent(server.client());
    let reason = |message: &[u8]| {
        codec
            .decode_inbox(message)
            .unwrap_err()
            .reason()
            .unwrap()
            .as_str()
    };
    assert_eq!(reason(b"\0\0\0\0\x07\x02s"), "undecodable");
    assert_eq!(reason(b"\0\0\0\0\x08\x02s"), "undecodable");
    assert_eq!(reason(b"\0\0\0\0\x09\x02s"), "undecodable");
    assert_eq!(reason(b"\0\0\0\0\x0a\x02s"), "wrong_type");
}

#[test]
fn a_registry_that_is_away_blames_no_record() {
    let server = Server::start();
    let codec = Codec::confluent(server.client());
    let bytes = codec.encode_reply(&support::reply()).unwrap();
    let fresh = Codec::confluent(server.client());
    server.state.lock().unwrap().broken = Some(503);
    let error = fresh.decode_reply(&bytes).unwrap_err();
    assert!(error.reason().is_none(), "{error}");
    let error = fresh.encode_reply(&support::reply()).unwrap_err();
    assert!(
        matches!(
            error,
            EncodeError::Registry(RegistryError::Unavailable { .. })
        ),
        "{error}"
    );
    server.state.lock().unwrap().broken = None;
    assert_eq!(fresh.decode_reply(&bytes).unwrap(), support::reply());

    // Nobody listens at all.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut config = RegistryConfig::new(format!("http://{port}"));
    config.timeout = Duration::from_secs(2);
    let error = Codec::confluent(Registry::new(config).unwrap())
        .decode_reply(&bytes)
        .unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::Registry(RegistryError::Unavailable { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_registry_wants_the_right_password() {
    let server = Server::start();
    // The example of RFC 7617.
    server.state.lock().unwrap().authorization =
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
    let error = server.client().register("s", RecordKind::Act).unwrap_err();
    assert!(
        matches!(error, RegistryError::Refused { status: 401, .. }),
        "{error}"
    );
    let mut config = RegistryConfig::new(server.url.as_str());
    config.basic_auth = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
    assert!(!format!("{config:?}").contains("sesame"));
    Registry::new(config)
        .unwrap()
        .register("s", RecordKind::Act)
        .unwrap();
}

#[test]
fn without_auto_register_a_missing_schema_is_an_error_and_a_present_one_is_found() {
    let server = Server::start();
    let mut config = RegistryConfig::new(server.url.as_str());
    config.auto_register = false;
    let careful = Registry::new(config).unwrap();
    let error = careful
        .register("orders-value", RecordKind::OrderPlaced)
        .unwrap_err();
    assert!(matches!(error, RegistryError::Missing { .. }), "{error}");
    let subject = Registry::subject("orders");
    let id = server
        .client()
        .register(&subject, RecordKind::OrderPlaced)
        .unwrap();
    assert_eq!(
        careful.register(&subject, RecordKind::OrderPlaced).unwrap(),
        id
    );
}

#[test]
fn events_in_the_confluent_framing_are_read_as_avro_or_json() {
    let server = Server::start();
    let registry = server.client();
    let schemas = EventSchemas::new().with_registry(registry.clone());
    let order = support::order_placed();
    let avro = Codec::confluent(registry)
        .encode_order_placed(&order)
        .unwrap();
    let event = decode_event(&avro, [], &schemas).unwrap();
    assert_eq!(event.value["address"]["city"], "Düsseldorf");
    server.set(20, json!({ "schemaType": "JSON", "schema": "{}" }));
    let event = decode_event(b"\0\0\0\0\x14{\"a\":1}", [], &schemas).unwrap();
    assert_eq!(event.value, json!({"a": 1}));
}

#[test]
fn an_event_schema_may_refer_to_others() {
    let server = Server::start();
    let sku = r#"{"type":"enum","name":"Sku","namespace":"shop","symbols":["a","b","c"]}"#;
    let line = r#"{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"sku","type":"Sku"}]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"first","type":"shop.Line"},{"name":"more","type":{"type":"array","items":"shop.Line"}}]}"#;
    let names = |subject: &str| json!([{"name": subject, "subject": subject, "version": 1}]);
    for (id, subject, schema) in [
        (1, "shop.Sku", json!({ "schema": sku })),
        (
            2,
            "shop.Line",
            json!({ "schema": line, "references": names("shop.Sku") }),
        ),
        (
            3,
            "shop.Order",
            json!({ "schema": order, "references": names("shop.Line") }),
        ),
    ] {
        server.set(id, schema);
        let mut state = server.state.lock().unwrap();
        state.subjects.insert(subject.to_owned(), vec![id]);
    }
    let schemas = EventSchemas::new().with_registry(server.client());
    let event = decode_event(b"\0\0\0\0\x03\x00\x04\x02\x04\0", [], &schemas).unwrap();
    assert_eq!(
        event.value,
        json!({"first": {"sku": "a"}, "more": [{"sku": "b"}, {"sku": "c"}]})
    );
}

#[test]
fn an_address_that_cannot_work_is_refused_at_start() {
    for url in [
        "",
        "localhost:8081",
        "https://registry:443",
        "ftp://registry",
    ] {
        let error = Registry::new(RegistryConfig::new(url)).unwrap_err();
        assert!(
            matches!(error, RegistryError::BadAddress { .. }),
            "{url}: {error}"
        );
    }
}

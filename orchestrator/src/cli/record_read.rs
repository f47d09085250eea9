//! What a record says: its value decoded as far as anything here knows how. Whatever it holds, it is never an error.

use std::path::Path;
use std::time::{Duration, Instant};

use backstitch_broker::IncomingRecord;
use backstitch_saga::{Change, Entry};
use backstitch_schemas::{DecodeError, EventSchemas, Limits, ReadValue, RecordKind};
use serde_json::{Value, json};

use super::changes;
use super::context::Context;
use super::error::CliError;
use super::text::{base64, hex, unbase64};

/// One record at a time is read, for a person who wants to see it: much more than what an engine may spend.
const LIMITS: Limits = Limits {
    input_bytes_max: 64 << 20,
    allocation_max: 1 << 30,
    depth_max: 64,
    json_depth_max: 100,
};
/// How long a registry that did not answer is left alone: a list would wait for it with each record.
const REGISTRY_REST: Duration = Duration::from_secs(10);

/// Reads records.
#[derive(Debug)]
pub(crate) struct Reader {
    schemas: EventSchemas,
    /// When the registry did not answer, and why.
    registry_away: Option<(Instant, String)>,
}

/// What a value turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// Kafka's null: a tombstone.
    Null,
    /// A record of this schema.
    Avro {
        /// Its full name.
        schema: String,
        /// As JSON.
        value: Value,
    },
    /// JSON.
    Json(Value),
    /// Text that is no JSON.
    Text(String),
    /// None of these.
    Bytes,
}

/// A record as far as it is understood.
#[derive(Debug)]
pub(crate) struct Understood {
    /// Its value.
    pub(crate) seen: Seen,
    /// Why no more of it is understood, where it looks as if it should be.
    pub(crate) undecoded: Option<String>,
    /// What a journal entry tells.
    pub(crate) entry: Option<EntryWords>,
}

/// A journal entry in words.
#[derive(Debug)]
pub(crate) struct EntryWords {
    /// The saga's number of it.
    pub(crate) seq: i64,
    /// How the saga stands after it.
    pub(crate) status: String,
    /// What led to it.
    pub(crate) cause: String,
    /// What changed.
    pub(crate) changes: Vec<String>,
}

impl Reader {
    /// Knows what the configuration knows, and the schema in a file if one is given.
    pub(crate) fn new(context: &Context, schema: Option<&Path>) -> Result<Self, CliError> {
        let mut schemas = context.config().event_schemas()?.with_limits(LIMITS);
        if let Some(path) = schema {
            let name = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| CliError::usage(format!("cannot read {name}: {error}")))?;
            schemas = schemas
                .with_schema_otherwise(&text)
                .map_err(|error| CliError::usage(format!("{name}: {error}")))?;
        }
        Ok(Self {
            schemas,
            registry_away: None,
        })
    }

    /// Reads a record's value.
    pub(crate) fn read(&mut self, record: &IncomingRecord) -> Understood {
        let Some(bytes) = record.payload.as_deref() else {
            return Understood {
                seen: Seen::Null,
                undecoded: None,
                entry: None,
            };
        };
        match self.decode(bytes) {
            Ok(read) => self.understood(read),
            Err(reason) => {
                let seen = match std::str::from_utf8(bytes) {
                    Ok(text) if is_readable(text) => Seen::Text(text.to_owned()),
                    Ok(_) | Err(_) => Seen::Bytes,
                };
                // Plain text is no failed JSON.
                let is_plain =
                    matches!(&seen, Seen::Text(text) if !text.trim_start().starts_with(['{', '[']));
                Understood {
                    undecoded: (!is_plain).then_some(reason),
                    seen,
                    entry: None,
                }
            }
        }
    }

    /// A key as JSON: text where it is text, the value of its Avro record where it is framed as one; `None` where it is neither.
    pub(crate) fn key(&mut self, bytes: &[u8]) -> Option<Value> {
        if let Ok(text) = std::str::from_utf8(bytes)
            && is_readable(text)
        {
            return Some(Value::from(text));
        }
        self.decode(bytes).ok().map(|read| read.value)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<ReadValue, String> {
        if bytes.is_empty() {
            return Err("it is empty".to_owned());
        }
        if bytes.first() == Some(&0)
            && let Some((since, reason)) = &self.registry_away
            && since.elapsed() < REGISTRY_REST
        {
            return Err(reason.clone());
        }
        self.schemas.read(bytes).map_err(|error| {
            let reason = CliError::of(&error).message().to_owned();
            if matches!(error, DecodeError::Registry(_)) {
                self.registry_away = Some((Instant::now(), reason.clone()));
            }
            reason
        })
    }

    fn understood(&mut self, read: ReadValue) -> Understood {
        let Some(schema) = read.schema else {
            return Understood {
                seen: Seen::Json(read.value),
                undecoded: None,
                entry: None,
            };
        };
        let mut value = read.value;
        let mut undecoded = None;
        let mut entry = None;
        match read.kind {
            Some(RecordKind::JournalEntry) => {
                match words_of(&value) {
                    Ok(words) => entry = Some(words),
                    Err(reason) => undecoded = Some(reason),
                }
                open_documents(&mut value, &["body"]);
                for name in ["previous_hash", "hash"] {
                    if let Some(bytes) = unbase64(&value[name]) {
                        value[name] = hex(&bytes).into();
                    }
                }
            }
            Some(RecordKind::DeadLetter) => self.open_dead_letter(&mut value),
            Some(RecordKind::Command) => open_documents(&mut value, &["input", "output"]),
            Some(RecordKind::Reply) => open_documents(&mut value, &["output"]),
            Some(RecordKind::Start) => open_documents(&mut value, &["event"]),
            Some(RecordKind::Event) => open_documents(&mut value, &["value"]),
            Some(
                RecordKind::Act
                | RecordKind::Want
                | RecordKind::Undo
                | RecordKind::Decision
                | RecordKind::Definition
                | RecordKind::OrderPlaced,
            )
            | None => {}
        }
        Understood {
            seen: Seen::Avro { schema, value },
            undecoded,
            entry,
        }
    }

    /// A dead letter carries a whole record, which is read as it would have been where it lay.
    fn open_dead_letter(&mut self, letter: &mut Value) {
        if let Some(bytes) = unbase64(&letter["key"])
            && let Some(key) = self.key(&bytes)
        {
            letter["key"] = key;
        }
        if let Some(bytes) = unbase64(&letter["value"]) {
            letter["value"] = match (self.decode(&bytes), std::str::from_utf8(&bytes)) {
                (Ok(read), _) => read.value,
                (Err(_), Ok(text)) if is_readable(text) => text.into(),
                (Err(_), Ok(_) | Err(_)) => json!({ "base64": base64(&bytes) }),
            };
        }
        for header in letter["headers"].as_array_mut().into_iter().flatten() {
            if let Some(bytes) = unbase64(&header["value"])
                && let Ok(text) = String::from_utf8(bytes)
            {
                header["value"] = text.into();
            }
        }
    }
}

/// Fields of our own records that hold JSON as bytes, shown as what they hold.
fn open_documents(record: &mut Value, names: &[&str]) {
    for name in names {
        if let Some(bytes) = unbase64(&record[*name])
            && let Ok(document) = serde_json::from_slice(&bytes)
        {
            record[*name] = document;
        }
    }
}

/// What a journal entry tells, in words.
fn words_of(entry: &Value) -> Result<EntryWords, String> {
    let body = unbase64(&entry["body"]).unwrap_or_default();
    let body = Entry::read_body(&body)
        .map_err(|error| format!("the body of the entry cannot be read: {error}"))?;
    let at_ms = entry["at_ms"].as_i64().unwrap_or_default();
    Ok(EntryWords {
        seq: entry["saga_seq"].as_i64().unwrap_or_default(),
        status: entry["status"].as_str().unwrap_or_default().to_owned(),
        cause: changes::cause(&body.cause),
        changes: body
            .changes
            .iter()
            // The next line says where it went.
            .filter(|change| !matches!(change, Change::Left { .. }))
            .map(|change| changes::change(change, at_ms))
            .collect(),
    })
}

/// Whether a text is one that people can read.
pub(crate) fn is_readable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use backstitch_schemas::{
        Codec, DeadLetter, DeadLetterReason, HeaderField, Registry, RegistryConfig,
    };

    use super::*;

    fn reader() -> Reader {
        Reader {
            schemas: EventSchemas::new().with_limits(LIMITS),
            registry_away: None,
        }
    }

    fn record(payload: Option<&[u8]>) -> IncomingRecord {
        IncomingRecord {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            generation: 0,
            key: None,
            payload: payload.map(<[u8]>::to_vec),
            headers: Default::default(),
            timestamp_ms: 0,
        }
    }

    #[test]
    fn whatever_lies_on_a_topic_is_shown_as_what_it_is() {
        let mut reader = reader();
        let mut see = |payload| {
            let understood = reader.read(&record(payload));
            (understood.seen, understood.undecoded)
        };
        assert_eq!(see(None), (Seen::Null, None));
        assert_eq!(see(Some(b"{\"a\":1}")), (Seen::Json(json!({"a": 1})), None));
        assert_eq!(see(Some(b"42")), (Seen::Json(json!(42)), None));
        assert_eq!(see(Some(b"hello")), (Seen::Text("hello".to_owned()), None));
        let (seen, why) = see(Some(b"{\"a\":"));
        assert_eq!(seen, Seen::Text("{\"a\":".to_owned()));
        assert!(why.unwrap().contains("JSON"));
        let (seen, why) = see(Some(b"\xff\xfe\x00"));
        assert_eq!(seen, Seen::Bytes);
        assert!(why.is_some());
        let (seen, why) = see(Some(b""));
        assert_eq!((seen, why), (Seen::Text(String::new()), None));
        let (seen, why) = see(Some(b"\x00\x00\x00\x00\x07abc"));
        assert_eq!(seen, Seen::Bytes);
        assert!(why.unwrap().contains('7'), "the registry's id is told");
        let (seen, why) = see(Some(b"\xc3\x01"));
        assert_eq!(seen, Seen::Bytes);
        assert!(why.is_some());
    }

    #[test]
    fn a_registry_that_is_away_is_told_of_and_not_waited_for_with_each_record() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = RegistryConfig::new(format!("http://{}", listener.local_addr().unwrap()));
        config.timeout = Duration::from_millis(100);
        let mut reader = reader();
        reader.schemas = EventSchemas::new().with_registry(Registry::new(config).unwrap());
        for id in 0..3 {
            let understood = reader.read(&record(Some(&[0, 0, 0, 0, id, 7])));
            assert_eq!(understood.seen, Seen::Bytes);
            let why = understood.undecoded.unwrap();
            assert!(why.contains("schema 0"), "{why}");
        }
        listener.set_nonblocking(true).unwrap();
        let asked = std::iter::from_fn(|| listener.accept().ok()).count();
        assert_eq!(asked, 1);
        // What needs no registry is read as ever.
        let understood = reader.read(&record(Some(b"{}")));
        assert_eq!(understood.seen, Seen::Json(json!({})));
    }

    #[test]
    fn a_dead_letter_shows_the_record_in_it() {
        let mut letter = DeadLetter {
            reason: DeadLetterReason::UnknownSaga,
            detail: "no such saga".to_owned(),
            topic: "orders".to_owned(),
            partition: 1,
            offset: 7,
            timestamp_ms: 0,
            key: Some(b"4711".to_vec()),
            value: Some(b"{\"order_id\":\"4711\"}".to_vec()),
            headers: vec![HeaderField {
                name: "a".to_owned(),
                value: Some(b"b".to_vec()),
            }],
            by: "test".to_owned(),
            at_ms: 0,
        };
        let see = |letter: &DeadLetter| {
            let bytes = Codec::single_object().encode_dead_letter(letter).unwrap();
            let Seen::Avro { schema, value } = reader().read(&record(Some(&bytes))).seen else {
                panic!("a dead letter is Avro")
            };
            assert_eq!(schema, "backstitch.v1.DeadLetter");
            value
        };
        let value = see(&letter);
        assert_eq!(value["key"], "4711");
        assert_eq!(value["value"], json!({"order_id": "4711"}));
        assert_eq!(value["headers"], json!([{"name": "a", "value": "b"}]));
        letter.value = Some(vec![0xff, 0]);
        assert_eq!(see(&letter)["value"], json!({"base64": "/wA="}));
    }
}

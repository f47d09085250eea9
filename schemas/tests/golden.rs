//! The bytes on the wire are what they were, and what other implementations read and write.
//!
//! `BACKSTITCH_WRITE_GOLDEN=1` writes the golden files anew, for a new schema. A change to one that
//! exists is a change of the wire.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use backstitch_schemas::{
    Act, ActKind, Codec, Command as StepCommand, DeadLetter, Decision, Direction, EventSchemas,
    HeaderField, InboxMessage, JournalEntry, OrderPlaced, Parent, RecordKind, Reply, ReplyOutcome,
    SourcePosition, Start, Undo, WaitEvent, Want, decode_event,
};
use support::Any;

/// Bytes of a single-object frame.
const FRAME_LEN: usize = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn file(kind: RecordKind) -> String {
    let name = kind.name().rsplit('.').next().unwrap();
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden_bytes(kind: RecordKind) -> Vec<u8> {
    let text = std::fs::read_to_string(folder().join(file(kind) + ".hex")).unwrap();
    let digits: Vec<u8> = text.split_whitespace().flat_map(str::bytes).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn golden_json(kind: RecordKind) -> serde_json::Value {
    let text = std::fs::read_to_string(folder().join(file(kind) + ".json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn each_record_has_its_golden_bytes() {
    let codec = Codec::single_object();
    for kind in RecordKind::ALL {
        let record = Any::sample(kind);
        let bytes = record.encode(&codec);
        let event = decode_event(&bytes, [], &EventSchemas::new()).unwrap();
        if std::env::var_os("BACKSTITCH_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            let lines: Vec<String> = bytes.chunks(32).map(hex).collect();
            std::fs::write(folder().join(file(kind) + ".hex"), lines.join("\n") + "\n").unwrap();
            let json = serde_json::to_string_pretty(&event.value).unwrap();
            std::fs::write(folder().join(file(kind) + ".json"), json + "\n").unwrap();
        }
        assert_eq!(hex(&bytes), hex(&golden_bytes(kind)), "{kind:?}");
        assert_eq!(event.value, golden_json(kind), "{kind:?}");
        let read = Any::decode(kind, &codec, &golden_bytes(kind)).unwrap();
        assert_eq!(read, record);
    }
}

/// `golden/released` has what earlier releases wrote, as it still lies on topics.
fn released_bytes(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder().join("released").join(name)).unwrap();
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_command_of_the_first_release_is_read_and_asks_for_no_heartbeats() {
    let expected = StepCommand {
        heartbeat_ms: None,
        ..support::command()
    };
    let codec = Codec::single_object();
    let bytes = released_bytes("command.1.hex");
    assert_eq!(codec.decode_command(&bytes).unwrap(), expected);
}

#[test]
fn a_start_of_the_first_release_is_read_and_has_no_parent() {
    let bytes = released_bytes("start.1.hex");
    let expected = Start {
        parent: None,
        ..support::start()
    };
    let codec = Codec::single_object();
    assert_eq!(
        codec.decode_inbox(&bytes).unwrap(),
        InboxMessage::Start(expected)
    );
}

/// What reads messages of the first release drops what it does not know.
#[test]
fn the_first_release_reads_a_start_of_today() {
    let first = Schema::parse_str(RecordKind::Start.released()[0]).unwrap();
    let today = Schema::parse_str(RecordKind::Start.avsc()).unwrap();
    let bytes = Any::sample(RecordKind::Start).encode(&Codec::single_object());
    let reader = GenericDatumReader::builder(&today)
        .reader_schema(&first)
        .build()
        .unwrap();
    let value = reader.read_value(&mut &bytes[FRAME_LEN..]).unwrap();
    let mut expected = golden_json(RecordKind::Start);
    expected.as_object_mut().unwrap().remove("parent");
    assert_eq!(as_json(&value), expected);
}

#[test]
fn no_cut_golden_record_is_read() {
    let codec = Codec::single_object();
    for kind in RecordKind::ALL {
        let bytes = golden_bytes(kind);
        for len in 0..bytes.len() {
            Any::decode(kind, &codec, &bytes[..len]).unwrap_err();
            decode_event(&bytes[..len], [], &EventSchemas::new()).unwrap_err();
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        Any::decode(kind, &codec, &longer).unwrap_err();
        decode_event(&longer, [], &EventSchemas::new()).unwrap_err();
    }
}

/// Holds our codec against apache-avro's generic one, in both directions.
fn assert_same_as_apache_avro(kind: RecordKind, record: &Any) {
    let codec = Codec::single_object();
    let bytes = record.encode(&codec);
    let schema = Schema::parse_str(kind.avsc()).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let mut rest = &bytes[FRAME_LEN..];
    let value = reader.read_value(&mut rest).unwrap();
    assert!(rest.is_empty());
    let event = decode_event(&bytes, [], &EventSchemas::new()).unwrap();
    assert_eq!(as_json(&value), event.value);
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let theirs = writer.write_value_to_vec(value).unwrap();
    assert_eq!(hex(&theirs), hex(&bytes[FRAME_LEN..]));
    let framed = [&bytes[..FRAME_LEN], &theirs].concat();
    assert_eq!(&Any::decode(kind, &codec, &framed).unwrap(), record);
}

/// What apache-avro read, by the rules that events are read by.
fn as_json(value: &Value) -> serde_json::Value {
    use base64::Engine as _;
    use serde_json::json;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the wire's schemas have no other types"
    )]
    match value {
        Value::Null => json!(null),
        Value::Boolean(truth) => json!(truth),
        Value::Int(number) => json!(number),
        Value::Long(number) | Value::TimestampMillis(number) => json!(number),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => {
            json!(base64::prelude::BASE64_STANDARD.encode(bytes))
        }
        Value::Union(_, value) => as_json(value),
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Record(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), as_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_codec_is_the_same_as_apache_avros() {
    for kind in RecordKind::ALL {
        assert_same_as_apache_avro(kind, &Any::sample(kind));
    }
    // SplitMix64: the same records on every machine.
    let mut dice = Dice(1);
    for _ in 0..500 {
        for kind in RecordKind::ALL {
            assert_same_as_apache_avro(kind, &dice.record(kind));
        }
    }
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }

    /// Numbers of every length, the extremes among them.
    fn long(&mut self) -> i64 {
        match self.below(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => self.next().cast_signed() >> self.below(64),
        }
    }

    fn int(&mut self) -> i32 {
        (self.long() & 0xffff_ffff).try_into().unwrap_or(i32::MIN)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.below(4) {
            0 => 0,
            1 => self.below(300),
            _ => self.below(12),
        };
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn direction(&mut self) -> Direction {
        [Direction::Do, Direction::Undo][self.below(2)]
    }

    fn parent(&mut self) -> Parent {
        Parent {
            saga: self.text(),
            step: self.text(),
            idempotency_key: self.text(),
        }
    }

    fn record(&mut self, kind: RecordKind) -> Any {
        match kind {
            RecordKind::Start => Any::Start(Start {
                definition: self.text(),
                saga: self.text(),
                event: self.bytes(),
                source: self.maybe(|dice| SourcePosition {
                    topic: dice.text(),
                    partition: dice.int(),
                    offset: dice.long(),
                }),
                event_time_ms: self.long(),
                by: self.maybe(Self::text),
                at_ms: self.long(),
                parent: self.maybe(Self::parent),
            }),
            RecordKind::Event => Any::Event(WaitEvent {
                saga: self.text(),
                step: self.maybe(Self::text),
                value: self.bytes(),
                source: SourcePosition {
                    topic: self.text(),
                    partition: self.int(),
                    offset: self.long(),
                },
                until_ms: self.maybe(Self::long),
                at_ms: self.long(),
            }),
            RecordKind::Want => Any::Want(Want {
                waiter: self.text(),
                step: self.text(),
                cancel: self.below(2) == 0,
                at_ms: self.long(),
                ..support::want()
            }),
            RecordKind::Undo => Any::Undo(Undo {
                idempotency_key: self.text(),
                parent: self.parent(),
                at_ms: self.long(),
                ..support::undo()
            }),
            RecordKind::Decision => Any::Decision(Decision {
                step: self.maybe(Self::text),
                approved: self.below(2) == 0,
                by: self.text(),
                role: self.maybe(Self::text),
                reason: self.maybe(Self::text),
                ..support::decision()
            }),
            RecordKind::Command => Any::Command(StepCommand {
                saga: self.text(),
                direction: self.direction(),
                attempt: self.int(),
                done_key: self.maybe(Self::text),
                input: self.bytes(),
                output: self.maybe(Self::bytes),
                reply_partition: self.int(),
                sent_at_ms: self.long(),
                deadline_ms: self.long(),
                heartbeat_ms: self.maybe(Self::long),
                ..support::command()
            }),
            RecordKind::Reply => Any::Reply(Reply {
                saga: self.text(),
                direction: self.direction(),
                attempt: self.int(),
                outcome: [
                    ReplyOutcome::Done,
                    ReplyOutcome::Failed,
                    ReplyOutcome::Refused,
                    ReplyOutcome::Heartbeat,
                ][self.below(4)],
                output: self.maybe(Self::bytes),
                code: self.maybe(Self::text),
                reason: self.maybe(Self::text),
                worker: self.maybe(Self::text),
                at_ms: self.long(),
                ..support::reply()
            }),
            RecordKind::Act => Any::Act(Act {
                act: [
                    ActKind::Cancel,
                    ActKind::Resume,
                    ActKind::Retry,
                    ActKind::Waive,
                    ActKind::Terminate,
                ][self.below(5)],
                step: self.maybe(Self::text),
                by: self.text(),
                reason: self.maybe(Self::text),
                ..support::act()
            }),
            RecordKind::JournalEntry => Any::JournalEntry(JournalEntry {
                saga_seq: self.long(),
                shard: self.int(),
                shard_seq: self.long(),
                body: self.bytes(),
                traceparent: self.maybe(Self::text),
                ..support::journal_entry()
            }),
            RecordKind::DeadLetter => Any::DeadLetter(DeadLetter {
                detail: self.text(),
                key: self.maybe(Self::bytes),
                value: self.maybe(Self::bytes),
                headers: (0..self.below(5))
                    .map(|_| HeaderField {
                        name: self.text(),
                        value: self.maybe(Self::bytes),
                    })
                    .collect(),
                offset: self.long(),
                ..support::dead_letter()
            }),
            RecordKind::Definition => Any::Definition(support::definition()),
            RecordKind::OrderPlaced => Any::OrderPlaced(OrderPlaced {
                total: self.long(),
                lines: support::order_placed()
                    .lines
                    .into_iter()
                    .take(self.below(3))
                    .collect(),
                placed_at_ms: self.long(),
                fail_at: self.maybe(Self::text),
                fail_how: self.maybe(Self::text),
                ..support::order_placed()
            }),
        }
    }
}

#[test]
fn each_schema_and_every_released_one_read_each_other() {
    for kind in RecordKind::ALL {
        let current = Schema::parse_str(kind.avsc()).unwrap();
        assert!(!kind.released().is_empty());
        for (n, text) in kind.released().iter().enumerate() {
            let released = Schema::parse_str(text).unwrap();
            let compatibility = SchemaCompatibility::mutual_read(&current, &released)
                .unwrap_or_else(|error| panic!("{} and release {}: {error}", kind.name(), n + 1));
            assert_eq!(compatibility, Compatibility::Full, "{}", kind.name());
        }
    }
}

#[test]
fn a_schema_that_breaks_a_released_one_is_noticed() {
    let released = Schema::parse_str(RecordKind::Reply.released()[0]).unwrap();
    let breaks = |from: &str, to: &str| {
        let text = RecordKind::Reply.avsc().replacen(from, to, 1);
        assert_ne!(text, RecordKind::Reply.avsc());
        let changed = Schema::parse_str(&text).unwrap();
        let compatibility = SchemaCompatibility::mutual_read(&changed, &released);
        assert!(!matches!(compatibility, Ok(Compatibility::Full)), "{to}");
    };
    breaks(r#""type": "int""#, r#""type": "string""#);
    breaks(
        r#""fields": ["#,
        r#""fields": [{"name": "new", "type": "string"},"#,
    );
    breaks(r#""DO", "UNDO""#, r#""DO""#);
}

#[test]
fn fastavro_reads_and_writes_the_golden_bytes() {
    let Ok(python) = std::env::var("BACKSTITCH_TEST_PYTHON") else {
        // Without a Python that has fastavro the files alone are held; CI sets the variable.
        for kind in RecordKind::ALL {
            assert!(!golden_bytes(kind).is_empty());
        }
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fastavro_check.py");
    let output = Command::new(python).arg(script).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(lines, RecordKind::ALL.len());
}

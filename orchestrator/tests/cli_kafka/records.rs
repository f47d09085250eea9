//! `records list`, `show`, `tail`: whatever lies on a topic is shown, and as what it is.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;

use backstitch_broker::OutgoingRecord;
use backstitch_schemas::{Codec, Command, Direction};
use serde_json::{Value, json};

use super::world::{Broker, await_end, terminate};

fn command() -> Command {
    Command {
        saga: "process-order/4711".to_owned(),
        definition: "process-order".to_owned(),
        step: "charge_payment".to_owned(),
        direction: Direction::Do,
        attempt: 1,
        activity: "charge-payment".to_owned(),
        idempotency_key: "process-order/4711/charge_payment/do".to_owned(),
        done_key: None,
        input: br#"{"amount":120}"#.to_vec(),
        output: None,
        reply_topic: "backstitch.inbox".to_owned(),
        reply_partition: 2,
        sent_at_ms: 1_772_323_200_123,
        deadline_ms: 1_772_323_205_123,
        heartbeat_ms: None,
    }
}

fn offsets(records: &[Value]) -> Vec<String> {
    let place = |record: &Value| format!("{}/{}", record["partition"], record["offset"]);
    records.iter().map(place).collect()
}

fn values(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record["value"].as_str().unwrap())
        .collect()
}

#[test]
fn every_kind_of_value_is_shown_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("mixed", 1);
    let framed = Codec::single_object().encode_command(&command()).unwrap();
    let payloads: [Option<&[u8]>; 8] = [
        Some(&framed),
        Some(br#"{"order_id": "4711"}"#),
        Some(b"plain words"),
        Some(b"\xff\x00\xfe"),
        None,
        Some(b""),
        Some(b"\x00\x00\x00\x00\x2aabc"),
        Some(b"{\"cut\": "),
    ];
    let records = payloads.iter().map(|payload| OutgoingRecord {
        payload: payload.map(<[u8]>::to_vec),
        key: Some(b"process-order/4711".to_vec()),
        ..OutgoingRecord::new("mixed", "")
    });
    let mut records: Vec<OutgoingRecord> = records.collect();
    records[1].headers = [("who", b"ann".as_slice()), ("mark", &[0xff])].into();
    records[1].headers.push_field("none", None);
    records[2].key = Some(vec![0xff, 0xfe]);
    records[3].key = None;
    broker.send(records);

    let read = broker.lines(&["records", "list", "mixed"]);
    let formats: Vec<&str> = read
        .iter()
        .map(|record| record["format"].as_str().unwrap())
        .collect();
    assert_eq!(
        formats,
        [
            "avro", "json", "text", "bytes", "null", "text", "bytes", "text"
        ]
    );
    assert_eq!(read[0]["schema"], "backstitch.v1.Command");
    assert_eq!(read[0]["value"]["input"], json!({"amount": 120}));
    assert_eq!(read[0]["key"], "process-order/4711");
    assert_eq!(read[1]["value"], json!({"order_id": "4711"}));
    assert_eq!(
        read[1]["headers"][0],
        json!({"name": "who", "value": "ann"})
    );
    assert_eq!(read[1]["headers"][1]["value_base64"], "/w==");
    assert_eq!(
        read[1]["headers"][2],
        json!({"name": "none", "value": null})
    );
    assert_eq!(
        (&read[2]["key"], &read[2]["key_base64"]),
        (&Value::Null, &json!("//4="))
    );
    assert_eq!(read[3]["key"], Value::Null);
    assert_eq!(read[3]["value_base64"], "/wD+");
    assert!(
        read[6]["undecoded"].as_str().unwrap().contains("42"),
        "{}",
        read[6]
    );
    assert!(
        read[7]["undecoded"].as_str().unwrap().contains("JSON"),
        "{}",
        read[7]
    );
    assert!(read[2].get("undecoded").is_none(), "{}", read[2]);

    let text = broker.text(&["records", "list", "mixed"]);
    for part in [
        "  process-order/4711\n  backstitch.v1.Command {",
        "headers  who=ann  mark=1 bytes: ff  none=null",
        "plain words",
        "3 bytes: ff 00 fe",
        "null: a tombstone",
        "(empty)",
        "not decoded: no schema is known under",
        "(no key)",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    let whole = broker.text(&["records", "show", "mixed", "0/0"]);
    for part in [
        "topic     mixed\nplace     0/0\n",
        "schema    backstitch.v1.Command, ",
        "\"amount\": 120",
    ] {
        assert!(whole.contains(part), "{part:?}: {whole}");
    }
    let raw = broker
        .command(&["records", "show", "mixed", "0/0", "--raw"])
        .output()
        .unwrap();
    assert_eq!(raw.stdout, framed);
    assert_eq!(
        broker.json(&["records", "show", "mixed", "0/1"])["offset"],
        1
    );
}

#[test]
fn a_schema_file_reads_what_names_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("payouts", 1);
    // A PayoutWanted of the worked example, as a registry's client writes it: batch b1, payout p1, iban DE1, 120 cents, position 0.
    let datum = b"\x04b1\x04p1\x06DE1\xf0\x01\x00";
    let framed = [&b"\x00\x00\x00\x00\x07"[..], datum].concat();
    broker.send(vec![
        OutgoingRecord::new("payouts", framed),
        OutgoingRecord::new("payouts", &datum[..]),
    ]);
    let schema = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/definitions/payout/schemas/payout.avsc");
    let schema = schema.to_str().unwrap();
    let read = broker.lines(&["records", "list", "payouts", "--schema", schema]);
    assert_eq!(read.len(), 2);
    for record in &read {
        assert_eq!(record["schema"], "PayoutWanted");
        assert_eq!(record["value"]["payout_id"], "p1");
        assert_eq!(record["value"]["amount_cents"], 120);
    }
    let read = broker.lines(&["records", "list", "payouts"]);
    assert!(
        read[0]["undecoded"].as_str().unwrap().contains('7'),
        "{}",
        read[0]
    );
    let said = broker.refused(
        2,
        &["records", "list", "payouts", "--schema", "/nowhere.avsc"],
    );
    assert!(said.contains("/nowhere.avsc"), "{said}");
}

#[test]
fn a_list_is_the_latest_or_the_first_from_some_point_on() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("t", 2);
    broker.fill("t", 0, &["a0", "a1", "a2", "a3"]);
    broker.fill("t", 1, &["b0", "b1"]);
    let list = |more: &[&str]| {
        let read = broker.lines(&[&["records", "list", "t"], more].concat());
        values(&read).join(" ")
    };
    assert_eq!(list(&[]), "a0 b0 a1 b1 a2 a3");
    assert_eq!(list(&["--limit", "3"]), "b1 a2 a3");
    assert_eq!(list(&["--from", "earliest", "--limit", "3"]), "a0 b0 a1");
    assert_eq!(list(&["--partition", "1"]), "b0 b1");
    assert_eq!(list(&["--partition", "0", "--from", "2"]), "a2 a3");
    assert_eq!(
        list(&["--partition", "0", "--from", "1", "--until", "3"]),
        "a1 a2"
    );
    assert_eq!(list(&["--from", "2026-03-01T00:00:01Z"]), "a1 b1 a2 a3");
    assert_eq!(
        list(&["--until", "2026-03-01T00:00:02", "--limit", "2"]),
        "a1 b1"
    );
    assert_eq!(list(&["--from", "latest"]), "");
    assert_eq!(list(&["--from", "1m"]), "");
    assert_eq!(list(&["--from", "99"]), "");
    assert_eq!(
        broker.text(&["records", "list", "t", "--from", "latest"]),
        "no records of t there\n"
    );
    let raw = broker.text(&["records", "list", "t", "--partition", "1", "--raw"]);
    assert_eq!(raw, "b0\nb1\n");
}

#[test]
fn records_are_found_by_key_and_by_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("t", 2);
    // More than a stride of those that are passed over, so that the look back has to go on.
    let many = (0..3_000).map(|n| {
        let mut record = OutgoingRecord::new("t", format!("{{\"n\": {n}}}"));
        record.partition = Some(n % 2);
        record.key = Some(format!("k{n}").into_bytes());
        record.timestamp_ms = Some(1_772_323_200_000 + i64::from(n));
        record
    });
    broker.send(many.collect());
    let list = |more: &[&str]| broker.lines(&[&["records", "list", "t"], more].concat());
    assert_eq!(offsets(&list(&["--key", "k7"])), ["1/3"]);
    assert_eq!(
        offsets(&list(&["--key", "k7", "--from", "earliest"])),
        ["1/3"]
    );
    assert_eq!(offsets(&list(&["--contains", "\"n\":7}"])), ["1/3"]);
    assert_eq!(
        offsets(&list(&["--contains", "299", "--limit", "2"])),
        ["0/1499", "1/1499"]
    );
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("orders", 2);
    broker.fill("orders", 0, &["a"]);
    let said = broker.refused(3, &["records", "list", "ordres"]);
    assert!(said.contains("did you mean `orders`?"), "{said}");
    let said = broker.refused(3, &["records", "tail", "ordres"]);
    assert!(said.contains("did you mean `orders`?"), "{said}");
    let said = broker.refused(3, &["records", "list", "orders", "--partition", "2"]);
    assert!(
        said.contains("orders has no partition 2: it has 2"),
        "{said}"
    );
    let said = broker.refused(3, &["records", "show", "orders", "0/1"]);
    assert!(said.contains("it holds 0 to 0"), "{said}");
    let said = broker.refused(3, &["records", "show", "orders", "1/0"]);
    assert!(said.contains("the partition is empty"), "{said}");
    let said = broker.refused(2, &["records", "list", "orders", "--from", "yesterday"]);
    assert!(said.contains("how long ago (15m)"), "{said}");
    broker.refused(2, &["records", "list", "orders", "--raw", "--json"]);
    broker.refused(2, &["records", "list", "orders", "--limit", "0"]);
    assert_eq!(
        broker.text(&["records", "list", "orders", "--key", "x"]),
        "no such records in orders\n"
    );
}

/// Follows a topic; `next` waits for a line.
struct Tail {
    child: std::process::Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Tail {
    /// Returns when nothing that comes from now on is missed.
    fn start(broker: &Broker, arguments: &[&str]) -> Self {
        let mut child = broker
            .command(&[&["records", "tail", "t", "--json"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert!(said.starts_with("following t, "), "{said}");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let record: Value = serde_json::from_str(&line).unwrap();
        record["value"].as_str().unwrap().to_owned()
    }

    /// How it ends, and what it said until then.
    fn end(mut self) -> (Option<i32>, String) {
        let code = await_end(&mut self.child).code();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

#[test]
fn a_tail_shows_what_comes_while_others_produce_and_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("t", 2);
    broker.fill("t", 0, &["old"]);
    let mut tail = Tail::start(&broker, &[]);
    for n in 0..5 {
        let payload = format!("n{n}");
        broker.fill("t", n % 2, &[&payload]);
        assert_eq!(tail.next(), payload);
    }
    terminate(&tail.child);
    assert_eq!(tail.end(), (Some(0), String::new()));
}

#[test]
fn a_tail_begins_with_the_latest_or_from_a_point_and_ends_after_so_many() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("t", 1);
    broker.fill("t", 0, &["a", "b", "c"]);
    let mut tail = Tail::start(&broker, &["--last", "2", "--limit", "3"]);
    assert_eq!((tail.next(), tail.next()), ("b".to_owned(), "c".to_owned()));
    broker.fill("t", 0, &["d", "e"]);
    assert_eq!(tail.next(), "d");
    assert_eq!(tail.end(), (Some(0), String::new()));
    let mut tail = Tail::start(&broker, &["--from", "1", "--limit", "1"]);
    assert_eq!(tail.next(), "b");
    assert_eq!(tail.end(), (Some(0), String::new()));
    let mut tail = Tail::start(
        &broker,
        &["--from", "earliest", "--contains", "d", "--limit", "1"],
    );
    assert_eq!(tail.next(), "d");
    assert_eq!(tail.end(), (Some(0), String::new()));
}

#[test]
fn whoever_has_seen_enough_ends_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("t", 1);
    let payload = "x".repeat(1_000);
    broker.fill("t", 0, &vec![payload.as_str(); 1_000]);
    let mut child = broker
        .command(&["records", "list", "t", "--limit", "1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("0/0  2026-03-01 00:00:00.000Z"), "{line}");
    // The reading end is closed now.
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((await_end(&mut child).code(), said.as_str()), (Some(0), ""));
}

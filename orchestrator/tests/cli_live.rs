//! The commands against a running `backstitch dev`: broker, store, orchestrator and workers of one machine.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic where its world is broken"
)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An order whose payment waits for a person where it fails.
const PARKING: &str = "
saga: process-order
start:
  - topic: orders
    when: event.type == \"OrderPlaced\"
    key: event.order_id
tags: { country: =event.address.country }
defaults: { timeout: 60s }
steps:
  - do: reserve-stock
    with: { order_id: =event.order_id, lines: =event.lines, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo: yes
  - do: charge-payment
    on_failure: park
    with: { order_id: =event.order_id, amount: =event.total, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo: { do: refund-payment, with: { order_id: =event.order_id } }
  - do: ship-order
    with: { order_id: =event.order_id, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo: { do: cancel-shipment, with: { order_id: =event.order_id } }
output: { order_id: =event.order_id }
";

/// A running `backstitch dev` in a folder of its own; killed with the test.
struct Dev {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free now; whoever takes it in between makes `dev` end with an error, which the test then shows.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        std::fs::write(folder.path().join("parking.yaml"), PARKING).unwrap();
        let file = format!(
            "[embedded]\nport = {port}\n[definitions]\nfiles = [\"parking.yaml\"]\n[telemetry]\nlog = \"warn\"\n"
        );
        std::fs::write(folder.path().join("backstitch.toml"), file).unwrap();
        let child = backstitch(folder.path())
            .arg("dev")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("dev.err")).unwrap())
            .spawn()
            .unwrap();
        let mut dev = Self { child, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while dev.try_run(&["topics", "apply"]).0 != 0 || dev.try_run(&["list"]).0 != 0 {
            let errors = std::fs::read_to_string(dev.folder.path().join("dev.err")).unwrap();
            assert!(
                dev.child.try_wait().unwrap().is_none(),
                "it has ended: {errors}"
            );
            assert!(
                Instant::now() < deadline,
                "it is not there after 30 s: {errors}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        dev
    }

    fn try_run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = backstitch(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Runs a command that has to end with this code, and reads its JSON.
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let (found, out, err) = self.try_run(&all);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.try_run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    /// Waits until a saga stands so.
    fn until(&self, key: &str, status: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (code, out, err) = self.try_run(&["show", key, "--json"]);
            if code == 0 {
                let saga: Value = serde_json::from_str(&out).unwrap();
                if saga["status"] == status {
                    return saga;
                }
            }
            assert!(
                Instant::now() < deadline,
                "{key} is not {status}: {out}{err}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Publishes one order; `fail` is added to its JSON.
    fn order(&self, id: &str, fail: &str) {
        let event = format!(
            "{{\"type\": \"OrderPlaced\", \"order_id\": \"{id}\", \"customer_id\": \"ann\", \"total\": 5, \"lines\": [], \
             \"address\": {{\"country\": \"DE\"}}{fail}}}\n"
        );
        let file = self.folder.path().join(format!("{id}.jsonl"));
        std::fs::write(&file, event).unwrap();
        let file = file.to_str().unwrap();
        let published = self.json(0, &["publish", "--file", file, "--key-field", "order_id"]);
        assert_eq!(published["published"], 1);
    }
}

fn backstitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command.current_dir(folder).env("USER", "ann");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTITCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

fn ledger_status(saga: &Value, occurrence: &str) -> String {
    saga["ledger"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["occurrence"] == occurrence)
        .unwrap()["status"]
        .as_str()
        .unwrap()
        .to_owned()
}

const REFUSED_PAYMENT: &str = ", \"fail_at\": \"charge-payment\", \"fail_how\": \"refuse\"";

#[test]
fn a_person_publishes_looks_and_acts() {
    let mut dev = Dev::start();
    topics_are_made_once_and_the_inbox_is_never_resized(&dev);
    an_order_is_shown_in_full(&dev);
    what_lies_on_the_topics_of_an_order_is_decoded(&dev);
    what_cannot_be_published_is_said_with_its_line(&dev);
    a_start_by_hand_is_a_saga_once(&dev);
    a_parked_saga_says_what_mends_it_and_each_verb_does(&dev);
    an_act_that_does_not_apply_says_so(&dev);
    what_cannot_be_read_is_listed_with_its_bytes(&dev);
    sigterm_drains(&mut dev);
}

fn topics_are_made_once_and_the_inbox_is_never_resized(dev: &Dev) {
    let applied = dev.json(0, &["topics", "apply"]);
    let topics = applied["topics"].as_array().unwrap();
    for name in [
        "backstitch.inbox",
        "backstitch.journal",
        "backstitch.dead-letters",
        "backstitch.commands.reserve-stock",
        "backstitch.commands.refund-payment",
        "orders",
    ] {
        let topic = topics.iter().find(|topic| topic["topic"] == name).unwrap();
        assert_eq!(topic["outcome"], "existing", "{name}");
    }
    let fresh = dev.json(
        0,
        &[
            "topics",
            "apply",
            "--prefix",
            "other",
            "--set",
            "topics.inbox_partitions=3",
        ],
    );
    assert_eq!(fresh["topics"][0]["topic"], "other.inbox");
    assert_eq!(fresh["topics"][0]["outcome"], "created");
    assert_eq!(fresh["topics"][0]["partitions"], 3);

    let (code, _, err) = dev.try_run(&["topics", "apply", "--set", "topics.inbox_partitions=8"]);
    assert_eq!(code, 1);
    assert!(err.contains("backstitch.inbox has 4 partitions"), "{err}");
    assert!(err.contains("the inbox can't be resized"), "{err}");
}

fn an_order_is_shown_in_full(dev: &Dev) {
    let published = dev.json(0, &["publish", "--count", "2"]);
    let key = published["keys"][1].as_str().unwrap();
    let saga = dev.until(key, "completed");
    assert_eq!(ledger_status(&saga, "charge_payment"), "done");
    assert_eq!(saga["journal"][0]["cause"]["start"]["by"], Value::Null);
    assert_eq!(saga["journal"].as_array().unwrap().len(), 4);
    let listed = dev.json(
        0,
        &[
            "list",
            "--tag",
            "country=DE",
            "--status",
            "completed",
            "--key",
            key,
        ],
    );
    assert_eq!(listed["sagas"][0]["key"], key);
    let first = dev.json(0, &["list", "--limit", "1"]);
    let next = first["next"].as_str().unwrap();
    let second = dev.json(0, &["list", "--limit", "1", "--after", next]);
    assert_ne!(first["sagas"][0]["key"], second["sagas"][0]["key"]);

    // An Avro order reads the same, and the short key will do.
    let published = dev.json(0, &["publish", "--avro"]);
    let key = published["keys"][0].as_str().unwrap();
    dev.until(key, "completed");
    let short = key.split_once('/').unwrap().1;
    let text = dev.text(&["show", short]);
    for part in [
        "LEDGER",
        "JOURNAL",
        "completed",
        "do charge_payment asked of charge-payment",
        key,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn what_lies_on_the_topics_of_an_order_is_decoded(dev: &Dev) {
    let published = dev.json(0, &["publish", "--avro", "--header", "who=ann"]);
    let key = published["keys"][0].as_str().unwrap();
    let order_id = key.split_once('/').unwrap().1;
    dev.until(key, "completed");
    let records = |topic: &str, key: &str| -> Vec<Value> {
        let out = dev.text(&["records", "list", topic, "--key", key, "--json"]);
        out.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let orders = records("orders", order_id);
    assert_eq!(orders[0]["schema"], "shop.v1.OrderPlaced");
    assert_eq!(orders[0]["value"]["order_id"], order_id);
    assert_eq!(orders[0]["headers"][0]["name"], "who");
    let commands = records("backstitch.commands.charge-payment", key);
    assert_eq!(commands[0]["schema"], "backstitch.v1.Command");
    assert_eq!(commands[0]["value"]["input"]["order_id"], order_id);
    let inbox = records("backstitch.inbox", key);
    assert_eq!(inbox[0]["schema"], "backstitch.v1.Start");
    assert_eq!(inbox[0]["value"]["event"]["order_id"], order_id);
    assert_eq!(inbox[1]["schema"], "backstitch.v1.Reply");

    // The journal is published after the commit that the store shows.
    let deadline = Instant::now() + Duration::from_secs(20);
    let journal = loop {
        let journal = records("backstitch.journal", key);
        if journal.len() == 4 {
            break journal;
        }
        assert!(Instant::now() < deadline, "not on the journal: {journal:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(journal[2]["cause"], "reply: do charge_payment #1 done");
    assert_eq!(journal[2]["changes"][0], "charge_payment done");
    assert!(journal[2]["value"]["body"]["changes"].is_array());
    assert_eq!(
        journal[3]["value"]["previous_hash"],
        journal[2]["value"]["hash"]
    );
    let text = dev.text(&["records", "list", "backstitch.journal", "--key", key]);
    assert!(
        text.contains("backstitch.v1.JournalEntry #3 running, by reply: do charge_payment #1 done"),
        "{text}"
    );

    let group = dev.json(0, &["groups", "show", "backstitch.worker.charge-payment"]);
    assert_eq!(group["state"], "stable");
    let topics = group["partitions"].as_array().unwrap().iter();
    let topics: Vec<&str> = topics.map(|line| line["topic"].as_str().unwrap()).collect();
    assert!(
        topics.contains(&"backstitch.commands.charge-payment"),
        "{topics:?}"
    );
}

fn what_cannot_be_published_is_said_with_its_line(dev: &Dev) {
    let (code, _, err) = dev.try_run(&["publish", "--topic", "nowhere"]);
    assert_eq!(code, 3);
    assert!(err.contains("there is no topic nowhere"), "{err}");
    let file = dev.folder.path().join("mixed.jsonl");
    std::fs::write(&file, "\n{\"order_id\": \"1\", \"lines\": 7}\nnonsense\n").unwrap();
    let file = file.to_str().unwrap();
    for (more, line) in [
        (
            &["--avro"][..],
            "line 2 is no OrderPlaced: `lines` is no list",
        ),
        (
            &["--key-field", "customer"],
            "line 2 has no text or number in its field `customer`",
        ),
        (&["--header", "nonsense"], "write NAME=VALUE"),
        (&[], "line 3 is no JSON"),
    ] {
        let (code, _, err) =
            dev.try_run(&[&["publish", "--topic", "orders", "--file", file], more].concat());
        assert_eq!(code, 2, "{line}");
        assert!(err.contains(line), "{err}");
    }
}

fn a_start_by_hand_is_a_saga_once(dev: &Dev) {
    let event = r#"{"order_id": "by-hand", "lines": [], "total": 1, "address": {"country": "FR"}}"#;
    let started = dev.json(0, &["start", "process-order", "by-hand", "--event", event]);
    assert_eq!(started["saga"], "process-order/by-hand");
    let saga = dev.until("process-order/by-hand", "completed");
    assert_eq!(saga["journal"][0]["cause"]["start"]["by"], "ann");
    assert_eq!(saga["tags"]["country"], "FR");
    let again = dev.text(&["start", "process-order", "by-hand", "--event", "{}"]);
    assert!(again.contains("the same key is the same saga"), "{again}");
    let (code, _, err) = dev.try_run(&["start", "process-ordr", "1", "--event", "{}"]);
    assert_eq!(code, 3);
    assert!(err.contains("process-order"), "{err}");
}

fn a_parked_saga_says_what_mends_it_and_each_verb_does(dev: &Dev) {
    for id in ["waived", "cancelled", "ended"] {
        dev.order(id, REFUSED_PAYMENT);
    }
    let key = "process-order/waived";
    let saga = dev.until(key, "parked");
    let verbs: Vec<&str> = saga["verbs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verb| verb.as_str().unwrap().split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(verbs, ["resume", "retry", "waive", "cancel", "terminate"]);
    let listed = dev.text(&["list", "--status", "parked"]);
    assert!(
        listed.contains(key) && listed.contains("charge_payment"),
        "{listed}"
    );

    // The worker refuses each time: it parks again.
    let resumed = dev.json(0, &["resume", key, "--by", "bob"]);
    assert_eq!(resumed["effect"], "applied");
    let seq = resumed["seq"].as_i64().unwrap();
    let saga = dev.until(key, "parked");
    assert!(saga["seq"].as_i64().unwrap() >= seq);
    let step = saga["parked"]["at"].as_str().unwrap().to_owned();
    let retried = dev.json(0, &["retry", key, &step]);
    assert_eq!(retried["effect"], "applied");
    let saga = dev.until(key, "parked");
    let step = saga["parked"]["at"].as_str().unwrap().to_owned();
    let waived = dev.json(0, &["waive", key, &step, "--reason", "paid in cash"]);
    assert_eq!(waived["effect"], "applied");
    let saga = dev.until(key, "completed");
    assert_eq!(ledger_status(&saga, &step), "waived");
    let text = dev.text(&["show", key]);
    assert!(text.contains("resume by bob"), "{text}");
    assert!(text.contains("by ann: paid in cash"), "{text}");

    dev.until("process-order/cancelled", "parked");
    dev.json(
        0,
        &[
            "cancel",
            "process-order/cancelled",
            "--reason",
            "she called",
        ],
    );
    let saga = dev.until("process-order/cancelled", "compensated");
    assert_eq!(ledger_status(&saga, "reserve_stock"), "undone");

    dev.until("process-order/ended", "parked");
    let ended = dev.json(
        0,
        &["terminate", "process-order/ended", "--reason", "a test"],
    );
    assert_eq!(ended["status"], "terminated");
}

fn an_act_that_does_not_apply_says_so(dev: &Dev) {
    // The worker is silent and the timeout is long: it stays in flight.
    dev.order(
        "silent",
        ", \"fail_at\": \"reserve-stock\", \"fail_how\": \"hang\"",
    );
    let key = "process-order/silent";
    let saga = dev.until(key, "running");
    assert_eq!(ledger_status(&saga, "reserve_stock"), "in flight");
    let resumed = dev.json(1, &["resume", key]);
    assert_eq!(resumed["effect"], "not_applicable");
    assert_eq!(resumed["status"], "running");

    let (code, _, err) = dev.try_run(&["retry", key, "bake_bread"]);
    assert_eq!(code, 3);
    assert!(err.contains("there are reserve_stock"), "{err}");
    let (code, _, err) = dev.try_run(&["cancel", "process-order/by-hand", "--reason", "late"]);
    assert_eq!(code, 1);
    assert!(err.contains("has ended (completed)"), "{err}");
    let (code, _, err) = dev.try_run(&["show", "process-order/nobody"]);
    assert_eq!(code, 3);
    assert!(err.contains("there is no saga"), "{err}");
}

fn what_cannot_be_read_is_listed_with_its_bytes(dev: &Dev) {
    assert_eq!(
        dev.json(0, &["dead-letters", "list"])["dead_letters"],
        Value::Array(Vec::new())
    );
    // An order without a number: no key can be made for its saga.
    let file = dev.folder.path().join("no-order.jsonl");
    std::fs::write(&file, "{\"type\": \"OrderPlaced\"}\n").unwrap();
    let file = file.to_str().unwrap();
    dev.json(0, &["publish", "--file", file, "--header", "who=ann"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let letter = loop {
        let listed = dev.json(0, &["dead-letters", "list"]);
        if let Some(letter) = listed["dead_letters"].get(0) {
            break letter.clone();
        }
        assert!(Instant::now() < deadline, "no dead letter has come");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(letter["origin"]["topic"], "orders");
    assert_eq!(letter["value_base64"], "eyJ0eXBlIjoiT3JkZXJQbGFjZWQifQ==");
    assert_eq!(letter["headers"][0]["name"], "who");
    assert_eq!(letter["headers"][0]["value_base64"], "YW5u");
    let place = format!(
        "{}/{}",
        letter["place"]["partition"], letter["place"]["offset"]
    );
    let text = dev.text(&["dead-letters", "show", &place]);
    assert!(
        text.contains("value     {\"type\":\"OrderPlaced\"}"),
        "{text}"
    );
    assert!(text.contains("header    who = ann"), "{text}");
    assert_eq!(dev.try_run(&["dead-letters", "show", "0/99"]).0, 3);
    assert_eq!(dev.try_run(&["dead-letters", "show", "99/0"]).0, 3);
}

fn sigterm_drains(dev: &mut Dev) {
    let pid = dev.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = dev.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it has not drained within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    // Whoever acts now learns that nobody is there.
    let (code, _, err) = dev.try_run(&["resume", "process-order/silent"]);
    assert_eq!(code, 1);
    assert!(err.contains("no Kafka"), "{err}");
}

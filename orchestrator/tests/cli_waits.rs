//! What waits for the world, for people and for other sagas, through the program: `dev` without workers.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic where its world is broken"
)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use serde_json::{Value, json};

const SELL: &str = "
saga: sell
start:
  - topic: orders
    when: has(event.total)
    key: event.order
steps:
  - approve: large_order
    by: [sales-lead]
    show: { total: =event.total }
  - wait: arrived
    topic: shipments
    key: message.order
    early: 10m
  - run: thank
    key: event.order
    with: { at: =steps.arrived.at }
output: { at: =steps.arrived.at, by: =steps.large_order.by, thanked: =steps.thank.at }
";

const THANK: &str = "
saga: thank
steps:
  - sleep: 1ms
output: { at: =event.at }
";

/// A version of `sell` that only asks.
const SELL_FASTER: &str = "
saga: sell
start:
  - topic: orders
    when: has(event.total)
    key: event.order
steps:
  - approve: large_order
    show: { total: =event.total }
";

/// A running process in a folder of its own; killed with the test.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    folder: tempfile::TempDir,
    running: Option<Running>,
}

fn free_port() -> u16 {
    // Free now; whoever takes it in between makes the process end with an error, which the test then shows.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn backstitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command
        .current_dir(folder)
        .env_clear()
        .env("USER", "ada")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            folder,
            running: None,
        };
        world.defines(SELL);
        std::fs::write(world.folder.path().join("thank.yaml"), THANK).unwrap();
        let port = free_port();
        let file = format!(
            "[embedded]\nport = {port}\n[definitions]\nfiles = [\"sell.yaml\", \"thank.yaml\"]\n[telemetry]\nlog = \"warn\"\n"
        );
        std::fs::write(world.folder.path().join("backstitch.toml"), file).unwrap();
        world
    }

    fn defines(&self, sell: &str) {
        std::fs::write(self.folder.path().join("sell.yaml"), sell).unwrap();
    }

    /// Starts `dev`, and waits until it serves.
    fn starts(&mut self) {
        let errors = self.folder.path().join("dev.err");
        let child = backstitch(self.folder.path())
            .args(["dev", "--no-workers"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        self.running = Some(Running { child });
        self.eventually("it to serve", |world| {
            let is_there = world.run(&["topics", "apply"]).0 == 0 && world.run(&["list"]).0 == 0;
            is_there.then_some(())
        });
    }

    /// Kills it.
    fn dies(&mut self) {
        self.running = None;
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = backstitch(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        (output.status.code().unwrap(), out, err)
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let (found, out, err) = self.run(&all);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_default()
    }

    fn eventually<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let errors = std::fs::read_to_string(self.folder.path().join("dev.err"));
            assert!(Instant::now() < deadline, "waited for {what}: {errors:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `show` says so of a saga.
    fn until(&self, key: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.eventually(key, |world| {
            let (code, out, _) = world.run(&["show", key, "--json"]);
            let saga: Value = serde_json::from_str(&out).unwrap_or_default();
            (code == 0 && holds(&saga)).then_some(saga)
        })
    }

    fn publishes(&self, topic: &str, event: &Value) {
        let file = self.folder.path().join("event.jsonl");
        std::fs::write(&file, format!("{event}\n")).unwrap();
        let file = file.to_str().unwrap();
        self.json(
            0,
            &["publish", "--topic", topic, "--file", file, "--key", "k"],
        );
    }
}

#[test]
fn a_saga_is_approved_hears_of_the_world_and_runs_another() {
    let mut world = World::new();
    world.starts();
    // It comes before anybody waits for it, and is kept.
    world.publishes("shipments", &json!({ "order": "1", "at": "noon" }));
    world.publishes("orders", &json!({ "order": "1", "total": 900 }));
    let asking = world.until("sell/1", |saga| !saga["approvals"][0].is_null());
    let expected = json!({
        "step": "large_order",
        "by": ["sales-lead"],
        "show": { "total": 900 },
        "due_ms": null,
    });
    assert_eq!(asking["approvals"][0], expected);
    let (_, text, _) = world.run(&["show", "sell/1"]);
    assert!(
        text.contains("backstitch approve sell/1 large_order --role sales-lead"),
        "{text}"
    );
    let listed = world.json(0, &["list", "--waiting-for", "approval"]);
    assert_eq!(listed["sagas"][0]["key"], "sell/1");
    let none = world.json(0, &["list", "--waiting-for", "event"]);
    assert_eq!(none["sagas"], json!([]));

    let (code, _, err) = world.run(&["approve", "sell/1"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("decided by: sales-lead"), "{err}");
    let (code, _, err) = world.run(&["approve", "sell/1", "arrived"]);
    assert_eq!(code, 3, "{err}");
    let approved = world.json(0, &["approve", "1", "--role", "sales-lead"]);
    assert_eq!(approved["effect"], "applied");

    let done = world.until("sell/1", |saga| saga["status"] == "completed");
    let output = json!({ "at": "noon", "by": "ada", "thanked": "noon" });
    assert_eq!(done["output"], output);
    let child = json!({ "step": "thank", "saga": "thank/1", "status": "completed" });
    assert_eq!(done["children"], json!([child]));
    let thanked = world.until("thank/1", |saga| saga["status"] == "completed");
    assert_eq!(thanked["parent"]["saga"], "sell/1");
    let (_, text, _) = world.run(&["show", "sell/1"]);
    assert!(
        text.contains("child       thank/1 (completed), as step thank"),
        "{text}"
    );

    // Mailboxes are no sagas to those who list sagas.
    let listed = world.json(0, &["list"]);
    assert_eq!(listed["sagas"].as_array().unwrap().len(), 2, "{listed}");
    let mailboxes = world.json(0, &["list", "--mailboxes"]);
    assert_eq!(mailboxes["sagas"][0]["key"], "~sell.arrived/1");
    let (code, _, err) = world.run(&["approve", "sell/1", "--role", "sales-lead"]);
    assert_eq!(code, 1, "{err}");
}

#[test]
fn a_refused_approval_turns_the_saga_back() {
    let mut world = World::new();
    world.starts();
    world.publishes("orders", &json!({ "order": "2", "total": 900 }));
    world.until("sell/2", |saga| !saga["approvals"][0].is_null());
    let (code, out, err) = world.run(&[
        "refuse",
        "sell/2",
        "large_order",
        "--role",
        "sales-lead",
        "--reason",
        "over the limit",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    let ended = world.until("sell/2", |saga| saga["status"] == "compensated");
    let failure = &ended["ledger"][0]["failure"];
    assert_eq!(failure["code"], "not_approved");
    assert!(
        failure["reason"]
            .as_str()
            .unwrap()
            .contains("ada: over the limit"),
        "{failure}"
    );
}

#[test]
fn a_saga_keeps_its_version_and_its_waits_through_a_restart_with_another() {
    let mut world = World::new();
    world.starts();
    world.publishes("orders", &json!({ "order": "3", "total": 900 }));
    world.until("sell/3", |saga| !saga["approvals"][0].is_null());
    world.json(0, &["approve", "sell/3", "--role", "sales-lead"]);
    let waiting = world.until("sell/3", |saga| !saga["waits"][0].is_null());
    assert_eq!(waiting["waits"][0]["mailbox"], "~sell.arrived/3");
    world.dies();

    // The new version knows nothing of shipments.
    world.defines(SELL_FASTER);
    world.starts();
    world.publishes("orders", &json!({ "order": "4", "total": 1 }));
    world.until("sell/4", |saga| !saga["approvals"][0].is_null());
    world.json(0, &["approve", "sell/4"]);
    let new = world.until("sell/4", |saga| saga["status"] == "completed");
    world.publishes("shipments", &json!({ "order": "3", "at": "dusk" }));
    let old = world.until("sell/3", |saga| saga["status"] == "completed");
    assert_eq!(old["output"]["at"], "dusk");
    assert_eq!(old["definition_hash"], waiting["definition_hash"]);
    assert_ne!(old["definition_hash"], new["definition_hash"]);
}

#[test]
fn serve_waits_for_a_kafka_that_comes_later() {
    let world = World::new();
    let port = free_port();
    let servers = format!("127.0.0.1:{port}");
    let kafka = || EmbeddedConfig {
        path: world.folder.path().join("kafka.db"),
        listen: ([127, 0, 0, 1], port).into(),
        ..EmbeddedConfig::default()
    };
    let broker = EmbeddedBroker::start(kafka()).unwrap();
    let at = ["--bootstrap-servers", servers.as_str()];
    let (code, _, err) = world.run(&[&["topics", "apply", "--sources"], &at[..]].concat());
    assert_eq!(code, 0, "{err}");
    broker.stop();

    let mut child = backstitch(world.folder.path())
        .args(["serve", "--set", "telemetry.log=info"])
        .args(at)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let _running = Running { child };
    let mut said = String::new();
    let mut until = |what: &str| {
        for line in lines.by_ref() {
            let line = line.unwrap();
            let is_it = line.contains(what);
            said.push_str(&line);
            said.push('\n');
            if is_it {
                return;
            }
        }
        panic!("it ended before `{what}`: {said}");
    };
    until("looking for Kafka");
    let broker = EmbeddedBroker::start(kafka()).unwrap();
    until("serving");
    broker.stop();
}

#[test]
fn without_patience_serve_ends_where_kafka_is_away() {
    let world = World::new();
    let servers = format!("127.0.0.1:{}", free_port());
    let (code, _, err) = world.run(&[
        "serve",
        "--set",
        "startup.patience=0s",
        "--bootstrap-servers",
        &servers,
    ]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot"), "{err}");
}

/// A wait whose records have a schema.
const AGREED: &str = "
saga: sell
start:
  - topic: orders
    key: event.order
steps:
  - wait: arrived
    topic: shipments
    key: message.order
    input: arrived.avsc
    within: 10m
output: { at: =steps.arrived.at }
";

#[test]
fn a_record_that_breaks_the_schema_of_its_wait_is_a_dead_letter_and_the_next_is_taken() {
    let mut world = World::new();
    world.defines(AGREED);
    let schema = json!({ "type": "record", "name": "Arrived", "fields": [
        { "name": "order", "type": "string" }, { "name": "at", "type": "string" },
    ] });
    let path = world.folder.path().join("arrived.avsc");
    std::fs::write(path, schema.to_string()).unwrap();
    world.starts();
    world.publishes("orders", &json!({ "order": "1" }));
    world.publishes("shipments", &json!({ "order": "1", "at": 12 }));
    let letters = world.eventually("a dead letter", |world| {
        let letters = world.json(0, &["dead-letters", "list"]);
        letters.to_string().contains("arrived").then_some(letters)
    });
    let told = letters.to_string();
    assert!(told.contains("does not fit `arrived.avsc`"), "{told}");
    assert!(told.contains("cannot_apply"), "{told}");
    world.publishes("shipments", &json!({ "order": "1", "at": "noon" }));
    let saga = world.until("sell/1", |saga| saga["status"] == "completed");
    assert_eq!(saga["output"], json!({ "at": "noon" }));
}

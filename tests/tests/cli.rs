//! The program itself, run as a user runs it: exit codes, JSON on stdout, words on stderr.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

#[path = "cli/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use backstitch_tests::world::eventually;
use program::{Home, Run};
use serde_json::{Value, json};

/// A server that was asked to end has ended by then.
const END_MAX: Duration = Duration::from_secs(5);

fn fields(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn the_demo_ends_with_one_json_object() {
    let home = Home::new();
    let run = home.run(&["demo", "--orders", "50", "--fail-rate", "0.2", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json();
    let expected = BTreeSet::from([
        "orders",
        "completed",
        "compensated",
        "parked",
        "lost",
        "doubled",
        "seconds",
        "sagas_per_second",
        "p50_ms",
        "p99_ms",
    ]);
    assert_eq!(fields(&report), expected);
    let count = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(
        (
            count("orders"),
            count("parked"),
            count("lost"),
            count("doubled")
        ),
        (50, 0, 0, 0)
    );
    assert_eq!(count("completed") + count("compensated"), 50);
    assert!(
        count("completed") > 0 && count("compensated") > 0,
        "{report}"
    );
    for field in ["seconds", "sagas_per_second", "p50_ms", "p99_ms"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{report}");
    }
    // Nothing is left behind.
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn every_command_answers_in_json_while_dev_runs() {
    let home = Home::new();
    let dev = home.start(&["dev"]);

    let published = home.ok(&["publish", "--count", "3"]);
    assert_eq!(
        (&published["topic"], &published["published"]),
        (&json!("orders"), &json!(3))
    );
    let keys: Vec<&str> = published["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), 3);
    let completed = eventually("three orders to be done", || {
        let list = home.ok(&["list", "--status", "completed"]);
        let sagas = list["sagas"].as_array().unwrap().clone();
        (sagas.len() == 3).then_some(sagas)
    });
    assert!(
        completed
            .iter()
            .all(|saga| keys.contains(&saga["key"].as_str().unwrap()))
    );

    let shown = home.ok(&["show", keys[0]]);
    assert_eq!(
        (&shown["key"], &shown["status"]),
        (&json!(keys[0]), &json!("completed"))
    );
    let steps: Vec<&str> = shown["ledger"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps,
        [
            "check_fraud",
            "reserve_stock",
            "charge_payment",
            "ship_order"
        ]
    );
    assert_eq!(
        shown["journal"].as_array().unwrap().len() as u64,
        shown["seq"].as_u64().unwrap()
    );
    // The business key alone will do.
    let business_key = keys[0].split_once('/').unwrap().1;
    assert_eq!(home.ok(&["show", business_key])["key"], keys[0]);

    // Its first command gets no answer, so that it can be cancelled.
    let mut event = backstitch_tests::world::Order::new("by-hand").event();
    event["fail_at"] = "check-fraud".into();
    event["fail_how"] = "hang".into();
    let event = event.to_string();
    let start = ["start", "process-order", "by-hand", "--event", &event];
    assert_eq!(home.ok(&start)["started"], true);
    assert_eq!(home.ok(&start)["saga"], "process-order/by-hand");
    let cancelled = home.ok(&["cancel", "process-order/by-hand", "--reason", "a test asks"]);
    assert_eq!(
        (&cancelled["act"], &cancelled["effect"]),
        (&json!("cancel"), &json!("applied"))
    );
    eventually("it to be undone", || {
        let shown = home.ok(&["show", "process-order/by-hand"]);
        (shown["status"] == "compensated").then_some(())
    });
    let again = home.run(&["cancel", "process-order/by-hand", "--reason", "again"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("has ended"), "{again:?}");

    assert_eq!(
        home.ok(&["dead-letters", "list"])["dead_letters"],
        json!([])
    );
    home.write("bad.jsonl", "{\"type\": \"OrderPlaced\"}\n");
    home.ok(&["publish", "--file", "bad.jsonl"]);
    let letter = eventually("a dead letter", || {
        let list = home.ok(&["dead-letters", "list"]);
        list["dead_letters"].get(0).cloned()
    });
    assert_eq!(
        (&letter["reason"], &letter["origin"]["topic"]),
        (&json!("cannot_apply"), &json!("orders"))
    );
    let place = format!(
        "{}/{}",
        letter["place"]["partition"], letter["place"]["offset"]
    );
    assert_eq!(
        home.ok(&["dead-letters", "show", &place])["detail"],
        letter["detail"]
    );

    let missing = home.run(&["show", "process-order/nobody"]);
    assert_eq!(missing.code, 3, "{missing:?}");
    let ended = dev.end(END_MAX);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn serve_ends_within_seconds_of_sigterm_and_tells_what_it_did() {
    let home = Home::new();
    let serve = home.start(&["serve"]);
    home.ok(&["publish", "--count", "2"]);
    eventually("two sagas to begin", || {
        let list = home.ok(&["list"]);
        (list["sagas"].as_array().unwrap().len() == 2).then_some(())
    });
    let ended = serve.end(END_MAX);
    assert_eq!(ended.code, 0, "{ended:?}");
    let counters = ended.json();
    assert_eq!(
        (&counters["started"], &counters["starts_taken_in"]),
        (&json!(2), &json!(2))
    );
    for quiet in ["violations", "fenced", "in_doubt", "dead_letters"] {
        assert_eq!(counters[quiet], 0, "{counters}");
    }
    assert!(counters["transitions"].as_u64().unwrap() >= 2, "{counters}");
}

#[test]
fn a_taken_port_is_told_with_a_remedy() {
    let home = Home::new();
    let taken = TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    for command in [&["serve"][..], &["dev"], &["demo", "--orders", "1"]] {
        let run = home.run(command);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(&home.port.to_string()), "{run:?}");
        assert!(
            run.stderr.contains("embedded.port"),
            "it names the key to change: {run:?}"
        );
        assert_eq!(run.stdout, "");
    }
    drop(taken);
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_named() {
    let home = Home::new();
    let help = |run: Run, nearest: &str| {
        assert_eq!(run.code, 2, "{run:?}");
        let help = format!("did you mean {nearest}?");
        assert!(run.stderr.contains(&help), "{run:?}");
    };
    let key = "`kafka.bootstrap_servers`";
    help(
        home.run(&["list", "--set", "kafka.bootstrap_server=x"]),
        key,
    );
    let variable = ("BACKSTITCH_KAFKA__BOOTSTRAP_SERVER", "x");
    let nearest = "BACKSTITCH_KAFKA__BOOTSTRAP_SERVERS";
    help(home.run_with(&["list"], &[variable]), nearest);
    home.write("backstitch.toml", "[kafka]\nbootstrap_server = \"x\"\n");
    help(home.run(&["list"]), key);
}

#[test]
fn every_command_has_its_help() {
    let home = Home::new();
    let began = Instant::now();
    let mut waiting = vec![Vec::<String>::new()];
    let mut count = 0;
    while let Some(command) = waiting.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let run = home.run_plain(&args);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("Usage: backstitch"), "{run:?}");
        count += 1;
        let commands = run.stdout.split("\nCommands:\n").nth(1).unwrap_or_default();
        let names = commands
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help");
        for name in names {
            waiting.push([command.clone(), vec![name.to_owned()]].concat());
        }
    }
    assert!(count > 20, "only {count} commands were found");
    assert!(began.elapsed() < Duration::from_secs(10));
}

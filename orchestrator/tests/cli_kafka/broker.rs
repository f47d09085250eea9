//! `broker` starts, says where, keeps or forgets, and ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use super::world::{Broker, backstitch};

/// Runs a command in a folder that has to fail; what it says.
fn fails(folder: &Path, arguments: &[&str]) -> String {
    let output = backstitch(folder).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

/// Asks for a topic's partitions as a producer does that lets topics be made: Metadata, version 4. Ours never lets them.
fn ask_for_topic(bootstrap: &str, topic: &str) {
    let length = |text: &str| u16::try_from(text.len()).unwrap().to_be_bytes();
    let mut request = vec![0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1];
    request.extend(length(topic));
    request.extend(topic.as_bytes());
    request.push(1);
    let mut stream = TcpStream::connect(bootstrap).unwrap();
    let size = u32::try_from(request.len()).unwrap().to_be_bytes();
    stream.write_all(&[&size[..], &request].concat()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
}

#[test]
fn it_says_where_it_serves_in_one_object_and_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["--listen", "0"]);
    assert_eq!(broker.said["pid"], broker.pid());
    assert_eq!(broker.said["ephemeral"], false);
    assert_eq!(broker.said["file"], ".backstitch/broker.db");
    let port = broker.said["port"].as_u64().unwrap();
    assert_eq!(broker.bootstrap, format!("127.0.0.1:{port}"));
    broker.topic("orders", 2);
    let (status, rest) = broker.end();
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

#[test]
fn it_can_be_asked_to_end_as_soon_as_it_has_said_where_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (status, rest) = Broker::ephemeral(folder.path()).end();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
    }
}

#[test]
fn what_it_was_given_is_there_again_unless_it_is_ephemeral() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--listen", "0", "--data-dir", "mine"];
    let broker = Broker::start(folder.path(), &data);
    broker.topic("kept", 3);
    broker.fill("kept", 1, &["a", "b"]);
    assert_eq!(broker.end().0.code(), Some(0));
    let broker = Broker::start(folder.path(), &data);
    let shown = broker.json(&["topics", "show", "kept"]);
    assert_eq!(shown["partitions"][1]["next_offset"], 2);
    assert_eq!(broker.end().0.code(), Some(0));

    let broker = Broker::ephemeral(folder.path());
    assert!(broker.said["file"].is_null());
    broker.topic("lost", 1);
    let scratch = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("backstitch-broker-"))
            .count()
    };
    assert_eq!(scratch(), 1);
    assert_eq!(broker.end().0.code(), Some(0));
    assert_eq!(scratch(), 0);
}

#[test]
fn it_keeps_records_as_long_as_the_configuration_says_where_a_topic_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["embedded.retention=90m", "embedded.retention_bytes=3MiB"];
    let arguments = set.map(|set| ["--set", set]).concat();
    let arguments = [&["--listen", "0", "--ephemeral"], &arguments[..]].concat();
    let broker = Broker::start(folder.path(), &arguments);
    broker.topic("orders", 1);
    let shown = broker.json(&["topics", "show", "orders"]);
    let kept = |name: &str| {
        let settings = shown["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["name"] == name);
        found.unwrap()["value"].clone()
    };
    assert_eq!(
        (kept("retention.ms"), kept("retention.bytes")),
        ("5400000".into(), "3145728".into())
    );
}

#[test]
fn a_topic_is_made_for_whoever_asks_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(
        folder.path(),
        &[
            "--listen",
            "0",
            "--ephemeral",
            "--auto-create-topics",
            "--partitions",
            "3",
        ],
    );
    ask_for_topic(&broker.bootstrap, "made");
    let shown = broker.json(&["topics", "show", "made"]);
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 3);
}

#[test]
fn a_port_that_is_taken_is_told_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port();
    let said = fails(folder.path(), &["broker", "--listen", &address]);
    assert!(
        said.contains(&format!("{address} is already taken")),
        "{said}"
    );
    assert!(said.contains("--listen 0"), "{said}");
    let set = format!("embedded.port={port}");
    for command in [&["dev"][..], &["demo"], &["serve"]] {
        let said = fails(folder.path(), &[command, &["--set", &set]].concat());
        assert!(
            said.contains(&format!("{address} is already taken")),
            "{said}"
        );
        assert!(said.contains("--set embedded.port=PORT"), "{said}");
    }
}

#[test]
fn a_file_that_another_holds_is_told_with_who_does() {
    let folder = tempfile::tempdir().unwrap();
    let first = Broker::start(folder.path(), &["--listen", "0"]);
    let holder = first.pid().to_string();
    let said = fails(folder.path(), &["broker", "--listen", "0"]);
    assert!(said.contains("is in use by"), "{said}");
    assert!(said.contains(&holder), "{holder} is not named: {said}");
    assert!(said.contains("--ephemeral"), "{said}");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let set = format!("embedded.port={port}");
    for command in ["dev", "serve"] {
        let said = fails(folder.path(), &[command, "--set", &set]);
        assert!(said.contains(&holder), "{command}: {said}");
        assert!(
            said.contains("--set embedded.dir=FOLDER"),
            "{command}: {said}"
        );
    }
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = fails(folder.path(), &["broker", "--listen", "0.0.0.0:0"]);
    assert!(said.contains("is not a loopback address"), "{said}");
}

#[test]
fn its_benchmark_measures_two_brokers_in_turn_and_how_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    // Any Kafka will do as the other one: another of ours.
    let other = Broker::ephemeral(folder.path());
    let measured = other.json(&[
        "bench",
        "broker",
        "--partitions",
        "2",
        "--producers",
        "1",
        "--seconds",
        "2", // A disk that others use may take no commit for half a second.
        "--warm-seconds",
        "0",
        "--rounds",
        "1",
        "--start-mb",
        "1",
        "--cleaning",
    ]);
    let points = measured["points"].as_array().unwrap();
    let names: Vec<_> = points.iter().map(|point| &point["broker"]).collect();
    assert_eq!(names, ["embedded", "kafka"]);
    for point in points {
        assert_eq!(
            (&point["partitions"], &point["failed"]),
            (&2.into(), &0.into())
        );
        let figures = ["produced_per_second", "read_per_second", "p50_ms"];
        for figure in figures.into_iter().chain(["cleaning_p99_ms"]) {
            assert!(point[figure].as_f64().unwrap() > 0.0, "{figure}: {point}");
        }
        assert!(point["p50_ms"].as_f64() <= point["p99_ms"].as_f64());
    }
    let start = &measured["start"];
    assert!(start["data_bytes"].as_u64().unwrap() >= 1 << 20, "{start}");
    assert!(start["start_ms"].as_f64().unwrap() > 0.0, "{start}");
    let left = other.json(&["topics", "list"]);
    assert!(!left.to_string().contains("backstitch-bench"), "{left}");
}

//! Clients of other languages read what we write and write what we read.

use std::io::Write as _;
use std::process::{Command, Stdio};

use backstitch_broker::{OutgoingRecord, read_all};

use crate::world::{bootstrap, config, fill, send, text, topic, unique};

fn run(mut command: Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

/// The command of `BACKSTITCH_TEST_KAFKA_TOOLS` with a tool's class and arguments added.
fn kafka_tool(class: &str, arguments: &[&str]) -> Option<Command> {
    let Ok(prefix) = std::env::var("BACKSTITCH_TEST_KAFKA_TOOLS") else {
        println!("skipped: BACKSTITCH_TEST_KAFKA_TOOLS is not set");
        return None;
    };
    let mut words = prefix.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(class).args(arguments);
    Some(command)
}

fn python(script: &str, arguments: &[&str]) -> Option<Command> {
    let Ok(python) = std::env::var("BACKSTITCH_TEST_PYTHON") else {
        println!("skipped: BACKSTITCH_TEST_PYTHON is not set");
        return None;
    };
    let mut command = Command::new(python);
    command.arg("-c").arg(script).args(arguments);
    Some(command)
}

fn kcat(arguments: &[&str]) -> Option<Command> {
    if Command::new("kcat")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        println!("skipped: kcat is not in the path");
        return None;
    }
    let mut command = Command::new("kcat");
    command
        .args(["-b", &bootstrap(), "-X", "broker.address.family=v4"])
        .args(arguments);
    Some(command)
}

#[test]
fn kcat_reads_and_writes() {
    let topic = topic("kcat", 1);
    let record = OutgoingRecord {
        key: Some(b"k".to_vec()),
        headers: [("h", "v")].into(),
        ..OutgoingRecord::new(topic.as_str(), "from us")
    };
    let Some(command) = kcat(&[
        "-C",
        "-t",
        &topic,
        "-o",
        "beginning",
        "-e",
        "-q",
        "-f",
        "%k|%s|%h\n",
    ]) else {
        return;
    };
    assert_eq!(send(&config(), vec![record]).result, Ok(()));
    assert_eq!(run(command, "").trim(), "k|from us|h=v");

    let command = kcat(&[
        "-P",
        "-t",
        &topic,
        "-K",
        ":",
        "-H",
        "origin=kcat",
        "-z",
        "lz4",
    ])
    .unwrap();
    run(command, "key:from kcat\n");
    let got = read_all(&config(), &topic, 10).unwrap();
    assert_eq!(
        (got[1].key.as_deref(), text(got[1].payload.as_ref())),
        (Some(b"key".as_slice()), "from kcat".to_owned())
    );
    assert_eq!(got[1].header("origin"), Some(b"kcat".as_slice()));
}

#[test]
fn kcat_lists_topics() {
    let topic = topic("kcat-list", 3);
    let Some(command) = kcat(&["-L", "-t", &topic]) else {
        return;
    };
    let listing = run(command, "");
    assert!(
        listing.contains(&format!("topic \"{topic}\" with 3 partitions")),
        "{listing}"
    );
}

#[test]
fn python_produces_consumes_and_commits() {
    let (topic, group) = (topic("python", 2), unique("group"));
    fill(&topic, 0, ["from us".to_owned()]);
    let script = r#"
import sys
from confluent_kafka import Consumer, Producer
servers, topic, group = sys.argv[1:]
producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "compression.type": "zstd"})
failed = []
producer.produce(topic, b"from python", key=b"\xff\x00", partition=1, headers=[("origin", b"python"), ("null", None)],
                 on_delivery=lambda error, message: error and failed.append(error))
assert producer.flush(30) == 0 and not failed, failed
consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe([topic])
seen = {}
while len(seen) < 2:
    message = consumer.poll(60)
    assert message is not None, "no record within a minute"
    assert message.error() is None, message.error()
    seen[message.partition()] = message.value()
consumer.commit(asynchronous=False)
consumer.close()
assert seen == {0: b"from us", 1: b"from python"}, seen
"#;
    let Some(command) = python(script, &[&bootstrap(), &topic, &group]) else {
        return;
    };
    run(command, "");
    let got = read_all(&config(), &topic, 10).unwrap();
    assert_eq!(text(got[1].payload.as_ref()), "from python");
    assert_eq!(got[1].key.as_deref(), Some([0xff, 0x00].as_slice()));
    assert_eq!(
        got[1].headers,
        [("origin", Some("python")), ("null", None)]
            .into_iter()
            .collect()
    );
    let partitions =
        [0, 1].map(|partition| backstitch_broker::TopicPartition::new(topic.as_str(), partition));
    let committed = crate::world::admin()
        .committed_offsets(&group, &partitions)
        .unwrap();
    assert!(
        committed.iter().all(|(_, offset)| *offset == Some(1)),
        "{committed:?}"
    );
}

#[test]
fn python_and_we_share_a_group() {
    let (topic, group) = (topic("python-group", 4), unique("group"));
    let script = r#"
import sys
from confluent_kafka import Consumer
servers, topic, group = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "partition.assignment.strategy": "cooperative-sticky"})
consumer.subscribe([topic])
for _ in range(300):
    consumer.poll(0.2)
    if len(consumer.assignment()) == 2:
        break
assert len(consumer.assignment()) == 2, consumer.assignment()
print("shared", flush=True)
consumer.close()
"#;
    let Some(command) = python(script, &[&bootstrap(), &topic, &group]) else {
        return;
    };
    let ours = crate::probe::Plan::new(&group, &topic).start();
    ours.await_owned(4);
    assert_eq!(run(command, "").trim(), "shared");
    ours.await_owned(4);
}

#[test]
fn javas_console_tools_read_and_write() {
    let topic = topic("java", 3);
    let bootstrap = bootstrap();
    let Some(command) = kafka_tool(
        "org.apache.kafka.tools.ConsoleProducer",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            &topic,
            "--property",
            "parse.key=true",
            "--property",
            "key.separator=:",
        ],
    ) else {
        return;
    };
    run(command, "foobar:from java\n21:more\n");
    let got = read_all(&config(), &topic, 10).unwrap();
    let places: Vec<(String, i32)> = got
        .iter()
        .map(|r| (text(r.key.as_ref()), r.partition))
        .collect();
    // The murmur2 of the two keys; see placement.rs.
    let place = |hash: i32| (hash & 0x7fff_ffff) % 3;
    for (key, hash) in [("foobar", -790_332_482), ("21", -973_932_308)] {
        assert!(
            places.contains(&(key.to_owned(), place(hash))),
            "{key}: {places:?}"
        );
    }
    fill(&topic, 0, ["from us".to_owned()]);
    let command = kafka_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            &topic,
            "--from-beginning",
            "--max-messages",
            "3",
            "--timeout-ms",
            "60000",
            "--group",
            &unique("java-group"),
        ],
    )
    .unwrap();
    let mut lines: Vec<String> = run(command, "").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["from java", "from us", "more"]);
}

#[test]
fn javas_topic_and_group_tools_understand_the_broker() {
    let (topic, group) = (unique("java-topic"), unique("java-seen"));
    let bootstrap = bootstrap();
    let Some(command) = kafka_tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--create",
            "--topic",
            &topic,
            "--partitions",
            "2",
        ],
    ) else {
        return;
    };
    run(command, "");
    assert_eq!(
        crate::world::admin().partition_count(&topic).unwrap(),
        Some(2)
    );
    fill(&topic, 1, (0..4).map(|n| n.to_string()));
    let probe = crate::probe::Plan::new(&group, &topic).start();
    probe.await_records(4);
    let control = probe.control();
    control.commit(vec![(
        backstitch_broker::TopicPartition::new(topic.as_str(), 1),
        3,
    )]);
    probe.stop();
    let command = kafka_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--describe",
            "--group",
            &group,
        ],
    )
    .unwrap();
    let description = run(command, "");
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
    let line = description
        .lines()
        .find(|line| line.contains(&topic))
        .unwrap_or_else(|| panic!("{description}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(&words[2..6], ["1", "3", "4", "1"], "{description}");
}

//! What the embedded broker does not do is said to its clients in words that they pass on.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the answer, and a skipped client is told"
)]

mod embedded_support;

use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use embedded_support::{client, create_topic, start, until};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// Notes what the client would log.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[test]
fn a_consumer_of_the_newer_group_protocol_ends_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let consumer: BaseConsumer = client(&bootstrap)
        .set("group.id", "g")
        .set("group.protocol", "consumer")
        .create()
        .unwrap();
    consumer.subscribe(&["orders"]).unwrap();
    let error = until("the refusal", || {
        consumer.poll(Duration::from_millis(50))?.err()
    });
    assert!(error.to_string().contains("Fatal"), "{error}");
    let (code, message) = consumer.client().fatal_error().unwrap();
    assert_eq!(code, rdkafka::types::RDKafkaErrorCode::UnsupportedVersion);
    assert!(message.contains("ConsumerGroupHeartbeat"), "{message}");
}

/// Java's client, where `BACKSTITCH_TEST_KAFKA_TOOLS` says how to run Kafka's tools.
#[test]
fn javas_consumer_of_the_newer_group_protocol_ends_and_says_why() {
    let Ok(prefix) = std::env::var("BACKSTITCH_TEST_KAFKA_TOOLS") else {
        println!("skipped: BACKSTITCH_TEST_KAFKA_TOOLS is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path());
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let mut words = prefix.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .arg("org.apache.kafka.tools.consumer.ConsoleConsumer")
        .args(["--bootstrap-server", &bootstrap, "--topic", "orders"])
        .args(["--group", "g", "--timeout-ms", "20000"])
        .args(["--command-property", "group.protocol=consumer"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("UnsupportedVersionException"), "{said}");
    assert!(said.contains("group.protocol=classic"), "{said}");
}

#[test]
fn a_client_for_whose_connection_there_is_no_room_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(EmbeddedConfig {
        path: folder.path().join("broker.db"),
        listen: ([127, 0, 0, 1], 0).into(),
        connections_max: 1,
        ..EmbeddedConfig::default()
    })
    .unwrap();
    let bootstrap = broker.bootstrap_servers();
    let held = TcpStream::connect(&bootstrap).unwrap();
    let producer: BaseProducer<Heard> = client(&bootstrap)
        .set_log_level(RDKafkaLogLevel::Warning)
        .create_with_context(Heard::default())
        .unwrap();
    until("the refusal", || {
        // What is asked for does not come; why it does not is heard besides.
        let _ = producer
            .client()
            .fetch_metadata(None, Duration::from_millis(200));
        producer.poll(Duration::from_millis(50));
        let heard = producer.context().0.lock().unwrap();
        let said = "Throttling quota has been exceeded";
        heard.iter().any(|error| error.contains(said)).then_some(())
    });
    drop(held);
    until("room", || {
        producer
            .client()
            .fetch_metadata(None, Duration::from_millis(200))
            .ok()
    });
}

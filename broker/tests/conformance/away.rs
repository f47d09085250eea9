//! No broker, or one that went away: nothing hangs.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use backstitch_broker::{BrokerError, ConsumerError, KafkaConfig, Producer};

use crate::probe::Plan;
use crate::world::{PATIENCE, to, unique};

/// An address where nothing listens.
pub(crate) fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[test]
fn a_consumer_without_a_broker_says_so_and_stops() {
    let mut plan = Plan::new(&unique("group"), "anything");
    plan.config = KafkaConfig::new(closed_port());
    let probe = plan.start();
    probe.await_until("a transient error", |seen| {
        seen.failures()
            .any(|error| matches!(error, ConsumerError::Transient { .. }))
    });
    let begun = Instant::now();
    probe.stop();
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_broker_that_accepts_and_never_answers_hangs_no_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = Plan::new(&unique("group"), "anything");
    plan.config = KafkaConfig::new(listener.local_addr().unwrap().to_string());
    let probe = plan.start();
    let _held = listener.accept().unwrap();
    let begun = Instant::now();
    probe.stop();
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn records_wait_for_a_broker_and_fail_when_the_producer_is_dropped() {
    let (done, wait) = std::sync::mpsc::channel();
    let producer = Producer::new(&KafkaConfig::new(closed_port()), move |batch| {
        done.send(batch).unwrap()
    })
    .unwrap();
    producer
        .send(3, vec![to("anything", 0, "x"), to("anything", 0, "y")])
        .unwrap();
    let error = producer.flush(Duration::from_millis(300)).unwrap_err();
    assert!(
        matches!(error, BrokerError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(wait.try_recv().is_err(), "nothing is given up");
    drop(producer);
    let batch = wait.recv_timeout(PATIENCE).unwrap();
    let error = batch.result.unwrap_err();
    assert_eq!(
        (batch.batch_id, error.failed_count, error.fatal),
        (3, 2, true)
    );
}

#[test]
fn a_full_queue_takes_nothing_and_says_so() {
    let (done, wait) = std::sync::mpsc::channel();
    let config = KafkaConfig::new(closed_port()).with("queue.buffering.max.messages", "10");
    let producer = Producer::new(&config, move |batch| done.send(batch).unwrap()).unwrap();
    producer
        .send(1, (0..10).map(|_| to("anything", 0, "x")).collect())
        .unwrap();
    let begun = Instant::now();
    let error = producer.send(2, vec![to("anything", 0, "x")]).unwrap_err();
    assert!(matches!(error, BrokerError::QueueFull { .. }), "{error:?}");
    assert!(
        begun.elapsed() >= Duration::from_secs(29),
        "it waited for room"
    );
    drop(producer);
    assert_eq!(wait.recv_timeout(PATIENCE).unwrap().batch_id, 1);
    assert!(
        wait.recv().is_err(),
        "the refused batch is not told of again"
    );
}

//! The kit: order a key, concurrency, heartbeats, panics, drain.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstitch_schemas::{Command, Direction, ReplyOutcome, wire};
use backstitch_workers::memory::VolatileMemory;
use backstitch_workers::order::{Knobs, read_ledger, start_order_worker};
use backstitch_workers::{
    Answer, External, Local, MemoryUrl, RunningWorker, Tx, Work, Worker, WorkerConfig,
};
use serde_json::json;
use tokio::sync::{Barrier, Notify};

use crate::world::World;

fn config(world: &World) -> WorkerConfig {
    let memory = MemoryUrl::Volatile(VolatileMemory::new());
    WorkerConfig::new(world.kafka.clone(), "charge-payment", memory)
}

async fn external(config: WorkerConfig, handler: impl External) -> RunningWorker {
    Worker::builder(config)
        .external("charge-payment", handler)
        .start()
        .await
        .unwrap()
}

/// Answers when so many keys are at work at once; notes the order of each key.
struct Together {
    barrier: Barrier,
    order: Mutex<HashMap<String, Vec<i32>>>,
    at_work: Mutex<HashMap<String, usize>>,
}

impl External for Together {
    async fn handle(&self, work: &Work) -> Answer {
        let busy = self.at_work.lock().unwrap().insert(work.saga.clone(), 1);
        assert_eq!(
            busy.unwrap_or(0),
            0,
            "two commands of {} at once",
            work.saga
        );
        self.barrier.wait().await;
        self.order
            .lock()
            .unwrap()
            .entry(work.saga.clone())
            .or_default()
            .push(work.attempt);
        self.at_work.lock().unwrap().insert(work.saga.clone(), 0);
        Answer::failed("again", "so that the next attempt is asked too")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_partition_feeds_many_keys_at_once_and_each_in_its_order() {
    const KEYS: usize = 20;
    let world = World::with_partitions(1);
    let together = Arc::new(Together {
        barrier: Barrier::new(KEYS),
        order: Mutex::default(),
        at_work: Mutex::default(),
    });
    let worker = external(config(&world), Arc::clone(&together)).await;
    let mut commands = Vec::new();
    for attempt in 1..=3 {
        for saga in 0..KEYS {
            let command = world.command(&format!("s{saga}"), "charge-payment", Direction::Do);
            commands.push(Command { attempt, ..command });
        }
    }
    world.send_all(&commands);
    let replies = world.replies(3 * KEYS).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Failed)
    );
    for (saga, order) in together.order.lock().unwrap().iter() {
        assert_eq!(order, &[1, 2, 3], "{saga}");
    }
    worker.drain();
    worker.join().await.unwrap();
}

/// Answers when it is told to.
struct OnSignal(Arc<Notify>);

impl External for OnSignal {
    async fn handle(&self, work: &Work) -> Answer {
        self.0.notified().await;
        Answer::Done(work.input.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_asked_for_the_first_sign_of_life_leaves_at_once() {
    let world = World::new();
    let signal = Arc::new(Notify::new());
    let worker = external(config(&world), OnSignal(Arc::clone(&signal))).await;
    let command = world.command("slow", "charge-payment", Direction::Do);
    // A third of the deadline would be hours.
    let command = Command {
        deadline_ms: command.sent_at_ms + 36_000_000,
        heartbeat_ms: Some(300),
        ..command
    };
    world.send_all(&[command]);
    world.heartbeats(2).await;
    signal.notify_one();
    world.replies(1).await;
    worker.drain();
    worker.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_takes_long_sends_signs_of_life_and_then_its_answer() {
    let world = World::new();
    let signal = Arc::new(Notify::new());
    let worker = external(config(&world), OnSignal(Arc::clone(&signal))).await;
    let command = world.command("slow", "charge-payment", Direction::Do);
    let command = Command {
        deadline_ms: command.sent_at_ms + 300,
        ..command
    };
    let mut record = world.record(&command);
    let traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec();
    record.headers.push(wire::TRACEPARENT, &traceparent);
    world.send_records(vec![record]);
    let beat = &world.heartbeats(2).await[1];
    assert_eq!((beat.saga.as_str(), beat.attempt), ("slow", 1));
    signal.notify_one();
    let reply = &world.replies(1).await[0];
    assert_eq!(reply.outcome, ReplyOutcome::Done);
    let record = world.inbox_records().pop().unwrap();
    assert_eq!(record.key.as_deref(), Some(b"slow".as_slice()));
    for (name, value) in [
        (wire::TRACEPARENT, traceparent.as_slice()),
        (wire::CE_SPECVERSION, b"1.0"),
        (wire::CE_SUBJECT, b"slow"),
        (wire::SAGA_ID, b"slow"),
        (wire::SAGA_STEP, b"step"),
        (wire::SAGA_ATTEMPT, b"1"),
        (wire::SAGA_KIND, b"reply"),
    ] {
        assert_eq!(record.header(name), Some(value), "{name}");
    }
    worker.drain();
    worker.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_drops_what_never_ends_and_the_next_worker_does_it() {
    let world = World::with_partitions(1);
    let memory = MemoryUrl::Volatile(VolatileMemory::new());
    let mut config = WorkerConfig::new(world.kafka.clone(), "charge-payment", memory);
    config.drain_max = Duration::from_millis(50);
    let signal = Arc::new(Notify::new());
    let first = external(config.clone(), OnSignal(Arc::clone(&signal))).await;
    let command = world.command("stuck", "charge-payment", Direction::Do);
    world.send(&Command {
        deadline_ms: command.sent_at_ms + 300,
        ..command
    });
    world.heartbeats(1).await;
    first.drain();
    first.join().await.unwrap();
    assert_eq!(world.committed("charge-payment", 1), 0);
    signal.notify_one();
    let second = external(config, OnSignal(signal)).await;
    assert_eq!(world.replies(1).await[0].outcome, ReplyOutcome::Done);
    second.drain();
    second.join().await.unwrap();
    assert_eq!(world.committed("charge-payment", 1), 1);
}

/// Panics at the first attempt.
struct Nervous;

impl Local for Nervous {
    async fn handle(&self, work: &Work, _tx: &mut Tx<'_>) -> Answer {
        assert!(work.attempt > 1, "the first attempt is too much");
        Answer::Done(json!(null))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_has_failed_and_others_go_on() {
    let world = World::new();
    let worker = Worker::builder(config(&world))
        .local("charge-payment", Nervous)
        .start()
        .await
        .unwrap();
    let first = world.command("nervous", "charge-payment", Direction::Do);
    let second = Command {
        attempt: 2,
        ..first.clone()
    };
    world.send_all(&[first, second]);
    let replies = world.replies(2).await;
    assert_eq!(replies[0].outcome, ReplyOutcome::Failed);
    assert_eq!(replies[0].code.as_deref(), Some("handler_panicked"));
    assert_eq!(replies[1].outcome, ReplyOutcome::Done);
    worker.drain();
    worker.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_leaves_amid_the_work_leaves_nothing_undone_and_nothing_done_twice() {
    const SAGAS: usize = 1_000;
    let world = World::new();
    let mut options = world.order_options();
    options.knobs = Knobs {
        delay: Duration::from_millis(2),
        ..Knobs::default()
    };
    let commands: Vec<Command> = (0..SAGAS)
        .map(|saga| world.command(&format!("s{saga}"), "reserve-stock", Direction::Do))
        .collect();
    let first = start_order_worker("reserve-stock", options.clone())
        .await
        .unwrap();
    world.send_all(&commands);
    world.replies(20).await;
    let second = start_order_worker("reserve-stock", options.clone())
        .await
        .unwrap();
    first.drain();
    first.join().await.unwrap();
    let replies = world.replies(SAGAS).await;
    let distinct: std::collections::BTreeSet<&str> =
        replies.iter().map(|reply| reply.saga.as_str()).collect();
    // A reply may come twice; then there are others to wait for.
    if distinct.len() < SAGAS {
        world.replies(2 * SAGAS - distinct.len()).await;
    }
    second.drain();
    second.join().await.unwrap();
    let ledger = read_ledger(options.ledger_path("reserve-stock"))
        .await
        .unwrap();
    assert_eq!(ledger.len(), SAGAS);
    assert_eq!(
        world.committed("reserve-stock", 2),
        i64::try_from(SAGAS).unwrap()
    );
}

/// Counts how many are at work at once.
#[derive(Default)]
struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl External for Counting {
    async fn handle(&self, _work: &Work) -> Answer {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Answer::Done(json!(null))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_worker_stops_reading_and_goes_on_later() {
    const SAGAS: usize = 600;
    let world = World::new();
    let mut config = config(&world);
    config.concurrency = 3;
    config.commands_max = 8;
    let counting = Arc::new(Counting::default());
    let commands: Vec<Command> = (0..SAGAS)
        .map(|saga| world.command(&format!("s{saga}"), "charge-payment", Direction::Do))
        .collect();
    world.send_all(&commands);
    let worker = external(config, Arc::clone(&counting)).await;
    let replies = world.replies(SAGAS).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Done)
    );
    assert!(counting.most.load(Ordering::SeqCst) <= 3);
    worker.drain();
    let stats = worker.join().await.unwrap();
    assert_eq!((stats.done, stats.open), (600, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cut_off_amid_the_work_again_and_again_has_one_effect_a_key() {
    const SAGAS: usize = 1_200;
    let world = World::new();
    let mut options = world.order_options();
    options.session_timeout = Duration::from_secs(6);
    options.knobs = Knobs {
        delay: Duration::from_millis(1),
        ..Knobs::default()
    };
    let commands: Vec<Command> = (0..SAGAS)
        .map(|saga| world.command(&format!("s{saga}"), "ship-order", Direction::Do))
        .collect();
    world.send_all(&commands);
    for round in 1..=4 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let worker = runtime.spawn(start_order_worker("ship-order", options.clone()));
        let worker = worker.await.unwrap().unwrap();
        world.replies(round * 100).await;
        // Every task ends where it stands: no drain, no reply for what is committed, no offset for what is replied.
        runtime.shutdown_background();
        drop(worker);
    }
    let last = start_order_worker("ship-order", options.clone())
        .await
        .unwrap();
    let mut count = SAGAS;
    loop {
        let replies = world.replies(count).await;
        let distinct: std::collections::BTreeSet<&str> =
            replies.iter().map(|reply| reply.saga.as_str()).collect();
        if distinct.len() == SAGAS {
            break;
        }
        // Some came twice.
        count = replies.len() + SAGAS - distinct.len();
    }
    last.drain();
    last.join().await.unwrap();
    let ledger = read_ledger(options.ledger_path("ship-order"))
        .await
        .unwrap();
    assert_eq!(ledger.len(), SAGAS);
    assert_eq!(
        world.committed("ship-order", 2),
        i64::try_from(SAGAS).unwrap()
    );
}

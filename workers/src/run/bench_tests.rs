//! The bench alone: inputs in, effects out, no Kafka.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a fact is about one effect, whatever else there is"
)]

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};

use backstitch_broker::{ErrorCode, KafkaConfig};
use backstitch_schemas::wire::Topics;
use backstitch_schemas::{Codec, Command, Direction};

use super::*;
use crate::config::MemoryUrl;
use crate::handler::Local;
use crate::memory::{Tx, VolatileMemory};

struct Idle;

impl Local for Idle {
    async fn handle(&self, _work: &Work, _tx: &mut Tx<'_>) -> Answer {
        Answer::Silent
    }
}

const ACTIVITY: &str = "charge-payment";

fn place() -> TopicPartition {
    TopicPartition::new(Topics::default().commands(ACTIVITY), 0)
}

fn bench(change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let memory = MemoryUrl::Volatile(VolatileMemory::new());
    let mut config = WorkerConfig::new(KafkaConfig::new("127.0.0.1:1"), ACTIVITY, memory);
    change(&mut config);
    let topics = Topics::default();
    let mut handlers = Handlers::default();
    handlers.insert(ACTIVITY.to_owned(), Handler::Local(Arc::new(Idle)));
    let activities = HashMap::from([(
        topics.commands(ACTIVITY),
        (ACTIVITY.to_owned(), Kind::Local),
    )]);
    let intake = Intake::new(config.codec.clone(), activities, 1_000_000);
    let outlet = Outlet::new(config.codec.clone(), "w".to_owned(), &topics, ACTIVITY);
    let (counters, generations) = (Arc::default(), Generations::default());
    assert_eq!(generations.next(), 1);
    let mut bench = Bench::new(&config, handlers, intake, outlet, counters, generations);
    bench.assigned(vec![(place(), 1)]);
    assert!(bench.turn(0).is_empty());
    bench
}

fn record(saga: &str, generation: u64, offset: i64) -> IncomingRecord {
    let command = Command {
        saga: saga.to_owned(),
        definition: "d".to_owned(),
        step: "pay".to_owned(),
        direction: Direction::Do,
        attempt: 1,
        activity: ACTIVITY.to_owned(),
        idempotency_key: format!("{saga}/pay/do"),
        done_key: None,
        input: b"{}".to_vec(),
        output: None,
        reply_topic: "inbox".to_owned(),
        reply_partition: 0,
        sent_at_ms: 0,
        deadline_ms: 10,
        heartbeat_ms: None,
    };
    IncomingRecord {
        topic: place().topic,
        partition: 0,
        offset,
        generation,
        key: Some(saga.as_bytes().to_vec()),
        payload: Some(Codec::single_object().encode_command(&command).unwrap()),
        headers: Default::default(),
        timestamp_ms: 0,
    }
}

fn batch_of(effects: &[Effect]) -> Vec<u64> {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Batch(items) => Some(items.iter().map(|item| item.ticket).collect()),
            _ => None,
        })
        .unwrap_or_default()
}

fn shipment_of(effects: &[Effect]) -> Option<(u64, usize)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(shipment) => Some((shipment.batch_id, shipment.records.len())),
        _ => None,
    })
}

fn commit_of(effects: &[Effect]) -> Option<i64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Commit(offsets) => Some(offsets[0].1),
        _ => None,
    })
}

fn done(tickets: &[u64]) -> Vec<(u64, Outcome)> {
    let said = Said::nothing_to_undo();
    tickets
        .iter()
        .map(|ticket| (*ticket, Outcome::Say(said.clone())))
        .collect()
}

fn undelivered(fatal: bool) -> DeliveryError {
    DeliveryError {
        fatal,
        code: ErrorCode::UnknownPartition,
        reason: "unknown partition".to_owned(),
        failed_count: 1,
        refused: Vec::new(),
    }
}

fn revoke(bench: &mut Bench, lost: bool) -> Receiver<()> {
    let (let_go, gone) = sync_channel(1);
    bench.revoked(&[place()], lost, let_go);
    gone
}

fn let_go(effects: Vec<Effect>) -> bool {
    effects
        .into_iter()
        .any(|effect| matches!(effect, Effect::LetGo(_)))
}

#[test]
fn an_offset_is_committed_only_after_the_reply_was_acknowledged() {
    let mut bench = bench(|_| {});
    bench.records(vec![record("a", 1, 7), record("b", 1, 8)], 0);
    let tickets = batch_of(&bench.turn(0));
    assert_eq!(tickets.len(), 2);
    bench.batch_done(done(&tickets), 0);
    let (batch_id, count) = shipment_of(&bench.turn(0)).unwrap();
    assert_eq!(count, 2);
    assert_eq!(commit_of(&bench.turn(100_000)), None);
    bench.delivered(batch_id, Ok(()), 100_000);
    let due = bench.wake_at_ms().unwrap();
    assert_eq!(commit_of(&bench.turn(due - 1)), None);
    assert_eq!(commit_of(&bench.turn(due)), Some(9));
}

#[test]
fn one_batch_runs_at_a_time_and_the_next_is_what_came_meanwhile() {
    let mut bench = bench(|config| config.batch_len_max = 3);
    bench.records(vec![record("a", 1, 0)], 0);
    let first = batch_of(&bench.turn(0));
    bench.records(
        (1..6)
            .map(|offset| record(&format!("s{offset}"), 1, offset))
            .collect(),
        0,
    );
    assert!(batch_of(&bench.turn(0)).is_empty());
    bench.batch_done(done(&first), 0);
    assert_eq!(batch_of(&bench.turn(0)).len(), 3);
}

#[test]
fn partitions_go_when_what_is_at_work_is_through_and_what_waits_is_dropped() {
    let mut bench = bench(|config| config.batch_len_max = 1);
    bench.records(vec![record("a", 1, 0), record("b", 1, 1)], 0);
    let tickets = batch_of(&bench.turn(0));
    let _gone = revoke(&mut bench, false);
    assert!(!let_go(bench.turn(0)));
    bench.batch_done(done(&tickets), 0);
    let effects = bench.turn(0);
    assert!(batch_of(&effects).is_empty(), "b was dropped");
    let (batch_id, _) = shipment_of(&effects).unwrap();
    bench.delivered(batch_id, Ok(()), 0);
    let effects = bench.turn(0);
    assert_eq!(commit_of(&effects), Some(1));
    assert!(let_go(effects));
    assert_eq!((bench.open_count, bench.open_bytes), (0, 0));
}

#[test]
fn nothing_is_committed_for_partitions_that_were_lost() {
    let mut bench = bench(|_| {});
    bench.records(vec![record("a", 1, 0)], 0);
    let tickets = batch_of(&bench.turn(0));
    let _gone = revoke(&mut bench, true);
    assert!(let_go(bench.turn(0)));
    // They come back under a new generation while the old work is still going on.
    bench.assigned(vec![(place(), 2)]);
    bench.records(vec![record("a", 2, 0)], 0);
    bench.batch_done(done(&tickets), 0);
    let effects = bench.turn(0);
    let (batch_id, _) = shipment_of(&effects).unwrap();
    assert_eq!(batch_of(&effects).len(), 1, "read again, asked again");
    bench.delivered(batch_id, Ok(()), 0);
    assert_eq!(commit_of(&bench.turn(1_000_000)), None);
}

#[test]
fn after_a_producer_has_ended_everything_uncommitted_is_read_again() {
    let mut bench = bench(|_| {});
    bench.records(vec![record("a", 1, 5), record("b", 1, 6)], 0);
    let tickets = batch_of(&bench.turn(0));
    bench.batch_done(done(&tickets), 0);
    assert!(shipment_of(&bench.turn(0)).is_some());
    bench.records(vec![record("c", 1, 7)], 0);
    bench.producer_replaced(0);
    assert_eq!((bench.open_count, bench.open_bytes), (0, 0));
    let effects = bench.turn(0);
    let seek = effects.iter().find_map(|effect| match effect {
        Effect::Seek(again) => Some((again.offset, again.generation)),
        _ => None,
    });
    assert_eq!(seek, Some((5, 2)));
    // What was fetched before the seek is of the time before.
    bench.records(vec![record("d", 1, 8)], 0);
    assert!(batch_of(&bench.turn(0)).is_empty());
}

#[test]
fn a_reply_that_can_not_be_delivered_becomes_a_dead_letter_and_holds_up_no_other() {
    let mut bench = bench(|_| {});
    bench.records(vec![record("a", 1, 0), record("b", 1, 1)], 0);
    let tickets = batch_of(&bench.turn(0));
    bench.batch_done(done(&tickets), 0);
    let (together, _) = shipment_of(&bench.turn(0)).unwrap();
    bench.delivered(together, Err(undelivered(false)), 0);
    let due = bench.wake_at_ms().unwrap();
    let alone: Vec<u64> = bench
        .turn(due)
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(shipment) => Some(shipment.batch_id),
            _ => None,
        })
        .collect();
    assert_eq!(alone.len(), 2);
    bench.delivered(alone[0], Err(undelivered(false)), due);
    bench.delivered(alone[1], Ok(()), due);
    let due = bench.wake_at_ms().unwrap() + 1_000;
    let effects = bench.turn(due);
    let letter = effects.iter().find_map(|effect| match effect {
        Effect::Send(shipment) => Some((shipment.batch_id, &shipment.records[0])),
        _ => None,
    });
    let (batch_id, letter) = letter.unwrap();
    assert_eq!(*letter.topic, *Topics::default().dead_letters());
    bench.delivered(batch_id, Ok(()), due);
    assert_eq!(commit_of(&bench.turn(due + 1_000)), Some(2));
}

#[test]
fn a_full_bench_pauses_and_goes_on_at_half() {
    let mut bench = bench(|config| {
        config.commands_max = 4;
        config.batch_len_max = 2;
    });
    bench.records(
        (0..4)
            .map(|offset| record(&format!("s{offset}"), 1, offset))
            .collect(),
        0,
    );
    let effects = bench.turn(0);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Pause(_)))
    );
    let tickets = batch_of(&effects);
    bench.batch_done(done(&tickets), 0);
    let effects = bench.turn(0);
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Resume(_)))
    );
    bench.delivered(shipment_of(&effects).unwrap().0, Ok(()), 0);
    let effects = bench.turn(0);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Resume(_)))
    );
}

#[test]
fn a_drain_finishes_what_is_at_work_commits_and_stops() {
    let mut bench = bench(|config| config.batch_len_max = 1);
    bench.records(vec![record("a", 1, 0), record("b", 1, 1)], 0);
    let tickets = batch_of(&bench.turn(0));
    bench.drain(0);
    assert!(
        bench
            .turn(0)
            .iter()
            .any(|effect| matches!(effect, Effect::Pause(_)))
    );
    bench.records(vec![record("c", 1, 2)], 0);
    bench.batch_done(done(&tickets), 0);
    let effects = bench.turn(0);
    assert!(batch_of(&effects).is_empty());
    bench.delivered(shipment_of(&effects).unwrap().0, Ok(()), 0);
    let effects = bench.turn(0);
    assert_eq!(commit_of(&effects), Some(1));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Stop)));
}

//! The order workers: one effect a key, whatever comes how often and in which order.

use std::collections::BTreeSet;

use backstitch_schemas::{Command, DeadLetterReason, Direction, ReplyOutcome};
use backstitch_workers::order::{order_activities, read_ledger, start_order_worker};
use serde_json::json;

use crate::world::{World, now_ms, output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_in_one_process_answer_and_undo() {
    let world = World::new();
    let mut workers = Vec::new();
    for activity in order_activities() {
        workers.push(
            start_order_worker(activity, world.order_options())
                .await
                .unwrap(),
        );
        world.send(&world.command(activity, activity, Direction::Do));
    }
    for reply in world.replies(4).await {
        assert_eq!(reply.outcome, ReplyOutcome::Done, "{reply:?}");
        assert_eq!(reply.idempotency_key, format!("{}/step/do", reply.saga));
    }
    for (of, undo) in [
        ("reserve-stock", "release-stock"),
        ("charge-payment", "refund-payment"),
        ("ship-order", "ship-order"),
    ] {
        world.send(&world.command(of, undo, Direction::Undo));
    }
    for reply in &world.replies(7).await[4..] {
        assert_eq!(
            (reply.outcome, reply.direction),
            (ReplyOutcome::Done, Direction::Undo)
        );
        assert_eq!(output(reply), json!({ "undone": reply.saga }));
        let ledger = read_ledger(world.order_options().ledger_path(&reply.saga))
            .await
            .unwrap();
        let directions: Vec<&str> = ledger
            .iter()
            .map(|effect| effect.direction.as_str())
            .collect();
        assert_eq!(directions, ["do", "undo"], "{ledger:?}");
    }
    for worker in workers {
        worker.drain();
        worker.join().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_delivered_often_to_two_workers_has_one_effect() {
    const SAGAS: usize = 150;
    let world = World::new();
    let first = start_order_worker("charge-payment", world.order_options())
        .await
        .unwrap();
    let second = start_order_worker("charge-payment", world.order_options())
        .await
        .unwrap();
    let commands: Vec<Command> = (0..SAGAS)
        .map(|saga| world.command(&format!("s{saga}"), "charge-payment", Direction::Do))
        .collect();
    // Into the partition of its key, and into the other one too: both workers get it, at once.
    for partition in [0, 1, 0] {
        let mut records: Vec<_> = commands
            .iter()
            .map(|command| world.record(command))
            .collect();
        for record in &mut records {
            record.partition = Some(partition);
        }
        world.send_records(records);
    }
    let replies = world.replies(3 * SAGAS).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Done)
    );
    let ledger = read_ledger(world.order_options().ledger_path("charge-payment"))
        .await
        .unwrap();
    let keys: BTreeSet<&str> = ledger.iter().map(|effect| effect.key.as_str()).collect();
    assert_eq!((ledger.len(), keys.len()), (SAGAS, SAGAS));
    for worker in [first, second] {
        worker.drain();
        let stats = worker.join().await.unwrap();
        assert_eq!(stats.records, stats.done + stats.repeated, "{stats:?}");
    }
    assert_eq!(world.committed("charge-payment", 2), 3 * 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_comes_before_its_do_leaves_nothing_done() {
    let world = World::new();
    let worker = start_order_worker("charge-payment", world.order_options())
        .await
        .unwrap();
    world.send(&world.command("early", "refund-payment", Direction::Undo));
    let replies = world.replies(1).await;
    assert_eq!(replies[0].outcome, ReplyOutcome::Done);
    world.send(&world.command("early", "charge-payment", Direction::Do));
    let reply = &world.replies(2).await[1];
    assert_eq!(reply.outcome, ReplyOutcome::Refused);
    assert_eq!(reply.code.as_deref(), Some("undone_before_done"));
    let path = world.order_options().ledger_path("charge-payment");
    assert_eq!(read_ledger(path).await.unwrap(), []);
    worker.drain();
    worker.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_in_an_order_refuse_fail_and_hang() {
    let world = World::new();
    let worker = start_order_worker("charge-payment", world.order_options())
        .await
        .unwrap();
    let marked = |saga: &str, how: &str, attempt| Command {
        attempt,
        input: json!({ "order_id": saga, "fail_at": "charge-payment", "fail_how": how })
            .to_string()
            .into_bytes(),
        ..world.command(saga, "charge-payment", Direction::Do)
    };
    world.send_all(&[
        marked("h", "hang", 1),
        marked("h", "hang", 2),
        marked("r", "refuse", 1),
        marked("f", "fail", 1),
        marked("f", "fail", 2),
        marked("f", "fail", 3),
    ]);
    let replies = world.replies(5).await;
    let of = |saga: &str| -> Vec<(ReplyOutcome, i32, Option<&str>)> {
        replies
            .iter()
            .filter(|reply| reply.saga == saga)
            .map(|reply| (reply.outcome, reply.attempt, reply.code.as_deref()))
            .collect()
    };
    assert_eq!(of("h"), [(ReplyOutcome::Done, 2, None)]);
    assert_eq!(of("r"), [(ReplyOutcome::Refused, 1, Some("card_declined"))]);
    let outcomes: Vec<_> = of("f").into_iter().map(|(outcome, ..)| outcome).collect();
    assert_eq!(
        outcomes,
        [
            ReplyOutcome::Failed,
            ReplyOutcome::Failed,
            ReplyOutcome::Done
        ]
    );
    let ledger = read_ledger(world.order_options().ledger_path("charge-payment"))
        .await
        .unwrap();
    assert_eq!(ledger.len(), 2, "{ledger:?}");
    worker.drain();
    let stats = worker.join().await.unwrap();
    assert_eq!(stats.silent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_command_goes_to_the_dead_letters_and_the_stream_goes_on() {
    let world = World::with_partitions(1);
    let worker = start_order_worker("check-fraud", world.order_options())
        .await
        .unwrap();
    let good = world.command("good", "check-fraud", Direction::Do);
    let record = world.record(&good);
    let mut garbage = record.clone();
    garbage.payload = Some(b"not a command".to_vec());
    garbage.headers.push("x-from", "elsewhere");
    let mut empty = record.clone();
    empty.payload = None;
    let mut other_key = record.clone();
    other_key.key = Some(vec![0xff, 0xfe]);
    let changed = |change: &dyn Fn(&mut Command)| {
        let mut command = good.clone();
        change(&mut command);
        let mut record = world.record(&command);
        record.topic = world.topics.commands("check-fraud").into();
        record
    };
    world.send_records(vec![
        garbage,
        empty,
        other_key,
        changed(&|command| command.activity = "ship-order".to_owned()),
        changed(&|command| command.input = b"{".to_vec()),
        changed(&|command| command.sent_at_ms = now_ms() - 8 * 24 * 3_600_000),
        changed(&|command| command.reply_partition = 99),
        record,
    ]);
    let replies = world.replies(1).await;
    assert_eq!((replies.len(), replies[0].outcome), (1, ReplyOutcome::Done));
    let letters = world.letters(7).await;
    let reason_at = |offset| {
        let letter = letters
            .iter()
            .find(|letter| letter.offset == offset)
            .unwrap();
        assert_eq!(letter.topic, world.topics.commands("check-fraud"));
        (letter.reason, letter.detail.clone())
    };
    for (offset, reason) in [
        (0, DeadLetterReason::Garbage),
        (1, DeadLetterReason::Garbage),
        (2, DeadLetterReason::BadKey),
        (3, DeadLetterReason::UnknownActivity),
        (4, DeadLetterReason::Undecodable),
        (5, DeadLetterReason::CannotApply),
        (6, DeadLetterReason::CannotApply),
    ] {
        assert_eq!(reason_at(offset).0, reason, "offset {offset}");
    }
    assert!(reason_at(5).1.starts_with("older_than_memory"));
    let garbage = letters.iter().find(|letter| letter.offset == 0).unwrap();
    assert_eq!(garbage.value.as_deref(), Some(b"not a command".as_slice()));
    assert_eq!(garbage.headers[0].name, "x-from");
    assert_eq!(
        garbage.headers[0].value.as_deref(),
        Some(b"elsewhere".as_slice())
    );
    worker.drain();
    worker.join().await.unwrap();
    assert_eq!(world.committed("check-fraud", 1), 8);
}

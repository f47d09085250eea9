//! The facts that hold for every memory: in the process, in SQLite, and in Postgres where `BACKSTITCH_TEST_POSTGRES` names one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use backstitch_schemas::Direction;
use serde_json::json;

use super::{Entry, Memory, PostgresMemory, Remembered, SqliteMemory, Tx, VolatileMemory};
use crate::batch::{Item, Outcome, Task, run_batch};
use crate::handler::Local;
use crate::said::Said;
use crate::work::{Answer, Work, example};

const EFFECTS: &str = "CREATE TABLE IF NOT EXISTS test_effect (key TEXT NOT NULL, bar TEXT UNIQUE)";

/// Does what the input asks for, counts, and writes its effect where the memory has tables.
#[derive(Default)]
struct Hand {
    runs: Mutex<HashMap<String, u32>>,
}

impl Hand {
    fn runs(&self, key: &str) -> u32 {
        self.runs.lock().unwrap().get(key).copied().unwrap_or(0)
    }
}

impl Local for Hand {
    async fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> Answer {
        *self
            .runs
            .lock()
            .unwrap()
            .entry(work.key.clone())
            .or_default() += 1;
        let bar = work.input["bar"].as_str().map(str::to_owned);
        if let Ok(connection) = tx.sqlite().await {
            let written = sqlx::query("INSERT INTO test_effect VALUES (?, ?)")
                .bind(work.key.clone())
                .bind(bar)
                .execute(connection)
                .await;
            if let Err(error) = written {
                return Answer::failed("sql", error.to_string());
            }
        } else if let Ok(connection) = tx.postgres().await {
            let written = sqlx::query("INSERT INTO test_effect VALUES ($1, $2)")
                .bind(work.key.clone())
                .bind(bar)
                .execute(connection)
                .await;
            if let Err(error) = written {
                return Answer::failed("sql", error.to_string());
            }
        }
        match work.input["how"].as_str() {
            Some("fail") => Answer::failed("unlucky", "asked to"),
            Some("refuse") => Answer::refused("no", "asked to"),
            Some("panic") => panic!("asked to"),
            Some("silent") => Answer::Silent,
            _ => Answer::Done(json!({ "saga": work.saga })),
        }
    }
}

/// A memory under test: sessions on one store, and a count of the effects in its tables, if it has any.
trait Bed: Sized {
    type Memory: Memory;
    async fn make() -> Option<Self>;
    async fn session(&self) -> Self::Memory;
    async fn effects(&self, key: &str) -> Option<u64>;
}

struct VolatileBed(VolatileMemory);

impl Bed for VolatileBed {
    type Memory = VolatileMemory;
    async fn make() -> Option<Self> {
        Some(Self(VolatileMemory::new()))
    }
    async fn session(&self) -> VolatileMemory {
        self.0.clone()
    }
    async fn effects(&self, _key: &str) -> Option<u64> {
        None
    }
}

struct SqliteBed(tempfile::TempDir);

impl Bed for SqliteBed {
    type Memory = SqliteMemory;
    async fn make() -> Option<Self> {
        Some(Self(tempfile::tempdir().unwrap()))
    }
    async fn session(&self) -> SqliteMemory {
        let mut memory = SqliteMemory::open(self.0.path().join("m.db"))
            .await
            .unwrap();
        memory.prepare(EFFECTS).await.unwrap();
        memory
    }
    async fn effects(&self, key: &str) -> Option<u64> {
        let mut memory = self.session().await;
        memory.begin(&[], &[]).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM test_effect WHERE key = ?")
            .bind(key.to_owned())
            .fetch_one(memory.tx().sqlite().await.unwrap())
            .await
            .unwrap();
        memory.rollback().await;
        u64::try_from(count).ok()
    }
}

struct PostgresBed(String);

impl Bed for PostgresBed {
    type Memory = PostgresMemory;
    async fn make() -> Option<Self> {
        std::env::var("BACKSTITCH_TEST_POSTGRES").ok().map(Self)
    }
    async fn session(&self) -> PostgresMemory {
        let mut memory = PostgresMemory::open(&self.0).await.unwrap();
        memory.prepare(EFFECTS).await.unwrap();
        memory
    }
    async fn effects(&self, key: &str) -> Option<u64> {
        let mut memory = self.session().await;
        memory.begin(&[], &[]).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM test_effect WHERE key = $1")
            .bind(key.to_owned())
            .fetch_one(memory.tx().postgres().await.unwrap())
            .await
            .unwrap();
        memory.rollback().await;
        u64::try_from(count).ok()
    }
}

/// A saga that no other test and no other run has.
fn new_saga() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("s-{nanos}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn doing(saga: &str, input: serde_json::Value) -> Work {
    Work {
        input,
        ..example(saga, "charge-payment")
    }
}

fn undoing(saga: &str) -> Work {
    Work {
        direction: Direction::Undo,
        key: format!("{saga}/pay/undo"),
        done_key: Some(format!("{saga}/pay/do")),
        ..example(saga, "refund-payment")
    }
}

fn running(hand: &Arc<Hand>, work: Work) -> Item {
    let task = Task::Run(Arc::new(Arc::clone(hand)));
    Item {
        ticket: 0,
        work: Arc::new(work),
        task,
    }
}

async fn batch<M: Memory>(memory: &mut M, items: &[Item]) -> Vec<Outcome> {
    run_batch(memory, items, Duration::from_secs(5), 1_000)
        .await
        .unwrap()
}

fn done(saga: &str) -> Said {
    let output = serde_json::to_vec(&json!({ "saga": saga })).unwrap();
    Said::Done { output }
}

async fn an_answer_is_given_once_and_repeated<B: Bed>(bed: B) {
    let (saga, hand) = (new_saga(), Arc::new(Hand::default()));
    let item = running(&hand, doing(&saga, json!({})));
    let mut memory = bed.session().await;
    // Twice in one batch, once more in the next, once more by another process.
    let first = batch(&mut memory, &[item.clone(), item.clone()]).await;
    assert_eq!(
        first,
        [Outcome::Say(done(&saga)), Outcome::Repeat(done(&saga))]
    );
    let again = [Outcome::Repeat(done(&saga))];
    assert_eq!(batch(&mut memory, std::slice::from_ref(&item)).await, again);
    assert_eq!(batch(&mut bed.session().await, &[item]).await, again);
    assert_eq!(hand.runs(&format!("{saga}/pay/do")), 1);
    assert_ne!(bed.effects(&format!("{saga}/pay/do")).await, Some(2));
}

async fn a_refusal_is_remembered_and_leaves_nothing<B: Bed>(bed: B) {
    let (saga, hand) = (new_saga(), Arc::new(Hand::default()));
    let item = running(&hand, doing(&saga, json!({ "how": "refuse" })));
    let mut memory = bed.session().await;
    let said = Said::Refused {
        code: "no".to_owned(),
        reason: "asked to".to_owned(),
    };
    let first = batch(&mut memory, std::slice::from_ref(&item)).await;
    assert_eq!(first, [Outcome::Say(said.clone())]);
    assert_eq!(batch(&mut memory, &[item]).await, [Outcome::Repeat(said)]);
    assert!(matches!(
        bed.effects(&format!("{saga}/pay/do")).await,
        None | Some(0)
    ));
}

async fn a_failure_is_taken_back_alone_and_may_be_tried_again<B: Bed>(bed: B) {
    let hand = Arc::new(Hand::default());
    let sagas: Vec<String> = (0..6).map(|_| new_saga()).collect();
    let how = ["", "fail", "panic", "", "silent", ""];
    let items: Vec<Item> = sagas
        .iter()
        .zip(how)
        .map(|(saga, how)| running(&hand, doing(saga, json!({ "how": how }))))
        .collect();
    let mut memory = bed.session().await;
    let outcomes = batch(&mut memory, &items).await;
    for ((saga, how), outcome) in sagas.iter().zip(how).zip(outcomes) {
        let key = format!("{saga}/pay/do");
        let effects = bed.effects(&key).await;
        match how {
            "" => {
                assert_eq!(outcome, Outcome::Say(done(saga)));
                assert!(matches!(effects, None | Some(1)), "{effects:?}");
            }
            "silent" => assert_eq!(outcome, Outcome::Silence),
            _ => assert!(
                matches!(outcome, Outcome::Say(Said::Failed { .. })),
                "{outcome:?}"
            ),
        }
        if !how.is_empty() {
            assert!(matches!(effects, None | Some(0)), "{effects:?}");
            let again = running(&hand, doing(saga, json!({})));
            assert_eq!(
                batch(&mut memory, &[again]).await,
                [Outcome::Say(done(saga))]
            );
        }
    }
}

async fn a_statement_that_fails_costs_its_own_command_only<B: Bed>(bed: B) {
    let hand = Arc::new(Hand::default());
    let sagas: Vec<String> = (0..3).map(|_| new_saga()).collect();
    // The second breaks the uniqueness that the first has used up.
    let bars = [Some(&sagas[0]), Some(&sagas[0]), None];
    let items: Vec<Item> = sagas
        .iter()
        .zip(bars)
        .map(|(saga, bar)| running(&hand, doing(saga, json!({ "bar": bar }))))
        .collect();
    let mut memory = bed.session().await;
    let outcomes = batch(&mut memory, &items).await;
    assert_eq!(outcomes[0], Outcome::Say(done(&sagas[0])));
    assert_eq!(outcomes[2], Outcome::Say(done(&sagas[2])));
    if bed.effects("").await.is_some() {
        assert!(
            matches!(outcomes[1], Outcome::Say(Said::Failed { .. })),
            "{outcomes:?}"
        );
    }
}

async fn an_undo_that_comes_first_wins<B: Bed>(bed: B) {
    let hand = Arc::new(Hand::default());
    for in_one_batch in [true, false] {
        let saga = new_saga();
        let items = [
            running(&hand, undoing(&saga)),
            running(&hand, doing(&saga, json!({}))),
        ];
        let mut memory = bed.session().await;
        let outcomes = if in_one_batch {
            batch(&mut memory, &items).await
        } else {
            let mut outcomes = batch(&mut memory, &items[..1]).await;
            outcomes.extend(batch(&mut bed.session().await, &items[1..]).await);
            outcomes
        };
        let expected = [
            Outcome::Say(Said::nothing_to_undo()),
            Outcome::Repeat(Said::too_late()),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(hand.runs(&format!("{saga}/pay/do")), 0);
        assert_eq!(hand.runs(&format!("{saga}/pay/undo")), 0);
    }
}

async fn an_undo_after_its_do_runs_once_with_its_output<B: Bed>(bed: B) {
    let (saga, hand) = (new_saga(), Arc::new(Hand::default()));
    let mut memory = bed.session().await;
    batch(&mut memory, &[running(&hand, doing(&saga, json!({})))]).await;
    let undo = Item {
        task: Task::Begin,
        ..running(&hand, undoing(&saga))
    };
    let outcomes = batch(&mut memory, &[undo]).await;
    let [Outcome::Go(work)] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!(work.output, Some(json!({ "saga": saga })));
    let undo = running(&hand, undoing(&saga));
    batch(&mut memory, &[undo.clone(), undo]).await;
    assert_eq!(hand.runs(&format!("{saga}/pay/undo")), 1);
}

async fn work_begun_outside_is_undone_even_if_it_was_never_answered<B: Bed>(bed: B) {
    let (saga, hand) = (new_saga(), Arc::new(Hand::default()));
    let begin = Item {
        task: Task::Begin,
        ..running(&hand, doing(&saga, json!({})))
    };
    let finish = Item {
        task: Task::Finish(Answer::Done(json!(1))),
        ..begin.clone()
    };
    let mut memory = bed.session().await;
    assert!(matches!(
        batch(&mut memory, std::slice::from_ref(&begin)).await[..],
        [Outcome::Go(_)]
    ));
    // The process ends here; its command comes again, elsewhere, after the undo.
    let mut other = bed.session().await;
    batch(&mut other, &[running(&hand, undoing(&saga))]).await;
    assert_eq!(hand.runs(&format!("{saga}/pay/undo")), 1);
    assert_eq!(
        batch(&mut other, &[begin]).await,
        [Outcome::Repeat(Said::too_late())]
    );
    assert_eq!(
        batch(&mut memory, &[finish]).await,
        [Outcome::Repeat(Said::too_late())]
    );
}

async fn two_processes_that_hold_one_partition_have_one_effect<B: Bed>(bed: B)
where
    B::Memory: Memory,
{
    const KEYS: usize = 60;
    let hand = Arc::new(Hand::default());
    let sagas: Vec<String> = (0..KEYS).map(|_| new_saga()).collect();
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..3 {
        let mut memory = bed.session().await;
        let mut items: Vec<Item> = sagas
            .iter()
            .map(|saga| running(&hand, doing(saga, json!({}))))
            .collect();
        if racer == 1 {
            items.reverse();
        }
        racers.spawn(async move {
            for chunk in items.chunks(7) {
                // As the worker does: what fails is tried again.
                while run_batch(&mut memory, chunk, Duration::from_secs(5), 1)
                    .await
                    .is_err()
                {}
            }
        });
    }
    while let Some(ended) = racers.join_next().await {
        ended.unwrap();
    }
    for saga in &sagas {
        let key = format!("{saga}/pay/do");
        assert_eq!(hand.runs(&key), 1, "runs of {key}");
        assert!(
            matches!(bed.effects(&key).await, None | Some(1)),
            "effects of {key}"
        );
    }
}

async fn a_settled_key_is_never_overwritten<B: Bed>(bed: B) {
    let saga = new_saga();
    let key = format!("{saga}/pay/do");
    let mut memory = bed.session().await;
    for (entry, allowed) in [
        (Entry::Begun, true),
        (
            Entry::Done {
                output: b"1".to_vec(),
            },
            true,
        ),
        (
            Entry::Done {
                output: b"2".to_vec(),
            },
            false,
        ),
        (
            Entry::Barred {
                may_have_run: false,
            },
            false,
        ),
    ] {
        memory.begin(&[&saga], &[]).await.unwrap();
        let new = Remembered {
            key: &key,
            entry: &entry,
        };
        let result = memory.remember(&[new], 1).await;
        assert_eq!(result.is_ok(), allowed, "{entry:?}");
        if allowed {
            memory.commit().await.unwrap();
        } else {
            memory.rollback().await;
        }
    }
    let recalled = memory.begin(&[&saga], &[&key]).await.unwrap();
    memory.rollback().await;
    assert_eq!(
        recalled,
        [(
            key,
            Entry::Done {
                output: b"1".to_vec()
            }
        )]
    );
}

async fn a_purge_forgets_the_old_in_small_steps<B: Bed>(bed: B) {
    let mut memory = bed.session().await;
    let saga = new_saga();
    let keys: Vec<String> = (0..5).map(|n| format!("{saga}/{n}")).collect();
    for (at_ms, keys) in [(-10, &keys[..3]), (5, &keys[3..])] {
        memory.begin(&[&saga], &[]).await.unwrap();
        let new: Vec<_> = keys
            .iter()
            .map(|key| Remembered {
                key,
                entry: &Entry::Begun,
            })
            .collect();
        memory.remember(&new, at_ms).await.unwrap();
        memory.commit().await.unwrap();
    }
    assert_eq!(memory.purge(0, 2).await.unwrap(), 2);
    assert_eq!(memory.purge(0, 2).await.unwrap(), 1);
    assert_eq!(memory.purge(0, 2).await.unwrap(), 0);
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut left = memory.begin(&[&saga], &all).await.unwrap();
    memory.rollback().await;
    left.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        left.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        &all[3..]
    );
}

macro_rules! conformance {
    ($($fact:ident)*) => {
        mod volatile {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                super::check::<super::VolatileBed>(async |bed| super::$fact(bed).await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                super::check::<super::SqliteBed>(async |bed| super::$fact(bed).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                super::check::<super::PostgresBed>(async |bed| super::$fact(bed).await).await;
            })*
        }
    };
}

async fn check<B: Bed>(fact: impl AsyncFnOnce(B)) {
    match B::make().await {
        Some(bed) => fact(bed).await,
        None => eprintln!("not run: BACKSTITCH_TEST_POSTGRES names no database"),
    }
}

conformance! {
    an_answer_is_given_once_and_repeated
    a_refusal_is_remembered_and_leaves_nothing
    a_failure_is_taken_back_alone_and_may_be_tried_again
    a_statement_that_fails_costs_its_own_command_only
    an_undo_that_comes_first_wins
    an_undo_after_its_do_runs_once_with_its_output
    work_begun_outside_is_undone_even_if_it_was_never_answered
    two_processes_that_hold_one_partition_have_one_effect
    a_settled_key_is_never_overwritten
    a_purge_forgets_the_old_in_small_steps
}

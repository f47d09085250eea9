//! The same plans, good and bad, through every store: each answer and everything stored are equal.

use std::fmt::Debug;
use std::sync::Arc;

use backstitch_orchestrator::store::{
    CommitError, CommitPlan, DefinitionRow, Epoch, JournalKind, JournalRow, ListQuery, SagaRow,
    SagaStatus, ShardCommit, ShardId, ShardRow, Store, StoreError,
};

use super::world::{Kind, World, memory, saga, snapshot};

const SHARDS: i32 = 3;
const STEPS: u32 = 120;

/// `BACKSTITCH_STORE_SEED` replays one seed; without it, these are taken.
fn seeds() -> Vec<u64> {
    match std::env::var("BACKSTITCH_STORE_SEED") {
        Ok(seed) => vec![seed.parse().expect("a seed is a number")],
        Err(_) => (1..=8).collect(),
    }
}

#[tokio::test]
async fn every_store_gives_the_same_answers_to_the_same_plans() {
    for seed in seeds() {
        println!("replay with BACKSTITCH_STORE_SEED={seed}");
        compare(seed).await;
    }
}

async fn compare(seed: u64) {
    let (model, of_model) = memory();
    let mut worlds = vec![World::of(Kind::Sqlite).await.unwrap()];
    worlds.extend(World::of(Kind::Postgres).await);
    let mut all = vec![Arc::clone(&of_model)];
    all.extend(worlds.iter().map(|world| Arc::clone(&world.store)));
    for store in &all {
        store.prepare(SHARDS).await.unwrap();
    }

    let mut random = Random(seed);
    let mut seen = [0_u32; KINDS];
    for step in 0..STEPS {
        let action = Action::draw(&mut random, &model.shards_now(&[]), step);
        let mut answers = Vec::new();
        for store in &all {
            answers.push(action.run(store).await);
        }
        for answer in &answers[1..] {
            assert_eq!(answer, &answers[0], "seed {seed}, step {step}: {action:?}");
        }
        seen[action.kind()] += 1;
        let expected = model.snapshot();
        for store in &all {
            let found = snapshot(store).await;
            assert!(
                found == expected,
                "seed {seed}, step {step}: {action:?}\n{found:#?}"
            );
        }
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "seed {seed} left out a kind: {seen:?}"
    );
    for world in worlds {
        world.remove().await;
    }
}

/// What is done to every store.
#[derive(Debug)]
enum Action {
    Claim(Vec<ShardId>, String),
    Release(Vec<(ShardId, Epoch)>),
    Prepare(i32),
    Commit(CommitPlan),
    Define(DefinitionRow),
    Due(ShardId, Option<(i64, String)>, i64, u32),
    List(ListQuery),
    Journal(ShardId, i64, u32),
    Show(String, i64, u32),
    Counts,
}

const KINDS: usize = 10;

impl Action {
    fn draw(random: &mut Random, rows: &[ShardRow], step: u32) -> Self {
        let shard = ShardId(random.below(SHARDS));
        match random.below(20) {
            0 => Self::Claim(vec![shard], format!("owner {step}")),
            1 => Self::Claim(
                vec![ShardId(2), shard, ShardId(random.below(4))],
                "both".to_owned(),
            ),
            2 => {
                let held = rows
                    .iter()
                    .map(|row| (row.id, Epoch(row.epoch.0 - one_in(random, 3))));
                Self::Release(held.collect())
            }
            3 => Self::Prepare(random.below(5)),
            4 => Self::Define(DefinitionRow {
                hash: format!("{:02x}", random.below(6)),
                name: "process-order".to_owned(),
                source: format!("step {step}"),
                first_seen_at_ms: i64::from(random.below(3)),
            }),
            5 => {
                let after = (random.below(2) == 0).then(|| (time(random), key(random)));
                Self::Due(shard, after, time(random), limit(random))
            }
            6 | 7 => Self::List(list(random)),
            8 => Self::Journal(shard, i64::from(random.below(30)) - 1, limit(random)),
            9 => Self::Show(key(random), i64::from(random.below(3)) - 1, limit(random)),
            10 => Self::Counts,
            _ => Self::Commit(plan(random, rows, step)),
        }
    }

    fn kind(&self) -> usize {
        match self {
            Self::Claim(..) => 0,
            Self::Release(..) => 1,
            Self::Prepare(..) => 2,
            Self::Commit(..) => 3,
            Self::Define(..) => 4,
            Self::Due(..) => 5,
            Self::List(..) => 6,
            Self::Journal(..) => 7,
            Self::Show(..) => 8,
            Self::Counts => 9,
        }
    }

    /// The answer as text; of an error, what the caller acts on.
    async fn run(&self, store: &Arc<dyn Store>) -> String {
        match self {
            Self::Claim(shards, owner) => told(store.claim(shards, owner).await),
            Self::Release(held) => told(store.release(held).await),
            Self::Prepare(count) => told(store.prepare(*count).await),
            Self::Commit(plan) => match store.commit(plan).await {
                Ok(()) => "committed".to_owned(),
                Err(CommitError::Fenced { shards }) => format!("fenced {shards:?}"),
                Err(CommitError::Refused { .. }) => "refused".to_owned(),
                Err(error @ (CommitError::InDoubt { .. } | CommitError::Unavailable { .. })) => {
                    panic!("{error:?}")
                }
            },
            Self::Define(definition) => told(store.put_definition(definition).await),
            Self::Due(shard, after, until, limit) => {
                let after = after.as_ref().map(|(ms, key)| (*ms, key.as_str()));
                told(store.due(*shard, after, *until, *limit).await)
            }
            Self::List(query) => told(store.list(query).await),
            Self::Journal(shard, after, limit) => {
                told(store.journal_of_shard(*shard, *after, *limit).await)
            }
            Self::Show(key, after, limit) => told(store.journal_of_saga(key, *after, *limit).await),
            Self::Counts => told(store.counts().await),
        }
    }
}

fn told<T: Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(StoreError::ShardCount { expected, found }) => format!("{found} is not {expected}"),
        Err(StoreError::Corrupt { what }) => what,
        Err(
            error @ (StoreError::Unavailable { .. }
            | StoreError::Refused { .. }
            | StoreError::UnknownUrl { .. }),
        ) => panic!("{error:?}"),
    }
}

/// A plan of one to three shards. One in four is wrong somewhere.
fn plan(random: &mut Random, rows: &[ShardRow], step: u32) -> CommitPlan {
    let mut plan = CommitPlan::default();
    for row in rows {
        if random.below(3) == 0 && !plan.shards.is_empty() {
            continue;
        }
        let written = i64::from(random.below(4));
        plan.shards.push(ShardCommit {
            id: row.id,
            epoch: Epoch(row.epoch.0 - one_in(random, 12)),
            offset_from: row.inbox_next_offset + one_in(random, 12),
            offset_to: row.inbox_next_offset + i64::from(random.below(3)) + 1,
            journal_seq: row.journal_seq + written + one_in(random, 24),
            published_seq: row.journal_seq,
        });
        for n in 1..=written {
            plan.journal
                .push(entry(random, row.id, row.journal_seq + n, step));
        }
        for _ in 0..random.below(3) {
            let row = changed_saga(random, row.id, step);
            if one_in(random, 24) == 1 || plan.sagas.iter().all(|other| other.key != row.key) {
                plan.sagas.push(row);
            }
        }
    }
    if one_in(random, 24) == 1 && plan.journal.len() > 1 {
        plan.journal.swap(0, 1);
    }
    plan
}

fn entry(random: &mut Random, shard: ShardId, seq: i64, step: u32) -> JournalRow {
    let of_none = random.below(5) == 0;
    JournalRow {
        shard,
        seq,
        kind: if of_none {
            JournalKind::DeadLetter
        } else {
            JournalKind::Transition
        },
        saga_key: if of_none { String::new() } else { key(random) },
        // Unlike any other of the saga: those at one place would come in any order.
        saga_seq: if of_none {
            0
        } else {
            i64::from(step) * 1_000 + i64::from(shard.0) * 100 + seq
        },
        at_ms: time(random),
        entry: random.bytes(),
    }
}

fn changed_saga(random: &mut Random, shard: ShardId, step: u32) -> SagaRow {
    let status = SagaStatus::from_number(i16::try_from(random.below(6)).unwrap()).unwrap();
    SagaRow {
        status,
        seq: i64::from(step),
        wake_at_ms: (random.below(2) == 0).then(|| time(random)),
        tags: serde_json::json!({ "city": key(random), "n": random.below(3).to_string() })
            .to_string(),
        parked_reason: (status == SagaStatus::Parked).then(|| key(random)),
        state: random.bytes(),
        started_at_ms: time(random),
        ended_at_ms: (status > SagaStatus::Parked).then(|| time(random)),
        ..saga(&key(random), shard)
    }
}

fn list(random: &mut Random) -> ListQuery {
    let statuses = match random.below(3) {
        0 => Vec::new(),
        1 => vec![SagaStatus::Parked],
        _ => vec![SagaStatus::Completed, SagaStatus::Running],
    };
    ListQuery {
        statuses,
        key_prefix: ["", "k", "k1", "é"][random.index(4)].to_owned(),
        tag: match random.below(3) {
            0 => Some(("city".to_owned(), key(random))),
            1 => Some(("n".to_owned(), random.below(3).to_string())),
            _ => None,
        },
        after: (random.below(2) == 0).then(|| (time(random), key(random))),
        limit: limit(random),
    }
}

fn key(random: &mut Random) -> String {
    [
        "k1", "k10", "k2", "K1", "é", "注文", "a'b\"", "k\\1", "k%", "k_",
    ][random.index(10)]
    .to_owned()
}

fn time(random: &mut Random) -> i64 {
    i64::from(random.below(12)) - 2
}

fn limit(random: &mut Random) -> u32 {
    [0, 1, 2, 5, 1_000][random.index(5)]
}

/// 1 once in `times`, else 0.
fn one_in(random: &mut Random, times: i32) -> i64 {
    i64::from(random.below(times) == 0)
}

/// SplitMix64: the same numbers from the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: i32) -> i32 {
        let end = u64::try_from(end).expect("an end is positive");
        i32::try_from(self.next() % end).expect("it is below an i32")
    }

    fn index(&mut self, end: i32) -> usize {
        usize::try_from(self.below(end)).expect("it is not negative")
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.index(20);
        self.next()
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(length)
            .collect()
    }
}

//! Lost answers, dead connections and slow servers: what is said of them, and what turns out true.
//!
//! Between the store and Postgres stands a proxy that cuts the line at a chosen moment.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backstitch_orchestrator::store::{
    CommitError, CommitPlan, PostgresLimits, PostgresStore, ShardId, ShardRow, Store, StoreError,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgConnection, query_as, raw_sql};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::{Kind, World, batch, claimed, fenced, noise, row};

/// When the line is cut: once, at the statement that carries the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    BeforeTheServerHasIt,
    AfterTheServerAnswered,
    /// Nothing is cut, but the answer never comes.
    Silence,
}

const MARK: &[u8] = b"cut the line at this statement";

#[derive(Clone, Default)]
struct Plan {
    next: Arc<Mutex<Option<Cut>>>,
    refuse: Arc<AtomicBool>,
}

/// Listens on a free port and passes everything on, but for what the plan says.
async fn proxy(server: String, plan: Plan) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if plan.refuse.load(Ordering::SeqCst) {
                continue;
            }
            tokio::spawn(pass_on(client, server.clone(), plan.clone()));
        }
    });
    port
}

/// One connection. Ends (and closes both sides) when either side does, or at a cut.
async fn pass_on(client: TcpStream, server: String, plan: Plan) {
    let server = TcpStream::connect(server).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut cut = None;
    let mut tail = Vec::new();
    let (mut sent, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = from_client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                tail.extend_from_slice(&sent[..length]);
                if tail.windows(MARK.len()).any(|window| window == MARK) {
                    tail.clear();
                    cut = cut.or(plan.next.lock().unwrap().take());
                }
                if cut == Some(Cut::BeforeTheServerHasIt) { return }
                let keep = tail.len().min(MARK.len());
                tail.drain(..tail.len() - keep);
                if to_server.write_all(&sent[..length]).await.is_err() { return }
            }
            read = from_server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                match cut {
                    Some(Cut::AfterTheServerAnswered) => return,
                    Some(Cut::Silence) => continue,
                    Some(Cut::BeforeTheServerHasIt) | None => {}
                }
                if to_client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

/// A store behind a proxy.
struct Line {
    world: World,
    store: Arc<dyn Store>,
    plan: Plan,
}

impl Line {
    async fn laid(limits: PostgresLimits) -> Option<Self> {
        let world = World::of(Kind::Postgres).await?;
        let options = PgConnectOptions::from_str(&world.url).unwrap();
        let address = format!("{}:{}", options.get_host(), options.get_port());
        let plan = Plan::default();
        let port = proxy(address.clone(), plan.clone()).await;
        let url = world
            .url
            .replacen(&address, &format!("127.0.0.1:{port}"), 1);
        let store = Arc::new(PostgresStore::open_within(&url, limits).await.unwrap());
        Some(Self { world, store, plan })
    }

    fn cut(&self, cut: Cut) {
        *self.plan.next.lock().unwrap() = Some(cut);
    }
}

fn marked(from: &ShardRow) -> CommitPlan {
    let mut plan = batch(from, 1, 2);
    plan.journal[0].entry = MARK.to_vec();
    plan
}

fn is_in_doubt(result: &Result<(), CommitError>) -> bool {
    matches!(result, Err(CommitError::InDoubt { .. }))
}

#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_the_shard_row_tells_the_truth() {
    let Some(line) = Line::laid(PostgresLimits::default()).await else {
        return;
    };
    let store = &line.store;
    let start = claimed(store, 1).await.remove(0);
    for (cut, committed) in [
        (Cut::BeforeTheServerHasIt, false),
        (Cut::AfterTheServerAnswered, true),
    ]
    .repeat(3)
    {
        let before = row(store, ShardId(0)).await;
        line.cut(cut);
        let plan = marked(&before);
        let result = store.commit(&plan).await;
        assert!(is_in_doubt(&result), "{cut:?}: {result:?}");

        let after = row(store, ShardId(0)).await;
        assert_eq!(
            after.journal_seq,
            before.journal_seq + if committed { 2 } else { 0 }
        );
        assert_eq!(after.epoch, start.epoch);
        if committed {
            assert_eq!(
                fenced(store.commit(&plan).await),
                [0],
                "a blind repetition changes nothing"
            );
        } else {
            store.commit(&plan).await.unwrap();
        }
        assert_eq!(
            row(store, ShardId(0)).await.journal_seq,
            before.journal_seq + 2
        );
    }
    line.world.remove().await;
}

#[tokio::test]
async fn a_commit_without_an_answer_in_time_is_in_doubt() {
    let limits = PostgresLimits {
        statement_timeout: Duration::from_millis(600),
        ..PostgresLimits::default()
    };
    let Some(line) = Line::laid(limits).await else {
        return;
    };
    let before = claimed(&line.store, 1).await.remove(0);
    line.cut(Cut::Silence);
    let started = Instant::now();
    assert!(is_in_doubt(&line.store.commit(&marked(&before)).await));
    assert!(started.elapsed() >= Duration::from_millis(600));

    let now = line
        .store
        .claim(&[ShardId(0)], "again")
        .await
        .unwrap()
        .remove(0);
    assert_eq!(now.journal_seq, 2, "the server had carried it out");
    line.store.commit(&batch(&now, 1, 1)).await.unwrap();
    line.world.remove().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_leaves_no_doubt() {
    let limits = PostgresLimits {
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(80),
        ..PostgresLimits::default()
    };
    let Some(line) = Line::laid(limits).await else {
        return;
    };
    let before = claimed(&line.store, 1).await.remove(0);
    line.plan.refuse.store(true, Ordering::SeqCst);
    line.cut(Cut::BeforeTheServerHasIt);
    assert!(
        is_in_doubt(&line.store.commit(&marked(&before)).await),
        "it was connected until then"
    );

    let started = Instant::now();
    for _ in 0..5 {
        let result = line.store.commit(&marked(&before)).await;
        assert!(
            matches!(result, Err(CommitError::Unavailable { .. })),
            "{result:?}"
        );
    }
    // Waits of at least a half of 20, 40, 80 and 80 ms lie between the five.
    assert!(started.elapsed() >= Duration::from_millis(110));
    let read = line.store.shards(&[]).await;
    assert!(
        matches!(read, Err(StoreError::Unavailable { .. })),
        "{read:?}"
    );

    line.plan.refuse.store(false, Ordering::SeqCst);
    line.store.commit(&marked(&before)).await.unwrap();
    assert_eq!(row(&line.store, ShardId(0)).await.journal_seq, 2);
    line.world.remove().await;
}

/// Ends every session of that name, as a restart of the server does.
async fn end_sessions(name: &str, side: &mut PgConnection) {
    let ended: Vec<(bool,)> = query_as(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1",
    )
    .bind(name)
    .fetch_all(side)
    .await
    .unwrap();
    assert!(
        ended.len() >= 2 && ended.iter().all(|ended| ended.0),
        "{ended:?}"
    );
}

#[tokio::test]
async fn after_a_restart_reads_go_on_and_a_commit_is_in_doubt_once() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let mut side = world.side_door().await;
    // No longer than a name may be, and unlike any other.
    let name = &world.url[world.url.len() - 30..];
    let named = format!("{}&application_name={name}", world.url);
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&named).await.unwrap());
    let before = claimed(&store, 1).await.remove(0);
    store.commit(&batch(&before, 1, 1)).await.unwrap();
    let before = row(&store, ShardId(0)).await;

    end_sessions(name, &mut side).await;
    assert_eq!(
        row(&store, ShardId(0)).await,
        before,
        "a read is tried again"
    );
    assert!(is_in_doubt(&store.commit(&batch(&before, 1, 1)).await));
    assert_eq!(row(&store, ShardId(0)).await, before);
    store.commit(&batch(&before, 1, 1)).await.unwrap();
    world.remove().await;
}

/// Another session holds the shard's row; returns once the store's commit waits for it.
async fn with_the_row_locked(
    world: &World,
    store: &Arc<dyn Store>,
    plan: CommitPlan,
) -> (
    PgConnection,
    tokio::task::JoinHandle<Result<(), CommitError>>,
) {
    let mut rival = world.side_door().await;
    let lock = "BEGIN; UPDATE shard SET epoch = epoch + 1, owner = 'rival' WHERE id = 0";
    raw_sql(lock).execute(&mut rival).await.unwrap();
    let handle = Arc::clone(store);
    let commit = tokio::spawn(async move { handle.commit(&plan).await });
    let (mine,): (i32,) = query_as("SELECT pg_backend_pid()")
        .fetch_one(&mut rival)
        .await
        .unwrap();
    let mut watch = world.side_door().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (waiting,): (i64,) = query_as(
            "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))",
        )
        .bind(mine)
        .fetch_one(&mut watch)
        .await
        .unwrap();
        if waiting > 0 {
            return (rival, commit);
        }
        assert!(
            Instant::now() < deadline && !commit.is_finished(),
            "it did not wait for the row"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_that_waited_for_a_claim_looks_again_and_is_fenced() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let before = claimed(&world.store, 1).await.remove(0);
    let plan = batch(&before, 1, 3);

    let (mut rival, commit) = with_the_row_locked(&world, &world.store, plan.clone()).await;
    raw_sql("COMMIT").execute(&mut rival).await.unwrap();
    assert_eq!(fenced(commit.await.unwrap()), [0]);
    let now = row(&world.store, ShardId(0)).await;
    assert_eq!(
        (now.journal_seq, now.inbox_next_offset, now.owner.as_str()),
        (0, 0, "rival")
    );
    assert!(
        world
            .store
            .journal_of_shard(ShardId(0), 0, 9)
            .await
            .unwrap()
            .is_empty()
    );

    let (mut rival, commit) = with_the_row_locked(&world, &world.store, batch(&now, 1, 3)).await;
    raw_sql("ROLLBACK").execute(&mut rival).await.unwrap();
    commit.await.unwrap().unwrap();
    assert_eq!(row(&world.store, ShardId(0)).await.journal_seq, 3);
    world.remove().await;
}

#[tokio::test]
async fn a_server_that_gives_a_slow_commit_up_leaves_no_doubt() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let limits = PostgresLimits {
        statement_timeout: Duration::from_millis(900),
        ..PostgresLimits::default()
    };
    let store: Arc<dyn Store> = Arc::new(
        PostgresStore::open_within(&world.url, limits)
            .await
            .unwrap(),
    );
    let before = claimed(&store, 1).await.remove(0);
    let (mut rival, commit) = with_the_row_locked(&world, &store, batch(&before, 1, 3)).await;
    let result = commit.await.unwrap();
    assert!(
        matches!(result, Err(CommitError::Unavailable { .. })),
        "{result:?}"
    );
    raw_sql("ROLLBACK").execute(&mut rival).await.unwrap();
    assert_eq!(row(&store, ShardId(0)).await, before);
    store.commit(&batch(&before, 1, 3)).await.unwrap();
    world.remove().await;
}

/// What the database itself refuses changes nothing, and the connection goes on.
#[tokio::test]
async fn a_constraint_that_fails_is_a_refusal() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let before = claimed(&world.store, 1).await.remove(0);
    let mut side = world.side_door().await;
    let rule = "ALTER TABLE saga ADD CONSTRAINT no_state CHECK (length(state) < 100)";
    raw_sql(AssertSqlSafe(rule.to_owned()))
        .execute(&mut side)
        .await
        .unwrap();
    let mut plan = batch(&before, 1, 3);
    plan.sagas[1].state = noise(100);
    let result = world.store.commit(&plan).await;
    assert!(
        matches!(result, Err(CommitError::Refused { .. })),
        "{result:?}"
    );
    assert_eq!(row(&world.store, ShardId(0)).await, before);
    assert!(
        world
            .store
            .journal_of_shard(ShardId(0), 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    plan.sagas[1].state.clear();
    world.store.commit(&plan).await.unwrap();
    world.remove().await;
}

//! What survives: a reopened store, a commit that was cut off, other programs at the same file.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use backstitch_orchestrator::store::{
    self, MemorySnapshot, PostgresStore, ShardId, SqliteStore, Store, StoreError,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, query_as, raw_sql};

use super::world::{Kind, World, batch, both, claimed, fenced, noise, row, server, snapshot};

#[tokio::test]
async fn a_reopened_store_has_everything() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let Some(mut world) = World::of(kind).await else {
            continue;
        };
        let rows = claimed(&world.store, 3).await;
        let plan = both(batch(&rows[0], 5, 30), batch(&rows[2], 1, 2));
        world.store.commit(&plan).await.unwrap();
        let before = snapshot(&world.store).await;

        world.store = store::open(&world.url).await.unwrap();
        assert_eq!(snapshot(&world.store).await, before);
        let now = row(&world.store, ShardId(0)).await;
        world.store.commit(&batch(&now, 1, 1)).await.unwrap();
        assert_eq!(fenced(world.store.commit(&plan).await), [0, 2]);
        world.remove().await;
    }
}

/// Follows a commit poll by poll. At each, the files are copied as a crash would leave them.
#[tokio::test]
async fn a_crash_at_any_moment_of_a_sqlite_commit_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let store = store::open(&url("a.db")).await.unwrap();
    let rows = claimed(&store, 2).await;
    store
        .commit(&both(batch(&rows[0], 1, 10), batch(&rows[1], 1, 10)))
        .await
        .unwrap();
    let before = snapshot(&store).await;

    let now = store.shards(&[]).await.unwrap();
    // Wide enough that pages reach the file before the end.
    let mut plan = both(batch(&now[0], 1, 2_000), batch(&now[1], 1, 2_000));
    plan.journal
        .iter_mut()
        .for_each(|row| row.entry = vec![7; 20_000]);
    let mut copies = 0;
    let mut commit = pin!(store.commit(&plan));
    poll_fn(|context| {
        copy(folder.path(), "a.db", &format!("copy{copies}.db"));
        copies += 1;
        commit.as_mut().poll(context)
    })
    .await
    .unwrap();
    copy(folder.path(), "a.db", &format!("copy{copies}.db"));
    let after = snapshot(&store).await;

    assert!(copies > 5, "{copies} moments are too few to tell");
    let mut found: Vec<MemorySnapshot> = Vec::new();
    for number in 0..=copies {
        let copied = store::open(&url(&format!("copy{number}.db")))
            .await
            .unwrap();
        found.push(snapshot(&copied).await);
    }
    assert!(
        found
            .iter()
            .all(|found| *found == before || *found == after)
    );
    assert!(found[0] == before && found[copies] == after);
}

fn copy(folder: &Path, from: &str, to: &str) {
    for end in ["", "-wal"] {
        std::fs::copy(
            folder.join(format!("{from}{end}")),
            folder.join(format!("{to}{end}")),
        )
        .unwrap();
    }
}

/// A caller may stop waiting at any moment; the store goes on, and keeps all or nothing of it.
#[tokio::test]
async fn a_commit_that_nobody_waits_for_leaves_all_or_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let Some(world) = World::of(kind).await else {
            continue;
        };
        claimed(&world.store, 2).await;
        let mut committed = [0, 0];
        let entry = noise(60_000);
        for polls in [1, 2, 3, 5, 8, 13, 60] {
            let before = world
                .store
                .claim(&[ShardId(0), ShardId(1)], "me")
                .await
                .unwrap();
            let mut plan = both(batch(&before[0], 1, 70), batch(&before[1], 1, 70));
            // More than the line to a server takes at once.
            plan.journal
                .iter_mut()
                .for_each(|row| row.entry.clone_from(&entry));
            {
                let mut commit = pin!(world.store.commit(&plan));
                let mut polled = 0;
                poll_fn(|context| {
                    polled += 1;
                    let done = commit.as_mut().poll(context).map(drop);
                    if polled == polls {
                        Poll::Ready(())
                    } else {
                        done
                    }
                })
                .await;
            }
            // Waits for what may still be under way: both lock the same rows.
            let after = world
                .store
                .claim(&[ShardId(0), ShardId(1)], "me")
                .await
                .unwrap();
            let moved = after[0].inbox_next_offset - before[0].inbox_next_offset;
            assert_eq!(
                after[1].inbox_next_offset - before[1].inbox_next_offset,
                moved
            );
            assert_eq!(after[0].journal_seq - before[0].journal_seq, 70 * moved);
            let written = world
                .store
                .journal_of_shard(ShardId(1), before[1].journal_seq, 999)
                .await;
            assert_eq!(i64::try_from(written.unwrap().len()).unwrap(), 70 * moved);
            committed[usize::try_from(moved).unwrap()] += 1;
        }
        assert!(
            committed[0] > 0,
            "{kind:?}: none was cut off in time: {committed:?}"
        );
        world.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_make_one_sqlite_file_at_once_all_find_it_made() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let file = folder.path().join(format!("{round}.db"));
        let url = format!("sqlite://{}", file.display());
        let mut programs = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let url = url.clone();
            programs.spawn(async move { store::open(&url).await?.prepare(2).await });
        }
        for prepared in programs.join_all().await {
            prepared.unwrap();
        }
    }
}

#[tokio::test]
async fn a_sqlite_file_that_was_closed_in_order_needs_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let url = format!("sqlite://{}", file.display());
    let store = SqliteStore::open(&url).await.unwrap();
    store.prepare(2).await.unwrap();
    store.shards(&[]).await.unwrap();
    store.close().await;
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["store.db"]);
}

#[tokio::test]
async fn what_is_no_store_is_not_opened() {
    for url in [
        "",
        "store.db",
        "mysql://a:b@c/d",
        "memory://x",
        "sqlite://:memory:",
        "sqlite://",
    ] {
        let opened = store::open(url).await;
        assert!(
            matches!(opened, Err(StoreError::UnknownUrl { .. })),
            "{url}: {opened:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.db");
    std::fs::write(&file, "This is a letter, not a database. ".repeat(200)).unwrap();
    let opened = store::open(&format!("sqlite://{}", file.display())).await;
    assert!(
        matches!(
            opened,
            Err(StoreError::Refused { .. } | StoreError::Unavailable { .. })
        ),
        "{opened:?}"
    );
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("This is a letter")
    );
}

#[tokio::test]
async fn a_postgres_role_without_the_right_to_make_tables_will_do() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let mut side = world.side_door().await;
    let (schema,): (String,) = query_as("SELECT current_schema()::text")
        .fetch_one(&mut side)
        .await
        .unwrap();
    let role = format!("{schema}_role");
    let make = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO {role}"
    );
    raw_sql(AssertSqlSafe(make))
        .execute(&mut side)
        .await
        .unwrap();

    let plain = world.url.replacen("postgres@", &format!("{role}@"), 1);
    let store: std::sync::Arc<dyn Store> =
        std::sync::Arc::new(PostgresStore::open(&plain).await.unwrap());
    let rows = claimed(&store, 1).await;
    store.commit(&batch(&rows[0], 1, 1)).await.unwrap();

    drop(store);
    let mut server = PgConnection::connect(&server().unwrap()).await.unwrap();
    let drop_role = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    raw_sql(AssertSqlSafe(drop_role))
        .execute(&mut server)
        .await
        .unwrap();
    world.remove().await;
}

/// The bar: at most 0.05 statements a transition at load.
#[tokio::test]
async fn a_batch_on_postgres_is_one_statement() {
    let Some(world) = World::of(Kind::Postgres).await else {
        return;
    };
    let mut row = claimed(&world.store, 1).await.remove(0);
    world.store.commit(&batch(&row, 1, 1)).await.unwrap();
    let before = world.store.statement_count();
    for _ in 0..10 {
        row = super::world::row(&world.store, ShardId(0)).await;
        world.store.commit(&batch(&row, 500, 500)).await.unwrap();
    }
    let sent = world.store.statement_count() - before;
    assert_eq!(
        sent,
        20 + 1,
        "a read and a commit a batch, and one as the reader connects"
    );
    world.remove().await;
}

#[tokio::test]
async fn memory_sends_no_statements_and_sqlite_few() {
    let (_, memory) = super::world::memory();
    let rows = claimed(&memory, 1).await;
    memory.commit(&batch(&rows[0], 1, 1)).await.unwrap();
    assert_eq!(memory.statement_count(), 0);

    let world = World::of(Kind::Sqlite).await.unwrap();
    let rows = claimed(&world.store, 1).await;
    let before = world.store.statement_count();
    world
        .store
        .commit(&batch(&rows[0], 500, 500))
        .await
        .unwrap();
    let sent = world.store.statement_count() - before;
    assert!(sent <= 25, "{sent} statements for 500 transitions");
}

//! Stores to test, each new and alone, and plans to commit to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use backstitch_orchestrator::store::{
    self, CommitError, CommitPlan, Epoch, JournalKind, JournalRow, ListQuery, MemorySnapshot,
    MemoryStore, SagaRow, SagaStatus, ShardCommit, ShardId, ShardRow, Store,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

/// A new store and how to reach it again.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) url: String,
    schema: Option<String>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Makes one; `None` if it would need a Postgres server and none is named.
    pub(crate) async fn of(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut schema = None;
        let url = match kind {
            Kind::Memory => "memory://".to_owned(),
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("store.db").display()),
            Kind::Postgres => {
                let server = server()?;
                let name = new_schema(&server).await;
                let url = in_schema(&server, &name);
                schema = Some(name);
                url
            }
        };
        let store = store::open(&url).await.unwrap();
        Some(Self {
            kind,
            store,
            url,
            schema,
            _folder: folder,
        })
    }

    /// Another handle on the same store, as another process would have it.
    pub(crate) async fn another_handle(&self) -> Arc<dyn Store> {
        match self.kind {
            Kind::Memory => Arc::clone(&self.store),
            Kind::Sqlite | Kind::Postgres => store::open(&self.url).await.unwrap(),
        }
    }

    /// A connection to Postgres beside the store.
    pub(crate) async fn side_door(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn remove(&self) {
        if let (Some(server), Some(schema)) = (server(), &self.schema) {
            let mut connection = PgConnection::connect(&server).await.unwrap();
            let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
            raw_sql(drop).execute(&mut connection).await.unwrap();
        }
    }
}

/// The address of the Postgres server for tests.
pub(crate) fn server() -> Option<String> {
    std::env::var("BACKSTITCH_TEST_POSTGRES")
        .ok()
        .filter(|url| !url.is_empty())
}

/// The same address, with all tables in the given schema.
pub(crate) fn in_schema(url: &str, schema: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options[search_path]={schema}")
}

async fn new_schema(server: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let schema = format!("backstitch_test_{}_{nanos}_{number}", std::process::id());
    let mut connection = PgConnection::connect(server).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    raw_sql(create).execute(&mut connection).await.unwrap();
    schema
}

/// Prepares the shards and claims them all.
pub(crate) async fn claimed(store: &Arc<dyn Store>, count: i32) -> Vec<ShardRow> {
    store.prepare(count).await.unwrap();
    let shards: Vec<ShardId> = (0..count).map(ShardId).collect();
    store.claim(&shards, "first").await.unwrap()
}

/// A batch of one shard that starts from the given row: it reads `read` offsets and writes `written`
/// transitions, each of a saga of its own.
pub(crate) fn batch(from: &ShardRow, read: i64, written: i64) -> CommitPlan {
    let rows = (1..=written).map(|n| journal(from.id, from.journal_seq + n));
    let sagas = (1..=written).map(|n| saga(&key_of(from.id, from.journal_seq + n), from.id));
    CommitPlan {
        shards: vec![ShardCommit {
            id: from.id,
            epoch: from.epoch,
            offset_from: from.inbox_next_offset,
            offset_to: from.inbox_next_offset + read,
            journal_seq: from.journal_seq + written,
            published_seq: from.published_seq,
        }],
        journal: rows.collect(),
        sagas: sagas.collect(),
    }
}

/// Two plans as one.
pub(crate) fn both(mut one: CommitPlan, other: CommitPlan) -> CommitPlan {
    one.shards.extend(other.shards);
    one.journal.extend(other.journal);
    one.sagas.extend(other.sagas);
    one
}

fn key_of(shard: ShardId, seq: i64) -> String {
    format!("order/{}-{seq}", shard.0)
}

/// The first transition of a saga.
pub(crate) fn journal(shard: ShardId, seq: i64) -> JournalRow {
    JournalRow {
        shard,
        seq,
        kind: JournalKind::Transition,
        saga_key: key_of(shard, seq),
        saga_seq: 1,
        at_ms: 1_000_000 + seq,
        entry: format!("entry {seq}").into_bytes(),
    }
}

/// A running saga.
pub(crate) fn saga(key: &str, shard: ShardId) -> SagaRow {
    SagaRow {
        key: key.to_owned(),
        definition_hash: "00ff".to_owned(),
        shard,
        status: SagaStatus::Running,
        seq: 1,
        wake_at_ms: None,
        tags: "{}".to_owned(),
        parked_reason: None,
        state: b"state".to_vec(),
        started_at_ms: 1_000,
        ended_at_ms: None,
    }
}

/// A plan that only writes these sagas, on a shard that has just been claimed.
pub(crate) fn sagas_only(from: &ShardRow, sagas: Vec<SagaRow>) -> CommitPlan {
    CommitPlan {
        sagas,
        ..batch(from, 0, 0)
    }
}

/// The shard rows as they are now.
pub(crate) async fn row(store: &Arc<dyn Store>, shard: ShardId) -> ShardRow {
    store.shards(&[shard]).await.unwrap().remove(0)
}

/// The shards that a commit was fenced from.
pub(crate) fn fenced(result: Result<(), CommitError>) -> Vec<i32> {
    match result {
        Err(CommitError::Fenced { shards }) => shards.into_iter().map(|shard| shard.0).collect(),
        other => panic!("expected a fence, got {other:?}"),
    }
}

/// Everything in a store, read through the trait.
pub(crate) async fn snapshot(store: &Arc<dyn Store>) -> MemorySnapshot {
    let shards = store.shards(&[]).await.unwrap();
    let mut query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    let mut keys = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some((last.started_at_ms, last.key.clone()));
        keys.extend(page.into_iter().map(|line| line.key));
    }
    let mut sagas = store.load(&keys).await.unwrap();
    sagas.sort_by(|a, b| a.key.cmp(&b.key));
    let mut journal = Vec::new();
    for shard in &shards {
        journal.extend(
            store
                .journal_of_shard(shard.id, 0, 1_000_000)
                .await
                .unwrap(),
        );
    }
    let definitions = store.definitions().await.unwrap();
    MemorySnapshot {
        shards,
        sagas,
        journal,
        definitions,
    }
}

/// An owner's epoch that is no longer, or not yet, the present one.
pub(crate) fn other_epoch(row: &ShardRow, by: i64) -> ShardRow {
    ShardRow {
        epoch: Epoch(row.epoch.0 + by),
        ..row.clone()
    }
}

/// A memory store, both as itself and as a store.
pub(crate) fn memory() -> (Arc<MemoryStore>, Arc<dyn Store>) {
    let memory = Arc::new(MemoryStore::new());
    (Arc::clone(&memory), memory)
}

/// Bytes that cannot be packed.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

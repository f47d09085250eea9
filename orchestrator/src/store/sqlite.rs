//! The embedded store: one SQLite file, written by one connection and read by another.

use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, query, query_as};
use tokio::sync::{Mutex, MutexGuard};

use super::packed::pack;
use super::plan::{self, Guard};
use super::{
    CommitError, CommitPlan, DefinitionRow, Epoch, JournalRow, ListQuery, SagaRow, SagaStatus,
    SagaSummary, ShardId, ShardRow, Store, StoreError, StoreFuture, columns,
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process that writes the same file. A commit that waited
/// so long in vain is [`CommitError::Unavailable`].
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that one statement inserts. Each size is a statement of its own, prepared once; a batch is
/// sent as the fewest of them.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;
type SqliteQueryAs<'q, T> = QueryAs<'q, Sqlite, T, SqliteArguments>;

/// A store in one SQLite file (WAL, `synchronous=FULL`). Other processes may open the same file; one
/// writes at a time, and the epochs keep them apart as they do on Postgres.
#[derive(Debug)]
pub struct SqliteStore {
    options: SqliteConnectOptions,
    writer: Mutex<Option<SqliteConnection>>,
    reader: Mutex<Option<SqliteConnection>>,
    sent: AtomicU64,
}

impl SqliteStore {
    /// Opens the file named by `sqlite://FILE`, makes it if there is none, and brings its tables up
    /// to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUrl`] if the address names no file; [`StoreError::Unavailable`] if the
    /// file cannot be opened; [`StoreError::Refused`] if a newer version has written it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let unknown = || StoreError::UnknownUrl {
            url: url.to_owned(),
        };
        let options = SqliteConnectOptions::from_str(url).map_err(|_| unknown())?;
        let name = options.get_filename().to_string_lossy();
        if name.is_empty() || name.starts_with("file:") || url.contains("mode=memory") {
            return Err(unknown());
        }
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-65536")
            .pragma("temp_store", "MEMORY")
            .pragma("wal_autocheckpoint", "4000")
            .disable_statement_logging();
        let store = Self {
            options,
            writer: Mutex::default(),
            reader: Mutex::default(),
            sent: AtomicU64::new(0),
        };
        store.migrate().await?;
        Ok(store)
    }

    /// Closes the file in order. Nothing is lost without it: what was committed is on disk.
    pub async fn close(self) {
        for connection in [self.reader.into_inner(), self.writer.into_inner()] {
            if let Some(connection) = connection
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "cannot close the store's file in order");
            }
        }
    }

    /// Two processes may make a new file at once. SQLite does not let them wait for each other where a
    /// file gets its journal mode, so whoever loses looks again until [`BUSY_TIMEOUT`] is over.
    async fn migrate(&self) -> Result<(), StoreError> {
        let attempted = "bring the store's tables up to date";
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            match self.migrate_once().await {
                Ok(()) => return Ok(()),
                Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                    if !is_busy(&error) || Instant::now() > deadline {
                        return Err(failed(attempted, error));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => {
                    return Err(StoreError::Refused {
                        attempted,
                        source: Box::new(error),
                    });
                }
            }
        }
    }

    async fn migrate_once(&self) -> Result<(), MigrateError> {
        let mut connection = self.options.connect().await?;
        // Around the transactions that the migrations begin themselves, after they have looked.
        let mut transaction = connection.begin_with(BEGIN).await?;
        MIGRATIONS
            .run_direct(None, &mut *transaction, false)
            .await?;
        transaction.commit().await?;
        *self.writer.lock().await = Some(connection);
        Ok(())
    }

    /// Takes the connection out of its lane, or makes one. Whoever does not put it back (an error, a
    /// future that is dropped half-way) closes it, and with it whatever transaction is open.
    async fn take(
        &self,
        lane: &mut MutexGuard<'_, Option<SqliteConnection>>,
        attempted: &'static str,
    ) -> Result<SqliteConnection, StoreError> {
        match lane.take() {
            Some(connection) => Ok(connection),
            None => self
                .options
                .connect()
                .await
                .map_err(|error| StoreError::Unavailable {
                    attempted,
                    source: Box::new(error),
                }),
        }
    }

    fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    async fn read<T>(
        &self,
        attempted: &'static str,
        query: SqliteQueryAs<'_, T>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, SqliteRow>,
    {
        let mut lane = self.reader.lock().await;
        let mut connection = self.take(&mut lane, attempted).await?;
        self.count();
        let rows = query
            .fetch_all(&mut connection)
            .await
            .map_err(|e| failed(attempted, e))?;
        *lane = Some(connection);
        Ok(rows)
    }

    /// Begins to write, at once: no other process can come between what is read and what is written.
    async fn begin(&self, attempted: &'static str) -> Result<Transaction<'_>, StoreError> {
        let mut lane = self.writer.lock().await;
        let connection = self.take(&mut lane, attempted).await?;
        let mut transaction = Transaction {
            store: self,
            attempted,
            lane,
            connection,
        };
        transaction
            .run(query(BEGIN))
            .await
            .map_err(|error| failed(attempted, error))?;
        Ok(transaction)
    }

    /// Writes a plan inside a transaction. Returns the shards whose guard did not match.
    async fn write_plan(
        transaction: &mut Transaction<'_>,
        guards: &[Guard],
        plan: &CommitPlan,
    ) -> Result<Vec<ShardId>, sqlx::Error> {
        let mut fenced = Vec::new();
        for guard in guards {
            if transaction.run(bind_guard(guard)).await? != 1 {
                fenced.push(ShardId(guard.id));
            }
        }
        if !fenced.is_empty() {
            return Ok(fenced);
        }
        let mut rows = plan.journal.as_slice();
        for (size, sql) in CHUNKS.into_iter().zip(INSERT_JOURNAL.iter()) {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                transaction
                    .run(chunk.iter().fold(query(sql.as_str()), bind_journal))
                    .await?;
                rows = rest;
            }
        }
        let mut rows = plan.sagas.as_slice();
        for (size, sql) in CHUNKS.into_iter().zip(UPSERT_SAGA.iter()) {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                transaction
                    .run(chunk.iter().fold(query(sql.as_str()), bind_saga))
                    .await?;
                rows = rest;
            }
        }
        Ok(fenced)
    }

    async fn commit_plan(&self, plan: &CommitPlan) -> Result<(), CommitError> {
        let guards = plan::check(plan)?;
        let mut transaction = self
            .begin("begin to commit a batch")
            .await
            .map_err(|error| CommitError::Unavailable {
                source: Box::new(error),
            })?;
        let fenced = match Self::write_plan(&mut transaction, &guards, plan).await {
            Ok(fenced) => fenced,
            // The transaction goes, and with it what it wrote.
            Err(error) if is_passing(&error) => {
                return Err(CommitError::Unavailable {
                    source: Box::new(error),
                });
            }
            Err(error) => {
                return Err(CommitError::Refused {
                    source: Box::new(error),
                });
            }
        };
        if !fenced.is_empty() {
            // If this fails, the connection closes, which rolls back as well.
            let _ = transaction.finish(ROLLBACK).await;
            return Err(CommitError::Fenced { shards: fenced });
        }
        // What was written may or may not be on disk after an error of the disk.
        transaction
            .finish(COMMIT)
            .await
            .map_err(|error| CommitError::InDoubt {
                source: Box::new(error),
            })
    }

    async fn claim_shards(
        &self,
        shards: &[ShardId],
        owner: &str,
    ) -> Result<Vec<ShardRow>, StoreError> {
        let attempted = "claim shards";
        let mut transaction = self.begin(attempted).await?;
        let asked = json_of_ids(shards);
        let failed = |error| failed(attempted, error);
        transaction
            .run(query(CLAIM).bind(owner).bind(&asked))
            .await
            .map_err(failed)?;
        let rows = transaction
            .rows(query_as(SHARDS).bind(false).bind(&asked))
            .await?;
        let rows: Vec<ShardRow> = rows.into_iter().map(columns::shard).collect();
        let claimed = columns::in_order(shards, &rows);
        let verdict = if claimed.is_ok() { COMMIT } else { ROLLBACK };
        transaction.finish(verdict).await.map_err(failed)?;
        claimed
    }

    async fn prepare_shards(&self, shard_count: i32) -> Result<(), StoreError> {
        let attempted = "make the shards";
        let mut transaction = self.begin(attempted).await?;
        let failed = |error| failed(attempted, error);
        let rows: Vec<(i64,)> = transaction.rows(query_as(COUNT_SHARDS)).await?;
        let found = rows
            .first()
            .map_or(0, |row| i32::try_from(row.0).unwrap_or(i32::MAX));
        if found == 0 {
            for id in 0..shard_count {
                transaction
                    .run(query(INSERT_SHARD).bind(id))
                    .await
                    .map_err(failed)?;
            }
        }
        transaction.finish(COMMIT).await.map_err(failed)?;
        if found != 0 && found != shard_count {
            return Err(StoreError::ShardCount {
                expected: shard_count,
                found,
            });
        }
        Ok(())
    }
}

/// An open transaction. Dropped before its end, it closes its connection, which rolls it back.
struct Transaction<'a> {
    store: &'a SqliteStore,
    attempted: &'static str,
    lane: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Transaction<'_> {
    async fn run(&mut self, query: SqliteQuery<'_>) -> Result<u64, sqlx::Error> {
        self.store.count();
        Ok(query.execute(&mut self.connection).await?.rows_affected())
    }

    async fn rows<T>(&mut self, query: SqliteQueryAs<'_, T>) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, SqliteRow>,
    {
        self.store.count();
        let rows = query.fetch_all(&mut self.connection).await;
        rows.map_err(|error| failed(self.attempted, error))
    }

    /// Ends it with `COMMIT` or `ROLLBACK`, and keeps the connection if that went well.
    async fn finish(mut self, verdict: &'static str) -> Result<(), sqlx::Error> {
        self.run(query(verdict)).await?;
        *self.lane = Some(self.connection);
        Ok(())
    }
}

impl Store for SqliteStore {
    fn prepare(&self, shard_count: i32) -> StoreFuture<'_, ()> {
        Box::pin(self.prepare_shards(shard_count))
    }

    fn claim<'a>(
        &'a self,
        shards: &'a [ShardId],
        owner: &'a str,
    ) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(self.claim_shards(shards, owner))
    }

    fn release<'a>(&'a self, held: &'a [(ShardId, Epoch)]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let attempted = "release shards";
            let mut transaction = self.begin(attempted).await?;
            for (shard, epoch) in held {
                let release = query(RELEASE).bind(shard.0).bind(epoch.0);
                transaction
                    .run(release)
                    .await
                    .map_err(|error| failed(attempted, error))?;
            }
            transaction
                .finish(COMMIT)
                .await
                .map_err(|error| failed(attempted, error))
        })
    }

    fn shards<'a>(&'a self, shards: &'a [ShardId]) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(async move {
            let read = query_as(SHARDS)
                .bind(shards.is_empty())
                .bind(json_of_ids(shards));
            let rows = self.read("read shards", read).await?;
            Ok(rows.into_iter().map(columns::shard).collect())
        })
    }

    fn commit<'a>(&'a self, plan: &'a CommitPlan) -> StoreFuture<'a, (), CommitError> {
        Box::pin(self.commit_plan(plan))
    }

    fn load<'a>(&'a self, keys: &'a [String]) -> StoreFuture<'a, Vec<SagaRow>> {
        Box::pin(async move {
            let read = query_as(LOAD).bind(json(&keys));
            self.read("load sagas", read)
                .await?
                .into_iter()
                .map(columns::saga)
                .collect()
        })
    }

    fn due<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(i64, &'a str)>,
        until_ms: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<SagaRow>> {
        Box::pin(async move {
            let (after_ms, after_key) = after.unwrap_or((i64::MIN, ""));
            let read = query_as(DUE)
                .bind(shard.0)
                .bind(until_ms)
                .bind(after_ms)
                .bind(after_key)
                .bind(limit);
            self.read("read due sagas", read)
                .await?
                .into_iter()
                .map(columns::saga)
                .collect()
        })
    }

    fn journal_of_shard(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<JournalRow>> {
        Box::pin(async move {
            let read = query_as(JOURNAL_OF_SHARD)
                .bind(shard.0)
                .bind(after_seq)
                .bind(limit);
            let rows = self.read("read the journal of a shard", read).await?;
            rows.into_iter().map(columns::journal).collect()
        })
    }

    fn journal_of_saga<'a>(
        &'a self,
        key: &'a str,
        after_saga_seq: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<JournalRow>> {
        Box::pin(async move {
            let read = query_as(JOURNAL_OF_SAGA)
                .bind(key)
                .bind(after_saga_seq)
                .bind(limit);
            let rows = self.read("read the journal of a saga", read).await?;
            rows.into_iter().map(columns::journal).collect()
        })
    }

    fn list<'a>(&'a self, filter: &'a ListQuery) -> StoreFuture<'a, Vec<SagaSummary>> {
        Box::pin(async move {
            let sql = if filter.statuses == [SagaStatus::Parked] {
                LIST_PARKED
            } else {
                LIST
            };
            let numbers: Vec<i16> = filter
                .statuses
                .iter()
                .map(|status| status.number())
                .collect();
            let (after_ms, after_key) = columns::list_after(filter);
            let (tag, value) = filter.tag.as_ref().map(|(key, value)| (key, value)).unzip();
            let read = query_as(sql)
                .bind(numbers.is_empty())
                .bind(json(&numbers))
                .bind(&filter.key_prefix)
                .bind(after_ms)
                .bind(after_key)
                .bind(tag)
                .bind(value)
                .bind(filter.limit_in_force());
            self.read("list sagas", read)
                .await?
                .into_iter()
                .map(columns::summary)
                .collect()
        })
    }

    fn counts(&self) -> StoreFuture<'_, Vec<(SagaStatus, i64)>> {
        Box::pin(async move {
            Ok(columns::counts(
                &self.read("count sagas", query_as(COUNT_SAGAS)).await?,
            ))
        })
    }

    fn definitions(&self) -> StoreFuture<'_, Vec<DefinitionRow>> {
        Box::pin(async move {
            let rows = self.read("read definitions", query_as(DEFINITIONS)).await?;
            Ok(rows.into_iter().map(columns::definition).collect())
        })
    }

    fn put_definition<'a>(&'a self, definition: &'a DefinitionRow) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let attempted = "remember a definition";
            let mut transaction = self.begin(attempted).await?;
            let put = query(PUT_DEFINITION)
                .bind(&definition.hash)
                .bind(&definition.name)
                .bind(&definition.source)
                .bind(definition.first_seen_at_ms);
            transaction
                .run(put)
                .await
                .map_err(|error| failed(attempted, error))?;
            transaction
                .finish(COMMIT)
                .await
                .map_err(|error| failed(attempted, error))
        })
    }

    fn statement_count(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

const COUNT_SHARDS: &str = "SELECT count(*) FROM shard";
const INSERT_SHARD: &str = "INSERT INTO shard VALUES (?1, 0, '', 0, 0, 0)";
const CLAIM: &str = "UPDATE shard SET epoch = epoch + 1, owner = ?1
    WHERE id IN (SELECT value FROM json_each(?2))";
const RELEASE: &str = "UPDATE shard SET owner = '' WHERE id = ?1 AND epoch = ?2";
const SHARDS: &str = "SELECT id, epoch, owner, inbox_next_offset, journal_seq, published_seq
    FROM shard WHERE ?1 OR id IN (SELECT value FROM json_each(?2)) ORDER BY id";
const GUARD: &str = "UPDATE shard SET inbox_next_offset = ?5, journal_seq = ?6, published_seq = ?7
    WHERE id = ?1 AND epoch = ?2 AND inbox_next_offset = ?3 AND journal_seq = ?4";

static INSERT_JOURNAL: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        format!(
            "INSERT INTO journal (shard, seq, kind, saga_key, saga_seq, at_ms, entry) VALUES {}",
            vec!["(?, ?, ?, ?, ?, ?, ?)"; rows].join(", ")
        )
    })
});

static UPSERT_SAGA: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        format!(
            "INSERT INTO saga (key, definition_hash, shard, status, seq, wake_at_ms, tags,
                parked_reason, state, started_at_ms, ended_at_ms)
            VALUES {}
            ON CONFLICT (key) DO UPDATE SET definition_hash = excluded.definition_hash,
                shard = excluded.shard, status = excluded.status, seq = excluded.seq,
                wake_at_ms = excluded.wake_at_ms, tags = excluded.tags,
                parked_reason = excluded.parked_reason, state = excluded.state,
                started_at_ms = excluded.started_at_ms, ended_at_ms = excluded.ended_at_ms",
            vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ")
        )
    })
});

const LOAD: &str = "SELECT key, definition_hash, shard, status, seq, wake_at_ms, tags,
        parked_reason, state, started_at_ms, ended_at_ms
    FROM saga WHERE key IN (SELECT value FROM json_each(?1))";
const DUE: &str = "SELECT key, definition_hash, shard, status, seq, wake_at_ms, tags,
        parked_reason, state, started_at_ms, ended_at_ms
    FROM saga WHERE shard = ?1 AND wake_at_ms <= ?2 AND (wake_at_ms, key) > (?3, ?4)
    ORDER BY wake_at_ms, key LIMIT ?5";
const JOURNAL_OF_SHARD: &str = "SELECT shard, seq, kind, saga_key, saga_seq, at_ms, entry
    FROM journal WHERE shard = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
const JOURNAL_OF_SAGA: &str = "SELECT shard, seq, kind, saga_key, saga_seq, at_ms, entry
    FROM journal WHERE saga_key = ?1 AND saga_seq > 0 AND saga_seq > ?2
    ORDER BY saga_seq LIMIT ?3";

/// `?1` says that any status will do. The partial index of parked sagas is only found by a constant.
macro_rules! list {
    ($and:literal) => {
        concat!(
            "SELECT key, status, seq, shard, parked_reason, tags, started_at_ms, ended_at_ms
            FROM saga
            WHERE (?1 OR status IN (SELECT value FROM json_each(?2)))
                AND substr(key, 1, length(?3)) = ?3
                AND (substr(key, 1, 1) <> '~' OR substr(?3, 1, 1) = '~')
                AND (started_at_ms, key) < (?4, ?5)
                AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(saga.tags) AS tag
                    WHERE tag.key = ?6 AND tag.value = ?7)) ",
            $and,
            " ORDER BY started_at_ms DESC, key DESC LIMIT ?8"
        )
    };
}
const LIST: &str = list!("");
const LIST_PARKED: &str = list!("AND status = 2");

const COUNT_SAGAS: &str = "SELECT status, count(*) FROM saga
    WHERE substr(key, 1, 1) <> '~' GROUP BY status";
const DEFINITIONS: &str = "SELECT hash, name, source, first_seen_at_ms FROM definition
    ORDER BY first_seen_at_ms, hash";
const PUT_DEFINITION: &str = "INSERT INTO definition (hash, name, source, first_seen_at_ms)
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO NOTHING";

fn bind_guard(guard: &Guard) -> SqliteQuery<'static> {
    query(GUARD)
        .bind(guard.id)
        .bind(guard.epoch)
        .bind(guard.offset_from)
        .bind(guard.journal_from)
        .bind(guard.offset_to)
        .bind(guard.journal_to)
        .bind(guard.published)
}

fn bind_journal<'q>(query: SqliteQuery<'q>, row: &JournalRow) -> SqliteQuery<'q> {
    query
        .bind(row.shard.0)
        .bind(row.seq)
        .bind(row.kind.number())
        .bind(row.saga_key.as_str())
        .bind(row.saga_seq)
        .bind(row.at_ms)
        .bind(pack(&row.entry))
}

fn bind_saga<'q>(query: SqliteQuery<'q>, saga: &SagaRow) -> SqliteQuery<'q> {
    query
        .bind(saga.key.as_str())
        .bind(saga.definition_hash.as_str())
        .bind(saga.shard.0)
        .bind(saga.status.number())
        .bind(saga.seq)
        .bind(saga.wake_at_ms)
        .bind(saga.tags.as_str())
        .bind(saga.parked_reason.as_deref())
        .bind(pack(&saga.state))
        .bind(saga.started_at_ms)
        .bind(saga.ended_at_ms)
}

fn json_of_ids(shards: &[ShardId]) -> String {
    json(&shards.iter().map(|shard| shard.0).collect::<Vec<_>>())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of numbers and strings are JSON")
}

fn failed(attempted: &'static str, error: sqlx::Error) -> StoreError {
    if let sqlx::Error::ColumnDecode { .. } = error {
        return StoreError::Corrupt {
            what: error.to_string(),
        };
    }
    if is_passing(&error) {
        return StoreError::Unavailable {
            attempted,
            source: Box::new(error),
        };
    }
    StoreError::Refused {
        attempted,
        source: Box::new(error),
    }
}

/// Tells whether somebody else is using the file.
fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: [i32; 2] = [
        5, // SQLITE_BUSY
        6, // SQLITE_LOCKED
    ];
    primary_code(error).is_some_and(|code| BUSY.contains(&code))
}

/// Tells whether trying again may help: the file is busy, the disk is full or failing, memory is short.
fn is_passing(error: &sqlx::Error) -> bool {
    const LASTING: [i32; 8] = [
        1,  // SQLITE_ERROR
        8,  // SQLITE_READONLY
        11, // SQLITE_CORRUPT
        18, // SQLITE_TOOBIG
        19, // SQLITE_CONSTRAINT
        20, // SQLITE_MISMATCH
        25, // SQLITE_RANGE
        26, // SQLITE_NOTADB
    ];
    primary_code(error).is_none_or(|code| !LASTING.contains(&code))
}

/// What SQLite says, without the details that an extended code tells; `None` if SQLite said nothing.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

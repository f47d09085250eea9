//! The store for production: Postgres, or what speaks its protocol.
//!
//! Each batch is one statement (see [`COMMIT`]) on a connection of its own. Reads of the engine go
//! over a second connection, so that a load never waits for a commit, and those of people over a
//! third, so that the engine never waits for a long list.

mod answer;
mod lane;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgBindIterExt, PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, migrate::MigrateError, migrate::Migrator, query, query_as};

use self::answer::{Answer, failed};
use self::lane::{BoxError, Held, Lane, PgQuery};
use super::open::without_password;
use super::packed::pack;
use super::plan::{self, Guard};
use super::{
    CommitError, CommitPlan, DefinitionRow, Epoch, JournalRow, ListQuery, SagaRow, SagaStatus,
    SagaSummary, ShardId, ShardRow, Store, StoreError, StoreFuture, columns,
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a [`PostgresStore`] waits for what.
#[derive(Debug, Clone, Copy)]
pub struct PostgresLimits {
    /// For a connection that is ready to be used. Default 5 s.
    pub connect_timeout: Duration,
    /// For the answer to a statement. Default 30 s. The server is told to give up after five sixths
    /// of it, which leaves no doubt; a commit without an answer is [`CommitError::InDoubt`], and its
    /// connection is closed.
    pub statement_timeout: Duration,
    /// Before the next attempt to connect after one that failed; doubles with each. Default 50 ms.
    pub backoff_min: Duration,
    /// The most of it. Default 2 s.
    pub backoff_max: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// A store in a Postgres database, in the first schema of its search path.
#[derive(Debug)]
pub struct PostgresStore {
    /// Commits and claims.
    writer: Lane,
    /// What the engine reads.
    reader: Lane,
    /// What people read.
    inspector: Lane,
    sent: Arc<AtomicU64>,
}

impl PostgresStore {
    /// Connects with the default limits, and brings the tables up to date.
    ///
    /// A role without the right to make tables will do once they are up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUrl`], [`StoreError::Unavailable`] if the server cannot be reached, and
    /// [`StoreError::Refused`] if the tables may not be made, or a newer version has made them.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_within(url, PostgresLimits::default()).await
    }

    /// As [`open`](Self::open), with other limits.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_within(url: &str, limits: PostgresLimits) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::UnknownUrl {
                url: without_password(url),
            })?
            .disable_statement_logging();
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("backstitch"),
        };
        let sent = Arc::new(AtomicU64::new(0));
        let lane = |prepared| Lane::new(options.clone(), limits, prepared, Arc::clone(&sent));
        let store = Self {
            writer: lane(&[COMMIT]),
            reader: lane(&[]),
            inspector: lane(&[]),
            sent: Arc::clone(&sent),
        };
        migrate(&options, limits.connect_timeout).await?;
        Ok(store)
    }

    async fn commit_plan(&self, plan: &CommitPlan) -> Result<(), CommitError> {
        let guards = plan::check(plan)?;
        let mut held = self
            .writer
            .hold()
            .await
            .map_err(|source| CommitError::Unavailable { source })?;
        let error = match held.execute(bind_commit(&guards, plan)).await {
            Ok(Ok(_)) => {
                held.keep();
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(late) => {
                return Err(CommitError::InDoubt {
                    source: Box::new(late),
                });
            }
        };
        let answer = Answer::of(&error);
        let source = Box::new(error);
        match answer {
            Answer::Lost => Err(CommitError::InDoubt { source }),
            Answer::Fenced => Err(find_fenced(held, &guards).await),
            Answer::Passing if !Answer::keeps_connection(&source) => {
                Err(CommitError::Unavailable { source })
            }
            Answer::Passing => {
                held.keep();
                Err(CommitError::Unavailable { source })
            }
            Answer::Lasting => {
                held.keep();
                Err(CommitError::Refused { source })
            }
        }
    }

    async fn prepare_shards(&self, shard_count: i32) -> Result<(), StoreError> {
        let attempted = "make the shards";
        let make = query_as(MAKE_SHARDS).bind(shard_count);
        let _: Vec<(i32,)> = self.writer.write(attempted, make).await?;
        let count = query_as(COUNT_SHARDS);
        let rows: Vec<(i64,)> = self.writer.write(attempted, count).await?;
        let found = rows
            .first()
            .map_or(0, |row| i32::try_from(row.0).unwrap_or(i32::MAX));
        if found != shard_count {
            return Err(StoreError::ShardCount {
                expected: shard_count,
                found,
            });
        }
        Ok(())
    }
}

/// After a guard failed: asks which ones. Nothing is in doubt any more, whatever the answer.
async fn find_fenced(held: Held<'_>, guards: &[Guard]) -> CommitError {
    let ids: Vec<i32> = guards.iter().map(|guard| guard.id).collect();
    let source: BoxError = match held.rows(query_as(SHARDS).bind(ids)).await {
        Ok(Ok(rows)) => {
            let rows: Vec<ShardRow> = rows.into_iter().map(columns::shard).collect();
            return CommitError::Fenced {
                shards: plan::fenced(guards, &rows),
            };
        }
        Ok(Err(error)) => Box::new(error),
        Err(late) => Box::new(late),
    };
    CommitError::Unavailable { source }
}

/// Makes the tables, or what they lack. No limit but the one for the connection: a migration takes as
/// long as it takes, and one process at a time runs it.
async fn migrate(options: &PgConnectOptions, limit: Duration) -> Result<(), StoreError> {
    let attempted = "bring the store's tables up to date";
    let unavailable = |source| StoreError::Unavailable { attempted, source };
    let mut connection = tokio::time::timeout(limit, options.connect())
        .await
        .map_err(|late| unavailable(late.into()))?
        .map_err(|error| unavailable(error.into()))?;
    if is_up_to_date(&mut connection).await {
        return Ok(());
    }
    let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
    migrated.map_err(|error| {
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            return failed(attempted, error);
        }
        StoreError::Refused {
            attempted,
            source: Box::new(error),
        }
    })
}

/// A look before anything is done: migrating asks for the right to make tables even when there is
/// nothing to make.
async fn is_up_to_date(connection: &mut PgConnection) -> bool {
    let applied: Result<Vec<(i64, Vec<u8>)>, _> =
        query_as(MIGRATIONS_APPLIED).fetch_all(connection).await;
    applied.is_ok_and(|applied| {
        let known = MIGRATIONS
            .iter()
            .map(|known| (known.version, known.checksum.to_vec()));
        known.eq(applied)
    })
}

impl Store for PostgresStore {
    fn prepare(&self, shard_count: i32) -> StoreFuture<'_, ()> {
        Box::pin(self.prepare_shards(shard_count))
    }

    fn claim<'a>(
        &'a self,
        shards: &'a [ShardId],
        owner: &'a str,
    ) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(async move {
            let distinct: BTreeSet<ShardId> = shards.iter().copied().collect();
            let distinct = Vec::from_iter(distinct);
            let claim = query_as(CLAIM).bind(ids(&distinct)).bind(owner);
            let rows = self.writer.write("claim shards", claim).await?;
            let rows: Vec<ShardRow> = rows.into_iter().map(columns::shard).collect();
            if rows.is_empty() && !distinct.is_empty() {
                let existing = self.shards(&distinct).await?;
                columns::in_order(shards, &existing)?;
            }
            columns::in_order(shards, &rows)
        })
    }

    fn release<'a>(&'a self, held: &'a [(ShardId, Epoch)]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let release = query_as(RELEASE)
                .bind(held.iter().map(|held| held.0.0).bind_iter())
                .bind(held.iter().map(|held| held.1.0).bind_iter());
            let _: Vec<(i32,)> = self.writer.write("release shards", release).await?;
            Ok(())
        })
    }

    fn shards<'a>(&'a self, shards: &'a [ShardId]) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(async move {
            let read = || match shards {
                [] => query_as(ALL_SHARDS),
                _ => query_as(SHARDS).bind(ids(shards)),
            };
            let rows = self.reader.read("read shards", read).await?;
            Ok(rows.into_iter().map(columns::shard).collect())
        })
    }

    fn commit<'a>(&'a self, plan: &'a CommitPlan) -> StoreFuture<'a, (), CommitError> {
        Box::pin(self.commit_plan(plan))
    }

    fn load<'a>(&'a self, keys: &'a [String]) -> StoreFuture<'a, Vec<SagaRow>> {
        Box::pin(async move {
            let rows = self
                .reader
                .read("load sagas", || query_as(LOAD).bind(keys))
                .await?;
            rows.into_iter().map(columns::saga).collect()
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
            let read = || {
                query_as(DUE)
                    .bind(shard.0)
                    .bind(until_ms)
                    .bind(after_ms)
                    .bind(after_key)
                    .bind(i64::from(limit))
            };
            let rows = self.reader.read("read due sagas", read).await?;
            rows.into_iter().map(columns::saga).collect()
        })
    }

    fn journal_of_shard(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<JournalRow>> {
        Box::pin(async move {
            let limit = i64::from(limit);
            let read = || {
                query_as(JOURNAL_OF_SHARD)
                    .bind(shard.0)
                    .bind(after_seq)
                    .bind(limit)
            };
            let rows = self
                .reader
                .read("read the journal of a shard", read)
                .await?;
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
            if !plan::is_storable(key) {
                return Ok(Vec::new());
            }
            let limit = i64::from(limit);
            let read = || {
                query_as(JOURNAL_OF_SAGA)
                    .bind(key)
                    .bind(after_saga_seq)
                    .bind(limit)
            };
            let rows = self
                .inspector
                .read("read the journal of a saga", read)
                .await?;
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
            let (after_ms, after_key) = columns::list_after(filter);
            let (tag, value) = filter.tag.as_ref().map(|(key, value)| (key, value)).unzip();
            let read = || {
                let statuses = filter.statuses.iter().map(|status| status.number());
                query_as(sql)
                    // Planned anew each time: a filter that is not used then costs nothing.
                    .persistent(false)
                    .bind((!filter.statuses.is_empty()).then_some(Vec::from_iter(statuses)))
                    .bind(&filter.key_prefix)
                    .bind(after_ms)
                    .bind(after_key)
                    .bind(tag)
                    .bind(value)
                    .bind(i64::from(filter.limit_in_force()))
            };
            let rows = self.inspector.read("list sagas", read).await?;
            rows.into_iter().map(columns::summary).collect()
        })
    }

    fn counts(&self) -> StoreFuture<'_, Vec<(SagaStatus, i64)>> {
        Box::pin(async move {
            let rows = self
                .inspector
                .read("count sagas", || query_as(COUNT_SAGAS))
                .await?;
            Ok(columns::counts(&rows))
        })
    }

    fn definitions(&self) -> StoreFuture<'_, Vec<DefinitionRow>> {
        Box::pin(async move {
            let rows = self
                .reader
                .read("read definitions", || query_as(DEFINITIONS))
                .await?;
            Ok(rows.into_iter().map(columns::definition).collect())
        })
    }

    fn put_definition<'a>(&'a self, definition: &'a DefinitionRow) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let put = query_as(PUT_DEFINITION)
                .bind(&definition.hash)
                .bind(&definition.name)
                .bind(&definition.source)
                .bind(definition.first_seen_at_ms);
            let _: Vec<(String,)> = self.writer.write("remember a definition", put).await?;
            Ok(())
        })
    }

    fn statement_count(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A batch as one statement, so that it is one transaction without a `BEGIN` or a `COMMIT`, whose
/// own answers could mislead (the `COMMIT` of a transaction that failed is answered with success).
///
/// `guard` locks and changes the shard rows that are as the plan expects them; a rival waits there,
/// looks again, and finds another epoch. `held` divides by zero unless *all* of them were. Whatever
/// fails, fails the statement, and nothing is changed. The inserts take part in `held`, so they
/// begin after it; it is also what is selected, so it is reckoned even when there is nothing to insert.
const COMMIT: &str = "
WITH guard AS (
    UPDATE shard SET inbox_next_offset = g.offset_to, journal_seq = g.journal_to,
        published_seq = g.published
    FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[])
        AS g (id, epoch, offset_from, journal_from, offset_to, journal_to, published)
    WHERE shard.id = g.id AND shard.epoch = g.epoch
        AND shard.inbox_next_offset = g.offset_from AND shard.journal_seq = g.journal_from
    RETURNING shard.id
), held AS MATERIALIZED (
    SELECT 1 / (CASE WHEN count(*) = $1::bigint THEN 1 ELSE 0 END) AS one FROM guard
), written AS (
    INSERT INTO journal (shard, seq, kind, saga_key, saga_seq, at_ms, entry)
    SELECT j.shard, j.seq, j.kind, j.saga_key, j.saga_seq, j.at_ms, j.entry
    FROM held, unnest($9::int[], $10::bigint[], $11::smallint[], $12::text[], $13::bigint[],
        $14::bigint[], $15::bytea[])
        AS j (shard, seq, kind, saga_key, saga_seq, at_ms, entry)
), settled AS (
    INSERT INTO saga (key, definition_hash, shard, status, seq, wake_at_ms, tags, parked_reason,
        state, started_at_ms, ended_at_ms)
    SELECT s.key, s.definition_hash, s.shard, s.status, s.seq, s.wake_at_ms, s.tags,
        s.parked_reason, s.state, s.started_at_ms, s.ended_at_ms
    FROM held, unnest($16::text[], $17::text[], $18::int[], $19::smallint[], $20::bigint[],
        $21::bigint[], $22::text[], $23::text[], $24::bytea[], $25::bigint[], $26::bigint[])
        AS s (key, definition_hash, shard, status, seq, wake_at_ms, tags, parked_reason, state,
            started_at_ms, ended_at_ms)
    ON CONFLICT (key) DO UPDATE SET definition_hash = excluded.definition_hash,
        shard = excluded.shard, status = excluded.status, seq = excluded.seq,
        wake_at_ms = excluded.wake_at_ms, tags = excluded.tags,
        parked_reason = excluded.parked_reason, state = excluded.state,
        started_at_ms = excluded.started_at_ms, ended_at_ms = excluded.ended_at_ms
)
SELECT one FROM held";

fn bind_commit(guards: &[Guard], plan: &CommitPlan) -> PgQuery<'static> {
    let count = i64::try_from(guards.len()).unwrap_or(i64::MAX);
    let query = query(COMMIT)
        .bind(count)
        .bind(guards.iter().map(|g| g.id).bind_iter())
        .bind(guards.iter().map(|g| g.epoch).bind_iter())
        .bind(guards.iter().map(|g| g.offset_from).bind_iter())
        .bind(guards.iter().map(|g| g.journal_from).bind_iter())
        .bind(guards.iter().map(|g| g.offset_to).bind_iter())
        .bind(guards.iter().map(|g| g.journal_to).bind_iter())
        .bind(guards.iter().map(|g| g.published).bind_iter());
    let journal = || plan.journal.iter();
    let query = query
        .bind(journal().map(|row| row.shard.0).bind_iter())
        .bind(journal().map(|row| row.seq).bind_iter())
        .bind(journal().map(|row| row.kind.number()).bind_iter())
        .bind(journal().map(|row| row.saga_key.as_str()).bind_iter())
        .bind(journal().map(|row| row.saga_seq).bind_iter())
        .bind(journal().map(|row| row.at_ms).bind_iter())
        .bind(journal().map(|row| pack(&row.entry)).bind_iter());
    let sagas = || plan.sagas.iter();
    query
        .bind(sagas().map(|saga| saga.key.as_str()).bind_iter())
        .bind(
            sagas()
                .map(|saga| saga.definition_hash.as_str())
                .bind_iter(),
        )
        .bind(sagas().map(|saga| saga.shard.0).bind_iter())
        .bind(sagas().map(|saga| saga.status.number()).bind_iter())
        .bind(sagas().map(|saga| saga.seq).bind_iter())
        .bind(sagas().map(|saga| saga.wake_at_ms).bind_iter())
        .bind(sagas().map(|saga| saga.tags.as_str()).bind_iter())
        .bind(
            sagas()
                .map(|saga| saga.parked_reason.as_deref())
                .bind_iter(),
        )
        .bind(sagas().map(|saga| pack(&saga.state)).bind_iter())
        .bind(sagas().map(|saga| saga.started_at_ms).bind_iter())
        .bind(sagas().map(|saga| saga.ended_at_ms).bind_iter())
}

/// Of two who make them at once, one inserts shard 0, and the other waits for it and then makes none.
const MAKE_SHARDS: &str = "
WITH first AS (
    INSERT INTO shard (id, epoch, owner, inbox_next_offset, journal_seq, published_seq)
    SELECT 0, 0, '', 0, 0, 0 WHERE $1::int > 0
    ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO shard (id, epoch, owner, inbox_next_offset, journal_seq, published_seq)
SELECT rest, 0, '', 0, 0, 0 FROM first, generate_series(1, $1::int - 1) AS rest
RETURNING id";
const COUNT_SHARDS: &str = "SELECT count(*) FROM shard";
/// Claims all of them or, if one does not exist, none.
const CLAIM: &str = "UPDATE shard SET epoch = epoch + 1, owner = $2
    WHERE id = ANY ($1::int[])
        AND (SELECT count(*) FROM shard WHERE id = ANY ($1::int[])) = cardinality($1::int[])
    RETURNING id, epoch, owner, inbox_next_offset, journal_seq, published_seq";
const RELEASE: &str = "UPDATE shard SET owner = ''
    FROM unnest($1::int[], $2::bigint[]) AS held (id, epoch)
    WHERE shard.id = held.id AND shard.epoch = held.epoch
    RETURNING shard.id";
const ALL_SHARDS: &str = "SELECT id, epoch, owner, inbox_next_offset, journal_seq, published_seq
    FROM shard ORDER BY id";
const SHARDS: &str = "SELECT id, epoch, owner, inbox_next_offset, journal_seq, published_seq
    FROM shard WHERE id = ANY ($1::int[]) ORDER BY id";

const LOAD: &str = "SELECT key, definition_hash, shard, status, seq, wake_at_ms, tags,
        parked_reason, state, started_at_ms, ended_at_ms
    FROM saga WHERE key = ANY ($1::text[])";
const DUE: &str = "SELECT key, definition_hash, shard, status, seq, wake_at_ms, tags,
        parked_reason, state, started_at_ms, ended_at_ms
    FROM saga WHERE shard = $1 AND wake_at_ms <= $2 AND (wake_at_ms, key) > ($3, $4)
    ORDER BY wake_at_ms, key LIMIT $5";
const JOURNAL_OF_SHARD: &str = "SELECT shard, seq, kind, saga_key, saga_seq, at_ms, entry
    FROM journal WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const JOURNAL_OF_SAGA: &str = "SELECT shard, seq, kind, saga_key, saga_seq, at_ms, entry
    FROM journal WHERE saga_key = $1 AND saga_seq > 0 AND saga_seq > $2
    ORDER BY saga_seq LIMIT $3";

macro_rules! list {
    ($and:literal) => {
        concat!(
            "SELECT key, status, seq, shard, parked_reason, tags, started_at_ms, ended_at_ms
            FROM saga
            WHERE ($1::smallint[] IS NULL OR status = ANY ($1::smallint[]))
                AND starts_with(key, $2)
                AND (left(key, 1) <> '~' OR left($2, 1) = '~')
                AND (started_at_ms, key) < ($3, $4)
                AND ($5::text IS NULL OR tags::json ->> $5 = $6::text) ",
            $and,
            " ORDER BY started_at_ms DESC, key DESC LIMIT $7"
        )
    };
}
const LIST: &str = list!("");
const LIST_PARKED: &str = list!("AND parked");

const COUNT_SAGAS: &str = "SELECT status, count(*) FROM saga
    WHERE left(key, 1) <> '~' GROUP BY status";
const DEFINITIONS: &str = "SELECT hash, name, source, first_seen_at_ms FROM definition
    ORDER BY first_seen_at_ms, hash";
const PUT_DEFINITION: &str = "INSERT INTO definition (hash, name, source, first_seen_at_ms)
    VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING RETURNING hash";
const MIGRATIONS_APPLIED: &str =
    "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";

fn ids(shards: &[ShardId]) -> Vec<i32> {
    shards.iter().map(|shard| shard.0).collect()
}

//! One pinned connection: made when it is needed, made again after it broke, used by one at a time.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{ConnectOptions, Executor, Postgres, SqlSafeStr};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until, timeout};

use super::PostgresLimits;
use super::answer::{Answer, failed};
use crate::store::StoreError;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;
pub(super) type PgQueryAs<'q, T> = QueryAs<'q, Postgres, T, PgArguments>;

/// A statement had no answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(super) struct NoAnswer(Duration);

#[derive(Debug)]
pub(super) struct Lane {
    options: PgConnectOptions,
    limits: PostgresLimits,
    /// Prepared as soon as there is a connection, so that what is sent later is one message.
    prepared: &'static [&'static str],
    sent: Arc<AtomicU64>,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    connection: Option<PgConnection>,
    /// Attempts to connect that failed since the last that did not.
    failures: u32,
    not_before: Option<Instant>,
}

/// The connection, for one user. Whoever does not [`keep`](Self::keep) it (an error, a future that
/// is dropped half-way) closes it.
pub(super) struct Held<'a> {
    lane: &'a Lane,
    place: MutexGuard<'a, Place>,
    pub(super) connection: PgConnection,
    /// It was there before: it may be broken without anybody knowing yet.
    used_before: bool,
}

impl Lane {
    pub(super) fn new(
        options: PgConnectOptions,
        limits: PostgresLimits,
        prepared: &'static [&'static str],
        sent: Arc<AtomicU64>,
    ) -> Self {
        Self {
            options,
            limits,
            prepared,
            sent,
            place: Mutex::default(),
        }
    }

    /// Waits for the connection; makes one if there is none. After failures it first waits, longer
    /// after each, so that callers who try for ever do not storm a server that is coming back.
    pub(super) async fn hold(&self) -> Result<Held<'_>, BoxError> {
        let mut place = self.place.lock().await;
        if let Some(connection) = place.connection.take() {
            return Ok(Held {
                lane: self,
                place,
                connection,
                used_before: true,
            });
        }
        if let Some(instant) = place.not_before {
            sleep_until(instant).await;
        }
        let limit = self.limits.connect_timeout;
        let connected = match timeout(limit, self.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(NoAnswer(limit).into()),
        };
        match connected {
            Ok(connection) => {
                (place.failures, place.not_before) = (0, None);
                Ok(Held {
                    lane: self,
                    place,
                    connection,
                    used_before: false,
                })
            }
            Err(error) => {
                place.failures = place.failures.saturating_add(1);
                place.not_before = Some(Instant::now() + self.limits.backoff(place.failures));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        // The server gives up first, and says so: then it is known that nothing was changed.
        let limit = (self.limits.statement_timeout / 6 * 5).as_millis().max(1);
        self.count();
        sqlx::query("SELECT set_config('statement_timeout', $1, false)")
            .bind(limit.to_string())
            .execute(&mut connection)
            .await?;
        for sql in self.prepared {
            (&mut connection).prepare(sql.into_sql_str()).await?;
        }
        Ok(connection)
    }

    /// Reads rows. What a connection broke that lay idle is tried once more on a new one.
    pub(super) async fn read<'q, T>(
        &self,
        attempted: &'static str,
        query: impl Fn() -> PgQueryAs<'q, T>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, PgRow>,
    {
        loop {
            let held = self
                .hold()
                .await
                .map_err(|source| StoreError::Unavailable { attempted, source })?;
            let used_before = held.used_before;
            match held.rows(query()).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if used_before && Answer::of(&error) == Answer::Lost => {}
                Ok(Err(error)) => return Err(failed(attempted, error)),
                Err(late) => {
                    return Err(StoreError::Unavailable {
                        attempted,
                        source: Box::new(late),
                    });
                }
            }
        }
    }

    /// Runs a statement that may be repeated without harm if its answer is lost; it is not repeated
    /// here.
    pub(super) async fn write<T>(
        &self,
        attempted: &'static str,
        query: PgQueryAs<'_, T>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, PgRow>,
    {
        let unavailable = |source| StoreError::Unavailable { attempted, source };
        match self.hold().await.map_err(unavailable)?.rows(query).await {
            Ok(answer) => answer.map_err(|error| failed(attempted, error)),
            Err(late) => Err(unavailable(Box::new(late))),
        }
    }

    fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

impl Held<'_> {
    /// Runs a statement to its end (until the server is ready again: only then is it committed).
    pub(super) async fn execute(
        &mut self,
        query: PgQuery<'_>,
    ) -> Result<Result<u64, sqlx::Error>, NoAnswer> {
        self.lane.count();
        let limit = self.lane.limits.statement_timeout;
        match timeout(limit, query.execute(&mut self.connection)).await {
            Ok(answer) => Ok(answer.map(|done| done.rows_affected())),
            Err(_) => Err(NoAnswer(limit)),
        }
    }

    /// Reads all rows, and keeps the connection if it is in order.
    pub(super) async fn rows<T>(
        mut self,
        query: PgQueryAs<'_, T>,
    ) -> Result<Result<Vec<T>, sqlx::Error>, NoAnswer>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, PgRow>,
    {
        self.lane.count();
        let limit = self.lane.limits.statement_timeout;
        let Ok(answer) = timeout(limit, query.fetch_all(&mut self.connection)).await else {
            return Err(NoAnswer(limit));
        };
        match &answer {
            Err(error) if !Answer::keeps_connection(error) => {}
            Ok(_) | Err(_) => self.keep(),
        }
        Ok(answer)
    }

    /// Puts the connection back.
    pub(super) fn keep(self) {
        let Self {
            mut place,
            connection,
            ..
        } = self;
        place.connection = Some(connection);
    }
}

impl PostgresLimits {
    /// The wait after the given number of failures: it doubles, up to `backoff_max`, less a random
    /// part of up to a half, so that the processes of a deployment do not come back all at once.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self
            .backoff_min
            .saturating_mul(1 << failures.saturating_sub(1).min(16));
        let random = RandomState::new().hash_one(failures) % 512;
        let whole = doubled.min(self.backoff_max);
        whole - whole.mul_f64(f64::from(u16::try_from(random).unwrap_or_default()) / 1024.0)
    }
}

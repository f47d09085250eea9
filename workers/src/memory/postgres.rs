//! The memory of answers in Postgres, shared by the processes of one activity on any number of machines.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::transaction::{Inner, Savepoint};
use super::{Entry, Memory, MemoryError, Remembered, Tx};

/// Keeps two processes that start at once from making the table at once; any number that nobody else is likely to use.
const SCHEMA_LOCK: &str = "SELECT pg_advisory_xact_lock(7264190551)";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS backstitch_answer (
        idempotency_key text PRIMARY KEY,
        state smallint NOT NULL,
        output bytea,
        code text,
        reason text,
        at_ms bigint NOT NULL
    );
    CREATE INDEX IF NOT EXISTS backstitch_answer_at ON backstitch_answer (at_ms)";

/// Taken in the order given, which is sorted: two batches that share sagas queue up and can't lock each other out.
const LOCK_SAGAS: &str = "SELECT pg_advisory_xact_lock(saga) FROM unnest($1::bigint[]) AS saga";

const RECALL: &str = "
    SELECT idempotency_key, state, output, code, reason
    FROM backstitch_answer WHERE idempotency_key = ANY($1::text[])";

const REMEMBER: &str = "
    INSERT INTO backstitch_answer (idempotency_key, state, output, code, reason, at_ms)
    SELECT *, $6 FROM unnest($1::text[], $2::smallint[], $3::bytea[], $4::text[], $5::text[])
    ON CONFLICT (idempotency_key) DO UPDATE SET state = excluded.state, output = excluded.output,
        code = excluded.code, reason = excluded.reason, at_ms = excluded.at_ms
    WHERE backstitch_answer.state = 3";

const PURGE: &str = "
    DELETE FROM backstitch_answer WHERE idempotency_key IN
        (SELECT idempotency_key FROM backstitch_answer WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";

/// Answers in a Postgres table, beside the service's own tables.
#[derive(Debug)]
pub struct PostgresMemory {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    savepoint: Savepoint,
}

impl PostgresMemory {
    /// Connects to `url` (`postgres://…`) and makes the table if it is not there.
    ///
    /// # Errors
    ///
    /// If the URL can't be read, or the database can't be reached or refuses.
    pub async fn open(url: &str) -> Result<Self, MemoryError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(MemoryError::unavailable("read the URL of"))?;
        let mut memory = Self {
            options: options.disable_statement_logging(),
            connection: None,
            savepoint: Savepoint::Closed,
        };
        memory.prepare(SCHEMA).await?;
        Ok(memory)
    }

    /// Runs statements that make the service's own tables. To be called before the worker starts; must be repeatable.
    ///
    /// # Errors
    ///
    /// If one of them fails.
    pub async fn prepare(&mut self, statements: &'static str) -> Result<(), MemoryError> {
        let attempted = MemoryError::unavailable;
        let connection = self.connect().await?;
        let mut transaction = connection
            .begin()
            .await
            .map_err(attempted("make the tables beside"))?;
        for text in [SCHEMA_LOCK, statements] {
            sqlx::raw_sql(text)
                .execute(&mut *transaction)
                .await
                .map_err(attempted("make the tables beside"))?;
        }
        transaction
            .commit()
            .await
            .map_err(attempted("make the tables beside"))
    }

    async fn connect(&mut self) -> Result<&mut PgConnection, MemoryError> {
        if self.connection.is_none() {
            let connection = PgConnection::connect_with(&self.options)
                .await
                .map_err(MemoryError::unavailable("connect to"))?;
            self.savepoint = Savepoint::Closed;
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("just connected"))
    }

    fn open_connection(&mut self) -> &mut PgConnection {
        self.connection
            .as_mut()
            .expect("begin comes before anything else")
    }

    async fn run(
        &mut self,
        statement: &'static str,
        attempted: &'static str,
    ) -> Result<(), MemoryError> {
        sqlx::raw_sql(statement)
            .execute(self.open_connection())
            .await
            .map_err(MemoryError::unavailable(attempted))?;
        Ok(())
    }
}

impl Memory for PostgresMemory {
    async fn begin(
        &mut self,
        sagas: &[&str],
        keys: &[&str],
    ) -> Result<Vec<(String, Entry)>, MemoryError> {
        self.connect().await?;
        self.savepoint = Savepoint::Closed;
        let mut locks: Vec<i64> = sagas.iter().map(|saga| lock_of(saga)).collect();
        locks.sort_unstable();
        locks.dedup();
        let begun = self.run("BEGIN", "begin a transaction in").await;
        let locked = match begun {
            Ok(()) => sqlx::query(LOCK_SAGAS)
                .bind(locks)
                .execute(self.open_connection())
                .await
                .map_err(MemoryError::unavailable("lock the sagas of a batch in"))
                .map(|_| ()),
            Err(error) => Err(error),
        };
        if locked.is_err() {
            // The connection may be dead (a database that restarted); the next attempt makes a new one.
            self.connection = None;
        }
        locked?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(RECALL)
            .bind(keys)
            .fetch_all(self.open_connection())
            .await
            .map_err(MemoryError::unavailable("look up keys in"))?;
        rows.iter().map(entry_of).collect()
    }

    fn tx(&mut self) -> Tx<'_> {
        let connection = self
            .connection
            .as_mut()
            .expect("begin comes before anything else");
        Tx::new(Inner::Postgres {
            connection,
            savepoint: &mut self.savepoint,
        })
    }

    async fn keep(&mut self) -> Result<(), MemoryError> {
        if self.savepoint == Savepoint::Open {
            // Refused if a statement of the handler failed and the handler went on regardless.
            self.run("RELEASE SAVEPOINT command", "keep a handler's writes in")
                .await?;
            self.savepoint = Savepoint::Closed;
        }
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), MemoryError> {
        if self.savepoint == Savepoint::Open {
            self.run(
                "ROLLBACK TO SAVEPOINT command; RELEASE SAVEPOINT command",
                "take a handler's writes back from",
            )
            .await?;
            self.savepoint = Savepoint::Closed;
        }
        Ok(())
    }

    async fn remember(
        &mut self,
        entries: &[Remembered<'_>],
        at_ms: i64,
    ) -> Result<(), MemoryError> {
        if entries.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = entries.iter().map(|new| new.key).collect();
        let columns: Vec<_> = entries.iter().map(|new| new.entry.columns()).collect();
        let done = sqlx::query(REMEMBER)
            .bind(keys)
            .bind(columns.iter().map(|row| row.0).collect::<Vec<i16>>())
            .bind(
                columns
                    .iter()
                    .map(|row| row.1)
                    .collect::<Vec<Option<&[u8]>>>(),
            )
            .bind(
                columns
                    .iter()
                    .map(|row| row.2)
                    .collect::<Vec<Option<&str>>>(),
            )
            .bind(
                columns
                    .iter()
                    .map(|row| row.3)
                    .collect::<Vec<Option<&str>>>(),
            )
            .bind(at_ms)
            .execute(self.open_connection())
            .await
            .map_err(MemoryError::unavailable("remember answers in"))?;
        let (expected, found) = (entries.len() as u64, done.rows_affected());
        if found == expected {
            Ok(())
        } else {
            Err(MemoryError::Conflict { expected, found })
        }
    }

    async fn commit(&mut self) -> Result<(), MemoryError> {
        // A COMMIT of a transaction that an error aborted answers success; every statement before it was checked.
        self.run("COMMIT", "commit to").await
    }

    async fn rollback(&mut self) {
        self.savepoint = Savepoint::Closed;
        if self.connection.is_some() && self.run("ROLLBACK", "roll back in").await.is_err() {
            self.connection = None;
        }
    }

    async fn purge(&mut self, before_ms: i64, len_max: u32) -> Result<u64, MemoryError> {
        let done = sqlx::query(PURGE)
            .bind(before_ms)
            .bind(i64::from(len_max))
            .execute(self.connect().await?)
            .await
            .map_err(MemoryError::unavailable("purge"));
        if done.is_err() {
            self.connection = None;
        }
        Ok(done?.rows_affected())
    }
}

/// FNV-1a over the saga, begun from a number of our own: it must be the same in every process and every release.
fn lock_of(saga: &str) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ 0x6261_636b;
    for byte in saga.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    i64::from_ne_bytes(hash.to_ne_bytes())
}

fn entry_of(row: &PgRow) -> Result<(String, Entry), MemoryError> {
    let columns = || -> Result<_, sqlx::Error> {
        Ok((
            row.try_get::<String, _>(0)?,
            row.try_get::<i16, _>(1)?,
            row.try_get::<Option<Vec<u8>>, _>(2)?,
            row.try_get::<Option<String>, _>(3)?,
            row.try_get::<Option<String>, _>(4)?,
        ))
    };
    let (key, state, output, code, reason) =
        columns().map_err(MemoryError::unavailable("read a row of"))?;
    let entry = Entry::from_columns(&key, state, output, code, reason)?;
    Ok((key, entry))
}

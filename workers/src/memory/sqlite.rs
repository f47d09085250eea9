//! The memory of answers in a SQLite file, shared by the processes of one activity on one machine.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use super::rows::Rows;
use super::transaction::{Inner, Savepoint};
use super::{Entry, Memory, MemoryError, Remembered, Tx};

/// How long a transaction waits for another process that writes to the same file. Longer than any batch should take.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows per INSERT statement: a few fixed sizes, so that each is prepared once and a batch takes few of them.
const INSERT_SIZES: [usize; 4] = [64, 16, 4, 1];

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS backstitch_answer (
        idempotency_key TEXT NOT NULL UNIQUE,
        state INTEGER NOT NULL,
        output BLOB,
        code TEXT,
        reason TEXT,
        at_ms INTEGER NOT NULL
    ) STRICT";

/// One statement for any number of keys: its text is constant, so it is prepared once.
const BEGIN_AND_RECALL: &str = "
    BEGIN IMMEDIATE;
    SELECT idempotency_key, state, output, code, reason
    FROM json_each(?1) AS wanted CROSS JOIN backstitch_answer ON idempotency_key = wanted.value";

/// Rows are in the order they were remembered, so the oldest are read without an index on time.
const PURGE: &str = "
    DELETE FROM backstitch_answer WHERE at_ms < ?1 AND rowid IN
        (SELECT rowid FROM backstitch_answer ORDER BY rowid LIMIT ?2)";

static INSERTS: LazyLock<[String; 4]> = LazyLock::new(|| {
    INSERT_SIZES.map(|size| {
        let rows = vec!["(?,?,?,?,?,?)"; size].join(",");
        format!(
            "INSERT INTO backstitch_answer (idempotency_key, state, output, code, reason, at_ms) VALUES {rows} \
             ON CONFLICT (idempotency_key) DO UPDATE SET state = excluded.state, output = excluded.output, \
             code = excluded.code, reason = excluded.reason, at_ms = excluded.at_ms \
             WHERE backstitch_answer.state = 3"
        )
    })
});

/// Answers in a SQLite file: WAL, `synchronous=FULL`, one connection, one writer at a time over all processes.
#[derive(Debug)]
pub struct SqliteMemory {
    path: PathBuf,
    connection: Option<SqliteConnection>,
    savepoint: Savepoint,
    rows: Rows,
}

impl SqliteMemory {
    /// Opens the file, made if it is not there, and its table.
    ///
    /// # Errors
    ///
    /// If the file can't be opened or written.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, MemoryError> {
        let mut memory = Self {
            path: path.as_ref().to_owned(),
            connection: None,
            savepoint: Savepoint::Closed,
            rows: Rows::default(),
        };
        memory.connect().await?;
        Ok(memory)
    }

    /// Runs statements that make the service's own tables. To be called before the worker starts; must be repeatable.
    ///
    /// # Errors
    ///
    /// If one of them fails.
    pub async fn prepare(&mut self, statements: &'static str) -> Result<(), MemoryError> {
        sqlx::raw_sql(statements)
            .execute(self.connect().await?)
            .await
            .map_err(MemoryError::unavailable("make the tables beside"))?;
        Ok(())
    }

    async fn connect(&mut self) -> Result<&mut SqliteConnection, MemoryError> {
        if self.connection.is_none() {
            let options = SqliteConnectOptions::new()
                .filename(&self.path)
                .create_if_missing(true)
                .busy_timeout(BUSY_TIMEOUT)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .disable_statement_logging();
            let mut connection = SqliteConnection::connect_with(&options)
                .await
                .map_err(MemoryError::unavailable("open"))?;
            sqlx::query(SCHEMA)
                .execute(&mut connection)
                .await
                .map_err(MemoryError::unavailable("make the table of"))?;
            self.savepoint = Savepoint::Closed;
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("just connected"))
    }

    fn open_connection(&mut self) -> &mut SqliteConnection {
        self.connection
            .as_mut()
            .expect("begin comes before anything else")
    }

    async fn run(
        &mut self,
        statement: &'static str,
        attempted: &'static str,
    ) -> Result<(), MemoryError> {
        sqlx::query(statement)
            .execute(self.open_connection())
            .await
            .map_err(MemoryError::unavailable(attempted))?;
        Ok(())
    }

    /// Writes the rows that handlers have left. Fails also if some of them were lost before.
    async fn write_rows(&mut self) -> Result<(), MemoryError> {
        let connection = self
            .connection
            .as_mut()
            .expect("begin comes before anything else");
        self.rows
            .write_kept(connection)
            .await
            .map_err(MemoryError::unavailable("insert the rows of handlers in"))
    }

    /// Releases a kept savepoint. That fails if SQLite has rolled the whole transaction back by itself (disk full, I/O
    /// error), and so keeps what follows from being written outside of any transaction.
    async fn release(&mut self) -> Result<(), MemoryError> {
        if self.savepoint != Savepoint::Closed {
            self.run("RELEASE command", "keep a handler's writes in")
                .await?;
            self.savepoint = Savepoint::Closed;
        }
        Ok(())
    }
}

impl Memory for SqliteMemory {
    async fn begin(
        &mut self,
        _sagas: &[&str],
        keys: &[&str],
    ) -> Result<Vec<(String, Entry)>, MemoryError> {
        self.connect().await?;
        self.savepoint = Savepoint::Closed;
        self.rows.clear();
        let wanted = serde_json::to_string(keys).expect("strings are always JSON");
        let rows = sqlx::query(BEGIN_AND_RECALL)
            .bind(wanted)
            .fetch_all(self.open_connection())
            .await
            .map_err(MemoryError::unavailable("begin a transaction in"))?;
        rows.iter().map(entry_of).collect()
    }

    fn tx(&mut self) -> Tx<'_> {
        let connection = self
            .connection
            .as_mut()
            .expect("begin comes before anything else");
        Tx::new(Inner::Sqlite {
            connection,
            savepoint: &mut self.savepoint,
            rows: &mut self.rows,
        })
    }

    async fn keep(&mut self) -> Result<(), MemoryError> {
        self.rows.keep();
        if self.savepoint == Savepoint::Open {
            self.savepoint = Savepoint::Kept;
        }
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), MemoryError> {
        self.rows.undo();
        if self.savepoint == Savepoint::Open {
            self.run(
                "ROLLBACK TO command; RELEASE command",
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
        self.release().await?;
        self.write_rows().await?;
        let mut written = 0;
        let mut rest = entries;
        for (size, text) in INSERT_SIZES.iter().zip(INSERTS.iter()) {
            while rest.len() >= *size {
                let (chunk, after) = rest.split_at(*size);
                let mut insert = sqlx::query(AssertSqlSafe(text.as_str()));
                for new in chunk {
                    let (state, output, code, reason) = new.entry.columns();
                    insert = insert
                        .bind(new.key.to_owned())
                        .bind(state)
                        .bind(output.map(<[u8]>::to_vec))
                        .bind(code.map(str::to_owned))
                        .bind(reason.map(str::to_owned))
                        .bind(at_ms);
                }
                let done = insert
                    .execute(self.open_connection())
                    .await
                    .map_err(MemoryError::unavailable("remember answers in"))?;
                written += done.rows_affected();
                rest = after;
            }
        }
        let expected = entries.len() as u64;
        if written == expected {
            Ok(())
        } else {
            Err(MemoryError::Conflict {
                expected,
                found: written,
            })
        }
    }

    async fn commit(&mut self) -> Result<(), MemoryError> {
        self.release().await?;
        self.write_rows().await?;
        self.run("COMMIT", "commit to").await
    }

    async fn rollback(&mut self) {
        self.savepoint = Savepoint::Closed;
        self.rows.clear();
        if let Some(connection) = self.connection.as_mut()
            && sqlx::query("ROLLBACK").execute(connection).await.is_err()
        {
            // Perhaps there was no transaction, perhaps the file is gone: closing the connection settles both.
            self.connection = None;
        }
    }

    async fn purge(&mut self, before_ms: i64, len_max: u32) -> Result<u64, MemoryError> {
        let done = sqlx::query(PURGE)
            .bind(before_ms)
            .bind(len_max)
            .execute(self.connect().await?)
            .await
            .map_err(MemoryError::unavailable("purge"))?;
        Ok(done.rows_affected())
    }
}

fn entry_of(row: &SqliteRow) -> Result<(String, Entry), MemoryError> {
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

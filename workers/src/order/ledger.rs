//! The ledger of effects: written by the effect itself, in its transaction, never changed. What checkers believe.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

/// Nothing in it is unique: an effect that happened twice shows as two rows.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS effect (
        seq INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        saga TEXT NOT NULL,
        step TEXT NOT NULL,
        direction TEXT NOT NULL,
        key TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        activity TEXT NOT NULL,
        pid INTEGER NOT NULL
    ) STRICT;";

const READ: &str = "
    SELECT seq, at_ms, saga, step, direction, key, attempt, activity, pid FROM effect ORDER BY seq";

/// One effect, as the service that had it wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Counts from 1 in each ledger, in the order of the transactions.
    pub seq: i64,
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// The saga key.
    pub saga: String,
    /// The step's name.
    pub step: String,
    /// `do` or `undo`.
    pub direction: String,
    /// The idempotency key.
    pub key: String,
    /// The attempt that had the effect.
    pub attempt: i64,
    /// The activity asked for.
    pub activity: String,
    /// The process that did it.
    pub pid: i64,
}

/// Why a ledger can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the ledger {path}")]
pub struct LedgerError {
    path: String,
    source: sqlx::Error,
}

/// Reads the ledger of one service, oldest effect first. The service may go on meanwhile.
///
/// # Errors
///
/// If there is no such file, or no ledger in it.
pub async fn read_ledger(path: impl AsRef<Path>) -> Result<Vec<Effect>, LedgerError> {
    let path = path.as_ref();
    read(path).await.map_err(|source| LedgerError {
        path: path.display().to_string(),
        source,
    })
}

async fn read(path: &Path) -> Result<Vec<Effect>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let rows = sqlx::query(READ).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter().map(effect_of).collect()
}

fn effect_of(row: &SqliteRow) -> Result<Effect, sqlx::Error> {
    Ok(Effect {
        seq: row.try_get(0)?,
        at_ms: row.try_get(1)?,
        saga: row.try_get(2)?,
        step: row.try_get(3)?,
        direction: row.try_get(4)?,
        key: row.try_get(5)?,
        attempt: row.try_get(6)?,
        activity: row.try_get(7)?,
        pid: row.try_get(8)?,
    })
}

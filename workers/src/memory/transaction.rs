//! The open transaction as a handler sees it.

use std::fmt;

use sqlx::{PgConnection, SqliteConnection};

use super::rows::{Cell, Rows};

/// The transaction that also remembers the answer. What a handler writes through it happens exactly if the answer is remembered.
///
/// A handler must not end the transaction or the savepoint that it runs in.
pub struct Tx<'a> {
    inner: Inner<'a>,
}

pub(super) enum Inner<'a> {
    Volatile,
    Sqlite {
        connection: &'a mut SqliteConnection,
        savepoint: &'a mut Savepoint,
        rows: &'a mut Rows,
    },
    Postgres {
        connection: &'a mut PgConnection,
        savepoint: &'a mut Savepoint,
    },
}

/// Where the savepoint of the handler that runs now stands. It is opened when a handler first asks for the connection, so
/// that a handler which writes nothing costs no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Savepoint {
    /// None is open.
    Closed,
    /// The handler that runs now has one.
    Open,
    /// An earlier handler's is kept but not yet released; the next statement does that too.
    Kept,
}

/// Why a handler can't have the connection.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// The memory of this worker is of another kind. A mistake in how the worker was put together.
    #[error("the memory of this worker is not {wanted}")]
    OtherKind {
        /// The kind that was asked for.
        wanted: &'static str,
    },
    /// The savepoint could not be opened. Answer *failed*.
    #[error("cannot open a savepoint")]
    Unavailable(#[source] sqlx::Error),
}

impl<'a> Tx<'a> {
    pub(super) fn new(inner: Inner<'a>) -> Self {
        Self { inner }
    }

    /// Returns the connection of a SQLite memory, inside the transaction, behind a savepoint of this command's own.
    ///
    /// Rows of [`Tx::sqlite_insert`] are written before, those of other commands too.
    ///
    /// # Errors
    ///
    /// If the memory is not SQLite, or the database fails.
    pub async fn sqlite(&mut self) -> Result<&mut SqliteConnection, TxError> {
        match &mut self.inner {
            Inner::Sqlite {
                connection,
                savepoint,
                rows,
            } => {
                let failed = TxError::Unavailable;
                rows.write_kept(connection).await.map_err(failed)?;
                let opening = match savepoint {
                    Savepoint::Open => {
                        rows.write_own(connection).await.map_err(failed)?;
                        return Ok(connection);
                    }
                    Savepoint::Closed => "SAVEPOINT command",
                    Savepoint::Kept => "RELEASE command; SAVEPOINT command",
                };
                sqlx::query(opening)
                    .execute(&mut **connection)
                    .await
                    .map_err(failed)?;
                **savepoint = Savepoint::Open;
                rows.write_own(connection).await.map_err(failed)?;
                Ok(connection)
            }
            Inner::Volatile | Inner::Postgres { .. } => {
                Err(TxError::OtherKind { wanted: "SQLite" })
            }
        }
    }

    /// Has a row inserted before the commit, together with those of other commands: far cheaper than a statement of its own.
    ///
    /// `into` is an insert without its values, such as `INSERT INTO payment (key, amount)`; the same text each time, so that
    /// rows can share a statement. Rows of one text keep their order. If the answer is not *done*, the row is dropped. If a row
    /// can't be inserted, nothing of the transaction is committed, and its commands run again one by one; the one that still
    /// fails is answered *failed*. To read what was inserted, ask for the connection: that writes it first.
    ///
    /// # Errors
    ///
    /// If the memory is not SQLite.
    pub fn sqlite_insert(&mut self, into: &'static str, row: Vec<Cell>) -> Result<(), TxError> {
        match &mut self.inner {
            Inner::Sqlite { rows, .. } => {
                rows.push(into, row);
                Ok(())
            }
            Inner::Volatile | Inner::Postgres { .. } => {
                Err(TxError::OtherKind { wanted: "SQLite" })
            }
        }
    }

    /// Returns the connection of a Postgres memory, inside the transaction, behind a savepoint of this command's own.
    ///
    /// # Errors
    ///
    /// If the memory is not Postgres, or the database fails.
    pub async fn postgres(&mut self) -> Result<&mut PgConnection, TxError> {
        match &mut self.inner {
            Inner::Postgres {
                connection,
                savepoint,
            } => {
                if **savepoint != Savepoint::Open {
                    sqlx::query("SAVEPOINT command")
                        .execute(&mut **connection)
                        .await
                        .map_err(TxError::Unavailable)?;
                    **savepoint = Savepoint::Open;
                }
                Ok(connection)
            }
            Inner::Volatile | Inner::Sqlite { .. } => {
                Err(TxError::OtherKind { wanted: "Postgres" })
            }
        }
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.inner {
            Inner::Volatile => "Tx(volatile)",
            Inner::Sqlite { .. } => "Tx(sqlite)",
            Inner::Postgres { .. } => "Tx(postgres)",
        })
    }
}

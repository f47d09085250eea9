//! The memory of answers (W-1): per idempotency key, what was answered, kept in the same transaction as the work itself.
//!
//! A memory is a session on one connection: [`Memory::begin`], any number of the calls in between, then
//! [`Memory::commit`] or [`Memory::rollback`]. Two processes may hold the same memory; `begin` makes sure that no two of
//! them are inside a transaction for the same saga, so looking up and acting can't be torn apart.

mod entry;
mod postgres;
mod rows;
mod sqlite;
mod transaction;
mod volatile;

#[cfg(test)]
mod conformance;

use std::future::Future;

pub use entry::{Entry, MemoryError, Remembered};
pub use postgres::PostgresMemory;
pub use rows::Cell;
pub use sqlite::SqliteMemory;
pub use transaction::{Tx, TxError};
pub use volatile::VolatileMemory;

/// A store that remembers what was answered, and lends its transaction to handlers.
///
/// Implemented for a SQLite file, for Postgres and for the process's own memory.
pub trait Memory: Send + 'static {
    /// Begins a transaction that excludes every other one on any of these sagas, in this process and in others, and returns
    /// what is remembered under these keys, in no order; an unknown key is left out.
    ///
    /// Waits for the others. Connects first where there is no connection. After an error a transaction may be open:
    /// [`Memory::rollback`] follows.
    fn begin(
        &mut self,
        sagas: &[&str],
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<(String, Entry)>, MemoryError>> + Send;

    /// Lends the transaction to one handler; what it writes is one unit until [`Memory::keep`] or [`Memory::undo`].
    fn tx(&mut self) -> Tx<'_>;

    /// Keeps what the last handler wrote.
    fn keep(&mut self) -> impl Future<Output = Result<(), MemoryError>> + Send;

    /// Takes back what the last handler wrote, and nothing else of the transaction.
    fn undo(&mut self) -> impl Future<Output = Result<(), MemoryError>> + Send;

    /// Remembers these entries. Only [`Entry::Begun`] may be replaced; anything else is [`MemoryError::Conflict`].
    fn remember(
        &mut self,
        entries: &[Remembered<'_>],
        at_ms: i64,
    ) -> impl Future<Output = Result<(), MemoryError>> + Send;

    /// Commits. After an error nobody knows whether it did; looking up the keys again tells.
    fn commit(&mut self) -> impl Future<Output = Result<(), MemoryError>> + Send;

    /// Drops whatever the open transaction did. A connection that can't do even that is given up.
    fn rollback(&mut self) -> impl Future<Output = ()> + Send;

    /// Forgets at most `len_max` entries remembered before `before_ms`; returns how many. Its own transaction.
    fn purge(
        &mut self,
        before_ms: i64,
        len_max: u32,
    ) -> impl Future<Output = Result<u64, MemoryError>> + Send;
}

//! Where sagas rest: one trait in transactions of the domain, and three implementations of it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `model.rs` | the rows and plans that cross the wall |
//! | `plan.rs` | what every store checks of a plan, and the guards that follow from it |
//! | `columns.rs` | rows as both databases return them, and what they are in the domain |
//! | `memory.rs` | for tests and simulations; nothing survives the process |
//! | `sqlite.rs` | the embedded default |
//! | `postgres.rs` | production: the statements; `lane.rs`: one pinned connection; `answer.rs`: what an error means |
//! | `open.rs` | picks one by its address |

mod columns;
mod memory;
mod model;
mod open;
mod packed;
mod plan;
mod postgres;
mod sqlite;

pub use memory::{MemorySnapshot, MemoryStore};
pub use model::*;
pub use open::open;
pub use plan::is_storable;
pub use postgres::{PostgresLimits, PostgresStore};
pub use sqlite::SqliteStore;

use std::future::Future;
use std::pin::Pin;

/// What every method of [`Store`] returns: a future that any thread may drive.
pub type StoreFuture<'a, T, E = StoreError> =
    Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// The store, spoken to in transactions of the domain, not in rows.
///
/// One conformance suite (`tests/store_conformance.rs`) runs against every implementation.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Makes the shards `0..count`, or checks that exactly so many exist already.
    ///
    /// # Errors
    ///
    /// [`StoreError::ShardCount`] if the store was made for another number: a key would move
    /// to another shard.
    fn prepare(&self, shard_count: i32) -> StoreFuture<'_, ()>;

    /// Takes shards over: raises the epoch of each by one and names its owner, in one
    /// transaction. Whoever held them can no longer commit (S-7).
    ///
    /// Rows come back in the order asked for. If one of them does not exist, none is claimed.
    fn claim<'a>(&'a self, shards: &'a [ShardId], owner: &'a str)
    -> StoreFuture<'a, Vec<ShardRow>>;

    /// Gives shards up, if they are still held under the given epochs; others are left alone.
    fn release<'a>(&'a self, held: &'a [(ShardId, Epoch)]) -> StoreFuture<'a, ()>;

    /// Reads shard rows without taking them over; all of them when `shards` is empty. By id; those
    /// that do not exist are left out.
    ///
    /// After [`CommitError::InDoubt`] this tells what the store holds *now*. A statement that is
    /// still on its way may yet commit, so go on either by a [`claim`](Self::claim), which fences it,
    /// or by plans from the position read, of which the store takes only one.
    fn shards<'a>(&'a self, shards: &'a [ShardId]) -> StoreFuture<'a, Vec<ShardRow>>;

    /// Commits a batch: shard rows, journal rows and saga rows, all or nothing.
    ///
    /// Each [`ShardCommit`] is a guard: it matches one row by id, epoch, the offset that the batch
    /// started from *and* the journal sequence before the batch (which follows from the plan), or
    /// the whole plan changes nothing. So the same plan cannot be committed twice, nor can two
    /// plans made from the same position, even when neither moves the offset.
    ///
    /// # Errors
    ///
    /// [`CommitError`], split by what the caller does next.
    fn commit<'a>(&'a self, plan: &'a CommitPlan) -> StoreFuture<'a, (), CommitError>;

    /// Reads sagas by key; keys that do not exist are left out. Any order.
    fn load<'a>(&'a self, keys: &'a [String]) -> StoreFuture<'a, Vec<SagaRow>>;

    /// Reads up to `limit` sagas of a shard with `after < (wake_at_ms, key)` and
    /// `wake_at_ms <= until_ms`, in that order.
    fn due<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(i64, &'a str)>,
        until_ms: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<SagaRow>>;

    /// Reads up to `limit` journal rows of a shard above `after_seq`, in order. Used on take-over
    /// (what was committed but perhaps not published) and by audits.
    fn journal_of_shard(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<JournalRow>>;

    /// Reads up to `limit` journal rows of one saga above `after_saga_seq`, in order.
    fn journal_of_saga<'a>(
        &'a self,
        key: &'a str,
        after_saga_seq: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<JournalRow>>;

    /// Lists sagas, newest start first (and by falling key where starts are equal), by page.
    fn list<'a>(&'a self, query: &'a ListQuery) -> StoreFuture<'a, Vec<SagaSummary>>;

    /// Counts sagas by status, one line for each status; mailboxes are none. Reads every saga: not for a hot path.
    fn counts(&self) -> StoreFuture<'_, Vec<(SagaStatus, i64)>>;

    /// Every definition that is known, oldest first (and by hash where times are equal).
    fn definitions(&self) -> StoreFuture<'_, Vec<DefinitionRow>>;

    /// Remembers a definition; one that is known already (same hash) is left as it is.
    fn put_definition<'a>(&'a self, definition: &'a DefinitionRow) -> StoreFuture<'a, ()>;

    /// How many SQL statements this handle has sent so far. Zero for memory.
    fn statement_count(&self) -> u64;
}

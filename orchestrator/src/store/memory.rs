//! The store for tests and simulations. Nothing survives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use backstitch_saga::core::mailbox::is_mailbox;

use super::plan;
use super::{
    CommitError, CommitPlan, DefinitionRow, Epoch, JournalRow, ListQuery, SagaRow, SagaStatus,
    SagaSummary, ShardId, ShardRow, Store, StoreError, StoreFuture, columns,
};

/// A store in memory, with the guards and the order of the real ones.
///
/// Whoever drives time by hand calls the methods that end in `_now`; they answer at once, and the
/// trait's methods call them.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

/// Everything that a [`MemoryStore`] holds, to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemorySnapshot {
    /// By id.
    pub shards: Vec<ShardRow>,
    /// By key.
    pub sagas: Vec<SagaRow>,
    /// By shard and sequence.
    pub journal: Vec<JournalRow>,
    /// Oldest first.
    pub definitions: Vec<DefinitionRow>,
}

#[derive(Debug, Default)]
struct Tables {
    shards: BTreeMap<ShardId, ShardRow>,
    sagas: BTreeMap<String, SagaRow>,
    /// Of each shard: the row with sequence n lies at n - 1.
    journal: BTreeMap<ShardId, Vec<JournalRow>>,
    /// Where the journal rows of each saga lie.
    journal_of_saga: BTreeMap<String, Vec<(ShardId, usize)>>,
    due: BTreeSet<(ShardId, i64, String)>,
    definitions: BTreeMap<String, DefinitionRow>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies everything.
    pub fn snapshot(&self) -> MemorySnapshot {
        let tables = self.tables();
        MemorySnapshot {
            shards: tables.shards.values().cloned().collect(),
            sagas: tables.sagas.values().cloned().collect(),
            journal: tables.journal.values().flatten().cloned().collect(),
            definitions: tables.definitions(),
        }
    }

    /// As [`Store::prepare`].
    ///
    /// # Errors
    ///
    /// [`StoreError::ShardCount`] if there is another number of shards.
    pub fn prepare_now(&self, shard_count: i32) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if tables.shards.is_empty() {
            tables.shards = (0..shard_count)
                .map(|id| (ShardId(id), new_shard(id)))
                .collect();
        }
        let found = i32::try_from(tables.shards.len()).unwrap_or(i32::MAX);
        if found != shard_count {
            return Err(StoreError::ShardCount {
                expected: shard_count,
                found,
            });
        }
        Ok(())
    }

    /// As [`Store::claim`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if one of them does not exist; then none is claimed.
    pub fn claim_now(&self, shards: &[ShardId], owner: &str) -> Result<Vec<ShardRow>, StoreError> {
        let mut tables = self.tables();
        let existing: Vec<ShardRow> = tables.shards.values().cloned().collect();
        columns::in_order(shards, &existing)?;
        for id in shards.iter().collect::<BTreeSet<_>>() {
            if let Some(row) = tables.shards.get_mut(id) {
                row.epoch = Epoch(row.epoch.0 + 1);
                owner.clone_into(&mut row.owner);
            }
        }
        Ok(shards
            .iter()
            .filter_map(|id| tables.shards.get(id).cloned())
            .collect())
    }

    /// As [`Store::release`].
    pub fn release_now(&self, held: &[(ShardId, Epoch)]) {
        let mut tables = self.tables();
        for (id, epoch) in held {
            if let Some(row) = tables.shards.get_mut(id)
                && row.epoch == *epoch
            {
                row.owner.clear();
            }
        }
    }

    /// As [`Store::shards`].
    pub fn shards_now(&self, shards: &[ShardId]) -> Vec<ShardRow> {
        let tables = self.tables();
        let wanted = |row: &&ShardRow| shards.is_empty() || shards.contains(&row.id);
        tables.shards.values().filter(wanted).cloned().collect()
    }

    /// As [`Store::commit`]; it is never in doubt and never unavailable.
    ///
    /// # Errors
    ///
    /// [`CommitError::Fenced`] or [`CommitError::Refused`]; then nothing is changed.
    pub fn commit_now(&self, plan: &CommitPlan) -> Result<(), CommitError> {
        let guards = plan::check(plan)?;
        let mut tables = self.tables();
        let rows = &tables.shards;
        if !guards
            .iter()
            .all(|g| rows.get(&ShardId(g.id)).is_some_and(|r| g.matches(r)))
        {
            let rows: Vec<ShardRow> = rows.values().cloned().collect();
            return Err(CommitError::Fenced {
                shards: plan::fenced(&guards, &rows),
            });
        }
        tables.apply(plan);
        Ok(())
    }

    /// As [`Store::load`], by key.
    pub fn load_now(&self, keys: &[String]) -> Vec<SagaRow> {
        let tables = self.tables();
        let keys: BTreeSet<&String> = keys.iter().collect();
        keys.into_iter()
            .filter_map(|key| tables.sagas.get(key).cloned())
            .collect()
    }

    /// As [`Store::due`].
    pub fn due_now(
        &self,
        shard: ShardId,
        after: Option<(i64, &str)>,
        until_ms: i64,
        limit: u32,
    ) -> Vec<SagaRow> {
        let (after_ms, after_key) = after.unwrap_or((i64::MIN, ""));
        let after = (shard, after_ms, after_key.to_owned());
        let tables = self.tables();
        tables
            .due
            .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            .take_while(|(of, wake, _)| *of == shard && *wake <= until_ms)
            .take(limit as usize)
            .filter_map(|(_, _, key)| tables.sagas.get(key).cloned())
            .collect()
    }

    /// As [`Store::journal_of_shard`].
    pub fn journal_of_shard_now(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> Vec<JournalRow> {
        let tables = self.tables();
        let rows = tables.journal.get(&shard).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(after_seq.max(0))
            .unwrap_or(usize::MAX)
            .min(rows.len());
        rows[from..].iter().take(limit as usize).cloned().collect()
    }

    /// As [`Store::journal_of_saga`].
    pub fn journal_of_saga_now(
        &self,
        key: &str,
        after_saga_seq: i64,
        limit: u32,
    ) -> Vec<JournalRow> {
        let tables = self.tables();
        let Some(places) = tables.journal_of_saga.get(key) else {
            return Vec::new();
        };
        let mut rows: Vec<JournalRow> = places
            .iter()
            .filter_map(|(shard, index)| tables.journal.get(shard)?.get(*index))
            .filter(|row| row.saga_seq > after_saga_seq)
            .cloned()
            .collect();
        rows.sort_by_key(|row| row.saga_seq);
        rows.truncate(limit as usize);
        rows
    }

    /// As [`Store::list`].
    pub fn list_now(&self, query: &ListQuery) -> Vec<SagaSummary> {
        let tables = self.tables();
        let mut sagas: Vec<&SagaRow> = tables.sagas.values().filter(|s| wanted(s, query)).collect();
        sagas.sort_by(|a, b| (b.started_at_ms, &b.key).cmp(&(a.started_at_ms, &a.key)));
        sagas
            .into_iter()
            .take(query.limit_in_force() as usize)
            .map(summary)
            .collect()
    }

    /// As [`Store::counts`].
    pub fn counts_now(&self) -> Vec<(SagaStatus, i64)> {
        let tables = self.tables();
        let mut counts = SagaStatus::ALL.map(|status| (status, 0)).to_vec();
        let sagas = tables.sagas.values();
        for saga in sagas.filter(|saga| !is_mailbox(&saga.key)) {
            counts[saga.status as usize].1 += 1;
        }
        counts
    }

    /// As [`Store::definitions`].
    pub fn definitions_now(&self) -> Vec<DefinitionRow> {
        self.tables().definitions()
    }

    /// As [`Store::put_definition`].
    pub fn put_definition_now(&self, definition: &DefinitionRow) {
        let mut tables = self.tables();
        tables
            .definitions
            .entry(definition.hash.clone())
            .or_insert_with(|| definition.clone());
    }

    /// A panic elsewhere cannot leave the tables half changed: nothing in a change can panic.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn apply(&mut self, plan: &CommitPlan) {
        for shard in &plan.shards {
            if let Some(row) = self.shards.get_mut(&shard.id) {
                row.inbox_next_offset = shard.offset_to;
                row.journal_seq = shard.journal_seq;
                row.published_seq = shard.published_seq;
            }
        }
        for row in &plan.journal {
            let rows = self.journal.entry(row.shard).or_default();
            if row.saga_seq > 0 {
                let places = self
                    .journal_of_saga
                    .entry(row.saga_key.clone())
                    .or_default();
                places.push((row.shard, rows.len()));
            }
            rows.push(row.clone());
        }
        for saga in &plan.sagas {
            if let Some(old) = self.sagas.insert(saga.key.clone(), saga.clone())
                && let Some(wake) = old.wake_at_ms
            {
                self.due.remove(&(old.shard, wake, old.key));
            }
            if let Some(wake) = saga.wake_at_ms {
                self.due.insert((saga.shard, wake, saga.key.clone()));
            }
        }
    }

    fn definitions(&self) -> Vec<DefinitionRow> {
        let mut definitions: Vec<DefinitionRow> = self.definitions.values().cloned().collect();
        definitions
            .sort_by(|a, b| (a.first_seen_at_ms, &a.hash).cmp(&(b.first_seen_at_ms, &b.hash)));
        definitions
    }
}

fn new_shard(id: i32) -> ShardRow {
    ShardRow {
        id: ShardId(id),
        epoch: Epoch(0),
        owner: String::new(),
        inbox_next_offset: 0,
        journal_seq: 0,
        published_seq: 0,
    }
}

fn wanted(saga: &SagaRow, query: &ListQuery) -> bool {
    let before = |after: &(i64, String)| (saga.started_at_ms, &saga.key) < (after.0, &after.1);
    let tagged = |(key, value): &(String, String)| {
        plan::tags(&saga.tags).is_some_and(|tags| tags.get(key) == Some(value))
    };
    (query.statuses.is_empty() || query.statuses.contains(&saga.status))
        && saga.key.starts_with(&query.key_prefix)
        && (!is_mailbox(&saga.key) || is_mailbox(&query.key_prefix))
        && query.after.as_ref().is_none_or(before)
        && query.tag.as_ref().is_none_or(tagged)
}

fn summary(saga: &SagaRow) -> SagaSummary {
    SagaSummary {
        key: saga.key.clone(),
        status: saga.status,
        seq: saga.seq,
        shard: saga.shard,
        parked_reason: saga.parked_reason.clone(),
        tags: saga.tags.clone(),
        started_at_ms: saga.started_at_ms,
        ended_at_ms: saga.ended_at_ms,
    }
}

impl Store for MemoryStore {
    fn prepare(&self, shard_count: i32) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.prepare_now(shard_count) })
    }

    fn claim<'a>(
        &'a self,
        shards: &'a [ShardId],
        owner: &'a str,
    ) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(async move { self.claim_now(shards, owner) })
    }

    fn release<'a>(&'a self, held: &'a [(ShardId, Epoch)]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.release_now(held);
            Ok(())
        })
    }

    fn shards<'a>(&'a self, shards: &'a [ShardId]) -> StoreFuture<'a, Vec<ShardRow>> {
        Box::pin(async move { Ok(self.shards_now(shards)) })
    }

    fn commit<'a>(&'a self, plan: &'a CommitPlan) -> StoreFuture<'a, (), CommitError> {
        Box::pin(async move { self.commit_now(plan) })
    }

    fn load<'a>(&'a self, keys: &'a [String]) -> StoreFuture<'a, Vec<SagaRow>> {
        Box::pin(async move { Ok(self.load_now(keys)) })
    }

    fn due<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(i64, &'a str)>,
        until_ms: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<SagaRow>> {
        Box::pin(async move { Ok(self.due_now(shard, after, until_ms, limit)) })
    }

    fn journal_of_shard(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<JournalRow>> {
        Box::pin(async move { Ok(self.journal_of_shard_now(shard, after_seq, limit)) })
    }

    fn journal_of_saga<'a>(
        &'a self,
        key: &'a str,
        after_saga_seq: i64,
        limit: u32,
    ) -> StoreFuture<'a, Vec<JournalRow>> {
        Box::pin(async move { Ok(self.journal_of_saga_now(key, after_saga_seq, limit)) })
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> StoreFuture<'a, Vec<SagaSummary>> {
        Box::pin(async move { Ok(self.list_now(query)) })
    }

    fn counts(&self) -> StoreFuture<'_, Vec<(SagaStatus, i64)>> {
        Box::pin(async move { Ok(self.counts_now()) })
    }

    fn definitions(&self) -> StoreFuture<'_, Vec<DefinitionRow>> {
        Box::pin(async move { Ok(self.definitions_now()) })
    }

    fn put_definition<'a>(&'a self, definition: &'a DefinitionRow) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.put_definition_now(definition);
            Ok(())
        })
    }

    fn statement_count(&self) -> u64 {
        0
    }
}

//! The memory of answers in the process's own memory: for tests and for work that has no effect worth remembering.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::transaction::Inner;
use super::{Entry, Memory, MemoryError, Remembered, Tx};

type Entries = HashMap<String, (Entry, i64)>;

/// Answers in memory; forgotten when the last clone is dropped. Clones share one set, as processes share one database.
#[derive(Debug, Default)]
pub struct VolatileMemory {
    shared: Arc<Mutex<Entries>>,
    open: Option<OwnedMutexGuard<Entries>>,
    staged: Vec<(String, Entry, i64)>,
}

impl Clone for VolatileMemory {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            open: None,
            staged: Vec::new(),
        }
    }
}

impl VolatileMemory {
    /// Creates an empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&mut self) -> &mut Entries {
        self.open
            .as_deref_mut()
            .expect("begin comes before anything else")
    }
}

impl Memory for VolatileMemory {
    async fn begin(
        &mut self,
        _sagas: &[&str],
        keys: &[&str],
    ) -> Result<Vec<(String, Entry)>, MemoryError> {
        self.open = None;
        self.staged.clear();
        self.open = Some(Arc::clone(&self.shared).lock_owned().await);
        let entries = self.entries();
        Ok(keys
            .iter()
            .filter_map(|key| entries.get_key_value(*key))
            .map(|(key, (entry, _))| (key.clone(), entry.clone()))
            .collect())
    }

    fn tx(&mut self) -> Tx<'_> {
        Tx::new(Inner::Volatile)
    }

    async fn keep(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    async fn remember(
        &mut self,
        remembered: &[Remembered<'_>],
        at_ms: i64,
    ) -> Result<(), MemoryError> {
        let entries = self.entries();
        let free = remembered
            .iter()
            .filter(|new| matches!(entries.get(new.key), None | Some((Entry::Begun, _))))
            .count();
        if free < remembered.len() {
            return Err(MemoryError::Conflict {
                expected: remembered.len() as u64,
                found: free as u64,
            });
        }
        self.staged.extend(
            remembered
                .iter()
                .map(|new| (new.key.to_owned(), new.entry.clone(), at_ms)),
        );
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), MemoryError> {
        for (key, entry, at_ms) in std::mem::take(&mut self.staged) {
            self.entries().insert(key, (entry, at_ms));
        }
        self.open = None;
        Ok(())
    }

    async fn rollback(&mut self) {
        self.staged.clear();
        self.open = None;
    }

    async fn purge(&mut self, before_ms: i64, len_max: u32) -> Result<u64, MemoryError> {
        let mut entries = self.shared.lock().await;
        let old: Vec<String> = entries
            .iter()
            .filter(|(_, (_, at_ms))| *at_ms < before_ms)
            .map(|(key, _)| key.clone())
            .take(len_max as usize)
            .collect();
        for key in &old {
            entries.remove(key);
        }
        Ok(old.len() as u64)
    }
}

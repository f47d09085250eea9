//! The definitions that an engine knows.

use std::collections::HashMap;
use std::sync::Arc;

use backstitch_saga::Definition;

/// Definitions by hash, and the one that each name's new sagas take.
#[derive(Debug, Clone, Default)]
pub struct Book {
    by_hash: HashMap<String, Arc<Definition>>,
    latest: HashMap<String, Arc<Definition>>,
}

impl Book {
    /// Adds a definition that running sagas may be pinned to.
    pub fn add(&mut self, definition: Definition) {
        let definition = Arc::new(definition);
        self.latest
            .entry(definition.name.clone())
            .or_insert_with(|| Arc::clone(&definition));
        self.by_hash.insert(definition.hash.clone(), definition);
    }

    /// Adds a definition, and gives it to all new sagas of its name.
    pub fn publish(&mut self, definition: Definition) {
        let definition = Arc::new(definition);
        self.latest
            .insert(definition.name.clone(), Arc::clone(&definition));
        self.by_hash.insert(definition.hash.clone(), definition);
    }

    /// The definition with a hash.
    pub fn pinned(&self, hash: &str) -> Option<&Arc<Definition>> {
        self.by_hash.get(hash)
    }

    /// The definition that new sagas of a name take.
    pub fn latest(&self, name: &str) -> Option<&Arc<Definition>> {
        self.latest.get(name)
    }

    /// The definitions that new sagas take, in no particular order.
    pub fn current(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.latest.values()
    }
}

//! The definitions that an engine knows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use backstitch_saga::Definition;
use backstitch_saga::core::mailbox;

/// Definitions by hash, and the one that each name's new sagas take.
///
/// What an orchestrator was given itself, by its files, counts before what it finds in the store: so
/// a version that is rolled back is gone where it is rolled back. Of the store, the newest counts.
#[derive(Debug, Clone)]
pub struct Book {
    by_hash: HashMap<String, Arc<Definition>>,
    /// By name: in the order of names, so that whatever goes through them does the same everywhere.
    latest: BTreeMap<String, Latest>,
    /// Those that the journal's readers may not have seen yet, in the order in which they came.
    untold: Vec<Arc<Definition>>,
}

#[derive(Debug, Clone)]
struct Latest {
    definition: Arc<Definition>,
    is_own: bool,
}

impl Default for Book {
    /// A book of mailboxes alone: every engine keeps them.
    fn default() -> Self {
        let mailbox = Arc::new(mailbox::definition());
        Self {
            by_hash: HashMap::from([(mailbox.hash.clone(), mailbox)]),
            latest: BTreeMap::new(),
            untold: Vec::new(),
        }
    }
}

impl Book {
    /// Adds a definition of the store. Of several with one name, new sagas take the one that was
    /// added last, unless [`Book::publish`] gave another.
    pub fn add(&mut self, definition: Definition) {
        if definition.hash == mailbox::MAILBOX_HASH {
            return;
        }
        let definition = self.keep(definition);
        let latest = Latest {
            definition: Arc::clone(&definition),
            is_own: false,
        };
        self.latest
            .entry(definition.name.clone())
            .and_modify(|known| {
                if !known.is_own {
                    *known = latest.clone();
                }
            })
            .or_insert(latest);
    }

    /// Adds a definition, and gives it to all new sagas of its name.
    pub fn publish(&mut self, definition: Definition) {
        let definition = self.keep(definition);
        let latest = Latest {
            definition: Arc::clone(&definition),
            is_own: true,
        };
        self.latest.insert(definition.name.clone(), latest);
    }

    fn keep(&mut self, definition: Definition) -> Arc<Definition> {
        if let Some(known) = self.by_hash.get(&definition.hash) {
            return Arc::clone(known);
        }
        let definition = Arc::new(definition);
        self.untold.push(Arc::clone(&definition));
        self.by_hash
            .insert(definition.hash.clone(), Arc::clone(&definition));
        definition
    }

    /// The definition with a hash.
    pub fn pinned(&self, hash: &str) -> Option<&Arc<Definition>> {
        self.by_hash.get(hash)
    }

    /// The definition that new sagas of a name take.
    pub fn latest(&self, name: &str) -> Option<&Arc<Definition>> {
        self.latest.get(name).map(|latest| &latest.definition)
    }

    /// The definitions that new sagas take, by name.
    pub fn current(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.latest.values().map(|latest| &latest.definition)
    }

    /// Every version of every definition, in no particular order; mailboxes are none.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        let known = self.by_hash.values();
        known.filter(|definition| definition.hash != mailbox::MAILBOX_HASH)
    }

    /// Those that were added since it was last asked.
    pub(super) fn take_untold(&mut self) -> Vec<Arc<Definition>> {
        std::mem::take(&mut self.untold)
    }

    /// All of them have to be told again, in the order of their hashes.
    pub(super) fn tell_all_again(&mut self) {
        self.untold = self.all().cloned().collect();
        self.untold.sort_by(|one, other| one.hash.cmp(&other.hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(activity: &str) -> Definition {
        let yaml = format!("saga: greet\nsteps:\n  - do: {activity}\n    undo: nothing\n");
        Definition::from_yaml(&yaml).unwrap()
    }

    fn latest(book: &Book) -> &str {
        &book.latest("greet").unwrap().hash
    }

    #[test]
    fn of_the_store_the_newest_counts() {
        let mut book = Book::default();
        book.add(version("wave"));
        book.add(version("bow"));
        assert_eq!(latest(&book), version("bow").hash);
        assert!(book.pinned(&version("wave").hash).is_some());
    }

    #[test]
    fn what_the_files_say_counts_before_what_the_store_has() {
        let mut book = Book::default();
        book.add(version("wave"));
        book.publish(version("bow"));
        book.add(version("wave"));
        assert_eq!(latest(&book), version("bow").hash);
        assert_eq!(book.all().count(), 2);
    }

    #[test]
    fn mailboxes_are_known_and_start_nothing() {
        let book = Book::default();
        assert!(book.pinned(mailbox::MAILBOX_HASH).is_some());
        assert!(book.latest("~").is_none());
        assert_eq!(book.all().count() + book.current().count(), 0);
    }

    #[test]
    fn each_definition_is_told_once_and_all_when_asked_again() {
        let mut book = Book::default();
        book.add(version("wave"));
        book.publish(version("wave"));
        book.publish(version("bow"));
        assert_eq!(book.take_untold().len(), 2);
        assert!(book.take_untold().is_empty());
        book.tell_all_again();
        assert_eq!(book.take_untold().len(), 2);
    }
}

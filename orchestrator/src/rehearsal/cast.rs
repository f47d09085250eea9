//! Who plays: the definitions, and the data of each path.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_saga::Definition;
use backstitch_saga::core::mailbox;
use backstitch_saga::definition::{Step, Undo, Verb, walk};
use backstitch_schemas::EventSchemas;

use super::values::Values;
use crate::engine::{Book, Matcher};

/// The definitions of a rehearsal.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The one that is rehearsed.
    pub(super) main: Arc<Definition>,
    /// All of them, by name.
    pub(super) by_name: BTreeMap<String, Arc<Definition>>,
    pub(super) book: Book,
    /// Intake, as it is for these: the first one is started by records, and all wait for them.
    pub(super) matcher: Matcher,
    /// After so many attempts under one key the workers give in.
    pub(super) patience: u32,
}

/// The data of one path, by definition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Data {
    pub(super) by_name: BTreeMap<String, Values>,
}

impl Cast {
    /// A definition, and those of the sagas that it runs as steps.
    pub fn new(main: Definition, children: Vec<Definition>) -> Self {
        let mut book = Book::default();
        let mut by_name = BTreeMap::new();
        let mut patience = 0;
        for definition in children.into_iter().chain([main.clone()]) {
            patience = attempts_max(&definition).max(patience);
            book.publish(definition.clone());
            by_name.insert(definition.name.clone(), Arc::new(definition));
        }
        book.add(mailbox::definition());
        let main = Arc::new(main);
        let all = by_name.values().cloned().collect();
        let matcher = Matcher::new(vec![Arc::clone(&main)], all, EventSchemas::new());
        Self {
            main,
            by_name,
            book,
            matcher,
            patience: patience + 5,
        }
    }

    /// The name of the definition that is rehearsed.
    pub fn name(&self) -> &str {
        &self.main.name
    }

    /// The names of definitions that are run as steps and are not here.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for definition in self.by_name.values() {
            walk(&definition.steps, &mut |step| {
                if let Verb::Run(run) = &step.verb
                    && !self.by_name.contains_key(&run.saga)
                {
                    missing.push(run.saga.clone());
                }
            });
        }
        missing.sort();
        missing.dedup();
        missing
    }

    /// The step of this id in a definition.
    pub(super) fn step(&self, definition: &str, id: &str) -> Option<&Step> {
        let definition = self.by_name.get(definition)?;
        let mut found = None;
        walk(&definition.steps, &mut |step| {
            if step.id == id {
                found = Some(step);
            }
        });
        found
    }
}

fn attempts_max(definition: &Definition) -> u32 {
    let mut most = 1;
    walk(&definition.steps, &mut |step| {
        if let Verb::Do(work) = &step.verb {
            most = work.retry.attempts_max.max(most);
            if let Undo::Other(other) = &work.undo {
                most = other.retry.attempts_max.max(most);
            }
        }
    });
    most
}

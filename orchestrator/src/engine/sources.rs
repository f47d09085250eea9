//! What the intake reads by, kept fresh: another orchestrator may bring a version that this one's
//! files do not have, and whoever reads a source topic has to know all that sagas wait for.

use std::collections::HashSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstitch_saga::Definition;
use backstitch_schemas::EventSchemas;

use super::Book;
use super::machine::Input;
use super::matching::Matcher;
use super::turning::Event;
use crate::store::{DefinitionRow, Store};

/// How often the store is asked for definitions that are not known here. 5 s: so long after a new
/// version was first started somewhere, an event for a wait of its own may still be passed over.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// What source records are matched against now.
#[derive(Debug, Clone)]
pub(super) struct Sources(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    matcher: Arc<Matcher>,
    /// Ends the intake that reads now, so that another one begins with other topics.
    reading: Option<Sender<String>>,
}

impl Sources {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self(Arc::new(Mutex::new(State {
            matcher: Arc::new(matcher),
            reading: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What records are matched against.
    pub(super) fn matcher(&self) -> Arc<Matcher> {
        Arc::clone(&self.state().matcher)
    }

    /// Notes who reads, to be told when the topics change. Returns the topics.
    pub(super) fn read_by(&self, ended: Sender<String>) -> Vec<String> {
        let mut state = self.state();
        state.reading = Some(ended);
        state.matcher.topics()
    }

    /// Matches against other definitions from now on.
    fn replace(&self, matcher: Matcher) {
        let mut state = self.state();
        let before = state.matcher.topics();
        let topics = matcher.topics();
        state.matcher = Arc::new(matcher);
        if before != topics
            && let Some(ended) = state.reading.take()
        {
            // It may have ended by itself; then its successor reads the new topics anyway.
            let _ = ended.send(format!("the source topics are now {}", topics.join(", ")));
        }
    }
}

/// Makes what a book's definitions are matched by.
pub(super) fn matcher_of(book: &Book, schemas: &EventSchemas) -> Matcher {
    let mut all: Vec<Arc<Definition>> = book.all().cloned().collect();
    all.sort_by(|one, other| (&one.name, &one.hash).cmp(&(&other.name, &other.hash)));
    Matcher::new(book.current().cloned().collect(), all, schemas.clone())
}

/// Asks the store again and again for definitions that are not known yet, for the intake and for the
/// machine. Ends when nobody listens any more, or when it is aborted.
pub(super) async fn keep_fresh(
    store: Arc<dyn Store>,
    mut book: Book,
    sources: Sources,
    schemas: EventSchemas,
    events: Sender<Event>,
) {
    let mut unreadable = HashSet::new();
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        let rows = match store.definitions().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "cannot look for new definitions; it is tried again");
                continue;
            }
        };
        let learned = learn(rows, &mut book, &mut unreadable);
        if learned.is_empty() {
            continue;
        }
        sources.replace(matcher_of(&book, &schemas));
        if events.send(Event::Input(Input::Learned(learned))).is_err() {
            return;
        }
    }
}

/// Adds what a book lacks; returns it. What cannot be read is told of once.
fn learn(
    rows: Vec<DefinitionRow>,
    book: &mut Book,
    unreadable: &mut HashSet<String>,
) -> Vec<Definition> {
    let mut learned = Vec::new();
    for row in rows {
        if book.pinned(&row.hash).is_some() || unreadable.contains(&row.hash) {
            continue;
        }
        match Definition::from_stored(&row.source) {
            Ok(definition) => {
                tracing::info!(
                    definition = row.name,
                    hash = row.hash,
                    "another orchestrator brought a definition"
                );
                book.add(definition.clone());
                learned.push(definition);
            }
            Err(_) => {
                tracing::error!(
                    hash = row.hash,
                    definition = row.name,
                    "a stored definition cannot be read by this version"
                );
                unreadable.insert(row.hash);
            }
        }
    }
    learned
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn row(yaml: &str) -> DefinitionRow {
        let definition = Definition::from_yaml(yaml).unwrap();
        DefinitionRow {
            hash: definition.hash.clone(),
            name: definition.name.clone(),
            source: definition.stored(),
            first_seen_at_ms: 1,
        }
    }

    fn waits(topic: &str) -> DefinitionRow {
        row(&format!(
            "saga: greet\nsteps:\n  - wait: answered\n    topic: {topic}\n    key: message.who\n"
        ))
    }

    #[test]
    fn what_another_orchestrator_brought_is_learned_once() {
        let (mut book, mut unreadable) = (Book::default(), HashSet::new());
        let rows = || {
            let mut garbled = waits("never");
            garbled.source = "saga: [".to_owned();
            vec![waits("answers"), garbled]
        };
        let learned = learn(rows(), &mut book, &mut unreadable);
        assert_eq!(learned.len(), 1);
        assert_eq!(book.all().count(), 1);
        assert!(learn(rows(), &mut book, &mut unreadable).is_empty());
        assert_eq!(unreadable.len(), 1);
    }

    #[test]
    fn whoever_reads_is_told_when_the_topics_change_and_only_then() {
        let (mut book, mut unreadable) = (Book::default(), HashSet::new());
        let schemas = EventSchemas::new();
        let sources = Sources::new(matcher_of(&book, &schemas));
        let (ended, has_ended) = channel();
        assert!(sources.read_by(ended.clone()).is_empty());

        learn(vec![waits("answers")], &mut book, &mut unreadable);
        sources.replace(matcher_of(&book, &schemas));
        let reason = has_ended.try_recv().unwrap();
        assert!(reason.contains("answers"), "{reason}");
        assert_eq!(sources.read_by(ended), ["answers"]);

        let same_topic =
            row("saga: ask\nsteps:\n  - wait: heard\n    topic: answers\n    key: message.who\n");
        learn(vec![same_topic], &mut book, &mut unreadable);
        sources.replace(matcher_of(&book, &schemas));
        assert!(has_ended.try_recv().is_err());
        assert_eq!(sources.matcher().topics(), ["answers"]);
    }
}

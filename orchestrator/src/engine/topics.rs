//! The topics that an orchestrator and its workers live on.

use std::collections::BTreeSet;

use backstitch_broker::{Admin, KafkaConfig, NewTopicSpec, TopicOutcome};
use backstitch_saga::Definition;
use backstitch_saga::definition::{Undo, Verb, walk};
use backstitch_schemas::wire;

use super::EngineError;
use super::machine::JOURNAL_BYTES_MAX;

/// Bytes of one dead letter: it holds a whole record of up to 1 MiB, and its origin.
pub(super) const DEAD_LETTER_BYTES_MAX: usize = 4 << 20;

/// How many partitions topics are made with. Each partition is a produce request of its own, so
/// few are faster; more are for more machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSizes {
    /// Of the inbox, which are the shards. Never changed later: keys would move. Default 4.
    pub inbox_partitions: i32,
    /// Of each command topic. Default 2.
    pub command_partitions: i32,
    /// Of the journal and of the dead letters. Default 4.
    pub journal_partitions: i32,
    /// Of source topics, where they are made here. Default 4.
    pub source_partitions: i32,
    /// Copies of each; -1 is the broker's default. Default -1.
    pub replication: i32,
}

impl Default for TopicSizes {
    fn default() -> Self {
        Self {
            inbox_partitions: 4,
            command_partitions: 2,
            journal_partitions: 4,
            source_partitions: 4,
            replication: -1,
        }
    }
}

/// The names of the topics that definitions need, each once, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    /// Inbox, journal, dead letters, and a command topic for each activity.
    pub own: Vec<String>,
    /// The topics that sagas are started from.
    pub sources: Vec<String>,
}

/// Finds the topics that definitions need.
pub fn topics_needed<'d>(
    topics: &wire::Topics,
    definitions: impl IntoIterator<Item = &'d Definition>,
) -> TopicNames {
    let mut own = vec![topics.inbox(), topics.journal(), topics.dead_letters()];
    let mut activities = BTreeSet::new();
    let mut sources = BTreeSet::new();
    for definition in definitions {
        sources.extend(definition.start.iter().map(|rule| rule.topic.clone()));
        walk(&definition.steps, &mut |step| match &step.verb {
            Verb::Do(work) => {
                activities.insert(work.activity.clone());
                if let Undo::Other(other) = &work.undo {
                    activities.insert(other.activity.clone());
                }
            }
            Verb::Wait(wait) => {
                sources.insert(wait.topic.clone());
            }
            Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Each(_)
            | Verb::Repeat(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        });
    }
    own.extend(activities.iter().map(|activity| topics.commands(activity)));
    TopicNames {
        own,
        sources: sources.into_iter().collect(),
    }
}

/// Checks that every topic that is needed is there; returns the partitions of the inbox.
///
/// # Errors
///
/// [`EngineError::TopicsMissing`] names those that are not; [`EngineError::Broker`] if Kafka
/// cannot be asked.
pub fn check_topics<'d>(
    kafka: &KafkaConfig,
    topics: &wire::Topics,
    definitions: impl IntoIterator<Item = &'d Definition>,
) -> Result<i32, EngineError> {
    let there = Admin::new(kafka)?.list_topics()?;
    let names = topics_needed(topics, definitions);
    let missing: Vec<String> = names
        .own
        .into_iter()
        .chain(names.sources)
        .filter(|name| !there.contains_key(name))
        .collect();
    match there.get(&topics.inbox()) {
        Some(partitions) if missing.is_empty() => Ok(*partitions),
        Some(_) | None => Err(EngineError::TopicsMissing { missing }),
    }
}

/// Makes the topics that are missing, and says of each whether it was there. Source topics belong
/// to the services that write them: they are made only where `with_sources` says so.
///
/// Doing it twice changes nothing. An inbox that is there with another number of partitions is
/// left alone; the store tells when it is opened.
///
/// # Errors
///
/// [`EngineError::Broker`] if Kafka refuses or cannot be reached.
pub fn apply_topics<'d>(
    kafka: &KafkaConfig,
    topics: &wire::Topics,
    definitions: impl IntoIterator<Item = &'d Definition>,
    sizes: TopicSizes,
    with_sources: bool,
) -> Result<Vec<(String, TopicOutcome)>, EngineError> {
    let names = topics_needed(topics, definitions);
    let sources = if with_sources {
        names.sources
    } else {
        Vec::new()
    };
    let specs: Vec<NewTopicSpec> = names
        .own
        .into_iter()
        .map(|name| {
            let (partitions, bytes_max) = if name == topics.inbox() {
                (sizes.inbox_partitions, None)
            } else if name == topics.journal() {
                (sizes.journal_partitions, Some(JOURNAL_BYTES_MAX))
            } else if name == topics.dead_letters() {
                (sizes.journal_partitions, Some(DEAD_LETTER_BYTES_MAX))
            } else {
                (sizes.command_partitions, None)
            };
            let config = bytes_max
                .map(|bytes| ("max.message.bytes".to_owned(), bytes.to_string()))
                .into_iter()
                .collect();
            NewTopicSpec {
                replication: sizes.replication,
                config,
                ..NewTopicSpec::new(name, partitions)
            }
        })
        .chain(sources.into_iter().map(|name| NewTopicSpec {
            replication: sizes.replication,
            ..NewTopicSpec::new(name, sizes.source_partitions)
        }))
        .collect();
    let outcomes = Admin::new(kafka)?.create_topics(&specs)?;
    Ok(specs
        .into_iter()
        .map(|spec| spec.name)
        .zip(outcomes)
        .collect())
}

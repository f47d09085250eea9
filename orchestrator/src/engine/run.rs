//! An orchestrator: the machine, its shells and the intake, in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use backstitch_broker::{BrokerError, Consumer, ConsumerOptions, KafkaConfig, OffsetReset};
use backstitch_saga::Definition;
use backstitch_schemas::{Codec, EventSchemas, wire};

use super::Book;
use super::asking::Asking;
use super::hearing::{Ear, Waiting};
use super::intake::{Intake, IntakeCounters, IntakeParts};
use super::keeping::{Kept, keep};
use super::machine::{Counters, Input, JOURNAL_BYTES_MAX, Machine, MachineConfig, message_limits};
use super::now_ms;
use super::saying::Saying;
use super::sources::{Sources, keep_fresh, matcher_of};
use super::topics::check_topics;
use super::turning::{End, Event, Shared, Turning};
use crate::store::{DefinitionRow, Store, StoreError};
use crate::telemetry::SpanSink;

/// How long a drain may take.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a commit of source offsets waits for later ones. One for each batch were 300 a second at 300 events.
const SOURCE_COMMIT_PACING: Duration = Duration::from_millis(250);

/// A task that ends with what it is for.
#[derive(Debug)]
struct Aborting(tokio::task::JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How an orchestrator runs.
#[derive(Debug, Clone)]
pub struct OrchestratorConfig {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// How topics and groups are named.
    pub topics: wire::Topics,
    /// A name that outlives the process, for static membership. Default none.
    pub instance_id: Option<String>,
    /// After this long without a heartbeat its shards move. Default 10 s.
    pub session_timeout: Duration,
    /// How long the broker may hold a fetch back for company. Default 0.
    pub fetch_pacing: Duration,
    /// Whether it reads the source topics. Default true.
    pub takes_in: bool,
    /// Who it is, in the shard rows. Default: host, process and start.
    pub owner: String,
    /// What reads and writes records.
    pub codec: Codec,
    /// What reads source events.
    pub schemas: EventSchemas,
    /// The machine's limits; the defaults when absent. Their partitions are the inbox's.
    pub machine: Option<MachineConfig>,
    /// Where spans go. Default nowhere.
    pub spans: Option<SpanSink>,
}

/// Why an orchestrator could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Topics are missing. Make them.
    #[error("these topics are missing: {}; make them with `backstitch topics apply`", missing.join(", "))]
    TopicsMissing {
        /// Their names.
        missing: Vec<String>,
    },
    /// Kafka is in the way.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The store is in the way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread cannot be started, or has ended for good. Start the process again.
    #[error("the engine has ended: {reason}")]
    Ended {
        /// Why.
        reason: String,
    },
}

/// A running orchestrator.
#[derive(Debug)]
pub struct Orchestrator {
    events: Sender<Event>,
    turning: Option<JoinHandle<End>>,
    hearing: Option<Kept>,
    intake: Option<Kept>,
    _learning: Aborting,
    shared: Shared,
    requests: Arc<AtomicU64>,
    intake_counters: Arc<IntakeCounters>,
}

impl OrchestratorConfig {
    /// The defaults.
    pub fn new(kafka: KafkaConfig, topics: wire::Topics) -> Self {
        Self {
            kafka,
            topics,
            instance_id: None,
            session_timeout: Duration::from_secs(10),
            fetch_pacing: Duration::ZERO,
            takes_in: true,
            owner: format!("{}-{}", std::process::id(), uuid::Uuid::now_v7()),
            codec: Codec::single_object(),
            schemas: EventSchemas::new(),
            machine: None,
            spans: None,
        }
    }

    fn options(&self, group: String, topics: Vec<String>) -> ConsumerOptions {
        let mut options = ConsumerOptions::new(group, topics);
        options.instance_id.clone_from(&self.instance_id);
        options.session_timeout = self.session_timeout;
        options.fetch_pacing = self.fetch_pacing;
        options
    }
}

impl Orchestrator {
    /// Starts an orchestrator. It joins the group and takes over the shards that it is given.
    ///
    /// The definitions are remembered in the store; new sagas take them, running ones stay with
    /// the one that they are pinned to.
    ///
    /// # Errors
    ///
    /// [`EngineError`], if topics are missing, or Kafka or the store are in the way.
    pub async fn start(
        config: OrchestratorConfig,
        store: Arc<dyn Store>,
        definitions: Vec<Definition>,
    ) -> Result<Self, EngineError> {
        let partitions = {
            let (kafka, topics) = (config.kafka.clone(), config.topics.clone());
            let wanted = definitions.clone();
            tokio::task::spawn_blocking(move || check_topics(&kafka, &topics, &wanted))
                .await
                .map_err(ended)??
        };
        store.prepare(partitions).await?;
        let book = remember(store.as_ref(), definitions).await?;
        let sources = Sources::new(matcher_of(&book, &config.schemas));
        let known = book.clone();

        let mut limits = config
            .machine
            .clone()
            .unwrap_or_else(|| MachineConfig::new(config.topics.clone(), partitions));
        limits.partitions = partitions;
        let (events, heard) = channel();
        let runtime = tokio::runtime::Handle::current();
        let asking = Asking::start(&runtime, &store, &config.owner, &events);
        // A journal entry may be larger than any message; other records are held to their limit.
        let producing = config
            .kafka
            .clone()
            .with("message.max.bytes", JOURNAL_BYTES_MAX.to_string());
        let saying = Saying::start(&producing, &events)?;
        let requests = saying.request_count();
        let waiting = Waiting::default();
        let shared = Shared::default();
        let turning = Turning {
            machine: Machine::new(limits, config.codec.clone(), book),
            events: heard,
            asking,
            saying,
            waiting: waiting.clone(),
            inbox: Arc::from(config.topics.inbox()),
            shared: shared.clone(),
            control: None,
            producer_number: 0,
            is_rebuilding: false,
            positions_at_ms: now_ms(),
            spans: config.spans.clone(),
        };
        let turning = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || turning.run())
            .map_err(ended)?;

        let group = config.topics.orchestrator_group();
        let mut options = config.options(group, vec![config.topics.inbox()]);
        // The offset comes from the store; if the broker no longer has it, that is to be seen.
        options.offset_reset = OffsetReset::Error;
        let hearing = {
            let (kafka, told, deaf) = (config.kafka.clone(), events.clone(), events.clone());
            let join = move |ended| {
                let ear = Ear {
                    events: told.clone(),
                    waiting: waiting.clone(),
                    ended,
                };
                let consumer = Consumer::start(&kafka, options.clone(), ear)?;
                // Nobody listens any more once the engine has ended.
                let _ = told.send(Event::Consuming(consumer.control()));
                Ok(consumer)
            };
            keep("inbox consumer", join, move || {
                let _ = deaf.send(Event::Deaf);
            })
            .map_err(ended)?
        };

        let intake_counters = Arc::new(IntakeCounters::default());
        let learning = {
            let (store, sources) = (Arc::clone(&store), sources.clone());
            let (schemas, events) = (config.schemas.clone(), events.clone());
            tokio::spawn(keep_fresh(store, known, sources, schemas, events))
        };
        let intake = if config.takes_in {
            let mut options = config.options(config.topics.intake_group(), Vec::new());
            options.commit_pacing = SOURCE_COMMIT_PACING;
            let mut parts = IntakeParts {
                options,
                kafka: config.kafka,
                topics: config.topics,
                partitions,
                codec: config.codec.with_limits(message_limits()),
                sources: sources.clone(),
                counters: Arc::clone(&intake_counters),
            };
            // Its producer may have lost a record: only reading again from the committed offset is exact.
            let start = move |ended: Sender<String>| {
                parts.options.topics = sources.read_by(ended.clone());
                if parts.options.topics.is_empty() {
                    return Ok(None);
                }
                Intake::start(parts.clone(), ended).map(Some)
            };
            Some(keep("intake", start, || {}).map_err(ended)?)
        } else {
            None
        };
        Ok(Self {
            events,
            turning: Some(turning),
            hearing: Some(hearing),
            intake,
            _learning: Aborting(learning),
            shared,
            requests,
            intake_counters,
        })
    }

    /// What the machine has done since the start.
    pub fn counters(&self) -> Counters {
        self.shared.view().counters
    }

    /// What the intake has done since the start.
    pub fn intake_counters(&self) -> &IntakeCounters {
        &self.intake_counters
    }

    /// Produce requests that the machine's producer has sent; behind by up to a second.
    pub fn produce_request_count(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many shards it owns now.
    pub fn shard_count(&self) -> usize {
        self.shared.view().shard_count
    }

    /// Whether nothing waits, is in flight or unpublished.
    pub fn is_idle(&self) -> bool {
        self.shared.view().is_idle
    }

    /// Whether it has ended by itself, so that the process should start again.
    pub fn has_ended(&self) -> bool {
        self.turning.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops reading, finishes what runs, publishes, releases the shards and leaves the group.
    /// Blocks for at most 25 s; what is not finished by then, the next owner finishes.
    ///
    /// # Errors
    ///
    /// [`EngineError::Ended`] if it had ended by itself.
    pub fn drain(mut self) -> Result<Counters, EngineError> {
        self.intake = None;
        // A thread that has ended already answers at once.
        let _ = self.events.send(Event::Input(Input::Drain));
        let turning = self.turning.take();
        let until = std::time::Instant::now() + DRAIN_WAIT_MAX;
        while turning.as_ref().is_some_and(|thread| !thread.is_finished())
            && std::time::Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let counters = self.counters();
        self.hearing = None;
        match turning {
            Some(thread) if thread.is_finished() => match thread.join() {
                Ok(End::Drained) => Ok(counters),
                Ok(End::Failed(reason)) => Err(EngineError::Ended { reason }),
                Err(_) => Err(EngineError::Ended {
                    reason: "its thread has panicked".to_owned(),
                }),
            },
            Some(_) | None => Err(EngineError::Ended {
                reason: "it did not drain in time; the next owner finishes what it left".to_owned(),
            }),
        }
    }
}

impl Drop for Orchestrator {
    /// Ends it as it stands, like a crash: nothing is finished or given up, and the next owner takes over.
    /// After [`drain`](Self::drain) there is nothing left to end.
    fn drop(&mut self) {
        self.intake = None;
        let dropped = "it was dropped without a drain".to_owned();
        let _ = self.events.send(Event::Failed(dropped));
        // Its thread ends first: a revocation would wait for it in vain.
        if let Some(turning) = self.turning.take() {
            let _ = turning.join();
        }
        self.hearing = None;
    }
}

fn ended(error: impl std::fmt::Display) -> EngineError {
    EngineError::Ended {
        reason: error.to_string(),
    }
}

/// Remembers definitions in the store, and learns those that running sagas are pinned to.
async fn remember(store: &dyn Store, definitions: Vec<Definition>) -> Result<Book, EngineError> {
    let mut book = Book::default();
    for row in store.definitions().await? {
        match Definition::from_stored(&row.source) {
            Ok(definition) => book.add(definition),
            Err(_) => tracing::error!(
                row.hash,
                row.name,
                "a stored definition is not valid any more"
            ),
        }
    }
    for definition in definitions {
        store
            .put_definition(&DefinitionRow {
                hash: definition.hash.clone(),
                name: definition.name.clone(),
                source: definition.stored(),
                first_seen_at_ms: now_ms(),
            })
            .await?;
        book.publish(definition);
    }
    Ok(book)
}

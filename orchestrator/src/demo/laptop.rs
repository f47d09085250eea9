//! The servers of one laptop, in one process.

use std::path::PathBuf;
use std::sync::Arc;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, EmbeddedError};
use backstitch_broker::{BrokerError, KafkaConfig};
use backstitch_saga::Definition;
use backstitch_schemas::wire;
use backstitch_workers::order::{OrderWorkerOptions, order_activities, start_order_worker};
use backstitch_workers::{RunningWorker, WorkerError};

use crate::engine::{EngineError, Orchestrator, OrchestratorConfig, TopicSizes, apply_topics};
use crate::store::Store;

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct LaptopOptions {
    /// The broker in the process; its folder is made if it is not there.
    pub embedded: EmbeddedConfig,
    /// Begins the names of all topics and groups.
    pub prefix: String,
    /// What to run.
    pub definitions: Vec<Definition>,
    /// How many partitions topics are made with.
    pub sizes: TopicSizes,
    /// The folder of the four order workers' databases; without one, no worker runs here.
    pub workers_dir: Option<PathBuf>,
    /// Where sagas rest.
    pub store: Arc<dyn Store>,
    /// How the orchestrator runs, but for Kafka and the names of topics, which are the laptop's; the
    /// defaults when absent.
    pub engine: Option<OrchestratorConfig>,
}

/// Why a laptop could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaptopError {
    /// The folder cannot be made.
    #[error("cannot make the folder {path}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The embedded broker cannot start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The client cannot start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A worker cannot start.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] backstitch_workers::order::LedgerError),
    /// The orders did not settle in time.
    #[error(
        "{open} of {orders} orders did not settle within {seconds} s; `backstitch list` shows them"
    )]
    Unsettled {
        /// So many.
        open: usize,
        /// Of so many.
        orders: usize,
        /// After so long.
        seconds: u64,
    },
}

/// The order definition that comes with the program.
///
/// # Panics
///
/// Never: a test reads it.
pub fn built_in_definition() -> Definition {
    Definition::from_yaml(include_str!("../../definitions/order.yaml"))
        .expect("the definition that comes with the program is valid")
}

/// Running servers. Drop order ends them; [`Laptop::drain`] ends them cleanly.
#[derive(Debug)]
pub struct Laptop {
    workers: Vec<RunningWorker>,
    orchestrator: Orchestrator,
    store: Arc<dyn Store>,
    kafka: KafkaConfig,
    topics: wire::Topics,
    broker: EmbeddedBroker,
}

impl Laptop {
    /// Starts the broker, makes the topics, opens the store and starts orchestrator and workers.
    ///
    /// # Errors
    ///
    /// [`LaptopError`] says what is in the way; a taken port is told with its remedy.
    pub async fn start(options: LaptopOptions) -> Result<Self, LaptopError> {
        if let Some(dir) = options.embedded.path.parent() {
            std::fs::create_dir_all(dir).map_err(|source| LaptopError::Folder {
                path: dir.display().to_string(),
                source,
            })?;
        }
        let broker = EmbeddedBroker::start(options.embedded)?;
        let kafka = KafkaConfig::new(broker.bootstrap_servers());
        let topics = wire::Topics::new(options.prefix.as_str());
        {
            let (kafka, topics) = (kafka.clone(), topics.clone());
            let (definitions, sizes) = (options.definitions.clone(), options.sizes);
            tokio::task::spawn_blocking(move || {
                apply_topics(&kafka, &topics, &definitions, sizes, true)
            })
            .await
            .map_err(|error| EngineError::Ended {
                reason: error.to_string(),
            })??;
        }
        let mut config = OrchestratorConfig::new(kafka.clone(), topics.clone());
        if let Some(engine) = options.engine {
            config = OrchestratorConfig {
                kafka: config.kafka,
                topics: config.topics,
                ..engine
            };
        }
        let orchestrator =
            Orchestrator::start(config, Arc::clone(&options.store), options.definitions).await?;
        let mut workers = Vec::new();
        if let Some(dir) = &options.workers_dir {
            for activity in order_activities() {
                let mut worker = OrderWorkerOptions::new(kafka.clone(), dir.clone());
                worker.prefix.clone_from(&options.prefix);
                workers.push(start_order_worker(activity, worker).await?);
            }
        }
        Ok(Self {
            workers,
            orchestrator,
            store: options.store,
            kafka,
            topics,
            broker,
        })
    }

    /// How to reach the broker.
    pub fn kafka(&self) -> &KafkaConfig {
        &self.kafka
    }

    /// How topics are named.
    pub fn topics(&self) -> &wire::Topics {
        &self.topics
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The orchestrator.
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    /// The port of the broker.
    pub fn port(&self) -> u16 {
        self.broker.port()
    }

    /// Ends everything cleanly, workers first.
    ///
    /// # Errors
    ///
    /// The first that did not end cleanly; all are ended.
    pub async fn drain(self) -> Result<(), LaptopError> {
        let mut first = Ok(());
        for worker in &self.workers {
            worker.drain();
        }
        for worker in self.workers {
            if let Err(error) = worker.join().await {
                first = first.and(Err(error.into()));
            }
        }
        let orchestrator = self.orchestrator;
        let drained = tokio::task::spawn_blocking(move || orchestrator.drain()).await;
        match drained {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => first = first.and(Err(error.into())),
            Err(error) => {
                let reason = error.to_string();
                first = first.and(Err(EngineError::Ended { reason }.into()));
            }
        }
        self.broker.stop();
        first
    }
}

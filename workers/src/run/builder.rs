//! Putting a worker together.

use std::collections::HashMap;
use std::sync::Arc;

use backstitch_broker::BrokerError;
use backstitch_schemas::wire::Topics;

use super::shell::{Parts, RunningWorker};
use crate::config::{MemoryUrl, WorkerConfig};
use crate::handler::{External, Handler, Handlers, Local};
use crate::intake::Intake;
use crate::lanes::Kind;
use crate::memory::{MemoryError, PostgresMemory, SqliteMemory};
use crate::outlet::Outlet;
use crate::time::millis;

/// Why a worker can't start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The worker is put together wrongly. A mistake in the program or its configuration.
    #[error("worker of {activity}: {problem}")]
    Configuration {
        /// The worker's activity.
        activity: String,
        /// What is wrong.
        problem: String,
    },
    /// The memory of answers can't be opened.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A client of Kafka can't be started.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The worker's task has panicked; a mistake of the kit.
    #[error("the worker's task has ended by a panic")]
    Panicked,
}

/// Carries out commands. See [`Worker::builder`].
#[derive(Debug, Clone, Copy)]
pub struct Worker;

impl Worker {
    /// Begins to put a worker together.
    #[must_use]
    pub fn builder(config: WorkerConfig) -> WorkerBuilder {
        WorkerBuilder {
            config,
            handlers: Handlers::default(),
            twice: None,
        }
    }
}

/// A worker that is being put together.
#[derive(Debug)]
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: Handlers,
    twice: Option<String>,
}

impl WorkerBuilder {
    /// Serves an activity with a handler that works inside the transaction of the memory.
    #[must_use]
    pub fn local(self, activity: impl Into<String>, handler: impl Local) -> Self {
        self.add(activity.into(), Handler::Local(Arc::new(handler)))
    }

    /// Serves an activity with a handler whose effect is elsewhere.
    #[must_use]
    pub fn external(self, activity: impl Into<String>, handler: impl External) -> Self {
        self.add(activity.into(), Handler::External(Arc::new(handler)))
    }

    fn add(mut self, activity: String, handler: Handler) -> Self {
        if !self.handlers.insert(activity.clone(), handler) {
            self.twice = Some(activity);
        }
        self
    }

    /// Opens the memory, joins the group and begins to work. Kafka needn't be there yet.
    ///
    /// # Errors
    ///
    /// If no handler serves the configured activity or two serve one, the memory can't be opened, or a Kafka setting is wrong.
    pub async fn start(self) -> Result<RunningWorker, WorkerError> {
        self.check()?;
        let Self {
            config, handlers, ..
        } = self;
        let topics = Topics::new(config.prefix.as_str());
        let activities: HashMap<String, (String, Kind)> = handlers
            .all()
            .map(|(activity, handler)| {
                let kind = match handler {
                    Handler::Local(handler) if handler.prepares() => Kind::Prepared,
                    Handler::Local(_) => Kind::Local,
                    Handler::External(_) => Kind::External,
                };
                (topics.commands(activity), (activity.to_owned(), kind))
            })
            .collect();
        let subscribed = activities.keys().cloned().collect();
        let window_ms = millis(config.memory_window);
        let intake = Intake::new(config.codec.clone(), activities, window_ms);
        let outlet = Outlet::new(
            config.codec.clone(),
            config.worker.clone(),
            &topics,
            &config.activity,
        );
        let memory = config.memory.clone();
        let parts = Parts {
            group: topics.worker_group(&config.activity),
            topics: subscribed,
            config,
            handlers,
            intake,
            outlet,
        };
        match memory {
            MemoryUrl::Volatile(memory) => parts.start(memory),
            MemoryUrl::Sqlite(path) => parts.start(SqliteMemory::open(path).await?),
            MemoryUrl::Postgres(url) => parts.start(PostgresMemory::open(&url).await?),
        }
    }

    fn check(&self) -> Result<(), WorkerError> {
        let problem = if let Some(activity) = &self.twice {
            format!("{activity} has two handlers")
        } else if self.handlers.get(&self.config.activity).is_none() {
            "no handler serves its own activity".to_owned()
        } else {
            return Ok(());
        };
        Err(WorkerError::Configuration {
            activity: self.config.activity.clone(),
            problem,
        })
    }
}

//! Starting the reference workers, in a process of their own or several in one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backstitch_broker::KafkaConfig;

use super::knobs::Knobs;
use super::ledger;
use super::service::{Desk, SERVICES, Service};
use crate::config::{MemoryUrl, WorkerConfig};
use crate::memory::SqliteMemory;
use crate::run::{RunningWorker, Worker, WorkerError};
use crate::stats::Stats;

/// How a reference worker runs.
#[derive(Debug, Clone)]
pub struct OrderWorkerOptions {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Begins the names of all topics and groups. Default `backstitch`.
    pub prefix: String,
    /// The folder of the services' databases, one `<activity>.db` each; made if it is not there. Processes of one activity share it.
    pub data_dir: PathBuf,
    /// How it misbehaves. Default: not at all.
    pub knobs: Knobs,
    /// A name that outlives the process, unique among the activity's workers. Default none.
    pub instance_id: Option<String>,
    /// After this long without a heartbeat to the broker, the partitions move to other workers. Default 10 s.
    pub session_timeout: Duration,
    /// How long the broker may hold a fetch back for company. Default 0.
    pub fetch_pacing: Duration,
}

impl OrderWorkerOptions {
    /// The defaults, with the databases in `data_dir`.
    pub fn new(kafka: KafkaConfig, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            kafka,
            prefix: "backstitch".to_owned(),
            data_dir: data_dir.into(),
            knobs: Knobs::default(),
            instance_id: None,
            session_timeout: Duration::from_secs(10),
            fetch_pacing: Duration::ZERO,
        }
    }

    /// The database of one service: its memory, its table and its ledger, for [`read_ledger`](super::read_ledger).
    #[must_use]
    pub fn ledger_path(&self, activity: &str) -> PathBuf {
        ledger_path(&self.data_dir, activity)
    }
}

fn ledger_path(data_dir: &Path, activity: &str) -> PathBuf {
    data_dir.join(format!("{activity}.db"))
}

/// The activities of the four services, in the order of an order.
#[must_use]
pub fn order_activities() -> [&'static str; 4] {
    SERVICES.map(|service| service.activity)
}

/// These and the activities that undo them: every one that needs a command topic.
#[must_use]
pub fn order_activities_with_undo() -> Vec<&'static str> {
    SERVICES
        .iter()
        .flat_map(|service| [Some(service.activity), service.undo_activity])
        .flatten()
        .collect()
}

/// Starts the worker of one of [`order_activities`]. It serves the activity that undoes it too.
///
/// # Errors
///
/// If there is no such service, its database can't be opened, or a Kafka setting is wrong.
pub async fn start_order_worker(
    activity: &str,
    options: OrderWorkerOptions,
) -> Result<RunningWorker, WorkerError> {
    let service = service_of(activity)?;
    let path = options.ledger_path(activity);
    prepare(service, &path).await?;
    let mut config = WorkerConfig::new(options.kafka, activity, MemoryUrl::Sqlite(path));
    config.prefix = options.prefix;
    config.instance_id = options.instance_id;
    config.session_timeout = options.session_timeout;
    config.fetch_pacing = options.fetch_pacing;
    let desk = Desk {
        service,
        knobs: options.knobs,
    };
    let mut builder = Worker::builder(config).local(service.activity, desk.clone());
    if let Some(undo_activity) = service.undo_activity {
        builder = builder.local(undo_activity, desk);
    }
    builder.start().await
}

/// Runs the worker of one of [`order_activities`] until the process is asked to end (SIGINT, SIGTERM), then drains it.
///
/// # Errors
///
/// As [`start_order_worker`]; or if it ends by itself.
pub async fn run_order_worker(
    activity: &str,
    options: OrderWorkerOptions,
) -> Result<Stats, WorkerError> {
    let worker = start_order_worker(activity, options).await?;
    worker.until(asked_to_end()).await
}

fn service_of(activity: &str) -> Result<&'static Service, WorkerError> {
    SERVICES
        .into_iter()
        .find(|service| service.activity == activity)
        .ok_or_else(|| WorkerError::Configuration {
            activity: activity.to_owned(),
            problem: format!(
                "there is no such order service; there are {}",
                order_activities().join(", ")
            ),
        })
}

async fn prepare(service: &Service, path: &Path) -> Result<(), WorkerError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| WorkerError::Configuration {
            activity: service.activity.to_owned(),
            problem: format!("cannot make the folder {}: {error}", folder.display()),
        })?;
    }
    let mut database = SqliteMemory::open(path).await?;
    database.prepare(service.schema).await?;
    database.prepare(ledger::SCHEMA).await?;
    Ok(())
}

#[cfg(unix)]
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM can't be listened for");
            // Without a listener for this one either there is no graceful end: the default of the system applies.
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
async fn asked_to_end() {
    // Without a listener there is no graceful end: the default of the system applies.
    let _ = tokio::signal::ctrl_c().await;
}

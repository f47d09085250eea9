//! The configuration in use: Kafka, store, codec.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstitch_broker::{Admin, KafkaConfig, TopicDescription};
use backstitch_saga::nearest;
use backstitch_schemas::Codec;
use backstitch_schemas::wire::Topics;
use tokio::runtime::Runtime;

use super::error::CliError;
use super::serve::asked_to_end;
use crate::config::{Config, Loaded};
use crate::store::{SagaRow, Store};

/// How long a listener on loopback may take to be found.
const PROBE_WAIT: Duration = Duration::from_millis(500);

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) loaded: Loaded,
    runtime: Runtime,
}

impl Context {
    /// Starts the async world.
    pub(crate) fn new(loaded: Loaded) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::failed(format!("cannot start threads: {error}")))?;
        Ok(Self { loaded, runtime })
    }

    /// What is configured.
    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Runs a future to its end. Nothing in it may block for long.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Becomes true with SIGTERM or Ctrl-C, which from now on end nothing by themselves.
    pub(crate) fn asked_to_end(&self) -> Arc<AtomicBool> {
        let asked = Arc::<AtomicBool>::default();
        let tell = Arc::clone(&asked);
        self.runtime.spawn(async move {
            asked_to_end().await;
            tell.store(true, Ordering::Relaxed);
        });
        asked
    }

    /// How topics and groups are named.
    pub(crate) fn topics(&self) -> Topics {
        self.config().topics()
    }

    /// The configured Kafka, or the embedded broker if one runs on this machine.
    pub(crate) fn kafka(&self) -> Result<KafkaConfig, CliError> {
        let config = self.config();
        if let Some(kafka) = config.kafka() {
            return Ok(kafka);
        }
        let port = config.embedded.port;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpStream::connect_timeout(&address, PROBE_WAIT) {
            Ok(_) => Ok(config.kafka_at(address.to_string())),
            Err(_) => Err(CliError::failed(format!(
                "no Kafka: kafka.bootstrap_servers is empty, and nothing listens on {address}"
            ))
            .with_help(
                "set kafka.bootstrap_servers, or start `backstitch dev` or `backstitch broker` in another terminal",
            )),
        }
    }

    /// Whether the embedded broker is meant.
    pub(crate) fn is_embedded(&self) -> bool {
        self.config().kafka().is_none()
    }

    /// Reads and writes messages.
    pub(crate) fn codec(&self) -> Result<Codec, CliError> {
        Ok(self.config().codec()?)
    }

    /// Opens the store to run sagas on it; it is made if it is not there.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>, CliError> {
        Ok(self.block_on(self.config().open_store())?)
    }

    /// Opens the store to look into it: it has to be there already.
    pub(crate) fn store_to_look(&self) -> Result<Arc<dyn Store>, CliError> {
        let config = self.config();
        if config.store.url.starts_with("memory://") {
            return Err(
                CliError::usage("a store in memory is seen by its own process alone")
                    .with_help("set store.url, or --store"),
            );
        }
        if let Some(file) = config.store_file()
            && !file.exists()
        {
            return Err(CliError::not_found(format!(
                "there is no store yet: {} does not exist",
                file.display()
            ))
            .with_help(
                "`backstitch dev` or `backstitch serve` makes it; for another one set store.url, or --store",
            ));
        }
        self.store()
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions_of(&self, kafka: &KafkaConfig, topic: &str) -> Result<i32, CliError> {
        Admin::new(kafka)?.partition_count(topic)?.ok_or_else(|| {
            CliError::not_found(format!("there is no topic {topic}"))
                .with_help("`backstitch topics apply` makes the topics that the definitions need")
        })
    }

    /// Finds a topic; one that is not there is told with what may have been meant.
    pub(crate) fn topic(&self, admin: &Admin, name: &str) -> Result<TopicDescription, CliError> {
        if let Some(found) = admin.describe_topic(name)? {
            return Ok(found);
        }
        let there = admin.list_topics()?;
        let names: Vec<&str> = there.keys().map(String::as_str).collect();
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`? `backstitch topics list` lists all"),
            None => "`backstitch topics list` lists those that are there".to_owned(),
        };
        Err(CliError::not_found(format!("there is no topic {name}")).with_help(help))
    }

    /// Finds a saga by its key, or by its business key alone where only one definition has it.
    pub(crate) fn saga(&self, store: &Arc<dyn Store>, key: &str) -> Result<SagaRow, CliError> {
        let mut keys = vec![key.to_owned()];
        if !key.contains('/') {
            let definitions = self.block_on(store.definitions())?;
            keys.extend(
                definitions
                    .iter()
                    .map(|known| format!("{}/{key}", known.name)),
            );
            keys.sort();
            keys.dedup();
        }
        let mut found = self.block_on(store.load(&keys))?;
        if found.len() > 1 {
            let mut names: Vec<String> = found.into_iter().map(|row| row.key).collect();
            names.sort();
            return Err(
                CliError::usage(format!("`{key}` is the key of several sagas"))
                    .with_help(format!("say which: {}", names.join(", "))),
            );
        }
        found.pop().ok_or_else(|| {
            CliError::not_found(format!("there is no saga `{key}`"))
                .with_help("`backstitch list` lists sagas; a key is NAME/BUSINESS-KEY")
        })
    }
}

//! What the rest of the program makes of a [`Config`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::KafkaConfig;
use backstitch_broker::embedded::EmbeddedConfig;
use backstitch_saga::definition::Files;
use backstitch_saga::{Definition, Diagnostic};
use backstitch_schemas::wire::Topics;
use backstitch_schemas::{
    Codec, EventSchemas, Registry, RegistryConfig, RegistryError, SchemaError,
};

use super::model::Config;
use crate::engine::machine::MachineConfig;
use crate::store::{self, StoreError};

/// The definition that is run where none is configured.
pub const BUILT_IN_DEFINITION: &str = include_str!("../../definitions/order.yaml");

/// Something that a configuration names can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A file can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder can't be made.
    #[error("cannot make the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A definition is wrong.
    #[error("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))]
    Definition {
        /// What is wrong with it, in the order of the text.
        diagnostics: Vec<Diagnostic>,
    },
    /// Two files define sagas of one name.
    #[error("two files define `{name}`")]
    DefinedTwice {
        /// The name.
        name: String,
    },
    /// A schema of source events is no Avro schema.
    #[error("cannot use {path}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SchemaError,
    },
    /// The registry's address can't be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Config {
    /// The names of topics and groups.
    pub fn topics(&self) -> Topics {
        Topics::new(self.kafka.prefix.as_str())
    }

    /// How to reach these brokers, with the configured name and settings.
    pub fn kafka_at(&self, bootstrap_servers: impl Into<String>) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: self.kafka.client_id.clone(),
            settings: self.kafka.settings.clone(),
        }
    }

    /// How to reach the configured brokers; `None` where there are none: the embedded broker is meant.
    pub fn kafka(&self) -> Option<KafkaConfig> {
        let servers = self.kafka.bootstrap_servers.trim();
        (!servers.is_empty()).then(|| self.kafka_at(servers))
    }

    /// The name for static membership, if there is one.
    pub fn instance_id(&self) -> Option<String> {
        Some(self.kafka.instance_id.clone()).filter(|id| !id.is_empty())
    }

    /// The embedded broker, with its file `broker.db` in the configured folder, which is made.
    ///
    /// # Errors
    ///
    /// [`Unusable::Folder`].
    pub fn embedded(&self) -> Result<EmbeddedConfig, Unusable> {
        self.embedded_in(&self.embedded.dir)
    }

    /// The same in another folder.
    ///
    /// # Errors
    ///
    /// [`Unusable::Folder`].
    pub fn embedded_in(&self, folder: &Path) -> Result<EmbeddedConfig, Unusable> {
        make_folder(folder)?;
        Ok(EmbeddedConfig {
            path: folder.join("broker.db"),
            listen: ([127, 0, 0, 1], self.embedded.port).into(),
            retention: Some(self.embedded.retention).filter(|age| !age.is_zero()),
            retention_bytes: Some(self.embedded.retention_bytes).filter(|bytes| *bytes > 0),
            inline_bytes_max: usize::try_from(self.embedded.inline_bytes).unwrap_or(usize::MAX),
            segment_bytes: self.embedded.segment_bytes,
            ..EmbeddedConfig::default()
        })
    }

    /// Opens the store; the folder of a SQLite file is made.
    ///
    /// # Errors
    ///
    /// [`Unusable::Folder`] and [`Unusable::Store`].
    pub async fn open_store(&self) -> Result<Arc<dyn store::Store>, Unusable> {
        if let Some(folder) = self.store_file().as_deref().and_then(Path::parent) {
            make_folder(folder)?;
        }
        Ok(store::open(&self.store.url).await?)
    }

    /// The file of the store, if it is SQLite.
    pub fn store_file(&self) -> Option<PathBuf> {
        let path = self.store.url.strip_prefix("sqlite://")?;
        let path = path.split('?').next().unwrap_or(path);
        (!path.is_empty()).then(|| PathBuf::from(path))
    }

    /// The definitions that new sagas take: the files', or the built-in one.
    ///
    /// # Errors
    ///
    /// [`Unusable::File`], [`Unusable::Definition`], [`Unusable::DefinedTwice`].
    pub fn definitions(&self) -> Result<Vec<Definition>, Unusable> {
        if self.definitions.files.is_empty() {
            let built_in = Definition::from_yaml_named("order.yaml", BUILT_IN_DEFINITION)
                .map_err(|diagnostics| Unusable::Definition { diagnostics })?;
            return Ok(vec![built_in]);
        }
        let mut definitions: Vec<Definition> = Vec::new();
        for path in &self.definitions.files {
            let source = read(path)?;
            let name = path.display().to_string();
            let definition = Definition::from_yaml_with(&name, &source, &Beside(path))
                .map_err(|diagnostics| Unusable::Definition { diagnostics })?;
            if definitions
                .iter()
                .any(|known| known.name == definition.name)
            {
                return Err(Unusable::DefinedTwice {
                    name: definition.name,
                });
            }
            definitions.push(definition);
        }
        Ok(definitions)
    }

    /// Reads and writes the wire's messages. A registry is asked when the first one is written: from a thread that may block.
    ///
    /// # Errors
    ///
    /// [`Unusable::Registry`] if the registry's address can't be used.
    pub fn codec(&self) -> Result<Codec, Unusable> {
        Ok(match self.registry()? {
            Some(registry) => Codec::confluent(registry),
            None => Codec::single_object(),
        })
    }

    /// What source events may be written with.
    ///
    /// # Errors
    ///
    /// [`Unusable::File`], [`Unusable::Schema`], [`Unusable::Registry`].
    pub fn event_schemas(&self) -> Result<EventSchemas, Unusable> {
        let mut schemas = EventSchemas::new();
        for path in &self.schemas.files {
            let text = read(path)?;
            schemas = schemas
                .with_schema(&text)
                .map_err(|source| Unusable::Schema {
                    path: path.clone(),
                    source,
                })?;
        }
        if let Some(registry) = self.registry()? {
            schemas = schemas.with_registry(registry);
        }
        Ok(schemas)
    }

    fn registry(&self) -> Result<Option<Registry>, Unusable> {
        let schemas = &self.schemas;
        if schemas.registry_url.trim().is_empty() {
            return Ok(None);
        }
        let registry = Registry::new(RegistryConfig {
            url: schemas.registry_url.trim().to_owned(),
            basic_auth: (!schemas.registry_user.is_empty()).then(|| {
                (
                    schemas.registry_user.clone(),
                    schemas.registry_password.clone(),
                )
            }),
            timeout: schemas.registry_timeout,
            auto_register: schemas.registry_auto_register,
        })?;
        Ok(Some(registry))
    }

    /// The bounds of the engine's machine, for an inbox of so many partitions.
    pub fn machine(&self, partitions: i32) -> MachineConfig {
        let engine = &self.engine;
        MachineConfig {
            batch_count_max: engine.batch_count_max,
            batch_bytes_max: bytes(engine.batch_bytes_max),
            pending_count_max: engine.pending_count_max,
            pending_bytes_max: bytes(engine.pending_bytes_max),
            cache_count_max: engine.cache_count_max,
            load_count_max: engine.load_count_max,
            publish_batches_max: engine.publish_batches_max,
            outbox_rows_max: engine.outbox_rows_max,
            due_rows_max: engine.due_rows_max,
            horizon_ms: millis(engine.horizon),
            watermark_idle_ms: millis(engine.watermark_idle),
            fenced_wait_ms: millis(engine.fenced_wait),
            store_wait_ms: millis(engine.store_wait),
            closing_ms: millis(engine.closing),
            publishes_journal: engine.publishes_journal,
            ..MachineConfig::new(self.topics(), partitions)
        }
    }
}

fn make_folder(path: &Path) -> Result<(), Unusable> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(|source| Unusable::Folder {
        path: path.to_owned(),
        source,
    })
}

/// The files that a definition names lie beside it.
struct Beside<'p>(&'p Path);

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let folder = self.0.parent().unwrap_or_else(|| Path::new("."));
        std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())
    }
}

fn read(path: &Path) -> Result<String, Unusable> {
    std::fs::read_to_string(path).map_err(|source| Unusable::File {
        path: path.to_owned(),
        source,
    })
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definition_is_the_order() {
        let definitions = Config::default().definitions().unwrap();
        assert_eq!(definitions.len(), 1);
        assert_eq!(definitions[0].name, "process-order");
    }

    #[test]
    fn the_defaults_of_the_engine_are_the_machines_own() {
        let config = Config::default();
        let ours = format!("{:?}", config.machine(4));
        let own = format!("{:?}", MachineConfig::new(config.topics(), 4));
        assert_eq!(ours, own);
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = ["a.yaml", "b.yaml"]
            .map(|name| folder.path().join(name))
            .into();
        for file in &files {
            std::fs::write(file, BUILT_IN_DEFINITION).unwrap();
        }
        let mut config = Config::default();
        config.definitions.files = files;
        let refused = config.definitions().unwrap_err();
        assert!(matches!(refused, Unusable::DefinedTwice { name } if name == "process-order"));
    }
}

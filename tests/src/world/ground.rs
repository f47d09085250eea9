//! What a world stands on.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use backstitch_broker::{Admin, KafkaConfig};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};
use tokio::runtime::Runtime;

/// Which broker and which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The embedded broker and SQLite, in a folder of their own.
    Embedded,
    /// A Kafka and a Postgres that run already.
    Servers {
        /// The Kafka's bootstrap servers.
        bootstrap: String,
        /// The Postgres's URL.
        postgres: String,
    },
}

impl Ground {
    /// The servers that the environment names, if it names both.
    pub fn servers() -> Option<Self> {
        let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self::Servers {
            bootstrap: named("BACKSTITCH_TEST_BOOTSTRAP")?,
            postgres: named("BACKSTITCH_TEST_POSTGRES")?,
        })
    }
}

/// A ground with one world's own part of it.
#[derive(Debug)]
pub(crate) enum Standing {
    Embedded(Option<EmbeddedBroker>),
    Servers { postgres: String, database: String },
}

/// A name that no other world has, on this machine or another.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("t{:x}-{nanos:x}-{number}", std::process::id())
}

impl Standing {
    /// Takes a part of the ground; returns how to reach its Kafka, and the URL of its store.
    pub(crate) fn take(
        ground: &Ground,
        name: &str,
        folder: &Path,
        runtime: &Runtime,
    ) -> (Self, KafkaConfig, String) {
        match ground {
            Ground::Embedded => {
                let broker = EmbeddedBroker::start(EmbeddedConfig {
                    path: folder.join("broker.db"),
                    listen: ([127, 0, 0, 1], 0).into(),
                    ..EmbeddedConfig::default()
                })
                .expect("an embedded broker starts on a free port");
                let kafka = KafkaConfig::new(broker.bootstrap_servers());
                let store = format!("sqlite://{}", folder.join("store.db").display());
                (Self::Embedded(Some(broker)), kafka, store)
            }
            Ground::Servers {
                bootstrap,
                postgres,
            } => {
                let database = name.replace('-', "_");
                runtime.block_on(ask(postgres, format!("CREATE DATABASE {database}")));
                let store = in_database(postgres, &database);
                let standing = Self::Servers {
                    postgres: postgres.clone(),
                    database,
                };
                (standing, KafkaConfig::new(bootstrap.as_str()), store)
            }
        }
    }

    /// Gives it back: the broker stops, or the topics and the database are deleted.
    pub(crate) fn give_back(&mut self, kafka: &KafkaConfig, topics: &[String], runtime: &Runtime) {
        match self {
            Self::Embedded(broker) => {
                if let Some(broker) = broker.take() {
                    broker.stop();
                }
            }
            Self::Servers { postgres, database } => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                // What stays behind carries a name that nobody else uses.
                let _ = Admin::new(kafka).and_then(|admin| admin.delete_topics(&topics));
                let drop = format!("DROP DATABASE {database} WITH (FORCE)");
                runtime.block_on(ask(postgres, drop));
            }
        }
    }
}

async fn ask(postgres: &str, statement: String) {
    let mut connection = PgConnection::connect(postgres)
        .await
        .expect("the Postgres for tests can be reached");
    raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .expect("the Postgres for tests lets databases be made and dropped");
}

/// The same server, another database.
fn in_database(url: &str, database: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let server = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{server}/{database}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_takes_the_place_of_the_one_in_the_url() {
        for (url, expected) in [
            ("postgres://a@h:1/postgres", "postgres://a@h:1/x"),
            ("postgres://a@h:1", "postgres://a@h:1/x"),
            ("postgres://h/b?host=/tmp", "postgres://h/x?host=/tmp"),
        ] {
            assert_eq!(in_database(url, "x"), expected);
        }
    }
}

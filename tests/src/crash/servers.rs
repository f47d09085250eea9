//! Kafka and Postgres: asked, killed and started again. Both are one server of their own, as `scripts/` starts them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use backstitch_broker::{Admin, KafkaConfig, TopicPartition};
use backstitch_orchestrator::store::{JournalKind, PostgresStore, Store};
use backstitch_schemas::wire::Topics;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row as _};

use super::CrashError;
use super::checker::Ending;
use super::journal::Row;
use super::needs::Needs;

/// How long a killed server stays away.
const OUTAGE: Duration = Duration::from_secs(2);

/// Journal rows read at once.
const PAGE_ROWS: u32 = 5_000;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    Kafka,
}

/// A server that is killed, and comes back. Dropping it waits until it has.
#[derive(Debug)]
pub(super) struct Outage(Option<JoinHandle<Result<(), String>>>);

impl Outage {
    /// Kills a server as a crash would, and starts it again on the data that it left. The world goes on meanwhile.
    pub(super) fn begin(server: Server, needs: &Needs) -> Self {
        let (script, dir, resume) = match server {
            Server::Postgres => ("real-postgres.sh", needs.postgres_dir.clone(), "start"),
            Server::Kafka => ("real-kafka.sh", needs.kafka_dir.clone(), "resume"),
        };
        let jars = needs.kafka_jars.clone();
        Self(Some(std::thread::spawn(move || {
            run_script(script, &["kill".as_ref(), dir.as_ref()], &jars)?;
            // The length of the outage: nothing is waited for.
            std::thread::sleep(OUTAGE);
            let mut args: Vec<&Path> = vec![resume.as_ref(), dir.as_ref()];
            let port = match server {
                Server::Postgres => std::fs::read_to_string(dir.join("port"))
                    .map_err(|error| format!("the port of Postgres is unknown: {error}"))?,
                Server::Kafka => String::new(),
            };
            if !port.is_empty() {
                args.push(port.trim().as_ref());
            }
            run_script(script, &args, &jars)
        })))
    }

    /// Whether the server is back.
    ///
    /// # Errors
    ///
    /// If it could not be killed or started.
    pub(super) fn is_over(&mut self) -> Result<bool, CrashError> {
        match self.0.take_if(|thread| thread.is_finished()) {
            Some(thread) => {
                thread
                    .join()
                    .map_err(|_| "the thread of an outage has panicked")??;
                Ok(true)
            }
            None => Ok(self.0.is_none()),
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // The run has failed already, and says why.
            let _ = thread.join();
        }
    }
}

fn run_script(script: &str, args: &[&Path], jars: &Path) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts")
        .join(script);
    let output = Command::new(&path)
        .args(args)
        .env("KAFKA_JARS", jars)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{script} {args:?} ended with {}: {said}",
        output.status
    ))
}

/// A database of the run's own.
#[derive(Debug)]
pub(super) struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Makes an empty one.
    pub(super) async fn create(url: &str, name: &str) -> Result<Self, CrashError> {
        let server: PgConnectOptions = url.parse()?;
        let database = Self {
            server: server.disable_statement_logging(),
            name: name.to_owned(),
        };
        database.tell("CREATE DATABASE").await?;
        Ok(database)
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        self.server
            .clone()
            .database(&self.name)
            .to_url_lossy()
            .to_string()
    }

    /// Removes it, whoever is still connected.
    pub(super) async fn drop(self) -> Result<(), CrashError> {
        self.tell("DROP DATABASE IF EXISTS").await
    }

    /// How many sagas have ended. Fails while the server is away.
    pub(super) async fn ended_count(&self) -> Result<usize, CrashError> {
        let count: i64 = self
            .number("SELECT count(*) FROM saga WHERE ended_at_ms IS NOT NULL")
            .await?;
        Ok(usize::try_from(count)?)
    }

    /// How many journal rows are not known to be published.
    pub(super) async fn unpublished_count(&self) -> Result<i64, CrashError> {
        self.number("SELECT coalesce(sum(journal_seq - published_seq), 0)::bigint FROM shard")
            .await
    }

    /// How each saga ended: the only thing that the checker takes from the orchestrator.
    pub(super) async fn endings(&self) -> Result<Vec<(String, Ending)>, CrashError> {
        let mut connection = self.connect().await?;
        let rows = sqlx::query("SELECT key, status FROM saga")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        rows.iter()
            .map(|row| {
                // The numbers are those of migrations/postgres/0001_store.sql: stored, and never to change.
                let ending = match row.try_get::<i16, _>(1)? {
                    3 => Ending::Completed,
                    4 => Ending::Compensated,
                    0 => Ending::Open("running".to_owned()),
                    1 => Ending::Open("compensating".to_owned()),
                    2 => Ending::Open("parked".to_owned()),
                    other => Ending::Open(format!("of status {other}")),
                };
                Ok((row.try_get(0)?, ending))
            })
            .collect()
    }

    /// Every transition in the journal, shard by shard. Read by way of the store, which alone knows how entries rest.
    pub(super) async fn journal(&self) -> Result<Vec<Row>, CrashError> {
        let store = PostgresStore::open(&self.url()).await?;
        let mut transitions = Vec::new();
        for shard in store.shards(&[]).await? {
            let mut last = 0;
            loop {
                let rows = store.journal_of_shard(shard.id, last, PAGE_ROWS).await?;
                let Some(end) = rows.last() else {
                    break;
                };
                last = end.seq;
                let of_sagas = rows
                    .into_iter()
                    .filter(|row| row.kind == JournalKind::Transition);
                transitions.extend(of_sagas.map(|row| Row {
                    saga: row.saga_key,
                    saga_seq: row.saga_seq,
                    entry: row.entry,
                }));
            }
        }
        Ok(transitions)
    }

    async fn number(&self, query: &'static str) -> Result<i64, CrashError> {
        let mut connection = self.connect().await?;
        let row = sqlx::query(query).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(row.try_get(0)?)
    }

    async fn connect(&self) -> Result<PgConnection, CrashError> {
        Ok(self.server.clone().database(&self.name).connect().await?)
    }

    async fn tell(&self, what: &str) -> Result<(), CrashError> {
        let force = if what.starts_with("DROP") {
            " WITH (FORCE)"
        } else {
            ""
        };
        // A name cannot be bound; this one is made by the run itself.
        let query = AssertSqlSafe(format!("{what} \"{}\"{force}", self.name));
        let mut connection = self.server.connect().await?;
        sqlx::query(query).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}

/// Records that a group has not committed yet, over all partitions of these topics; those that are not there have none.
pub(super) fn lag(admin: &Admin, group: &str, topics: &[String]) -> Result<i64, CrashError> {
    let mut partitions = Vec::new();
    for topic in topics {
        let count = admin.partition_count(topic)?.unwrap_or_default();
        partitions
            .extend((0..count).map(|partition| TopicPartition::new(topic.as_str(), partition)));
    }
    let mut lag = 0;
    for (at, committed) in admin.committed_offsets(group, &partitions)? {
        let (first, end) = admin.watermarks(&at.topic, at.partition)?;
        lag += end - committed.unwrap_or(first);
    }
    Ok(lag)
}

/// Deletes the run's topics.
pub(super) fn remove_topics(kafka: &KafkaConfig, prefix: &str) -> Result<(), CrashError> {
    let admin = Admin::new(kafka)?;
    let topics = admin.list_topics()?;
    let own: Vec<&str> = topics
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with(prefix))
        .collect();
    Ok(admin.delete_topics(&own)?)
}

/// Every group that reads, but for the orchestrators' own, whose offsets are in the store; and what each reads.
pub(super) fn groups(topics: &Topics, source: &str) -> Vec<(String, Vec<String>)> {
    let undos = [
        ("check-fraud", None),
        ("reserve-stock", None), // Undone on its own topic.
        ("charge-payment", Some("refund-payment")),
        ("ship-order", Some("cancel-shipment")),
    ];
    let mut groups = vec![(topics.intake_group(), vec![source.to_owned()])];
    for (activity, undo) in undos {
        let read = [Some(activity), undo].into_iter().flatten();
        let commands = read.map(|activity| topics.commands(activity)).collect();
        groups.push((topics.worker_group(activity), commands));
    }
    groups
}

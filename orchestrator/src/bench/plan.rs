//! What is measured, and the report.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, EmbeddedError};
use backstitch_broker::{BrokerError, KafkaConfig, Producer};
use backstitch_schemas::wire;
use backstitch_workers::order::order_activities;
use serde::Serialize;
use sqlx::{Connection, PgConnection};

use super::children::{Process, cpu_us, named};
use super::counts;
use super::load::{self, Load, Seen};
use crate::demo::{Orders, Watch, built_in_definition, percentile};
use crate::engine::{EngineError, TopicSizes, apply_topics, now_ms};

/// What to measure, and on what.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Kafka; empty: an embedded broker of the benchmark's own.
    pub bootstrap_servers: String,
    /// A Postgres in which a database is made and dropped; anything else: SQLite in a folder of the
    /// benchmark's own.
    pub store_url: String,
    /// Orders on their way in the closed loop. Default 2,000; 0 leaves it out.
    pub outstanding: u64,
    /// Orders a second in the open loop. Default 300; 0 leaves it out.
    pub rate: f64,
    /// How long each window is. Default 15 s.
    pub seconds: u64,
    /// How long the load runs before the window. Default 10 s.
    pub warm_seconds: u64,
    /// How often each load is measured, in turn with the others: a figure is then that of the median round, and noise that
    /// comes and goes meets all loads alike. Default 1; at least 1.
    pub rounds: usize,
    /// Whether the naive way is measured too. Needs Postgres.
    pub naive: bool,
    /// Whether an idle orchestrator is measured.
    pub idle: bool,
    /// The part of the orders that fail, from 0 to 1. Default 0.
    pub fail_rate: f64,
}

/// One measured point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// `closed 2000`, `open 300/s`, `naive closed 200`.
    pub name: String,
    /// Sagas settled a second, within the window.
    pub sagas_per_second: f64,
    /// From the order's timestamp to its last journal record read.
    pub p50_ms: f64,
    /// From the order's timestamp to its last journal record read.
    pub p99_ms: f64,
    /// Sagas settled in the window.
    pub settled: u64,
    /// Orders that never settled. Anything but 0 is a bug.
    pub unsettled: u64,
    /// CPU in the window by process, in microseconds a transition.
    pub cpu_us_per_transition: BTreeMap<String, f64>,
    /// SQL statements of the orchestrator, a transition; over the whole load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_statements_per_transition: Option<f64>,
    /// Bytes of Postgres' log, a transition; over the whole load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_bytes_per_transition: Option<f64>,
    /// Records in all topics, a saga; over the whole load.
    pub kafka_records_per_saga: f64,
    /// Transitions a commit; over the whole load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions_per_commit: Option<f64>,
    /// Produce requests of the orchestrator, a saga; over the whole load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produce_requests_per_saga: Option<f64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// `embedded` or `kafka`.
    pub broker: &'static str,
    /// `sqlite` or `postgres`.
    pub store: &'static str,
    /// The measured points, in order; of several rounds, each load's round with the median of sagas a second.
    pub points: Vec<Point>,
    /// All points of all rounds, if there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Vec<Point>>,
    /// CPU of an idle orchestrator, in per cent of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_cpu_percent: Option<f64>,
    /// The closed loop's sagas a second, divided by those of the naive way in the same round; of several rounds the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_naive: Option<f64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The naive way commits to Postgres only.
    #[error("`--naive` needs a Postgres: set store.url to postgres://…")]
    NaiveNeedsPostgres,
    /// The benchmark's own broker.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Kafka is in the way.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The topics cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The benchmark's database cannot be made.
    #[error("cannot make a database for the benchmark")]
    Database(#[from] sqlx::Error),
    /// A file or a process cannot be made.
    #[error("cannot start the processes under measurement")]
    Process(#[from] std::io::Error),
    /// The embedded broker takes no records any more before it has as many as were asked for.
    #[error("the broker in {} takes no more records at {bytes} bytes: is the disk full? a smaller `--start-mb` needs less", dir.display())]
    Unfilled {
        /// The benchmark's folder, which is removed at the end.
        dir: PathBuf,
        /// Bytes of its files.
        bytes: u64,
    },
    /// A process ended by itself.
    #[error("`{name}` ended by itself; the end of its log:\n{log}")]
    Ended {
        /// Which.
        name: String,
        /// What it said.
        log: String,
    },
}

struct World {
    kafka: KafkaConfig,
    store_url: String,
    dir: PathBuf,
    seconds: u64,
    warm_seconds: u64,
    fail_rate: f64,
}

/// Transitions of an order that completes: its start, and four answers.
const TRANSITIONS: f64 = 5.0;

/// Orders on their way in the naive way; more only makes its queue longer.
const NAIVE_OUTSTANDING: u64 = 200;

/// Measures; `say` is told what is going on.
///
/// # Errors
///
/// [`BenchError`] says what was in the way.
pub async fn run(
    options: BenchOptions,
    mut say: impl FnMut(&str),
) -> Result<BenchReport, BenchError> {
    let is_postgres = options.store_url.starts_with("postgres");
    if options.naive && !is_postgres {
        return Err(BenchError::NaiveNeedsPostgres);
    }
    let dir = tempfile::tempdir()?;
    let embedded = if options.bootstrap_servers.is_empty() {
        Some(EmbeddedBroker::start(EmbeddedConfig {
            path: dir.path().join("broker.db"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ..EmbeddedConfig::default()
        })?)
    } else {
        None
    };
    let bootstrap = embedded.as_ref().map_or(
        options.bootstrap_servers.clone(),
        EmbeddedBroker::bootstrap_servers,
    );
    let mut report = BenchReport {
        broker: if embedded.is_some() {
            "embedded"
        } else {
            "kafka"
        },
        store: if is_postgres { "postgres" } else { "sqlite" },
        points: Vec::new(),
        rounds: Vec::new(),
        idle_cpu_percent: None,
        times_naive: None,
    };
    let mut loads = Vec::new();
    if options.outstanding > 0 {
        loads.push((
            format!("closed {}", options.outstanding),
            Load::Closed(options.outstanding),
            false,
        ));
    }
    if options.rate > 0.0 {
        loads.push((
            format!("open {}/s", options.rate),
            Load::Open(options.rate),
            false,
        ));
    }
    if options.naive {
        loads.push((
            format!("naive closed {NAIVE_OUTSTANDING}"),
            Load::Closed(NAIVE_OUTSTANDING),
            true,
        ));
    }
    let count = options.rounds.max(1);
    let mut rounds: Vec<Vec<Point>> = vec![Vec::new(); count];
    let in_turn = (0..count).flat_map(|round| loads.iter().map(move |load| (round, load)));
    for (round, (name, load, is_naive)) in in_turn {
        say(name);
        let (store_url, database) = store_for(&options, is_postgres, dir.path()).await?;
        let world = World {
            kafka: KafkaConfig::new(bootstrap.clone()),
            store_url,
            dir: dir.path().to_owned(),
            seconds: options.seconds,
            warm_seconds: options.warm_seconds,
            fail_rate: options.fail_rate,
        };
        let point = measure(&world, name.clone(), *load, *is_naive).await;
        if let Some(database) = database {
            drop_database(&options.store_url, &database).await;
        }
        rounds[round].push(point?);
    }
    report.points = medians(&rounds);
    report.times_naive = median(rounds.iter().filter_map(|round| times_naive(round)));
    if count > 1 {
        report.rounds = rounds;
    }
    if options.idle {
        say("idle");
        let (store_url, database) = store_for(&options, is_postgres, dir.path()).await?;
        let kafka = KafkaConfig::new(bootstrap.clone());
        let idle = idle_percent(&kafka, &store_url, dir.path(), options.seconds).await;
        if let Some(database) = database {
            drop_database(&options.store_url, &database).await;
        }
        report.idle_cpu_percent = Some(idle?);
    }
    Ok(report)
}

/// Each load's round with the median of sagas a second.
fn medians(rounds: &[Vec<Point>]) -> Vec<Point> {
    let loads = rounds.iter().map(Vec::len).min().unwrap_or(0);
    let of_load = |index: usize| {
        let unsettled = rounds.iter().map(|round| round[index].unsettled).sum(); // A lost saga is a bug in whichever round.
        Point {
            unsettled,
            ..median_round(rounds, index, |point| point.sagas_per_second).clone()
        }
    };
    (0..loads).map(of_load).collect()
}

/// Of what stands at `index` in each round, the one whose figure is the median.
pub(super) fn median_round<T>(rounds: &[Vec<T>], index: usize, figure: impl Fn(&T) -> f64) -> &T {
    let mut points: Vec<&T> = rounds.iter().map(|round| &round[index]).collect();
    points.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    points[points.len() / 2]
}

fn times_naive(points: &[Point]) -> Option<f64> {
    let speed = |prefix: &str| {
        let found = points.iter().find(|point| point.name.starts_with(prefix));
        found.map(|point| point.sagas_per_second)
    };
    let naive = speed("naive").filter(|naive| *naive > 0.0)?;
    Some(speed("closed")? / naive)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A store of its own for each point, so that none starts on what another left.
async fn store_for(
    options: &BenchOptions,
    is_postgres: bool,
    dir: &Path,
) -> Result<(String, Option<String>), BenchError> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    if !is_postgres {
        let file = dir.join(format!("store-{id}.db"));
        return Ok((format!("sqlite://{}", file.display()), None));
    }
    let database = format!("backstitch_bench_{id}");
    let mut connection = PgConnection::connect(&options.store_url).await?;
    // The name is made of hex digits, and a database cannot be a bound parameter.
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
    sqlx::raw_sql(create).execute(&mut connection).await?;
    let (base, query) = match options.store_url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (options.store_url.as_str(), String::new()),
    };
    let authority_end = base.find("://").map_or(0, |at| at + 3);
    let path = base[authority_end..]
        .find('/')
        .map_or(base.len(), |at| authority_end + at);
    Ok((
        format!("{}/{database}{query}", &base[..path]),
        Some(database),
    ))
}

async fn drop_database(url: &str, database: &str) {
    let dropped = async {
        let mut connection = PgConnection::connect(url).await?;
        let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
    };
    if let Err(error) = dropped.await {
        tracing::warn!(%error, database, "the benchmark's database was left behind");
    }
}

async fn measure(
    world: &World,
    name: String,
    load: Load,
    is_naive: bool,
) -> Result<Point, BenchError> {
    let prefix = format!("bench-{:x}", now_ms());
    let topics = wire::Topics::new(prefix.as_str());
    let source = format!("{prefix}.orders");
    let mut definition = built_in_definition();
    let text = definition
        .source
        .replace("topic: orders", &format!("topic: {source}"));
    if let Ok(own) = backstitch_saga::Definition::from_yaml(&text) {
        definition = own;
    }
    let file = world.dir.join(format!("{prefix}.yaml"));
    std::fs::write(&file, &definition.source)?;
    let kafka = world.kafka.clone();
    apply(&kafka, &topics, &definition).await?;

    let wal_before = counts::wal_bytes(&world.store_url).await;
    let log = world.dir.join(format!("{prefix}.log"));
    let mut processes = start_all(world, &prefix, &file, &log, is_naive)?;
    let (watch, producer) = {
        let (kafka, topics) = (kafka.clone(), topics.clone());
        let started = tokio::task::spawn_blocking(move || {
            Ok::<_, BrokerError>((
                Watch::start(&kafka, &topics)?,
                Producer::new(&kafka, |_| {})?,
            ))
        });
        joined(started.await)?
    };
    let orders = Orders {
        topic: Arc::from(source.as_str()),
        name: "o-".to_owned(),
        fail_rate: world.fail_rate,
        fail_at: order_activities().to_vec(),
        seed: 1,
    };
    let ids: Vec<(String, u32)> = processes
        .iter()
        .map(|process| (process.name.clone(), process.id()))
        .collect();
    let times = (
        Duration::from_secs(world.warm_seconds),
        Duration::from_secs(world.seconds),
    );
    let saga_prefix = definition.name.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let mut edges = Vec::new();
        // Servers are found anew each time: Postgres starts a process a connection.
        let at_edges = || edges.push(cpu_of(&ids));
        let seen = load::run(
            &producer,
            &watch,
            &orders,
            &saga_prefix,
            load,
            times,
            at_edges,
        )?;
        Ok::<_, BrokerError>((seen, cpu_by_name(&edges)))
    });
    let (seen, cpu) = joined(loaded.await)?;
    for process in &mut processes {
        if process.has_ended() {
            let name = process.name.clone();
            return Err(BenchError::Ended {
                name,
                log: tail(&log),
            });
        }
    }
    let mut said = BTreeMap::new();
    for process in processes.into_iter().rev() {
        let name = process.name.clone();
        let text = tokio::task::spawn_blocking(move || process.stop())
            .await
            .unwrap_or_default();
        said.insert(name, text);
    }
    let wal_after = counts::wal_bytes(&world.store_url).await;
    // The topics are this point's own, and began empty.
    let records = counts::records(&kafka, &prefix, &source)?;
    let counted = said
        .get("orchestrator")
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(point(
        name,
        &seen,
        cpu,
        wal_before.zip(wal_after),
        records,
        counted.as_ref(),
    ))
}

fn point(
    name: String,
    seen: &Seen,
    cpu: BTreeMap<String, u64>,
    wal: Option<(u64, u64)>,
    records: u64,
    counted: Option<&serde_json::Value>,
) -> Point {
    #![expect(clippy::cast_precision_loss, reason = "counts for people")]
    let sagas = (seen.sent - seen.unsettled).max(1) as f64;
    let of = |key: &str| {
        counted
            .and_then(|c| c.get(key))
            .and_then(serde_json::Value::as_f64)
    };
    let transitions = of("transitions").unwrap_or(sagas * TRANSITIONS).max(1.0);
    let in_window = seen.settled.max(1) as f64 * TRANSITIONS;
    Point {
        name,
        sagas_per_second: seen.settled as f64 / seen.seconds.max(0.001),
        p50_ms: percentile(&seen.times_ms, 50),
        p99_ms: percentile(&seen.times_ms, 99),
        settled: seen.settled,
        unsettled: seen.unsettled,
        cpu_us_per_transition: cpu
            .into_iter()
            .map(|(name, us)| (name, us as f64 / in_window))
            .collect(),
        sql_statements_per_transition: of("sql_statements").map(|n| n / transitions),
        wal_bytes_per_transition: wal
            .map(|(before, after)| after.saturating_sub(before) as f64 / transitions),
        kafka_records_per_saga: records as f64 / sagas,
        transitions_per_commit: of("commits").map(|commits| transitions / commits.max(1.0)),
        produce_requests_per_saga: of("produce_requests").map(|n| n / sagas),
    }
}

async fn apply(
    kafka: &KafkaConfig,
    topics: &wire::Topics,
    definition: &backstitch_saga::Definition,
) -> Result<(), BenchError> {
    let (kafka, topics, definition) = (kafka.clone(), topics.clone(), definition.clone());
    let applied = tokio::task::spawn_blocking(move || {
        let sizes = TopicSizes {
            replication: 1,
            ..TopicSizes::default()
        };
        apply_topics(&kafka, &topics, [&definition], sizes, true)
    });
    joined(applied.await)?;
    Ok(())
}

fn start_all(
    world: &World,
    prefix: &str,
    definition: &Path,
    log: &Path,
    is_naive: bool,
) -> Result<Vec<Process>, BenchError> {
    let mut environment = BTreeMap::new();
    let mut set = |key: &str, value: String| environment.insert(format!("BACKSTITCH_{key}"), value);
    set(
        "KAFKA__BOOTSTRAP_SERVERS",
        world.kafka.bootstrap_servers.clone(),
    );
    set("KAFKA__PREFIX", prefix.to_owned());
    set("STORE__URL", world.store_url.clone());
    set("DEFINITIONS__FILES", definition.display().to_string());
    set(
        "WORKERS__DATA_DIR",
        world
            .dir
            .join(format!("{prefix}-workers"))
            .display()
            .to_string(),
    );
    set("TELEMETRY__LOG", "warn".to_owned());
    let arguments = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let serve = if is_naive {
        arguments(&["bench", "--as-naive"])
    } else {
        arguments(&["serve", "--json"])
    };
    let mut processes = vec![Process::start("orchestrator", &serve, &environment, log)?];
    for activity in order_activities() {
        let worker = arguments(&["worker", activity]);
        processes.push(Process::start(activity, &worker, &environment, log)?);
    }
    Ok(processes)
}

async fn idle_percent(
    kafka: &KafkaConfig,
    store_url: &str,
    dir: &Path,
    seconds: u64,
) -> Result<f64, BenchError> {
    let prefix = format!("bench-{:x}", now_ms());
    let topics = wire::Topics::new(prefix.as_str());
    let definition = built_in_definition();
    apply(kafka, &topics, &definition).await?;
    let world = World {
        kafka: kafka.clone(),
        store_url: store_url.to_owned(),
        dir: dir.to_owned(),
        seconds,
        warm_seconds: 5,
        fail_rate: 0.0,
    };
    let file = dir.join(format!("{prefix}.yaml"));
    std::fs::write(&file, &definition.source)?;
    let log = dir.join(format!("{prefix}.log"));
    let mut processes = start_all(&world, &prefix, &file, &log, false)?;
    tokio::time::sleep(Duration::from_secs(world.warm_seconds)).await;
    let id = processes[0].id();
    let before = cpu_us(id);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu_us(id) - before;
    if processes[0].has_ended() {
        return Err(BenchError::Ended {
            name: "orchestrator".to_owned(),
            log: tail(&log),
        });
    }
    drop(
        tokio::task::spawn_blocking(move || {
            for process in processes {
                process.stop();
            }
        })
        .await,
    );
    #[expect(clippy::cast_precision_loss, reason = "microseconds for people")]
    let percent = used as f64 / (seconds.max(1) as f64 * 10_000.0);
    Ok(percent)
}

/// CPU so far, by process: ours by name, and every server on this machine that might be used.
fn cpu_of(ours: &[(String, u32)]) -> BTreeMap<(String, u32), u64> {
    let servers = ["postgres", "java"]
        .into_iter()
        .flat_map(|server| named(server).into_iter().map(|id| (server.to_owned(), id)));
    let all = ours.iter().cloned().chain(servers);
    all.map(|(name, id)| ((name, id), cpu_us(id))).collect()
}

fn cpu_by_name(edges: &[BTreeMap<(String, u32), u64>]) -> BTreeMap<String, u64> {
    let mut by_name = BTreeMap::new();
    if let [before, after, ..] = edges {
        for (process, used) in after {
            let earlier = before.get(process).copied().unwrap_or(0);
            *by_name.entry(process.0.clone()).or_default() += used.saturating_sub(earlier);
        }
    }
    by_name
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn joined<T, E>(result: Result<Result<T, E>, tokio::task::JoinError>) -> Result<T, BenchError>
where
    BenchError: From<E>,
{
    match result {
        Ok(result) => Ok(result?),
        Err(error) => Err(BenchError::Process(std::io::Error::other(error))),
    }
}

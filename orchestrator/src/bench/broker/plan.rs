//! What is measured of the broker, and the report.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backstitch_broker::{Admin, KafkaConfig, NewTopicSpec};
use serde::Serialize;

use super::super::children::{cpu_us, named};
use super::super::plan::{BenchError, median_round};
use super::alone::Alone;
use super::load::{self, Load, Produced};
use crate::demo::percentile;
use crate::engine::now_ms;

/// What has a topic lose records while others come: 1 MiB is the least that a Kafka takes for a segment.
const KEEPS_LITTLE: [(&str, &str); 2] =
    [("retention.bytes", "1048576"), ("segment.bytes", "1048576")];

/// What to measure, and beside what.
#[derive(Debug, Clone)]
pub struct BrokerBenchOptions {
    /// A Kafka that is measured in turn with the embedded broker; empty: the embedded broker alone.
    pub bootstrap_servers: String,
    /// Partitions of the topic. Default 1, 4, 16.
    pub partitions: Vec<i32>,
    /// Producers at once, each a client of its own. Default 1, 8.
    pub producers: Vec<usize>,
    /// Bytes of a record. Default 512.
    pub record_bytes: usize,
    /// Records that each producer has on their way. Default 2,000.
    pub outstanding: u64,
    /// Records a second, of all producers together, at which answers are timed. Default 2,000; 0 leaves it out.
    pub rate: f64,
    /// Whether answers at that rate are timed once more, on a topic that loses its oldest records meanwhile. Default false.
    pub cleaning: bool,
    /// How long each window is. Default 5 s.
    pub seconds: u64,
    /// How long the load runs before the window. Default 2 s.
    pub warm_seconds: u64,
    /// How often each point is measured. Default 1; at least 1.
    pub rounds: usize,
    /// Whether the start on this many bytes of data and the idle broker are measured; 0 leaves both out. Default 0.
    pub start_bytes: u64,
}

/// One measured point: a broker, and a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrokerPoint {
    /// `embedded` or `kafka`.
    pub broker: &'static str,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Producers at once.
    pub producers: usize,
    /// Records acknowledged a second, as fast as they were.
    pub produced_per_second: f64,
    /// From hand-over to acknowledgement at that speed, in milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// From hand-over to acknowledgement at the fixed rate, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paced_p50_ms: Option<f64>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paced_p99_ms: Option<f64>,
    /// The same at the fixed rate on a topic that keeps 1 MiB a partition, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaning_p50_ms: Option<f64>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaning_p99_ms: Option<f64>,
    /// Records read a second by one reader, from the start of the topic.
    pub read_per_second: f64,
    /// CPU of the broker while producing, in microseconds a record. Kafka's is that of all Java processes of this machine.
    pub cpu_us_per_record: f64,
    /// Records that were not acknowledged. Anything but 0 is a bug.
    pub failed: u64,
}

/// How the embedded broker starts, and what it costs when nothing comes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StartPoint {
    /// Bytes of its files.
    pub data_bytes: u64,
    /// From the start of the process until it serves, after an orderly end, in milliseconds; the median of five.
    pub start_ms: f64,
    /// The same after `kill -9` as soon as the last of many records was acknowledged.
    pub start_after_kill_ms: f64,
    /// CPU with no client, in per cent of a core.
    pub idle_cpu_percent: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrokerBenchReport {
    /// Bytes of a record.
    pub record_bytes: usize,
    /// Of several rounds, each point's round with the median of records a second.
    pub points: Vec<BrokerPoint>,
    /// All points of all rounds, if there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Vec<BrokerPoint>>,
    /// Start and idle cost of the embedded broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartPoint>,
}

/// Measures; `say` is told what is going on. Blocks.
///
/// # Errors
///
/// [`BenchError`] says what was in the way.
pub fn run(
    options: &BrokerBenchOptions,
    mut say: impl FnMut(&str),
) -> Result<BrokerBenchReport, BenchError> {
    let dir = tempfile::tempdir()?;
    let embedded = Alone::start(dir.path())?;
    let mut brokers = vec![(
        "embedded",
        KafkaConfig::new(&embedded.bootstrap_servers),
        vec![embedded.id()],
    )];
    if !options.bootstrap_servers.is_empty() {
        let kafka = KafkaConfig::new(&options.bootstrap_servers);
        brokers.push(("kafka", kafka, named("java")));
    }
    let count = options.rounds.max(1);
    let mut rounds: Vec<Vec<BrokerPoint>> = vec![Vec::new(); count];
    for round in &mut rounds {
        for &partitions in &options.partitions {
            for &producers in &options.producers {
                for (name, kafka, pids) in &brokers {
                    say(&format!(
                        "{name}, {partitions} partitions, {producers} producers"
                    ));
                    round.push(measure(
                        options,
                        (*name, kafka, pids),
                        partitions,
                        producers,
                    )?);
                }
            }
        }
    }
    embedded.stop();
    let start = match options.start_bytes {
        0 => None,
        bytes => {
            say(&format!("the start on {} MB", bytes >> 20));
            Some(measure_start(options, bytes, dir.path())?)
        }
    };
    Ok(BrokerBenchReport {
        record_bytes: options.record_bytes,
        points: medians(&rounds),
        rounds: if count > 1 { rounds } else { Vec::new() },
        start,
    })
}

/// Each point's round with the median of records a second.
fn medians(rounds: &[Vec<BrokerPoint>]) -> Vec<BrokerPoint> {
    let of_point = |index: usize| {
        let failed = rounds.iter().map(|round| round[index].failed).sum(); // A lost record is a bug in whichever round.
        BrokerPoint {
            failed,
            ..median_round(rounds, index, |point| point.produced_per_second).clone()
        }
    };
    (0..rounds.first().map_or(0, Vec::len))
        .map(of_point)
        .collect()
}

/// What the clients under measurement are told: records as they are, so that the brokers are compared, not the codecs.
fn client(kafka: &KafkaConfig) -> KafkaConfig {
    kafka.clone().with("compression.type", "none")
}

fn measure(
    options: &BrokerBenchOptions,
    (name, kafka, pids): (&'static str, &KafkaConfig, &[u32]),
    partitions: i32,
    producers: usize,
) -> Result<BrokerPoint, BenchError> {
    let admin = Admin::new(kafka)?;
    let load = Load {
        topic: format!("backstitch-bench-{:x}", now_ms()),
        partitions,
        producers,
        record_bytes: options.record_bytes,
        outstanding: options.outstanding,
        rate: None,
        warm: Duration::from_secs(options.warm_seconds),
        window: Duration::from_secs(options.seconds),
    };
    create(&admin, &load.topic, partitions, &[])?;
    settle_disk();
    let point = measure_load(options, (name, &client(kafka), pids), &load);
    admin.delete_topics(&[&load.topic])?;
    let mut point = point?;
    if options.cleaning && options.rate > 0.0 {
        let load = Load {
            topic: format!("{}-cleaned", load.topic),
            rate: Some(options.rate),
            ..load
        };
        create(&admin, &load.topic, partitions, &KEEPS_LITTLE)?;
        let seen = load::produce(&client(kafka), &load, || {});
        admin.delete_topics(&[&load.topic])?;
        let seen = seen?;
        point.cleaning_p50_ms = Some(percentile(&seen.times_us, 50) / 1_000.0);
        point.cleaning_p99_ms = Some(percentile(&seen.times_us, 99) / 1_000.0);
        point.failed += seen.failed;
    }
    Ok(point)
}

fn measure_load(
    options: &BrokerBenchOptions,
    (name, kafka, pids): (&'static str, &KafkaConfig, &[u32]),
    load: &Load,
) -> Result<BrokerPoint, BenchError> {
    let mut cpu = Vec::new();
    let full = load::produce(kafka, load, || {
        cpu.push(pids.iter().map(|pid| cpu_us(*pid)).sum::<u64>());
    })?;
    let used = cpu.last().copied().unwrap_or(0) - cpu.first().copied().unwrap_or(0);
    let took = load::read(kafka, &load.topic, load.partitions, full.all)?;
    let paced = (options.rate > 0.0)
        .then(|| {
            let load = Load {
                rate: Some(options.rate),
                ..load.clone()
            };
            load::produce(kafka, &load, || {})
        })
        .transpose()?;
    let seconds = options.seconds as f64;
    Ok(BrokerPoint {
        broker: name,
        partitions: load.partitions,
        producers: load.producers,
        produced_per_second: full.records as f64 / seconds,
        p50_ms: percentile(&full.times_us, 50) / 1_000.0,
        p99_ms: percentile(&full.times_us, 99) / 1_000.0,
        paced_p50_ms: paced
            .as_ref()
            .map(|p| percentile(&p.times_us, 50) / 1_000.0),
        paced_p99_ms: paced
            .as_ref()
            .map(|p| percentile(&p.times_us, 99) / 1_000.0),
        cleaning_p50_ms: None,
        cleaning_p99_ms: None,
        read_per_second: full.all as f64 / took.as_secs_f64().max(1e-6),
        cpu_us_per_record: used as f64 / (full.records as f64).max(1.0),
        failed: full.failed + paced.map_or(0, |paced| paced.failed),
    })
}

fn create(
    admin: &Admin,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), BenchError> {
    let mut topic = NewTopicSpec::new(topic, partitions);
    // Kafka would delete its files a minute after the topic, while another point is measured.
    let settings = [&[("file.delete.delay.ms", "0")], settings].concat();
    topic.config = settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    admin.create_topics(&[topic])?;
    Ok(())
}

/// Waits until the disk has what was written so far: a broker that does not wait for it leaves that to the next point.
fn settle_disk() {
    // Where there is no such command, the points are as they are.
    let _ = Command::new("sync").status();
}

/// Fills a broker of its own, and starts it again and again.
fn measure_start(
    options: &BrokerBenchOptions,
    bytes: u64,
    dir: &Path,
) -> Result<StartPoint, BenchError> {
    let dir = dir.join("start");
    std::fs::create_dir(&dir)?;
    let mut broker = Alone::start(&dir)?;
    let kafka = client(&KafkaConfig::new(&broker.bootstrap_servers));
    create(&Admin::new(&kafka)?, "filled", 4, &[])?;
    while broker.bytes() < bytes {
        let filled = fill(options, &broker)?;
        if filled.failed > 0 {
            return Err(BenchError::Unfilled {
                dir: dir.clone(),
                bytes: broker.bytes(),
            });
        }
    }
    broker.stop();
    let mut times = Vec::new();
    for _ in 0..5 {
        broker = Alone::start(&dir)?;
        times.push(i64::try_from(broker.started_in.as_micros()).unwrap_or(i64::MAX));
        broker.stop();
    }
    times.sort_unstable();
    broker = Alone::start(&dir)?;
    let idle_cpu_percent = broker.idle_percent(options.seconds.max(10));
    fill(options, &broker)?;
    broker.kill();
    broker = Alone::start(&dir)?;
    let point = StartPoint {
        data_bytes: broker.bytes(),
        start_ms: percentile(&times, 50) / 1_000.0,
        start_after_kill_ms: broker.started_in.as_secs_f64() * 1_000.0,
        idle_cpu_percent,
    };
    broker.stop();
    Ok(point)
}

fn fill(options: &BrokerBenchOptions, broker: &Alone) -> Result<Produced, BenchError> {
    let load = Load {
        topic: "filled".to_owned(),
        partitions: 4,
        producers: 1,
        record_bytes: options.record_bytes,
        outstanding: options.outstanding,
        rate: None,
        warm: Duration::ZERO,
        window: Duration::from_secs(1),
    };
    let kafka = client(&KafkaConfig::new(&broker.bootstrap_servers));
    Ok(load::produce(&kafka, &load, || {})?)
}

//! The demo: orders stream in, some fail, all settle, and the services' ledgers are counted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_broker::Producer;
use backstitch_broker::embedded::EmbeddedConfig;
use serde::Serialize;

use super::judge::judge;
use super::laptop::{Laptop, LaptopError, LaptopOptions, built_in_definition};
use super::orders::Orders;
use super::watch::Watch;
use crate::engine::{TopicSizes, now_ms};
use crate::store::Store;

/// Orders that are handed to the producer at once.
const CHUNK: u64 = 200;

/// How long the orders may take to settle after the last was sent.
const SETTLE_WAIT: Duration = Duration::from_secs(120);

/// What the demo does.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// How many orders. Default 1,000.
    pub orders: u64,
    /// The part of them whose payment is refused, from 0 to 1. Default 0.1.
    pub fail_rate: f64,
    /// How many may be on their way at once. Default 500.
    pub outstanding: u64,
    /// The broker in the process.
    pub embedded: EmbeddedConfig,
    /// Where sagas rest.
    pub store: Arc<dyn Store>,
    /// The folder of the workers' databases.
    pub workers_dir: PathBuf,
    /// Begins the names of all topics and groups.
    pub prefix: String,
    /// Draws which orders fail.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DemoReport {
    /// Orders sent.
    pub orders: u64,
    /// Settled: every step done.
    pub completed: usize,
    /// Settled: every step undone.
    pub compensated: usize,
    /// Waiting for a person.
    pub parked: usize,
    /// Not settled, or with other effects than they should have. By the workers' ledgers.
    pub lost: usize,
    /// Effects that happened twice. By the workers' ledgers.
    pub doubled: usize,
    /// From the first order to the last settled one.
    pub seconds: f64,
    /// Settled a second.
    pub sagas_per_second: f64,
    /// From an order's timestamp to its last journal entry.
    pub p50_ms: f64,
    /// From an order's timestamp to its last journal entry.
    pub p99_ms: f64,
    /// The first few wrongs, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrong: Vec<String>,
}

/// Runs the demo; `progress` is told now and then how many orders were sent and settled. Returns
/// the laptop too, still serving.
///
/// # Errors
///
/// [`LaptopError`] says what was in the way.
pub async fn run(
    options: DemoOptions,
    progress: impl FnMut(u64, usize) + Send + 'static,
) -> Result<(DemoReport, Laptop), LaptopError> {
    let definition = built_in_definition();
    let name = definition.name.clone();
    let laptop = Laptop::start(LaptopOptions {
        embedded: options.embedded.clone(),
        prefix: options.prefix.clone(),
        definitions: vec![definition],
        sizes: TopicSizes::default(),
        workers_dir: Some(options.workers_dir.clone()),
        store: Arc::clone(&options.store),
        engine: None,
    })
    .await?;
    let orders = Orders {
        topic: Arc::from("orders"),
        name: format!("{:x}-", now_ms()),
        fail_rate: options.fail_rate,
        fail_at: vec!["charge-payment"],
        seed: options.seed,
    };
    let (kafka, topics) = (laptop.kafka().clone(), laptop.topics().clone());
    let (sent, all, seconds) = {
        let (orders, options) = (orders.clone(), options.clone());
        tokio::task::spawn_blocking(move || {
            let watch = Watch::start(&kafka, &topics)?;
            let (sent, seconds) = stream(&kafka, &orders, &options, &watch, progress)?;
            Ok::<_, LaptopError>((sent, watch.all(), seconds))
        })
        .await
        .map_err(|error| crate::engine::EngineError::Ended {
            reason: error.to_string(),
        })??
    };
    let saga_of = |number: u64| format!("{name}/{}", orders.spec(number).order_id);
    let sagas = (0..options.orders).map(saga_of);
    let judgement = judge(&options.workers_dir, sagas, &all).await?;
    let mut times: Vec<i64> = (0..options.orders)
        .filter_map(|n| {
            let sent = sent.get(usize::try_from(n).ok()?)?;
            Some(all.get(&saga_of(n))?.seen_at_ms - sent)
        })
        .collect();
    times.sort_unstable();
    let settled = judgement.completed + judgement.compensated + judgement.parked;
    let report = DemoReport {
        orders: options.orders,
        completed: judgement.completed,
        compensated: judgement.compensated,
        parked: judgement.parked,
        lost: judgement.lost,
        doubled: judgement.doubled,
        seconds,
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        sagas_per_second: settled as f64 / seconds.max(0.001),
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
        wrong: judgement.wrong,
    };
    Ok((report, laptop))
}

/// Sends the orders, with so many on their way at most, and waits until all are settled. Returns
/// when each was sent, and how long it took in all.
fn stream(
    kafka: &backstitch_broker::KafkaConfig,
    orders: &Orders,
    options: &DemoOptions,
    watch: &Watch,
    mut progress: impl FnMut(u64, usize),
) -> Result<(Vec<i64>, f64), LaptopError> {
    let producer = Producer::new(kafka, |_| {})?;
    // One order of its own goes ahead: once it has settled, every group has joined and shared out.
    let mut scout = orders.clone();
    scout.name.push_str("scout-");
    scout.fail_rate = 0.0;
    producer.send(u64::MAX, vec![scout.record(0, now_ms())])?;
    if !watch.wait_for(1, SETTLE_WAIT) {
        return Err(LaptopError::Unsettled {
            open: 1,
            orders: 1,
            seconds: SETTLE_WAIT.as_secs(),
        });
    }
    let scouts = 1_usize;
    let began = Instant::now();
    let mut sent = Vec::new();
    let mut number = 0;
    while number < options.orders {
        let settled = (watch.count() - scouts) as u64;
        let room = (settled + options.outstanding).saturating_sub(number);
        let count = room.min(CHUNK).min(options.orders - number);
        if count == 0 {
            // Any change wakes it; the time-out is for the progress line.
            let wanted = watch.count() + 1;
            watch.wait_for(wanted, Duration::from_millis(100));
            progress(number, watch.count() - scouts);
            continue;
        }
        let now = now_ms();
        let records = (number..number + count)
            .map(|n| orders.record(n, now))
            .collect();
        producer.send(number, records)?;
        sent.extend(std::iter::repeat_n(
            now,
            usize::try_from(count).unwrap_or(0),
        ));
        number += count;
        progress(number, watch.count() - scouts);
    }
    let until = Instant::now() + SETTLE_WAIT;
    let wanted = usize::try_from(options.orders).unwrap_or(usize::MAX) + scouts;
    while !watch.wait_for(wanted, Duration::from_millis(200)) {
        progress(number, watch.count() - scouts);
        if Instant::now() > until {
            return Err(LaptopError::Unsettled {
                open: wanted.saturating_sub(watch.count()),
                orders: wanted - scouts,
                seconds: SETTLE_WAIT.as_secs(),
            });
        }
    }
    progress(number, watch.count() - scouts);
    Ok((sent, began.elapsed().as_secs_f64()))
}

/// The value below which so many per cent of the sorted ones lie.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let value = sorted[index] as f64;
    value
}

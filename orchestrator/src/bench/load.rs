//! Orders at a fixed rate, or with a fixed number on their way.

use std::time::{Duration, Instant};

use backstitch_broker::{BrokerError, Producer};

use crate::demo::{Orders, Watch};
use crate::engine::now_ms;

/// How orders arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Load {
    /// So many are on their way at any time.
    Closed(u64),
    /// So many begin each second, whatever becomes of them.
    Open(f64),
}

/// What a load saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Settled within the window.
    pub(super) settled: u64,
    /// Length of the window.
    pub(super) seconds: f64,
    /// Times from timestamp to settled, sorted, of the orders that settled in the window.
    pub(super) times_ms: Vec<i64>,
    /// Orders sent in all, warm-up included.
    pub(super) sent: u64,
    /// Orders that had not settled when the wait after the load was over.
    pub(super) unsettled: u64,
}

/// Orders handed to the producer at once.
const CHUNK: u64 = 100;

/// How long the last orders may take.
const DRAIN_WAIT: Duration = Duration::from_secs(60);

/// Runs a load: `warm` first, then `window`, of which `at_edges` is told the begin and the end.
pub(super) fn run(
    producer: &Producer,
    watch: &Watch,
    orders: &Orders,
    saga_prefix: &str,
    load: Load,
    (warm, window): (Duration, Duration),
    mut at_edges: impl FnMut(),
) -> Result<Seen, BrokerError> {
    let base = watch.count() as u64;
    let began = Instant::now();
    let mut sent_at: Vec<i64> = Vec::new();
    let mut edges: Option<(i64, Instant)> = None;
    let mut ended = None;
    while ended.is_none() {
        let since = began.elapsed();
        if edges.is_none() && since >= warm {
            at_edges();
            edges = Some((now_ms(), Instant::now()));
        }
        if since >= warm + window {
            at_edges();
            ended = Some((now_ms(), Instant::now()));
            break;
        }
        let number = sent_at.len() as u64;
        let wanted = match load {
            Load::Closed(outstanding) => {
                let settled = watch.count() as u64 - base;
                (settled + outstanding).saturating_sub(number)
            }
            Load::Open(rate) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate times a few seconds is a small positive number"
                )]
                let due = (since.as_secs_f64() * rate) as u64;
                due.saturating_sub(number)
            }
        };
        let count = wanted.min(CHUNK);
        if count == 0 {
            watch.wait_for(watch.count() + 1, Duration::from_millis(2));
            continue;
        }
        let now = now_ms();
        let records = (number..number + count)
            .map(|n| orders.record(n, now))
            .collect();
        producer.send(number, records)?;
        sent_at.extend(std::iter::repeat_n(
            now,
            usize::try_from(count).unwrap_or(0),
        ));
    }
    let (from_ms, from) = edges.unwrap_or((now_ms(), Instant::now()));
    let (until_ms, until) = ended.unwrap_or((now_ms(), Instant::now()));
    let all = usize::try_from(base).unwrap_or(0) + sent_at.len();
    watch.wait_for(all, DRAIN_WAIT);
    let settled = watch.all();
    let mut times_ms = Vec::new();
    let mut unsettled = 0;
    for (number, sent) in sent_at.iter().enumerate() {
        let saga = format!("{saga_prefix}/{}", orders.spec(number as u64).order_id);
        match settled.get(&saga) {
            None => unsettled += 1,
            Some(one) if (from_ms..until_ms).contains(&one.seen_at_ms) => {
                times_ms.push(one.seen_at_ms - sent);
            }
            Some(_) => {}
        }
    }
    times_ms.sort_unstable();
    Ok(Seen {
        settled: times_ms.len() as u64,
        seconds: until.duration_since(from).as_secs_f64(),
        times_ms,
        sent: sent_at.len() as u64,
        unsettled,
    })
}

//! `demo`: orders stream in, some fail, all settle.

use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

use super::answer::Answer;
use super::args::DemoArgs;
use super::context::Context;
use super::error::CliError;
use super::serve::{say_where, stay};
use super::text::{table, write_table};
use crate::demo::{self, DemoOptions, DemoReport};

/// Runs the demo, and stays if asked to.
pub(crate) fn demo(context: &Context, args: &DemoArgs, as_json: bool) -> Result<Answer, CliError> {
    let config = context.config();
    let scratch = tempfile::tempdir()
        .map_err(|error| CliError::failed(format!("cannot make a folder: {error}")))?;
    // What stays is kept, and found by the other commands; a demo that ends leaves nothing.
    let (embedded, store_url, workers_dir) = if args.stay {
        let folder = config.embedded()?;
        (folder, None, config.workers.data_dir.clone())
    } else {
        let embedded = config.embedded_in(scratch.path())?;
        let url = format!("sqlite://{}", scratch.path().join("store.db").display());
        (embedded, Some(url), scratch.path().join("workers"))
    };
    let store = match store_url {
        None => context.store()?,
        Some(url) => context
            .block_on(crate::store::open(&url))
            .map_err(|error| CliError::of(&error))?,
    };
    let options = DemoOptions {
        orders: args.orders,
        fail_rate: args.fail_rate,
        outstanding: args.outstanding,
        embedded,
        store,
        workers_dir,
        prefix: context.topics().prefix().to_owned(),
        seed: args.seed,
    };
    let began = Instant::now();
    let orders = args.orders;
    let mut written = None;
    let progress = move |sent: u64, settled: usize| {
        let seconds = began.elapsed().as_secs_f64();
        if written.is_some_and(|at| seconds - at < 0.1) && settled as u64 != orders {
            return;
        }
        written = Some(seconds);
        // A live line for people; a program reads stdout.
        let _ = write!(
            std::io::stderr(),
            "\r{sent} orders sent, {settled} settled, {seconds:.1} s "
        );
    };
    let (report, laptop) = context
        .block_on(demo::run(options, progress))
        .map_err(CliError::from)?;
    let _ = writeln!(std::io::stderr());
    let answer = answer(&report, args.stay);
    if !args.stay {
        context
            .block_on(laptop.drain())
            .map_err(|error| CliError::of(&error))?;
        return Ok(answer);
    }
    answer
        .print(as_json)
        .map_err(|error| CliError::failed(format!("cannot write to stdout: {error}")))?;
    say_where(&laptop);
    stay(context, laptop)
}

fn answer(report: &DemoReport, stays: bool) -> Answer {
    let mut outcomes = table(["outcome", "orders", "meaning"]);
    let rows = [
        ("completed", report.completed, "every step done"),
        (
            "compensated",
            report.compensated,
            "payment refused: what had been done was undone, in reverse",
        ),
        ("parked", report.parked, "waiting for a person"),
        (
            "lost",
            report.lost,
            "by the services' own ledgers; never expected",
        ),
        (
            "doubled",
            report.doubled,
            "effects that happened twice; never expected",
        ),
    ];
    for (outcome, count, meaning) in rows {
        outcomes.add_row([outcome.to_owned(), count.to_string(), meaning.to_owned()]);
    }
    let next = if stays {
        "It stays. In another terminal, try:\n  \
         backstitch list --limit 5\n  \
         backstitch publish --count 3 --fail-at ship-order\n  \
         backstitch show KEY            (a key from the list: its ledger and its journal)"
    } else {
        "Try next:\n  \
         backstitch demo --stay         (keeps serving: publish to it with any Kafka client)\n  \
         backstitch list                (in another terminal, while it stays)\n  \
         backstitch --help"
    };
    let text = format!(
        "{}\n{} orders in {:.1} s: {:.0} sagas a second; from order to settled p50 {:.0} ms, p99 {:.0} ms\n\n{next}",
        write_table(&outcomes),
        report.orders,
        report.seconds,
        report.sagas_per_second,
        report.p50_ms,
        report.p99_ms,
    );
    let json = serde_json::to_value(report).unwrap_or_else(|_| json!({}));
    if report.lost > 0 || report.doubled > 0 {
        return Answer::bad(format!("{text}\n{}", report.wrong.join("\n")), json);
    }
    Answer::good(text, json)
}

//! `bench`: the real processes under load.

use std::io::Write as _;

use super::answer::Answer;
use super::args::BenchArgs;
use super::args_kafka::BenchCommand;
use super::context::Context;
use super::error::CliError;
use super::serve::asked_to_end;
use super::text::{table, write_table};
use crate::bench::{self, BenchOptions, BenchReport};

/// Measures, or is the naive way while another process measures it.
pub(crate) fn bench(context: &Context, args: &BenchArgs) -> Result<Answer, CliError> {
    if let Some(BenchCommand::Broker(args)) = &args.what {
        return super::bench_broker::bench_broker(context, args);
    }
    if args.as_naive {
        return be_naive(context);
    }
    let config = context.config();
    let options = BenchOptions {
        bootstrap_servers: config.kafka.bootstrap_servers.clone(),
        store_url: config.store.url.clone(),
        outstanding: args.outstanding,
        rate: args.rate,
        seconds: args.seconds,
        warm_seconds: args.warm_seconds,
        rounds: args.rounds.into(),
        naive: args.naive,
        idle: args.idle,
        fail_rate: args.fail_rate,
    };
    let say = |point: &str| {
        let _ = writeln!(std::io::stderr(), "measuring {point} …");
    };
    let report = context
        .block_on(bench::run(options, say))
        .map_err(|e| CliError::of(&e))?;
    Ok(answer(&report))
}

fn be_naive(context: &Context) -> Result<Answer, CliError> {
    let definition = context.config().definitions()?.into_iter().next();
    let definition = definition.unwrap_or_else(crate::demo::built_in_definition);
    let kafka = context.kafka()?;
    let url = context.config().store.url.clone();
    context
        .block_on(bench::run_naive(
            kafka,
            context.topics(),
            &url,
            definition,
            asked_to_end(),
        ))
        .map_err(|error| CliError::of(&error))?;
    Ok(Answer::good(String::new(), serde_json::json!({})))
}

fn answer(report: &BenchReport) -> Answer {
    let mut points = table([
        "load",
        "sagas/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/transition",
        "SQL/tr.",
        "WAL B/tr.",
        "records/saga",
        "tr./commit",
    ]);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let mut unsettled = 0;
    for point in &report.points {
        unsettled += point.unsettled;
        let all: f64 = point.cpu_us_per_transition.values().sum();
        points.add_row([
            point.name.clone(),
            format!("{:.0}", point.sagas_per_second),
            format!("{:.0}", point.p50_ms),
            format!("{:.0}", point.p99_ms),
            format!("{all:.0}"),
            number(point.sql_statements_per_transition, 3),
            number(point.wal_bytes_per_transition, 0),
            format!("{:.1}", point.kafka_records_per_saga),
            number(point.transitions_per_commit, 0),
        ]);
    }
    let mut text = format!(
        "{} broker, {} store\n{}",
        report.broker,
        report.store,
        write_table(&points)
    );
    for point in &report.points {
        let by_process: Vec<String> = point
            .cpu_us_per_transition
            .iter()
            .map(|(name, us)| format!("{name} {us:.0}"))
            .collect();
        text.push_str(&format!(
            "\n{}: CPU µs/transition by process: {}",
            point.name,
            by_process.join(", ")
        ));
        if let Some(requests) = point.produce_requests_per_saga {
            text.push_str(&format!("; produce requests a saga {requests:.2}"));
        }
    }
    if let Some(percent) = report.idle_cpu_percent {
        text.push_str(&format!("\nidle orchestrator: {percent:.2} % of a core"));
    }
    if let Some(times) = report.times_naive {
        text.push_str(&format!("\n{times:.1} times the naive way in the same run"));
    }
    let json = serde_json::to_value(report).unwrap_or_default();
    if unsettled > 0 {
        return Answer::bad(format!("{text}\n{unsettled} orders did not settle"), json);
    }
    Answer::good(text, json)
}

//! `bench broker`: the embedded broker under load, beside a Kafka where one is configured.

use std::io::Write as _;

use super::answer::Answer;
use super::args_kafka::BenchBrokerArgs;
use super::context::Context;
use super::error::CliError;
use super::text::{table, write_table};
use crate::bench::broker::{self, BrokerBenchOptions, BrokerBenchReport, BrokerPoint};

/// Measures.
pub(super) fn bench_broker(context: &Context, args: &BenchBrokerArgs) -> Result<Answer, CliError> {
    let options = BrokerBenchOptions {
        bootstrap_servers: context.config().kafka.bootstrap_servers.clone(),
        partitions: args.partitions.clone(),
        producers: args.producers.iter().map(|&count| count.into()).collect(),
        record_bytes: usize::try_from(args.record_bytes).unwrap_or(usize::MAX),
        outstanding: args.outstanding,
        rate: args.rate,
        cleaning: args.cleaning,
        seconds: args.seconds,
        warm_seconds: args.warm_seconds,
        rounds: args.rounds.into(),
        start_bytes: args.start_mb << 20,
    };
    let say = |point: &str| {
        let _ = writeln!(std::io::stderr(), "measuring {point} …");
    };
    let report = broker::run(&options, say).map_err(|e| CliError::of(&e))?;
    Ok(answer(&report))
}

fn answer(report: &BrokerBenchReport) -> Answer {
    let mut points = table([
        "broker",
        "partitions",
        "producers",
        "produced/s",
        "p50 ms",
        "p99 ms",
        "paced p50",
        "paced p99",
        "cleaning p99",
        "read/s",
        "CPU µs/record",
    ]);
    let mut failed = 0;
    for point in &report.points {
        failed += point.failed;
        points.add_row(row(point));
    }
    let mut text = format!(
        "records of {} bytes\n{}",
        report.record_bytes,
        write_table(&points)
    );
    for pair in report.points.chunks_exact(2) {
        if let [ours, kafka] = pair
            && kafka.broker == "kafka"
        {
            text.push_str(&format!("\n{}", compared(ours, kafka)));
        }
    }
    if let Some(start) = &report.start {
        text.push_str(&format!(
            "\non {} MB: starts in {:.0} ms, after kill -9 in {:.0} ms; idle {:.2} % of a core",
            start.data_bytes >> 20,
            start.start_ms,
            start.start_after_kill_ms,
            start.idle_cpu_percent
        ));
    }
    let json = serde_json::to_value(report).unwrap_or_default();
    if failed > 0 {
        return Answer::bad(
            format!("{text}\n{failed} records were not acknowledged"),
            json,
        );
    }
    Answer::good(text, json)
}

fn row(point: &BrokerPoint) -> [String; 11] {
    let paced = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    [
        point.broker.to_owned(),
        point.partitions.to_string(),
        point.producers.to_string(),
        format!("{:.0}", point.produced_per_second),
        format!("{:.1}", point.p50_ms),
        format!("{:.1}", point.p99_ms),
        paced(point.paced_p50_ms),
        paced(point.paced_p99_ms),
        paced(point.cleaning_p99_ms),
        format!("{:.0}", point.read_per_second),
        format!("{:.1}", point.cpu_us_per_record),
    ]
}

fn compared(ours: &BrokerPoint, kafka: &BrokerPoint) -> String {
    let paced = match (ours.paced_p99_ms, kafka.paced_p99_ms) {
        (Some(ours), Some(kafka)) => format!(", paced p99 {:.2}", ours / kafka),
        _ => String::new(),
    };
    format!(
        "{} partitions, {} producers: produced {:.2} times Kafka's, p99 {:.2}{paced}, read {:.2}",
        ours.partitions,
        ours.producers,
        ours.produced_per_second / kafka.produced_per_second,
        ours.p99_ms / kafka.p99_ms,
        ours.read_per_second / kafka.read_per_second,
    )
}

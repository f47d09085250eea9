//! `worker`: one of the example order workers.

use std::time::Duration;

use backstitch_workers::order::{Knobs, OrderWorkerOptions, order_activities, run_order_worker};
use serde_json::json;

use super::answer::Answer;
use super::args::WorkerArgs;
use super::context::Context;
use super::error::CliError;

/// Serves an activity until the process is asked to end, then drains.
pub(crate) fn run(context: &Context, args: WorkerArgs) -> Result<Answer, CliError> {
    let known = order_activities();
    if !known.contains(&args.activity.as_str()) {
        return Err(
            CliError::not_found(format!("there is no example worker `{}`", args.activity))
                .with_help(format!("there are {}", known.join(", "))),
        );
    }
    let config = context.config();
    let options = OrderWorkerOptions {
        prefix: config.kafka.prefix.clone(),
        knobs: Knobs {
            fail_rate: args.fail_rate,
            refuse_rate: args.refuse_rate,
            hang_rate: args.hang_rate,
            delay: Duration::from_millis(args.delay_ms),
            seed: args.seed,
        },
        instance_id: config.instance_id(),
        session_timeout: config.kafka.session_timeout,
        fetch_pacing: config.kafka.fetch_pacing,
        ..OrderWorkerOptions::new(context.kafka()?, &config.workers.data_dir)
    };
    tracing::info!(
        activity = args.activity,
        kafka = options.kafka.bootstrap_servers,
        "serving; SIGTERM or Ctrl-C drains"
    );
    // It waits more than it works: one thread saves the hand-overs between two.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start: {error}")))?;
    let stats = runtime
        .block_on(run_order_worker(&args.activity, options))
        .map_err(|error| CliError::of(&error))?;
    let text = format!(
        "drained: {} done, {} refused, {} failed, {} answered from memory, {} without an answer",
        stats.done, stats.refused, stats.failed, stats.repeated, stats.silent
    );
    let json = json!({
        "activity": args.activity,
        "records": stats.records,
        "done": stats.done,
        "refused": stats.refused,
        "failed": stats.failed,
        "repeated": stats.repeated,
        "silent": stats.silent,
        "dead_letters": stats.dead_letters,
        "heartbeats": stats.heartbeats,
        "batches": stats.batches,
    });
    Ok(Answer::good(text, json))
}

//! `serve` and `dev`: an orchestrator until it is asked to end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstitch_broker::embedded::EmbeddedBroker;
use backstitch_broker::{KafkaConfig, self_check};
use serde_json::json;

use super::answer::Answer;
use super::args::{DevArgs, ServeArgs};
use super::context::Context;
use super::error::CliError;
use super::patience::Patience;
use crate::demo::{Laptop, LaptopOptions};
use crate::engine::{Orchestrator, OrchestratorConfig, apply_topics};
use crate::telemetry::Telemetry;

/// How often it is looked at whether the engine still runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs an orchestrator; without a Kafka, on the embedded broker in this process.
pub(crate) fn serve(
    context: &Context,
    _args: &ServeArgs,
    telemetry: &Telemetry,
) -> Result<Answer, CliError> {
    let config = context.config();
    let definitions = config.definitions()?;
    let topics = context.topics();
    let (kafka, embedded) = match config.kafka() {
        Some(kafka) => (kafka, None),
        None => {
            let broker = EmbeddedBroker::start(config.embedded()?).map_err(CliError::from)?;
            let kafka = config.kafka_at(broker.bootstrap_servers());
            apply_topics(&kafka, &topics, &definitions, (&config.topics).into(), true)
                .map_err(|error| CliError::of(&error))?;
            (kafka, Some(broker))
        }
    };
    let patience = Patience::new(config.startup.patience);
    tracing::info!(kafka = kafka.bootstrap_servers, "looking for Kafka");
    let check = patience.wait_for("Kafka", || self_check(&kafka))?;
    tracing::debug!(?check, "kafka client");
    let store = patience.wait_for("the store", || context.block_on(config.open_store()))?;
    let engine = orchestrator_config(context, kafka.clone(), telemetry)?;
    let names = definitions
        .iter()
        .map(|d| d.name.clone())
        .collect::<Vec<_>>()
        .join(", ");
    let orchestrator = patience
        .wait_for("Kafka or the store", || {
            let (engine, definitions) = (engine.clone(), definitions.clone());
            context.block_on(Orchestrator::start(engine, Arc::clone(&store), definitions))
        })
        .map_err(|error| CliError::of(&error))?;
    tracing::info!(
        kafka = kafka.bootstrap_servers,
        prefix = topics.prefix(),
        definitions = names,
        "serving; SIGTERM or Ctrl-C drains"
    );
    let ended_by_itself = context.block_on(until_asked_or(|| orchestrator.has_ended()));
    tracing::info!("draining");
    let intake = orchestrator.intake_counters();
    let (starts, unmatched) = (
        intake.starts.load(Ordering::Relaxed),
        intake.unmatched.load(Ordering::Relaxed),
    );
    let (events, wait_errors) = (
        intake.events.load(Ordering::Relaxed),
        intake.wait_errors.load(Ordering::Relaxed),
    );
    let dead_letters = intake.dead_letters.load(Ordering::Relaxed);
    let requests = orchestrator.produce_request_count();
    let drained = orchestrator.drain();
    if let Some(broker) = embedded {
        broker.stop();
    }
    let counters = drained.map_err(|error| CliError::of(&error))?;
    if ended_by_itself {
        return Err(CliError::failed(
            "the engine has ended by itself; start it again",
        ));
    }
    let json = json!({
        "started": counters.started,
        "completed": counters.completed,
        "compensated": counters.compensated,
        "transitions": counters.transitions,
        "commits": counters.commits,
        "ignored": counters.ignored,
        "dead_letters": counters.dead_letters + dead_letters,
        "forwarded": counters.forwarded,
        "fenced": counters.fenced,
        "in_doubt": counters.in_doubt,
        "violations": counters.violations,
        "other_events": counters.other_events,
        "misfits": counters.misfits,
        "starts_taken_in": starts,
        "events_taken_in": events,
        "wait_errors": wait_errors,
        "records_unmatched": unmatched,
        "sql_statements": store.statement_count(),
        "produce_requests": requests,
    });
    let text = format!(
        "drained: {} sagas begun here, {} completed, {} compensated, {} transitions in {} commits",
        counters.started,
        counters.completed,
        counters.compensated,
        counters.transitions,
        counters.commits
    );
    Ok(Answer::good(text, json))
}

/// Runs everything on this machine.
pub(crate) fn dev(
    context: &Context,
    args: &DevArgs,
    telemetry: &Telemetry,
) -> Result<Answer, CliError> {
    let config = context.config();
    if let Some(kafka) = config.kafka() {
        return Err(CliError::usage(format!(
            "`dev` runs a broker of its own, but kafka.bootstrap_servers is {}",
            kafka.bootstrap_servers
        ))
        .with_help("use `backstitch serve` with your own Kafka"));
    }
    let options = LaptopOptions {
        embedded: config.embedded()?,
        prefix: context.topics().prefix().to_owned(),
        definitions: config.definitions()?,
        sizes: (&config.topics).into(),
        workers_dir: (!args.no_workers).then(|| config.workers.data_dir.clone()),
        store: context.store()?,
        engine: Some(orchestrator_config(
            context,
            KafkaConfig::new("embedded"),
            telemetry,
        )?),
    };
    let laptop = context
        .block_on(Laptop::start(options))
        .map_err(CliError::from)?;
    say_where(&laptop);
    stay(context, laptop)
}

/// Tells where the laptop listens, on stderr: stdout is for answers.
pub(crate) fn say_where(laptop: &Laptop) {
    tracing::info!(
        kafka = laptop.kafka().bootstrap_servers,
        "serving on this machine; Ctrl-C ends it, and what it knows is there next time"
    );
}

/// Serves until asked to end, then drains.
pub(crate) fn stay(context: &Context, laptop: Laptop) -> Result<Answer, CliError> {
    context.block_on(until_asked_or(|| laptop.orchestrator().has_ended()));
    let counters = laptop.orchestrator().counters();
    context
        .block_on(laptop.drain())
        .map_err(|error| CliError::of(&error))?;
    let text = format!("drained: {} sagas begun here", counters.started);
    Ok(Answer::good(text, json!({ "started": counters.started })))
}

/// Waits for SIGTERM or Ctrl-C, or until `is_over`. Returns whether it was the latter.
pub(crate) async fn until_asked_or(is_over: impl Fn() -> bool) -> bool {
    let asked = asked_to_end();
    tokio::pin!(asked);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = &mut asked => return false,
            _ = look.tick() => {
                if is_over() {
                    return true;
                }
            }
        }
    }
}

/// Ends with SIGTERM or Ctrl-C.
pub(crate) async fn asked_to_end() {
    let interrupted = or_never(tokio::signal::ctrl_c());
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

/// Ends with SIGTERM.
#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => drop(terminated.recv().await),
        Err(error) => {
            tracing::warn!(%error, "SIGTERM will not drain, only Ctrl-C");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}

/// Waits for Ctrl-C. Where it cannot be heard, waiting for ever is right: the process is ended.
async fn or_never(interrupted: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = interrupted.await {
        tracing::warn!(%error, "Ctrl-C will not drain");
        std::future::pending::<()>().await;
    }
}

/// The engine's part of the configuration.
fn orchestrator_config(
    context: &Context,
    kafka: KafkaConfig,
    telemetry: &Telemetry,
) -> Result<OrchestratorConfig, CliError> {
    let config = context.config();
    let mut engine = OrchestratorConfig::new(kafka, context.topics());
    engine.instance_id = config.instance_id();
    engine.session_timeout = config.kafka.session_timeout;
    engine.fetch_pacing = config.kafka.fetch_pacing;
    engine.codec = context.codec()?;
    engine.schemas = config.event_schemas()?;
    // The inbox says how many partitions there are.
    engine.machine = Some(config.machine(1));
    engine.spans = telemetry.spans();
    Ok(engine)
}

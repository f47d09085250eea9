//! `broker`: the embedded broker alone, until it is asked to end.

use std::path::{Path, PathBuf};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, EmbeddedError};
use serde_json::json;

use super::answer::{Answer, say};
use super::args_kafka::BrokerArgs;
use super::context::Context;
use super::error::CliError;
use super::serve::asked_to_end;

/// Serves until asked to end.
pub(crate) fn broker(
    context: &Context,
    args: &BrokerArgs,
    as_json: bool,
) -> Result<Answer, CliError> {
    let config = context.config();
    let scratch = args.ephemeral.then(scratch).transpose()?;
    let folder: PathBuf = match (&scratch, &args.data_dir) {
        (Some(scratch), _) => scratch.path().to_owned(),
        (None, Some(folder)) => folder.clone(),
        (None, None) => config.embedded.dir.clone(),
    };
    let mut embedded = EmbeddedConfig {
        auto_create_topics: args.auto_create_topics,
        default_partitions: args.partitions,
        durable: !args.ephemeral,
        ..config.embedded_in(&folder)?
    };
    if let Some(listen) = args.listen {
        embedded.listen = listen;
    }
    context.block_on(serve(embedded, args.ephemeral, as_json))?;
    if let Some(scratch) = scratch {
        scratch.close().map_err(|error| {
            CliError::failed(format!("cannot remove {} again: {error}", folder.display()))
        })?;
    }
    Ok(Answer::said())
}

async fn serve(config: EmbeddedConfig, is_ephemeral: bool, as_json: bool) -> Result<(), CliError> {
    let asked = asked_to_end();
    tokio::pin!(asked);
    // Heard from here on: whoever reads where it serves may ask it to end at once.
    tokio::select! {
        biased;
        () = &mut asked => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let file = config.path.clone();
    let broker = EmbeddedBroker::start(config).map_err(in_the_way)?;
    say_where(&broker, &file, is_ephemeral, as_json)?;
    asked.await;
    broker.stop();
    Ok(())
}

fn scratch() -> Result<tempfile::TempDir, CliError> {
    tempfile::Builder::new()
        .prefix("backstitch-broker-")
        .tempdir()
        .map_err(|error| CliError::failed(format!("cannot make a folder: {error}")))
}

/// One line, as soon as clients can come.
fn say_where(
    broker: &EmbeddedBroker,
    file: &Path,
    is_ephemeral: bool,
    as_json: bool,
) -> Result<(), CliError> {
    let servers = broker.bootstrap_servers();
    let line = if as_json {
        let file = (!is_ephemeral).then(|| file.display().to_string());
        json!({
            "bootstrap_servers": servers,
            "port": broker.port(),
            "file": file,
            "ephemeral": is_ephemeral,
            "pid": std::process::id(),
        })
        .to_string()
    } else if is_ephemeral {
        format!("serving on {servers}, and keeping nothing; Ctrl-C ends it")
    } else {
        format!(
            "serving on {servers}, data in {}; Ctrl-C ends it",
            file.display()
        )
    };
    // Whoever listens no more may still be served.
    say(&line).map(|_| ())
}

/// The remedies in this command's own words.
fn in_the_way(error: EmbeddedError) -> CliError {
    match error {
        EmbeddedError::PortTaken { .. } => CliError::of(&error).with_help(
            "`--listen PORT` chooses another port, `--listen 0` a free one; what serves there already can be used \
             as it is: `backstitch topics list`",
        ),
        EmbeddedError::InUse { .. } => CliError::of(&error).with_help(
            "`--data-dir FOLDER` gives this one a file of its own, `--ephemeral` needs none",
        ),
        EmbeddedError::NotLoopback { .. }
        | EmbeddedError::Listen { .. }
        | EmbeddedError::Storage { .. }
        | EmbeddedError::Damaged { .. }
        | EmbeddedError::RecordsMissing { .. }
        | EmbeddedError::Lock { .. }
        | EmbeddedError::Layout { .. }
        | EmbeddedError::Thread { .. } => error.into(),
    }
}

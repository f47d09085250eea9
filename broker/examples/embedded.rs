//! Serves an embedded broker until its standard input is closed (or it is ended by a signal).
//!
//! `cargo run -p backstitch-broker --example embedded -- --path FILE --port N [--auto-create] [--clean-every MS]
//! [--idle MS] [--tail-bytes N] [--inline-bytes N] [--segment-bytes N] [--forget-after MS] [--failpoint "POINT NTH DOES"]` prints the bootstrap address as its first line.
//! Tests start it to kill it. Lines of its standard input arm failpoints while it serves, and each is answered by a line:
//! `arm POINT NTH DOES`, `await COUNT` (until the first one was reached so often), `count` (how often it was) and `disarm`.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, arm, disarm, reached, wait_for};

/// Longest wait for a failpoint to be reached.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let config = config(std::env::args().skip(1))?;
    let broker = EmbeddedBroker::start(config)?;
    let mut out = io::stdout();
    writeln!(out, "{}", broker.bootstrap_servers())?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", obey(&line?)?)?;
        out.flush()?;
    }
    broker.stop();
    Ok(())
}

fn obey(line: &str) -> Result<String, Box<dyn Error>> {
    Ok(match line.split_once(' ').unwrap_or((line, "")) {
        ("arm", failpoint) => {
            arm(failpoint.parse()?);
            "armed".to_owned()
        }
        ("await", count) => if wait_for(count.parse()?, PATIENCE) {
            "reached"
        } else {
            "never reached"
        }
        .to_owned(),
        ("count", "") => reached().to_string(),
        ("disarm", "") => {
            disarm();
            "disarmed".to_owned()
        }
        _ => return Err(format!("unknown line {line:?}").into()),
    })
}

fn config(mut args: impl Iterator<Item = String>) -> Result<EmbeddedConfig, Box<dyn Error>> {
    let mut config = EmbeddedConfig::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--path" => config.path = value()?.into(),
            "--port" => config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, value()?.parse()?)),
            "--auto-create" => config.auto_create_topics = true,
            "--clean-every" => config.clean_every = Duration::from_millis(value()?.parse()?),
            "--idle" => config.idle_max = Duration::from_millis(value()?.parse()?),
            "--tail-bytes" => config.tail_bytes_max = value()?.parse()?,
            "--inline-bytes" => config.inline_bytes_max = value()?.parse()?,
            "--segment-bytes" => config.segment_bytes = value()?.parse()?,
            "--forget-after" => {
                let after = Duration::from_millis(value()?.parse()?);
                (config.offsets_retention, config.producers_retention) = (after, after);
            }
            "--failpoint" => arm(value()?.parse()?),
            _ => {
                return Err(format!(
                    "unknown argument {arg}: there are --path FILE, --port N, --auto-create, --clean-every MS, --idle MS, \
                     --tail-bytes N, --inline-bytes N, --segment-bytes N, --forget-after MS and --failpoint \"POINT NTH DOES\""
                )
                .into());
            }
        }
    }
    Ok(config)
}

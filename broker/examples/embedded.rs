//! Serves an embedded broker until its standard input is closed (or it is ended by a signal).
//!
//! `cargo run -p backstitch-broker --example embedded -- --path FILE --port N [--auto-create]
//! [--clean-every MS] [--idle MS]` prints the bootstrap address as its only line. Tests start it to kill it.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let config = config(std::env::args().skip(1))?;
    let broker = EmbeddedBroker::start(config)?;
    let mut out = io::stdout();
    writeln!(out, "{}", broker.bootstrap_servers())?;
    out.flush()?;
    let mut ignored = [0; 256];
    while io::stdin().read(&mut ignored)? > 0 {}
    broker.stop();
    Ok(())
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
            _ => {
                return Err(format!(
                    "unknown argument {arg}: there are --path FILE, --port N, --auto-create, --clean-every MS and --idle MS"
                )
                .into());
            }
        }
    }
    Ok(config)
}

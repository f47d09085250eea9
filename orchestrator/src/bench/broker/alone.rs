//! The embedded broker as a process: how it starts, and what it uses when nothing comes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::children::{ask_to_end, cpu_us};
use super::super::plan::BenchError;

/// How long it may take to end.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// `backstitch broker`, on a free port.
#[derive(Debug)]
pub(super) struct Alone {
    child: Child,
    pub(super) bootstrap_servers: String,
    /// From the start of the process until it said where it serves.
    pub(super) started_in: Duration,
    dir: PathBuf,
}

impl Alone {
    pub(super) fn start(dir: &Path) -> Result<Alone, BenchError> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("broker.log"))?;
        let data = dir.join("data");
        let began = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["broker", "--json", "--listen", "0", "--data-dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let started_in = began.elapsed();
        let said: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&line).unwrap_or_default();
        let Some(servers) = said.get("bootstrap_servers").and_then(|s| s.as_str()) else {
            // It has said why in its log, and is gone or of no use.
            let _ = child.kill();
            let _ = child.wait();
            return Err(BenchError::Ended {
                name: "backstitch broker".to_owned(),
                log: std::fs::read_to_string(dir.join("broker.log")).unwrap_or_default(),
            });
        };
        Ok(Alone {
            bootstrap_servers: servers.to_owned(),
            child,
            started_in,
            dir: data,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return 0;
        };
        entries
            .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
            .sum()
    }

    /// What it uses when nothing comes, in per cent of a core.
    pub(super) fn idle_percent(&self, seconds: u64) -> f64 {
        let (before, began) = (cpu_us(self.id()), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let used = cpu_us(self.id()) - before;
        used as f64 / began.elapsed().as_micros() as f64 * 100.0
    }

    /// Asks it to end, and waits for that.
    pub(super) fn stop(mut self) {
        ask_to_end(self.id());
        let until = Instant::now() + STOP_WAIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a crash does.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is ours; an error means that it has ended meanwhile.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

//! The embedded broker as a process: how it starts, and what it uses when nothing comes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::children::{Process, cpu_us};
use super::super::plan::BenchError;

/// `backstitch broker`, on a free port.
#[derive(Debug)]
pub(super) struct Alone {
    process: Process,
    pub(super) bootstrap_servers: String,
    /// From the start of the process until it said where it serves.
    pub(super) started_in: Duration,
    data: PathBuf,
}

impl Alone {
    pub(super) fn start(dir: &Path) -> Result<Alone, BenchError> {
        let (data, log) = (dir.join("data"), dir.join("broker.log"));
        let mut arguments = ["broker", "--json", "--listen", "0", "--data-dir"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(data.display().to_string());
        let began = Instant::now();
        let mut process = Process::start("backstitch broker", &arguments, &BTreeMap::new(), &log)?;
        let line = process.first_line()?;
        let started_in = began.elapsed();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(servers) = said["bootstrap_servers"].as_str() else {
            return Err(BenchError::Ended {
                name: process.name.clone(),
                log: std::fs::read_to_string(log).unwrap_or_default(),
            });
        };
        Ok(Alone {
            bootstrap_servers: servers.to_owned(),
            process,
            started_in,
            data,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        bytes_in(&self.data)
    }

    /// What it uses when nothing comes, in per cent of a core.
    pub(super) fn idle_percent(&self, seconds: u64) -> f64 {
        let (before, began) = (cpu_us(self.id()), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let used = cpu_us(self.id()) - before;
        used as f64 / began.elapsed().as_micros() as f64 * 100.0
    }

    /// Asks it to end, and waits for that.
    pub(super) fn stop(self) {
        self.process.stop();
    }

    /// Ends it as a crash does.
    pub(super) fn kill(self) {
        drop(self);
    }
}

/// Bytes of the files in a folder and in those below it.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(&entry.path()),
        Ok(about) => about.len(),
        // It is gone.
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

//! The processes under measurement, and what CPU they used.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to drain.
const STOP_WAIT: Duration = Duration::from_secs(15);

/// A child process; ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    child: Child,
}

impl Process {
    /// Starts this program with other arguments. Its log goes to `log`.
    pub(super) fn start(
        name: &str,
        arguments: &[String],
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> std::io::Result<Self> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line of its standard output; empty when it ended without one. What else it says is lost.
    pub(super) fn first_line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if let Some(out) = self.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        Ok(line)
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, waits, and returns what it wrote to its standard output.
    pub(super) fn stop(mut self) -> String {
        ask_to_end(self.child.id());
        let until = Instant::now() + STOP_WAIT;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        if self.has_ended()
            && let Some(mut out) = self.child.stdout.take()
        {
            // What cannot be read is missing in the report, which says so.
            let _ = out.read_to_string(&mut said);
        }
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            // It is ours, and it did not end when asked.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// SIGTERM, by the one tool that every system has.
fn ask_to_end(id: u32) {
    let asked = Command::new("kill")
        .arg("-TERM")
        .arg(id.to_string())
        .status();
    if let Err(error) = asked {
        tracing::warn!(%error, "cannot ask a process to end");
    }
}

/// CPU time that a process has used, in microseconds. 0 where `/proc` has none.
pub(super) fn cpu_us(id: u32) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
        return 0;
    };
    // The second field is a name in brackets, which may hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0;
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    // A tick is 10 ms on every Linux that Rust's standard library supports.
    (ticks(11) + ticks(12)) * 10_000
}

/// The processes of a name, e.g. `postgres`.
pub(super) fn named(name: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|c| c.trim() == name)
        })
        .collect()
}

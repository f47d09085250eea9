//! What a process has and takes, as `/proc` tells.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) threads: usize,
    /// Open sockets.
    pub(crate) sockets: usize,
    /// Other open files: the broker's own, and what reads it.
    pub(crate) files: usize,
    pub(crate) memory_kib: usize,
}

impl Figures {
    pub(crate) fn of(pid: u32) -> Figures {
        // One may be closed between the list and the look.
        let open: Vec<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|file| fs::read_link(file.unwrap().path()).ok())
            .collect();
        let is_socket = |file: &&PathBuf| file.to_string_lossy().starts_with("socket:");
        let sockets = open.iter().filter(is_socket).count();
        Figures {
            threads: status(pid, "Threads:"),
            sockets,
            files: open.len() - sockets,
            memory_kib: status(pid, "VmRSS:"),
        }
    }
}

/// The most memory that the process had since [`forget_peak`], in KiB.
pub(crate) fn peak_kib(pid: u32) -> usize {
    status(pid, "VmHWM:")
}

pub(crate) fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// Processor time that the process has taken so far, to a hundredth of a second.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may have spaces; user and system time are the 12th and 13th words after it.
    let words: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = words[11..13]
        .iter()
        .map(|word| word.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}

/// How many files this process may open.
pub(crate) fn files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft = line.split_whitespace().nth(3).unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

fn status(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Looks until it is so; what another process does gives no signal.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        thread::park_timeout(Duration::from_millis(10));
    }
}

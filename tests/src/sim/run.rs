//! Runs a seed, or many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::faults::Bug;
use super::world::{BEGIN_MS, World};

/// How one seed went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The rule that was broken, or what was not settled in time.
    pub wrong: Option<String>,
    /// A hash of everything that happened, in order.
    pub hash: u64,
    /// Events of the run.
    pub events: u64,
    /// Things that went wrong in the world.
    pub fault_count: u64,
    /// Journal entries that were committed.
    pub transitions: u64,
    /// Simulated milliseconds.
    pub simulated_ms: i64,
    /// How often each situation was met.
    pub marks: BTreeMap<&'static str, u64>,
}

/// How many seeds went.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that found something wrong, by seed.
    pub wrong: Vec<Run>,
    /// Events, over all.
    pub events: u64,
    /// Faults, over all.
    pub fault_count: u64,
    /// Transitions, over all.
    pub transitions: u64,
    /// How often each situation was met, over all.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.fault_count += other.fault_count;
        self.transitions += other.transitions;
        self.wrong.extend(other.wrong);
        for (situation, count) in other.marks {
            *self.marks.entry(situation).or_insert(0) += count;
        }
    }

    fn add_run(&mut self, mut run: Run) {
        let marks = std::mem::take(&mut run.marks);
        self.add(Self {
            seeds: 1,
            events: run.events,
            fault_count: run.fault_count,
            transitions: run.transitions,
            marks,
            wrong: run.wrong.is_some().then_some(run).into_iter().collect(),
        });
    }
}

/// Runs one seed. The same seed gives the same run.
pub fn run(seed: u64, bug: Option<Bug>, is_traced: bool) -> Run {
    let mut world = World::new(seed, bug, is_traced);
    world.run();
    Run {
        seed,
        hash: world.hash,
        events: world.events,
        fault_count: world.fault_count,
        transitions: u64::try_from(world.judge.entries.len()).unwrap_or(u64::MAX),
        simulated_ms: world.now - BEGIN_MS,
        marks: world.marks,
        wrong: world.wrong,
    }
}

/// Runs so many seeds, from one on, on two threads.
pub fn run_many(from: u64, count: u64, bug: Option<Bug>) -> Tally {
    let next = AtomicU64::new(from);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let work = || {
            let mut own = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + count {
                    return own;
                }
                own.add_run(run(seed, bug, false));
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        for thread in threads {
            match thread.join() {
                Ok(own) => tally.add(own),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    tally.wrong.sort_by_key(|run| run.seed);
    tally
}

/// The command that replays a seed.
pub fn replay_command(seed: u64, bug: Option<Bug>) -> String {
    let bug = bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name()));
    format!("cargo run -p backstitch-tests --bin sim -- --seed {seed}{bug} --trace")
}

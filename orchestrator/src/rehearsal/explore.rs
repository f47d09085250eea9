//! The explorer: each path, each thing that can go otherwise on it, alone and in pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::coverage::{Coverage, Seen};
use super::rehearse::Rehearsal;
use super::run::{End, Moment, Run};
use super::script::{AskedKind, COMMIT, Case, Fault, plain, step_of};

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Draws which pairs are played where not all are. The same seed draws the same.
    pub seed: u64,
    /// Pairs that are played at most. 0: none.
    pub pairs_max: usize,
    /// Threads that play. At least 1.
    pub threads: usize,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            seed: 1,
            pairs_max: PAIRS_MAX,
            threads: 2,
        }
    }
}

/// Pairs that are played at most, if nothing else is said.
pub const PAIRS_MAX: usize = 10_000;
/// Of the occurrences of one step in a run, so many of the first are varied, and the last.
const OCCURRENCES_MAX: usize = 2;
/// Of the commits of a run, so many are varied at most.
const COMMITS_MAX: u64 = 60;

/// Runs that ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which path.
    pub path: usize,
    /// How the saga stands.
    pub end: End,
    /// What was undone, in the order of the first of them.
    pub undone: Vec<String>,
    /// How many runs.
    pub count: usize,
    /// The shortest and the longest, in milliseconds of the saga's time.
    pub took_ms: (i64, i64),
    /// The first of them.
    pub example: String,
    /// In how many it went on only because attempts without end found one.
    pub gave_in: usize,
    /// In how many a person's resume, once all goes well again, did not end it.
    pub stays: usize,
}

/// A run in which a rule was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which.
    pub case: Case,
    /// Which rule, and where.
    pub what: String,
    /// Everything that happened.
    pub story: Vec<Moment>,
}

/// What came of it all.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// By path, the most frequent first.
    pub groups: Vec<Group>,
    /// Runs in all.
    pub cases: usize,
    /// Of them, runs with one thing otherwise.
    pub singles: usize,
    /// Of them, runs with two.
    pub pairs: usize,
    /// Pairs that were not played.
    pub pairs_cut: usize,
    /// The run with the shortest history in which a rule was broken.
    pub broken: Option<Broken>,
    /// In how many runs one was.
    pub broken_count: usize,
    /// What was seen at work.
    pub coverage: Coverage,
    /// What could not be played, in words.
    pub notes: BTreeSet<String>,
}

/// What is kept of a run.
struct Summary {
    case: Case,
    end: End,
    undone: Vec<String>,
    took_ms: i64,
    gave_in: bool,
    stays: bool,
    violation: Option<String>,
    transitions: usize,
    seen: Seen,
    notes: BTreeSet<String>,
    /// What can go otherwise after this, by mark.
    next: Vec<(String, &'static [Fault])>,
}

impl Rehearsal {
    /// Plays each path, then each thing that can go otherwise on it, then pairs of these.
    ///
    /// The same definitions, event and seed give the same answer, on however many threads.
    pub fn explore(&self, extent: Extent) -> Explored {
        let plain: Vec<Case> = (0..self.paths.all.len()).map(Case::plain).collect();
        let base = self.play_all(plain, extent.threads);
        let singles = self.play_all(followers(&base, usize::MAX, extent.seed).0, extent.threads);
        let is_broken = |all: &[Summary]| all.iter().any(|one| one.violation.is_some());
        // What is broken by one thing is shown best by that one.
        let (pairs, pairs_cut) = if is_broken(&base) || is_broken(&singles) {
            (Vec::new(), 0)
        } else {
            followers(&singles, extent.pairs_max, extent.seed)
        };
        let pairs = self.play_all(pairs, extent.threads);
        let mut explored = Explored {
            cases: base.len() + singles.len() + pairs.len(),
            singles: singles.len(),
            pairs: pairs.len(),
            pairs_cut,
            ..Explored::default()
        };
        let all: Vec<Summary> = base.into_iter().chain(singles).chain(pairs).collect();
        self.sum_up(&all, &mut explored);
        explored
    }

    fn sum_up(&self, all: &[Summary], explored: &mut Explored) {
        // Side by side, things are undone in one order or another.
        let mut groups: BTreeMap<(usize, &End, BTreeSet<&String>), Group> = BTreeMap::new();
        let mut seen = Seen::default();
        for one in all {
            seen.add(&one.seen);
            explored.notes.extend(one.notes.iter().cloned());
            if one.violation.is_some() {
                explored.broken_count += 1;
                continue;
            }
            let group = groups
                .entry((one.case.path, &one.end, one.undone.iter().collect()))
                .or_insert_with(|| Group {
                    path: one.case.path,
                    end: one.end.clone(),
                    undone: one.undone.clone(),
                    count: 0,
                    took_ms: (i64::MAX, i64::MIN),
                    example: one.case.to_string(),
                    gave_in: 0,
                    stays: 0,
                });
            group.count += 1;
            group.gave_in += usize::from(one.gave_in);
            group.stays += usize::from(one.stays);
            group.took_ms.0 = group.took_ms.0.min(one.took_ms);
            group.took_ms.1 = group.took_ms.1.max(one.took_ms);
        }
        explored.groups = groups.into_values().collect();
        explored
            .groups
            .sort_by_key(|group| (group.path, std::cmp::Reverse(group.count)));
        let shortest = all
            .iter()
            .filter(|one| one.violation.is_some())
            .min_by_key(|one| (one.case.faults.len(), one.transitions));
        explored.broken = shortest.map(|one| {
            let run = self.play(&one.case, true);
            Broken {
                case: one.case.clone(),
                what: one.violation.clone().unwrap_or_default(),
                story: run.map(|run| run.story).unwrap_or_default(),
            }
        });
        let definitions = self.cast.by_name.values().map(|one| &**one);
        explored.coverage = Coverage::of(definitions, &seen, &self.paths.unsolved);
    }

    /// Plays cases side by side; the answers are in the order of the cases.
    fn play_all(&self, cases: Vec<Case>, threads: usize) -> Vec<Summary> {
        let next = AtomicUsize::new(0);
        let play = || {
            let mut mine = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                match cases.get(n) {
                    Some(case) => mine.push((n, self.summary(case))),
                    None => return mine,
                }
            }
        };
        let mut done: Vec<(usize, Summary)> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(cases.len()))
                .map(|_| scope.spawn(play))
                .collect();
            let mut done = play();
            for other in others {
                done.extend(other.join().expect("playing a case does not panic"));
            }
            done
        });
        done.sort_by_key(|(n, _)| *n);
        done.into_iter().map(|(_, summary)| summary).collect()
    }

    fn summary(&self, case: &Case) -> Summary {
        match self.play(case, false) {
            Ok(run) => Summary {
                next: if case.faults.len() < 2 {
                    next_faults(case, &run)
                } else {
                    Vec::new()
                },
                case: case.clone(),
                transitions: run.asked.len(),
                end: run.end.plain(),
                undone: run.undone,
                took_ms: run.took_ms,
                gave_in: run.gave_in,
                // What should start something and starts nothing is as bad as a broken rule.
                violation: run
                    .violation
                    .or_else(|| self.starts_nothing(case.path, &run.end, run.reason)),
                stays: matches!(run.resumed, Some(End::Parked { .. } | End::Waiting { .. })),
                seen: run.seen,
                notes: run.notes,
            },
            Err(why) => Summary {
                case: case.clone(),
                end: End::Nothing,
                undone: Vec::new(),
                took_ms: 0,
                gave_in: false,
                stays: false,
                violation: None,
                transitions: 0,
                seen: Seen::default(),
                notes: BTreeSet::from([why]),
                next: Vec::new(),
            },
        }
    }
}

/// The cases that have one thing more otherwise than these, or as many of them as are wanted, drawn
/// evenly; and how many were left out.
fn followers(all: &[Summary], most: usize, seed: u64) -> (Vec<Case>, usize) {
    let of = |one: &Summary| {
        one.next
            .iter()
            .map(|(_, faults)| faults.len())
            .sum::<usize>()
    };
    let total: usize = all.iter().map(of).sum();
    let count = total.min(most);
    let mut wanted = (0..count).map(|n| {
        let (from, to) = (n * total / count, (n + 1) * total / count);
        let draw = mixed(seed, u64::try_from(n).unwrap_or(u64::MAX));
        from + usize::try_from(draw).unwrap_or(0) % (to - from).max(1)
    });
    let mut next = wanted.next();
    let mut cases = Vec::with_capacity(count);
    let mut number = 0;
    for one in all {
        for (mark, faults) in &one.next {
            for fault in *faults {
                if next == Some(number) {
                    cases.push(one.case.with(mark, *fault));
                    next = wanted.next();
                }
                number += 1;
            }
        }
    }
    (cases, total - count)
}

/// What can go otherwise after what has gone otherwise in a run already.
fn next_faults(case: &Case, run: &Run) -> Vec<(String, &'static [Fault])> {
    let last = case.faults.last();
    // After a crash, everything can go otherwise, but for a crash.
    let after = last.and_then(|(mark, _)| run.asked.iter().position(|one| one.mark == *mark));
    let has_crashed = last.is_some_and(|(mark, _)| mark.starts_with(COMMIT));
    let mut faults = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in &run.asked {
        *counts.entry(plain(&one.mark)).or_insert(0) += 1;
    }
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for (n, one) in run.asked.iter().enumerate() {
        let step = plain(&one.mark);
        let number = met.entry(step.clone()).or_insert(0);
        *number += 1;
        let is_last = counts.get(&step) == Some(number);
        if *number > OCCURRENCES_MAX && !is_last {
            continue;
        }
        // A pair is played once: what is asked for later comes second. The undo of the same step is
        // another thing.
        if after.is_some_and(|after| n <= after) {
            continue;
        }
        // A wait without end cannot be too late.
        let is_limited = match one.kind {
            AskedKind::Wait | AskedKind::Approve => one.due_ms.is_some(),
            AskedKind::Start
            | AskedKind::Do
            | AskedKind::Undo
            | AskedKind::Sleep
            | AskedKind::Run
            | AskedKind::Commit => true,
        };
        faults.push((one.mark.clone(), Fault::of(one.kind, is_limited)));
        if one.deadline_ms.is_some() {
            faults.push((one.mark.clone(), &[Fault::Deadline]));
        }
    }
    if has_crashed {
        return faults;
    }
    let kinds = Fault::of(AskedKind::Commit, true);
    // Together with something else, a lost answer shows what a crash after the commit does.
    let kinds = if last.is_some() { &kinds[..2] } else { kinds };
    for number in 1..=run.commits.min(COMMITS_MAX) {
        faults.push((format!("{COMMIT}{number}"), kinds));
    }
    faults
}

/// Mixes the bits of a seed and a number: the finisher of SplitMix64.
fn mixed(seed: u64, number: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(number.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Occurrences in a row, those of the same step as one with its count.
pub fn told(occurrences: &[String]) -> String {
    let mut parts: Vec<(&str, usize)> = Vec::new();
    for occurrence in occurrences {
        let step = step_of(occurrence);
        match parts.last_mut() {
            Some((last, count)) if *last == step => *count += 1,
            _ => parts.push((step, 1)),
        }
    }
    let parts = parts.into_iter().map(|(step, count)| match count {
        1 => step.to_owned(),
        count => format!("{step} ×{count}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

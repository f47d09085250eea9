//! The world in a simulation: many seeds, the seeds that once found something, and bugs that are
//! planted to see that it would find them.
//!
//! `BACKSTITCH_SIM_SEEDS` says how many seeds are run (default 5,000), `BACKSTITCH_SIM_FROM` from
//! which one on (default 0).

use std::time::Instant;

use backstitch_tests::sim::{Bug, Run, replay_command, run, run_many};

const SEEDS_DEFAULT: u64 = 5_000;
/// Seeds for each planted bug; more, up to the limit, only if none of these catches it.
const SAMPLE: u64 = 60;
const SAMPLE_MAX: u64 = 2_000;

/// What a thousand seeds have to meet.
const SITUATIONS: [&str; 18] = [
    "a saga waited for its definition",
    "a worker said that it was still at it",
    "a commit was fenced",
    "a part of a commit was fenced",
    "a commit in doubt was carried out",
    "a commit in doubt was not carried out by then",
    "a commit in doubt was carried out late",
    "a commit in doubt came too late",
    "a worker repeated its answer",
    "an undo left a tombstone",
    "a do met a tombstone",
    "a stray was sent on",
    "a dead letter was written",
    "a shard had two owners",
    "an owner was too slow to let go",
    "a process drained",
    "a saga was parked",
    "a saga was compensated",
];

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn complain(wrong: &[Run], bug: Option<Bug>) -> String {
    let mut text = format!("{} seeds found something wrong:\n", wrong.len());
    for run in wrong.iter().take(10) {
        let what = run.wrong.as_deref().unwrap_or_default();
        text += &format!("{what}\n    {}\n", replay_command(run.seed, bug));
    }
    text
}

#[test]
fn whatever_goes_wrong_every_saga_ends_whole() {
    let from = number("BACKSTITCH_SIM_FROM", 0);
    let count = number("BACKSTITCH_SIM_SEEDS", SEEDS_DEFAULT);
    let begun = Instant::now();
    let tally = run_many(from, count, None);
    println!(
        "{} seeds in {:.1} s: {} events, {} transitions, {} faults",
        tally.seeds,
        begun.elapsed().as_secs_f64(),
        tally.events,
        tally.transitions,
        tally.fault_count
    );
    for (situation, count) in &tally.marks {
        println!("{count:>9}  {situation}");
    }
    assert!(tally.wrong.is_empty(), "{}", complain(&tally.wrong, None));
    assert_eq!(tally.seeds, count);
    // A world in which these do not happen shows less than it says.
    let never: Vec<&str> = SITUATIONS
        .into_iter()
        .filter(|situation| count >= 1_000 && !tally.marks.contains_key(situation))
        .collect();
    assert!(never.is_empty(), "never met: {never:?}");
}

#[test]
fn seeds_that_once_found_something_find_nothing_more() {
    let listed = include_str!("../seeds.txt");
    let seeds = listed.lines().filter(|line| !line.starts_with('#'));
    let wrong: Vec<Run> = seeds
        .filter_map(|line| line.split_whitespace().next())
        .map(|seed| run(seed.parse().unwrap(), None, false))
        .filter(|run| run.wrong.is_some())
        .collect();
    assert!(wrong.is_empty(), "{}", complain(&wrong, None));
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in 0..50 {
        let (once, again) = (run(seed, None, false), run(seed, None, false));
        assert_eq!(once, again, "{}", replay_command(seed, None));
    }
}

#[test]
fn planted_bugs_are_caught() {
    let mut missed = Vec::new();
    println!(
        "{:24} {:>10} {:>12}   what it finds",
        "bug", "caught", "first seed"
    );
    for bug in Bug::ALL {
        let mut tally = run_many(0, SAMPLE, Some(bug));
        let mut from = SAMPLE;
        while tally.wrong.is_empty() && from < SAMPLE_MAX && !bug.is_masked() {
            let more = run_many(from, SAMPLE, Some(bug));
            from += SAMPLE;
            tally.seeds += more.seeds;
            tally.wrong.extend(more.wrong);
        }
        let share = tally.wrong.len() as f64 * 100.0 / tally.seeds as f64;
        let first = tally.wrong.first();
        let seed = first.map_or_else(|| "-".to_owned(), |run| run.seed.to_string());
        let what = first.and_then(|run| run.wrong.clone()).unwrap_or_default();
        let what: String = what.chars().take(90).collect();
        println!("{:24} {share:>8.1} % {seed:>12}   {what}", bug.name());
        // A masked one shows nothing: what it leaves of the guard is enough.
        if tally.wrong.is_empty() != bug.is_masked() {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not as expected: {missed:?}");
}

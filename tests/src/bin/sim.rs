//! Replays seeds of the simulation: `sim --seed N [--bug NAME] [--trace]`, or `sim --seeds N
//! [--from M] [--bug NAME]`.

#![expect(
    clippy::print_stdout,
    reason = "a command that answers on its standard output"
)]

use std::process::ExitCode;
use std::time::Instant;

use backstitch_tests::sim::{Bug, replay_command, run, run_many};

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    bug: Option<Bug>,
    is_traced: bool,
}

fn main() -> ExitCode {
    let asked = match read() {
        Ok(asked) => asked,
        Err(what) => {
            let bugs: Vec<String> = Bug::ALL.iter().map(|bug| bug.name()).collect();
            println!("{what}\n\nsim --seed N [--bug NAME] [--trace]");
            println!(
                "sim --seeds N [--from M] [--bug NAME]\n\nbugs: {}",
                bugs.join(" ")
            );
            return ExitCode::from(2);
        }
    };
    match (asked.seed, asked.seeds) {
        (Some(seed), _) => one(seed, &asked),
        (None, seeds) => many(seeds.unwrap_or(1_000), &asked),
    }
}

fn one(seed: u64, asked: &Asked) -> ExitCode {
    let run = run(seed, asked.bug, asked.is_traced);
    println!("{run:#?}");
    ExitCode::from(u8::from(run.wrong.is_some()))
}

fn many(count: u64, asked: &Asked) -> ExitCode {
    let begun = Instant::now();
    let tally = run_many(asked.from, count, asked.bug);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds in {seconds:.1} s, {} events, {} transitions, {} faults, {} wrong",
        tally.seeds,
        tally.events,
        tally.transitions,
        tally.fault_count,
        tally.wrong.len()
    );
    for (situation, count) in &tally.marks {
        println!("{count:>9}  {situation}");
    }
    for run in tally.wrong.iter().take(20) {
        let wrong = run.wrong.as_deref().unwrap_or_default();
        println!("{wrong}\n  {}", replay_command(run.seed, asked.bug));
    }
    ExitCode::from(u8::from(!tally.wrong.is_empty()))
}

fn read() -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--trace" {
            asked.is_traced = true;
            continue;
        }
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{value} is no number"))
        };
        match word.as_str() {
            "--seed" => asked.seed = Some(number()?),
            "--seeds" => asked.seeds = Some(number()?),
            "--from" => asked.from = number()?,
            "--bug" => {
                asked.bug = Some(Bug::from_name(&value).ok_or(format!("no bug is named {value}"))?);
            }
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(asked)
}

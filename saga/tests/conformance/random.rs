//! Whole histories of definitions that nobody wrote, with everything that may go wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;

use backstitch_saga::core::{ActKind, LineKind, LineStatus, Status};
use backstitch_saga::definition::Definition;
use serde_json::json;

use super::generated::{event, family};
use super::world::{Mutant, World};
use crate::core_support::chance::Chance;

/// How many histories the test goes through.
const RUNS: u64 = 50_000;
/// What the first is drawn from; the others follow.
const SEED: u64 = 1;

/// How many histories the same definitions have.
const PER_FAMILY: u64 = 10;

/// What happens in a history before everything turns good.
const MOVES: usize = 60;

pub(super) const PARENTS: [&str; 2] = ["parent/a", "parent/b"];

#[derive(Debug, Default)]
pub(super) struct Census {
    ends: BTreeMap<&'static str, usize>,
    pub(super) transitions: usize,
    crashes: usize,
    sagas: usize,
    /// By verb: how many were asked.
    lines: BTreeMap<&'static str, usize>,
}

/// One history, all of it drawn from a seed.
fn history(seed: u64) -> World {
    history_of(seed, None)
}

/// One history of a world with a mistake in it.
pub(super) fn history_of(seed: u64, mutant: Option<Mutant>) -> World {
    let definitions = family_of(seed);
    let mut chance = Chance::from_seed(seed ^ 0x5eed);
    let mut world = World::of(definitions);
    world.hasty = true;
    world.mutant = mutant;
    world.chance = Some(Chance::from_seed(chance.next()));
    world.workers.chance = Some(Chance::from_seed(chance.next()));
    for key in PARENTS {
        let (name, key) = key.split_once('/').unwrap();
        let event = event(&mut chance, world.now_ms);
        world.begin(name, key, &event);
    }
    for _ in 0..MOVES {
        happens(&mut world, &mut chance);
    }
    settle(&mut world);
    world
}

/// Definitions take longer to draw and to check than to run.
fn family_of(seed: u64) -> Vec<Definition> {
    thread_local! {
        static LATEST: RefCell<(u64, Vec<Definition>)> = const { RefCell::new((0, Vec::new())) };
    }
    let number = seed / PER_FAMILY;
    LATEST.with_borrow_mut(|(latest, known)| {
        if known.is_empty() || *latest != number {
            *known = family(&mut Chance::from_seed(number));
            *latest = number;
        }
        known.clone()
    })
}

/// Something happens.
fn happens(world: &mut World, chance: &mut Chance) {
    let keys = |world: &World| -> Vec<String> { world.sagas.keys().cloned().collect() };
    match chance.below(40) {
        0 => {
            let good = !chance.is_one_in(4);
            world.record(
                "news",
                &json!({ "k": *chance.of(&["k0", "k1", "a", "k00"]), "good": good }),
            );
        }
        1 | 2 => {
            let key = chance.of(&keys(world)).clone();
            let role = *chance.of(&["boss", "clerk"]);
            let yes = !chance.is_one_in(3);
            if world.saga(&key).mailbox().is_none() {
                world.decide(&key, None, role, yes);
            }
        }
        3 if chance.is_one_in(2) => acts(world, chance),
        4 => {
            let key = chance.of(&keys(world)).clone();
            world.crash(&key);
        }
        5 => world.let_late(),
        6 | 7 => time_passes(world),
        _ => {
            if !world.deliver() {
                time_passes(world);
            }
        }
    }
}

fn acts(world: &mut World, chance: &mut Chance) {
    let sagas: Vec<String> = world.sagas_only().map(|r| r.saga.key.clone()).collect();
    let key = chance.of(&sagas).clone();
    let at = world.saga(&key).parked.as_ref().and_then(|p| p.at.clone());
    let kinds = [
        ActKind::Cancel,
        ActKind::Cancel,
        ActKind::Resume,
        ActKind::Resume,
        ActKind::Retry,
        ActKind::Waive,
    ];
    let kind = match chance.is_one_in(30) {
        true => ActKind::Terminate,
        false => *chance.of(&kinds),
    };
    world.act(&key, kind, at.as_deref());
}

fn time_passes(world: &mut World) {
    if let Some(next) = world.next_wake_ms() {
        world.now_ms = world.now_ms.max(next);
        world.wake();
    }
}

/// From here on workers do their work, records come, and people see to what is set aside: everything
/// comes to its end.
fn settle(world: &mut World) {
    world.workers.chance = None;
    let mut helped: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..5_000 {
        if world.deliver() {
            continue;
        }
        if world.workers.holds_back() {
            world.let_late();
            continue;
        }
        world.is_at_rest().unwrap_or_else(|wrong| panic!("{wrong}"));
        let before = world.queue.len();
        let open: Vec<String> = world
            .sagas_only()
            .filter(|running| !running.saga.status.has_ended())
            .map(|running| running.saga.key.clone())
            .collect();
        if open.is_empty() && world.queue.is_empty() {
            return;
        }
        for key in open {
            help(world, &key, &mut helped);
        }
        if world.queue.len() == before {
            time_passes(world);
        }
    }
    let open: Vec<_> = world
        .sagas_only()
        .filter(|running| !running.saga.status.has_ended())
        .collect();
    panic!("there is no end to it: {open:#?}");
}

fn help(world: &mut World, key: &str, helped: &mut BTreeMap<String, usize>) {
    let saga = world.saga(key);
    if let Some(parked) = saga.parked.clone() {
        let times = helped.entry(key.to_owned()).or_default();
        *times += 1;
        let stuck = saga.lines.iter().find(|l| l.status == LineStatus::Stuck);
        let stuck = stuck.map(|line| line.occurrence.clone());
        let at = stuck.or(parked.at);
        match *times % 7 {
            1 | 2 => world.act(key, ActKind::Resume, None),
            3 | 4 => world.act(key, ActKind::Waive, at.as_deref()),
            5 => world.act(key, ActKind::Retry, at.as_deref()),
            6 => world.act(key, ActKind::Cancel, None),
            _ if *times > 40 => world.act(key, ActKind::Terminate, None),
            _ => {}
        }
        return;
    }
    let waits = saga
        .lines
        .iter()
        .find(|line| line.kind == LineKind::Wait && line.status == LineStatus::InFlight);
    if let Some(line) = waits {
        let target = line.target.clone().unwrap();
        let value = target.split_once('/').unwrap().1.to_owned();
        world.record("news", &json!({ "k": value, "good": true }));
    }
    let approval = world
        .saga(key)
        .lines
        .iter()
        .find(|line| line.kind == LineKind::Approve && line.status == LineStatus::InFlight);
    if let Some(line) = approval {
        let occurrence = line.occurrence.clone();
        world.decide(key, Some(&occurrence), "boss", true);
    }
}

impl Census {
    fn count(&mut self, world: &World) {
        self.transitions += world.transitions;
        self.crashes += world.crash_count;
        for running in world.sagas_only() {
            self.sagas += 1;
            *self.ends.entry(running.saga.status.name()).or_default() += 1;
            for line in &running.saga.lines {
                *self.lines.entry(line.kind.name()).or_default() += 1;
            }
        }
    }
}

/// `SEED=… cargo test -p backstitch-saga --test conformance drawn` goes through one again, and tells it.
#[test]
fn drawn_definitions_keep_every_rule_whatever_happens() {
    let one: Option<u64> = std::env::var("SEED").ok().map(|text| text.parse().unwrap());
    let runs = std::env::var("RUNS").map_or(RUNS, |text| text.parse().unwrap());
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => SEED..SEED + runs,
    };
    let mut census = Census::default();
    let mut bad: Vec<(u64, String)> = Vec::new();
    for seed in seeds {
        if one.is_some() {
            tell(seed);
        }
        let seen = std::panic::catch_unwind(|| {
            let world = history(seed);
            world.judge().unwrap_or_else(|wrong| panic!("{wrong}"));
            let mut census = Census::default();
            census.count(&world);
            census
        });
        match seen {
            Ok(one) => census.add(one),
            Err(_) => {
                println!("SEED={seed}");
                bad.push((seed, String::new()));
                assert!(bad.len() < 20, "{bad:?}");
            }
        }
    }
    println!("{census:?}");
    assert!(bad.is_empty(), "{bad:?}");
    if one.is_none() && runs == RUNS {
        assert!(census.ends[Status::Completed.name()] > 10_000, "{census:?}");
        assert!(
            census.ends[Status::Compensated.name()] > 10_000,
            "{census:?}"
        );
        assert!(census.crashes > 50_000, "{census:?}");
        for verb in ["do", "wait", "sleep", "approve", "run"] {
            assert!(census.lines[verb] > 5_000, "{census:?}");
        }
    }
}

fn tell(seed: u64) {
    for definition in family(&mut Chance::from_seed(seed / PER_FAMILY)) {
        println!("{}", definition.source);
    }
}

impl Census {
    fn add(&mut self, other: Self) {
        self.transitions += other.transitions;
        self.crashes += other.crashes;
        self.sagas += other.sagas;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        for (kind, count) in other.lines {
            *self.lines.entry(kind).or_default() += count;
        }
    }
}

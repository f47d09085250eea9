//! Orchestrator processes: a real machine each, and a shell that only carries effects out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backstitch_orchestrator::engine::Book;
use backstitch_orchestrator::engine::machine::{Effect, Input, Machine, Report};
use backstitch_orchestrator::store::ShardId;

use super::storekeeper::Ask;
use super::world::{Event, Life, World};

/// One process, over all its lives.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) machine: Option<Machine>,
    pub(super) life: u64,
    pub(super) is_paused: bool,
    pub(super) is_draining: bool,
    /// What came while it was paused.
    waiting: VecDeque<Input>,
    turn_is_due: bool,
    /// The next time at which it will be woken, as the world has it.
    wakes_at: Option<i64>,
    /// What its clock is ahead.
    pub(super) skew_ms: i64,
    pub(super) readers: BTreeMap<ShardId, Reader>,
    /// Counts its producers.
    pub(super) producer: u64,
    /// When the latest record on its way to a partition arrives.
    pub(super) arrivals: BTreeMap<(String, i32), i64>,
    /// When the latest batch is acknowledged.
    pub(super) acked_at: i64,
    /// When the latest news of the group reach it.
    pub(super) group_at: i64,
    /// What it was told that it owns.
    pub(super) told: BTreeSet<ShardId>,
}

/// Reads one partition of the inbox.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) generation: u64,
    pub(super) next: i64,
    pub(super) is_paused: bool,
    /// Whether it has read all there is.
    pub(super) is_waiting: bool,
    /// When the latest records that it read are handed over.
    pub(super) handed_at: i64,
}

impl Process {
    pub(super) fn dead() -> Self {
        Self {
            machine: None,
            life: 0,
            is_paused: false,
            is_draining: false,
            waiting: VecDeque::new(),
            turn_is_due: false,
            wakes_at: None,
            skew_ms: 0,
            readers: BTreeMap::new(),
            producer: 0,
            arrivals: BTreeMap::new(),
            acked_at: 0,
            group_at: 0,
            told: BTreeSet::new(),
        }
    }
}

impl World {
    /// Starts a process, unless it runs.
    pub(super) fn start_process(&mut self, process: usize) {
        if self.processes[process].machine.is_some() {
            return;
        }
        let life = self.processes[process].life + 1;
        let mut book = Book::default();
        let known = [&self.scenario.definition, &self.scenario.successor];
        book.publish(known[self.rng.below(2)].clone());
        let machine = Machine::new(self.scenario.machine.clone(), self.codec.clone(), book);
        let skew_ms = if self.faults.clock > 0 {
            self.rng.between(-400, 400)
        } else {
            0
        };
        self.processes[process] = Process {
            machine: Some(machine),
            life,
            skew_ms,
            ..Process::dead()
        };
        self.trace(|_| format!("process {process} starts its life {life}, {skew_ms} ms ahead"));
    }

    /// A process dies. What it has sent is on its way, up to a point.
    pub(super) fn kill(&mut self, process: usize) {
        let of = self.life_of(process);
        self.cut_producer(of);
        self.processes[process] = Process {
            life: of.number,
            ..Process::dead()
        };
        self.trace(|_| format!("process {process} is dead"));
        let wait = self.rng.between(5, 300);
        self.after(wait, Event::Restart(process));
    }

    pub(super) fn life_of(&self, process: usize) -> Life {
        Life {
            process,
            number: self.processes[process].life,
        }
    }

    /// The process, if it still lives this life.
    pub(super) fn living(&mut self, of: Life) -> Option<&mut Process> {
        let process = self.processes.get_mut(of.process)?;
        (process.life == of.number && process.machine.is_some()).then_some(process)
    }

    pub(super) fn deliver(&mut self, to: Life, input: Input) {
        let now = self.now;
        let Some(process) = self.living(to) else {
            return;
        };
        if process.is_paused {
            process.waiting.push_back(input);
            return;
        }
        let local = now + process.skew_ms;
        if let Some(machine) = &mut process.machine {
            machine.take(input, local);
        }
        self.turn_soon(to);
    }

    fn turn_soon(&mut self, of: Life) {
        let Some(process) = self.living(of) else {
            return;
        };
        if !process.turn_is_due && !process.is_paused {
            process.turn_is_due = true;
            let wait = self.rng.between(0, 2);
            self.after(wait, Event::Turn(of));
        }
    }

    pub(super) fn wake(&mut self, of: Life) {
        let now = self.now;
        let Some(process) = self.living(of) else {
            return;
        };
        if process.wakes_at.is_some_and(|at| at <= now) {
            process.wakes_at = None;
            self.turn_soon(of);
        }
    }

    /// A paused process goes on, with what has come for it meanwhile.
    pub(super) fn go_on(&mut self, of: Life) {
        let Some(process) = self.living(of) else {
            return;
        };
        if !std::mem::take(&mut process.is_paused) {
            return;
        }
        if !process.waiting.is_empty() {
            self.mark("a process went on with what came while it stood still");
        }
        let Some(process) = self.living(of) else {
            return;
        };
        let waiting = std::mem::take(&mut process.waiting);
        process.turn_is_due = false;
        for input in waiting {
            self.deliver(of, input);
        }
        self.turn_soon(of);
    }

    pub(super) fn turn(&mut self, of: Life) {
        let now = self.now;
        let Some(process) = self.living(of) else {
            return;
        };
        if process.is_paused || !std::mem::take(&mut process.turn_is_due) {
            return;
        }
        let local = now + process.skew_ms;
        let skew = process.skew_ms;
        let Some(machine) = &mut process.machine else {
            return;
        };
        let effects = machine.turn(local);
        let wake = machine.next_wake_ms().map(|at| (at - skew).max(now + 1));
        let violations = machine.counters().violations;
        if violations > 0 {
            self.fail(format!("process {} found a rule broken", of.process));
        }
        for effect in effects {
            self.carry_out(of, effect);
        }
        self.wake_by(of, wake);
    }

    fn wake_by(&mut self, of: Life, wake: Option<i64>) {
        let Some(process) = self.living(of) else {
            return;
        };
        if let Some(at) = wake
            && process.wakes_at.is_none_or(|known| at < known)
        {
            process.wakes_at = Some(at);
            self.at(at, Event::Wake(of));
        }
    }

    fn carry_out(&mut self, of: Life, effect: Effect) {
        if self.is_traced {
            self.trace(|_| {
                let line = format!("  process {} asks: {effect:?}", of.process);
                line.chars().take(500).collect()
            });
        }
        match effect {
            Effect::Claim(shards) => self.ask_store(of, Ask::Claim(shards)),
            Effect::ReadOutbox {
                shard,
                epoch,
                after_seq,
                limit,
            } => self.ask_store(of, Ask::Outbox(shard, epoch, after_seq, limit)),
            Effect::ReadDue {
                shard,
                epoch,
                after,
                until_ms,
                limit,
            } => self.ask_store(of, Ask::Due(shard, epoch, after, until_ms, limit)),
            Effect::Load { shards, keys } => self.ask_store(of, Ask::Load(shards, keys)),
            Effect::ReadDefinitions => self.ask_store(of, Ask::Definitions),
            Effect::Commit { ticket, plan } => self.send_commit(of, ticket, plan),
            Effect::Release(held) => self.ask_store(of, Ask::Release(held)),
            Effect::Read {
                shard,
                offset,
                generation,
            } => self.read_from(of, shard, offset, generation),
            Effect::Pause(shard) => self.pause_reader(of, shard),
            Effect::Resume(shard) => self.resume_reader(of, shard),
            Effect::Publish { batch, records } => self.publish(of, batch, records),
            Effect::LetGo(shards) => self.let_go(of, &shards),
            Effect::Drained => self.drained(of),
            Effect::Report(report) => {
                self.mark(match &report {
                    Report::Fenced(_) => "a machine was fenced",
                    Report::InDoubt(_) => "a machine was in doubt",
                    Report::Refused(_) => "a machine was refused",
                    Report::DeadLetter { .. } => "a machine put a record aside",
                    Report::Parked { .. } => "a saga was parked",
                    Report::OtherEvent { .. } => "a saga was to be started with another event",
                    Report::Violation(_) => "a machine found a rule broken",
                });
                if let Report::Violation(what) = &report {
                    let what = what.clone();
                    self.fail(format!("process {} reports: {what}", of.process));
                }
            }
        }
    }

    fn drained(&mut self, of: Life) {
        self.trace(|_| format!("process {} has finished", of.process));
        if self.living(of).is_some() {
            self.mark("a process drained");
            self.kill(of.process);
        }
    }
}

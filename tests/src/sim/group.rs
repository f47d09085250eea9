//! The group: who reads which partition, and who believes so.

use std::collections::BTreeMap;

use backstitch_orchestrator::engine::machine::Input;
use backstitch_orchestrator::store::ShardId;

use super::world::{Event, Life, World};

#[derive(Debug)]
pub(super) struct Group {
    partitions: i32,
    /// Who owns a partition, as the group has it.
    owners: BTreeMap<ShardId, Life>,
    /// Moves that wait for the old owner: from, to, and their number.
    moves: BTreeMap<ShardId, (Life, Life, u64)>,
    counted: u64,
}

impl Group {
    pub(super) fn new(partitions: i32) -> Self {
        Self {
            partitions,
            owners: BTreeMap::new(),
            moves: BTreeMap::new(),
            counted: 0,
        }
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.partitions).map(ShardId)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.moves.is_empty()
    }
}

impl World {
    pub(super) fn first_assignment(&mut self) {
        for shard in self.group.shards() {
            let process = self.rng.below(self.processes.len());
            self.give(shard, self.life_of(process));
        }
    }

    /// Tells a process something, after what it was told before.
    fn news(&mut self, to: Life, input: Input) {
        let at = self.now + self.latency();
        let Some(process) = self.living(to) else {
            return;
        };
        process.group_at = at.max(process.group_at + 1);
        let at = process.group_at;
        self.at(at, Event::Deliver(to, input));
    }

    fn give(&mut self, shard: ShardId, to: Life) {
        self.group.owners.insert(shard, to);
        self.group.moves.remove(&shard);
        let Some(process) = self.living(to) else {
            return;
        };
        // One that believes to own it already has heard nothing of the moves meanwhile.
        if process.told.insert(shard) {
            self.news(to, Input::Assigned(vec![shard]));
        }
    }

    fn take_away(&mut self, shard: ShardId, from: Life, lost: bool) {
        let Some(process) = self.living(from) else {
            return;
        };
        if process.told.remove(&shard) {
            let shards = vec![shard];
            self.news(from, Input::Revoked { shards, lost });
        }
    }

    fn some_living(&mut self) -> Option<Life> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|p| self.processes[*p].machine.is_some() && !self.processes[*p].is_paused)
            .filter(|p| !self.processes[*p].is_draining)
            .collect();
        let process = *self.rng.pick(&alive)?;
        Some(self.life_of(process))
    }

    /// Moves a partition to another process: by agreement, or over the old owner's head.
    pub(super) fn move_some(&mut self) {
        let shards: Vec<ShardId> = self.group.shards().collect();
        let (Some(shard), Some(to)) = (self.rng.pick(&shards).copied(), self.some_living()) else {
            return;
        };
        let Some(from) = self.group.owners.get(&shard).copied() else {
            return;
        };
        if from == to || self.group.moves.contains_key(&shard) {
            return;
        }
        if self.strikes(self.faults.zombie) {
            self.trace(|_| format!("{shard:?} moves to {to:?} over the head of {from:?}"));
            self.mark("a shard had two owners");
            self.give(shard, to);
            let wait = self.rng.between(0, 1_500);
            self.after(wait, Event::Tell(from, shard));
        } else {
            self.trace(|_| format!("{shard:?} moves from {from:?} to {to:?}"));
            self.begin_move(shard, from, to);
        }
    }

    fn begin_move(&mut self, shard: ShardId, from: Life, to: Life) {
        self.group.counted += 1;
        let number = self.group.counted;
        self.group.moves.insert(shard, (from, to, number));
        self.take_away(shard, from, false);
        let wait = self.rng.between(100, 800);
        self.after(wait, Event::HandOver(shard, number));
    }

    /// A process says that partitions are no longer its own.
    pub(super) fn let_go(&mut self, of: Life, shards: &[ShardId]) {
        for shard in shards {
            if let Some((from, to, _)) = self.group.moves.get(shard).copied()
                && from == of
            {
                self.give(*shard, to);
            }
        }
    }

    /// The old owner took too long.
    pub(super) fn hand_over(&mut self, shard: ShardId, number: u64) {
        if let Some((_, to, of)) = self.group.moves.get(&shard).copied()
            && of == number
        {
            self.mark("an owner was too slow to let go");
            self.give(shard, to);
        }
    }

    /// An old owner learns that it lost a partition, unless it has it back.
    pub(super) fn tell(&mut self, of: Life, shard: ShardId) {
        if self.group.owners.get(&shard) != Some(&of) {
            self.take_away(shard, of, true);
        }
    }

    /// Gives the partitions of those who are gone, or silent, to others.
    pub(super) fn heartbeats(&mut self) {
        self.after(50, Event::Heartbeats);
        for shard in self.group.shards() {
            let Some(owner) = self.group.owners.get(&shard).copied() else {
                continue;
            };
            let process = &self.processes[owner.process];
            let is_gone = process.life != owner.number || process.machine.is_none();
            let is_silent = process.is_paused && self.rng.happens(300);
            if (is_gone || is_silent)
                && let Some(to) = self.some_living()
            {
                self.give(shard, to);
                let wait = self.rng.between(0, 1_000);
                self.after(wait, Event::Tell(owner, shard));
            }
        }
        if self.is_healed {
            // By now everybody has heard everything.
            for process in 0..self.processes.len() {
                let of = self.life_of(process);
                for shard in self.group.shards() {
                    if self.group.owners.get(&shard) != Some(&of) {
                        self.take_away(shard, of, true);
                    }
                }
            }
        }
    }
}

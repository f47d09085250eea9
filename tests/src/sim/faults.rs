//! What goes wrong in a run, and the bugs that can be planted in its world.

use super::rng::Rng;

/// How often what goes wrong, in thousandths of the occasions for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// A process dies, at each stir of the chaos.
    pub(super) crash: u32,
    /// A process stops for a while and then goes on.
    pub(super) pause: u32,
    /// A partition moves to another process.
    pub(super) rebalance: u32,
    /// A move of which the old owner hears late, or only when all is healed.
    pub(super) zombie: u32,
    /// A process is asked to finish, and starts again.
    pub(super) drain: u32,
    /// The clock of a process is set anew.
    pub(super) clock: u32,
    /// A commit of which nobody knows.
    pub(super) in_doubt: u32,
    /// The store cannot be reached.
    pub(super) unavailable: u32,
    /// A producer ends; what was in flight has arrived or not.
    pub(super) producer_lost: u32,
    /// The broker takes its time over a record, as while a partition changes its leader.
    pub(super) slow: u32,
    /// A record lies on its topic twice.
    pub(super) twice: u32,
    /// A record that nobody can use lies in the inbox.
    pub(super) garbage: u32,
    /// A record is put into the wrong partition.
    pub(super) stray: u32,
    /// A person acts.
    pub(super) act: u32,
    /// A worker dies, at each of its moves.
    pub(super) worker_crash: u32,
    /// Both workers read both partitions for a while.
    pub(super) overlap: u32,
    /// An answer comes late.
    pub(super) late: u32,
    /// A worker does not answer.
    pub(super) hang: u32,
    /// A step fails for now.
    pub(super) fail: u32,
    /// A step is refused.
    pub(super) refuse: u32,
    /// An undo fails for now.
    pub(super) undo_fail: u32,
    /// An undo is refused.
    pub(super) undo_refuse: u32,
    /// The longest that the store, the network or a worker takes in the ordinary way.
    pub(super) latency_ms: i64,
}

impl Faults {
    /// Each fault is off in half of the seeds.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut swarm = |most: i64| {
            let drawn = rng.between(1, most);
            if rng.happens(500) {
                u32::try_from(drawn).unwrap_or(0)
            } else {
                0
            }
        };
        Self {
            crash: swarm(60),
            pause: swarm(80),
            rebalance: swarm(120),
            zombie: swarm(1_000),
            drain: swarm(40),
            clock: swarm(20),
            in_doubt: swarm(200),
            unavailable: swarm(200),
            producer_lost: swarm(60),
            slow: swarm(100),
            twice: swarm(150),
            garbage: swarm(120),
            stray: swarm(150),
            act: swarm(150),
            worker_crash: swarm(80),
            overlap: swarm(80),
            late: swarm(250),
            hang: swarm(120),
            fail: swarm(250),
            refuse: swarm(150),
            undo_fail: swarm(400),
            undo_refuse: swarm(150),
            latency_ms: i64::from(swarm(30).max(3)),
        }
    }

    /// Nothing goes wrong.
    pub(super) fn none() -> Self {
        Self {
            crash: 0,
            pause: 0,
            rebalance: 0,
            zombie: 0,
            drain: 0,
            clock: 0,
            in_doubt: 0,
            unavailable: 0,
            producer_lost: 0,
            slow: 0,
            twice: 0,
            garbage: 0,
            stray: 0,
            act: 0,
            worker_crash: 0,
            overlap: 0,
            late: 0,
            hang: 0,
            fail: 0,
            refuse: 0,
            undo_fail: 0,
            undo_refuse: 0,
            latency_ms: 3,
        }
    }
}

/// A mistake that can be planted in the world, to see that the simulation would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The store looks at the offset and the journal's position, not at the epoch. What is left
    /// of the guard masks it.
    NoEpochGuard,
    /// The store looks at the epoch, not at the offset and the journal's position. What is left
    /// of the guard masks it.
    NoPositionGuard,
    /// The store applies whatever it is given.
    NoGuard,
    /// A commit whose answer was lost is called *not committed*, and so made again. The guard
    /// masks it.
    RetryInDoubt,
    /// As before, and the store applies whatever it is given.
    RetryInDoubtUnguarded,
    /// A commit whose answer was lost is called *committed*.
    InDoubtIsDone,
    /// A worker looks its memory up, works, and only then remembers.
    CheckThenAct,
    /// A worker has no memory.
    NoMemory,
    /// A worker leaves no tombstone for an undo that came first.
    NoTombstone,
    /// Records count as published before the broker has them.
    PublishedBeforeAck,
    /// Commands leave before the commit.
    DualWrite,
    /// Undone in the order in which it was done.
    ForwardUndo,
    /// A step is not undone, though it should be.
    UndoForgotten,
    /// The attempt is part of the idempotency key.
    AttemptInKey,
    /// Reading the outbox passes over rows.
    OutboxGap,
    /// Records are read from where the group's auto-commit stands.
    AutoCommit,
    /// A record that cannot be read is tried for ever.
    PoisonBlocks,
    /// Journal rows are written outside of the transaction, and sometimes lost.
    JournalApart,
    /// What cannot be read is passed over.
    PoisonSwallowed,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::NoEpochGuard,
        Self::NoPositionGuard,
        Self::NoGuard,
        Self::RetryInDoubt,
        Self::RetryInDoubtUnguarded,
        Self::InDoubtIsDone,
        Self::CheckThenAct,
        Self::NoMemory,
        Self::NoTombstone,
        Self::PublishedBeforeAck,
        Self::DualWrite,
        Self::ForwardUndo,
        Self::UndoForgotten,
        Self::AttemptInKey,
        Self::OutboxGap,
        Self::AutoCommit,
        Self::PoisonBlocks,
        Self::JournalApart,
        Self::PoisonSwallowed,
    ];

    /// As `--bug` takes it, e.g. `NoGuard`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Finds one by its name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |bug: &Self| bug.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named)
    }

    /// Whether another guard makes up for it, so that nothing can be seen from outside.
    pub fn is_masked(self) -> bool {
        matches!(
            self,
            Self::NoEpochGuard | Self::NoPositionGuard | Self::RetryInDoubt
        )
    }
}

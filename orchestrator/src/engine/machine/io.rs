//! What goes into the machine, and what comes out of it.

use std::sync::Arc;

use backstitch_broker::{IncomingRecord, OutgoingRecord};
use backstitch_saga::Definition;

use crate::store::{CommitPlan, Epoch, JournalRow, SagaRow, ShardId, ShardRow};

/// Names one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one batch of records that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is in the store.
    Done,
    /// Nothing was changed: these shards have another owner or offset.
    Fenced(Vec<ShardId>),
    /// Nobody knows.
    InDoubt,
    /// Nothing was changed: the store could not be reached.
    Unavailable,
    /// Nothing was changed: the store will not have it.
    Refused,
}

/// What the shells tell the machine.
#[derive(Debug)]
pub enum Input {
    /// The group gave us these partitions.
    Assigned(Vec<ShardId>),
    /// The group takes these partitions away. `lost`: it already did, without asking.
    Revoked {
        /// Which.
        shards: Vec<ShardId>,
        /// Whether someone else may own them already.
        lost: bool,
    },
    /// Answer to [`Effect::Claim`]. Empty: the store could not be reached.
    Claimed(Vec<ShardRow>),
    /// Answer to [`Effect::ReadOutbox`].
    Outbox {
        /// Of which shard.
        shard: ShardId,
        /// Read under this epoch.
        epoch: Epoch,
        /// In order; fewer than asked for means that there are no more. `None`: not reached.
        rows: Option<Vec<JournalRow>>,
    },
    /// Answer to [`Effect::ReadDue`].
    Due {
        /// Of which shard.
        shard: ShardId,
        /// Read under this epoch.
        epoch: Epoch,
        /// In order; fewer than asked for means that there are no more. `None`: not reached.
        rows: Option<Vec<SagaRow>>,
    },
    /// Records of one partition, in order.
    Records {
        /// The partition.
        shard: ShardId,
        /// In order of offsets.
        records: Vec<IncomingRecord>,
    },
    /// Answer to [`Effect::Load`].
    Loaded {
        /// The shards that the keys belong to, with the epochs of the question.
        shards: Vec<(ShardId, Epoch)>,
        /// What was asked for.
        keys: Vec<String>,
        /// What there is. `None`: not reached.
        rows: Option<Vec<SagaRow>>,
    },
    /// Answer to [`Effect::ReadDefinitions`]. Empty: the store could not be reached, for a store
    /// that holds a saga holds its definition.
    Definitions(Vec<Definition>),
    /// Definitions of the store that were not known here, unasked.
    Learned(Vec<Definition>),
    /// Answer to [`Effect::Commit`].
    Committed {
        /// Which.
        ticket: Ticket,
        /// How it ended.
        outcome: CommitOutcome,
    },
    /// Every record of a batch is acknowledged.
    Published(BatchId),
    /// The producer has ended; what was in flight may or may not have arrived. It was rebuilt.
    ProducerLost,
    /// Finish what runs, publish, release.
    Drain,
    /// Nothing but that time has passed.
    Tick,
}

/// What the machine asks of the shells.
#[derive(Debug)]
pub enum Effect {
    /// Take these shards over in the store.
    Claim(Vec<ShardId>),
    /// Read what was committed but perhaps not published.
    ReadOutbox {
        /// Of which shard.
        shard: ShardId,
        /// Under which epoch.
        epoch: Epoch,
        /// Above this.
        after_seq: i64,
        /// At most so many.
        limit: u32,
    },
    /// Read which sagas are due.
    ReadDue {
        /// Of which shard.
        shard: ShardId,
        /// Under which epoch.
        epoch: Epoch,
        /// After this `(wake_at_ms, key)`.
        after: Option<(i64, String)>,
        /// Up to this time.
        until_ms: i64,
        /// At most so many.
        limit: u32,
    },
    /// Read a partition from this offset on; its records come with this generation.
    Read {
        /// Which partition.
        shard: ShardId,
        /// From where.
        offset: i64,
        /// Goes up each time; records of an older one are dropped.
        generation: u64,
    },
    /// Stop reading a partition for now: too much is waiting.
    Pause(ShardId),
    /// Read on.
    Resume(ShardId),
    /// Read sagas by key.
    Load {
        /// The shards that the keys belong to.
        shards: Vec<(ShardId, Epoch)>,
        /// Which.
        keys: Vec<String>,
    },
    /// Read the definitions of the store: a saga is pinned to one that is not known here.
    ReadDefinitions,
    /// Commit this. At most one at a time.
    Commit {
        /// Names it.
        ticket: Ticket,
        /// What to commit.
        plan: Arc<CommitPlan>,
    },
    /// Publish these, in order.
    Publish {
        /// Names the batch.
        batch: BatchId,
        /// The records.
        records: Vec<OutgoingRecord>,
    },
    /// Everything of these shards is committed and published: give them up in the store, and tell
    /// the group.
    Release(Vec<(ShardId, Epoch)>),
    /// These shards are no longer ours; whoever waits for that may go on.
    LetGo(Vec<ShardId>),
    /// The drain is over.
    Drained,
    /// Something that a person should know of.
    Report(Report),
}

/// What is worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Another owner has taken these shards.
    Fenced(Vec<ShardId>),
    /// Nobody knows whether a commit went through: these shards are read again.
    InDoubt(Vec<ShardId>),
    /// The store refused a commit.
    Refused(Vec<ShardId>),
    /// A record went to the dead letters.
    DeadLetter {
        /// From where.
        shard: ShardId,
        /// The offset.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A saga was parked.
    Parked {
        /// Which.
        saga: String,
        /// Why.
        reason: String,
    },
    /// A saga was to be started that exists, with another event: the first one counts.
    OtherEvent {
        /// Which.
        saga: String,
    },
    /// A rule was found broken (S-1). Never expected; the saga is reported and goes on.
    Violation(String),
}

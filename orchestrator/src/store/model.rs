//! The rows and plans that cross the wall between engine and store.

/// One inbox partition, with the sagas whose keys hash to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub i32);

/// Counts the owners that a shard has had. A commit under an older one changes nothing (S-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// The fence and the position of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// Which shard.
    pub id: ShardId,
    /// The present owner's epoch; 0 before the first claim.
    pub epoch: Epoch,
    /// Who claimed it last; empty when it was released.
    pub owner: String,
    /// The next inbox offset to be read. Everything below it is in the state.
    pub inbox_next_offset: i64,
    /// Sequence of the last journal row; 0 when there is none.
    pub journal_seq: i64,
    /// Every journal row up to here has been published for certain.
    pub published_seq: i64,
}

/// What one batch changes in one shard row, and what it expects to find there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardCommit {
    /// Which shard.
    pub id: ShardId,
    /// The epoch under which the batch was made.
    pub epoch: Epoch,
    /// The offset from which the batch was made.
    pub offset_from: i64,
    /// The next offset to be read after it. May equal `offset_from` (timers only).
    pub offset_to: i64,
    /// Sequence of the shard's last journal row after the batch.
    pub journal_seq: i64,
    /// The published watermark, as known when the batch was closed.
    pub published_seq: i64,
}

/// What a journal row is. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JournalKind {
    /// A transition of a saga: an encoded `JournalEntry`.
    Transition = 0,
    /// An encoded `DeadLetter`, to be published to the dead letters.
    DeadLetter = 1,
    /// A record that lay in the wrong inbox partition: an encoded `DeadLetter`, to be sent on.
    Forward = 2,
}

impl JournalKind {
    /// Reads the stored number.
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::Transition),
            1 => Some(Self::DeadLetter),
            2 => Some(Self::Forward),
            _ => None,
        }
    }

    /// The number that is stored.
    pub fn number(self) -> i16 {
        self as i16
    }
}

/// One row of the journal, which is the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// The shard that wrote it.
    pub shard: ShardId,
    /// Position in the shard, from 1, without a gap.
    pub seq: i64,
    /// What `entry` is.
    pub kind: JournalKind,
    /// The saga; empty for rows that belong to none.
    pub saga_key: String,
    /// Position in the saga, from 1, without a gap; 0 for rows that belong to none.
    pub saga_seq: i64,
    /// When it was decided. Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The encoded record.
    pub entry: Vec<u8>,
}

/// How a saga stands. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaStatus {
    /// Going forward.
    Running = 0,
    /// Undoing.
    Compensating = 1,
    /// Set aside until a person or a rule resumes it.
    Parked = 2,
    /// Settled: every step done.
    Completed = 3,
    /// Settled: every step that may have run is undone.
    Compensated = 4,
    /// Stopped by an operator where it stood.
    Terminated = 5,
}

impl SagaStatus {
    /// Every status, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Compensating,
        Self::Parked,
        Self::Completed,
        Self::Compensated,
        Self::Terminated,
    ];

    /// Reads the stored number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.number() == number)
    }

    /// The number that is stored.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Terminated => "terminated",
        }
    }

    /// Reads the word that is shown.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// The present state of one saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaRow {
    /// The saga key, unique across all shards.
    pub key: String,
    /// The definition it is pinned to, as lower-case hex.
    pub definition_hash: String,
    /// The shard it lives in.
    pub shard: ShardId,
    /// Always current.
    pub status: SagaStatus,
    /// How many transitions it has had.
    pub seq: i64,
    /// Wake it no later than this (an early wake-up is harmless). Milliseconds since the Unix epoch.
    pub wake_at_ms: Option<i64>,
    /// A JSON object of strings, to search by; `{}` when there are none.
    pub tags: String,
    /// Why it is parked; `None` when it is not.
    pub parked_reason: Option<String>,
    /// The encoded state.
    pub state: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// Milliseconds since the Unix epoch; `None` while it is open.
    pub ended_at_ms: Option<i64>,
}

/// One definition, append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRow {
    /// Lower-case hex of the hash of its canonical structure.
    pub hash: String,
    /// The saga's name in it.
    pub name: String,
    /// Its source text.
    pub source: String,
    /// When it was first seen. Milliseconds since the Unix epoch.
    pub first_seen_at_ms: i64,
}

/// A batch, as data: the same plan can be applied by each store.
///
/// A plan that breaks a rule named here is refused whole, before anything is sent. Texts hold no
/// U+0000 ([`is_storable`](super::is_storable)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitPlan {
    /// At least one; a shard at most once.
    pub shards: Vec<ShardCommit>,
    /// New journal rows, of shards in the plan. In this order, those of a shard run without a gap up
    /// to its [`ShardCommit::journal_seq`].
    pub journal: Vec<JournalRow>,
    /// Sagas of shards in the plan as they are after the batch; a key at most once. Existing rows
    /// are replaced.
    pub sagas: Vec<SagaRow>,
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only these; all when empty.
    pub statuses: Vec<SagaStatus>,
    /// Only keys that begin so. Mailboxes, whose keys begin with `~`, only if this begins so too.
    pub key_prefix: String,
    /// Only sagas with this tag.
    pub tag: Option<(String, String)>,
    /// Continue after this one of the page before: its `(started_at_ms, key)`.
    pub after: Option<(i64, String)>,
    /// At most so many. Default 50, at most 1,000 ([`ListQuery::LIMIT_MAX`]).
    pub limit: u32,
}

impl ListQuery {
    /// The most that a page holds.
    pub const LIMIT_MAX: u32 = 1_000;

    /// `limit`, or [`Self::LIMIT_MAX`] if it asks for more.
    pub fn limit_in_force(&self) -> u32 {
        self.limit.min(Self::LIMIT_MAX)
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            statuses: Vec::new(),
            key_prefix: String::new(),
            tag: None,
            after: None,
            limit: 50,
        }
    }
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaSummary {
    /// The saga key.
    pub key: String,
    /// How it stands.
    pub status: SagaStatus,
    /// How many transitions it has had.
    pub seq: i64,
    /// Its shard.
    pub shard: ShardId,
    /// Why it is parked.
    pub parked_reason: Option<String>,
    /// A JSON object of strings.
    pub tags: String,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<i64>,
}

/// A batch that was not committed, or of which nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Other owners hold these shards now. Nothing was changed: drop them, commit the rest again.
    #[error("shards {shards:?} have another owner or offset; nothing was committed")]
    Fenced {
        /// The shards whose guard did not match.
        shards: Vec<ShardId>,
    },
    /// The answer was lost: it may be committed or not. Drop every shard of the plan and read
    /// the shard rows again; never commit the same plan blindly.
    #[error("the answer to a commit was lost")]
    InDoubt {
        /// What cut the connection.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused the plan for a reason that repeating will not cure.
    #[error("the store refused a commit")]
    Refused {
        /// Its reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store could not be reached *before* anything was sent, or said that it gave the commit up
    /// (a deadlock, no room, shutting down to reads). Nothing was changed; worth retrying.
    #[error("the store cannot commit now; nothing was committed")]
    Unavailable {
        /// What was in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Anything but a commit that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or not in time. Worth retrying.
    #[error("cannot {attempted}")]
    Unavailable {
        /// What was attempted, as a verb with its object.
        attempted: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store answered, and refused for a reason that repeating will not cure: no permission, a
    /// store of a newer version, a broken file.
    #[error("the store refused to {attempted}")]
    Refused {
        /// What was attempted, as a verb with its object.
        attempted: &'static str,
        /// Its reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was made for another number of shards.
    #[error(
        "the store holds {found} shards but the inbox has {expected} partitions; growing it would \
         move keys: use the inbox the store was made with, or a new store"
    )]
    ShardCount {
        /// The inbox's partitions.
        expected: i32,
        /// The shards in the store.
        found: i32,
    },
    /// The address is none that any store understands.
    #[error("`{url}` is no store: use postgres://…, sqlite://FILE or memory://")]
    UnknownUrl {
        /// As given, without a password.
        url: String,
    },
    /// The store holds what this version cannot read.
    #[error("the store holds a row that cannot be read: {what}")]
    Corrupt {
        /// Which row, and why.
        what: String,
    },
}

//! What members ask of their group, and what they are answered.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;

/// Names a call that waits for its answer.
pub(crate) type Ticket = u64;

/// Where a group is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No members.
    Empty,
    /// Waiting for every member to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Everybody may work.
    Stable,
}

/// A way to assign partitions that a member offers, with what it tells the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// A member's wish to join.
#[derive(Debug, Clone)]
pub(crate) struct JoinCall {
    pub(crate) ticket: Ticket,
    /// Empty for a member that is new.
    pub(crate) member_id: String,
    /// The id that a new member gets.
    pub(crate) new_member_id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    /// The client takes an id first and joins with it (version 4 and later).
    pub(crate) id_first: bool,
    /// The client can be told to keep the assignment although it leads (version 9 and later).
    pub(crate) can_skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) member_id: String,
    pub(crate) instance: Option<String>,
    pub(crate) metadata: Bytes,
}

/// The answer to a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// All members, for the leader; none for the others.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) skip_assignment: bool,
}

/// Why a join was refused, and the member id to say with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: ResponseError,
    pub(crate) member_id: String,
}

/// The answer to a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

/// An answer for a waiting call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Join(Ticket, Result<Joined, Refused>),
    Sync(Ticket, Result<Synced, ResponseError>),
}

/// Who asks, as requests name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) group: &'a str,
    pub(crate) member_id: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) generation: i32,
}

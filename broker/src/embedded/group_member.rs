//! One member of a consumer group.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::group_call::{JoinCall, Protocol, Ticket};

/// A member, from its first join to its leaving.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) rebalance: Duration,
    session: Duration,
    expires: Instant,
    /// Its join of this round, which waits for the others.
    pub(crate) joining: Option<Ticket>,
    /// Its sync, which waits for the leader.
    pub(crate) syncing: Option<Ticket>,
    /// Whether it has fetched the assignment of this generation.
    pub(crate) synced: bool,
    pub(crate) assignment: Bytes,
}

impl Member {
    pub(crate) fn joining(call: JoinCall, now: Instant) -> Member {
        Member {
            expires: now + call.session,
            instance: call.instance,
            client_id: call.client_id,
            client_host: call.client_host,
            protocols: call.protocols,
            rebalance: call.rebalance,
            session: call.session,
            joining: Some(call.ticket),
            syncing: None,
            synced: false,
            assignment: Bytes::new(),
        }
    }

    /// Takes over a new join. Returns the ticket of an earlier one that still waited.
    pub(crate) fn update(&mut self, call: JoinCall, now: Instant) -> Option<Ticket> {
        let earlier = self.joining.take();
        let (assignment, syncing, synced) = (
            std::mem::take(&mut self.assignment),
            self.syncing,
            self.synced,
        );
        *self = Member {
            assignment,
            syncing,
            synced,
            ..Member::joining(call, now)
        };
        earlier
    }

    /// It gave a sign of life.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.expires = now + self.session;
    }

    /// When its session ends.
    pub(crate) fn expires(&self) -> Instant {
        self.expires
    }

    /// A member whose call waits here is alive; its client sends no heartbeats meanwhile.
    pub(crate) fn must_heartbeat(&self) -> bool {
        self.joining.is_none() && self.syncing.is_none()
    }

    /// What it tells the leader under a protocol, if it offers that protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols
            .iter()
            .find(|offered| offered.name == protocol)
            .map(|offered| &offered.metadata)
    }
}

/// Whether two subscriptions name the same topics. What else they carry (the partitions owned before) is not compared.
pub(crate) fn same_topics(before: Option<&Bytes>, after: Option<&Bytes>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => match (topics(before), topics(after)) {
            (Some(old), Some(new)) => old == new,
            _ => before == after,
        },
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Reads the topics of a consumer's subscription, sorted.
fn topics(metadata: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = metadata.clone();
    rest.try_get_i16().ok()?;
    let count = rest.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        if rest.len() < length {
            return None;
        }
        topics.push(rest.split_to(length));
    }
    topics.sort();
    Some(topics)
}

/// Whether a subscription names that topic.
pub(crate) fn reads_topic(metadata: &Bytes, topic: &str) -> bool {
    topics(metadata).is_some_and(|topics| topics.iter().any(|name| &name[..] == topic.as_bytes()))
}

//! A round of a group: everybody joins, the leader assigns.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::group::Group;
use super::group_call::{Answer, Phase};

impl Group {
    /// Starts a round, unless one goes on.
    pub(crate) fn prepare(&mut self, now: Instant, out: &mut Vec<Answer>) {
        if self.phase == Phase::PreparingRebalance {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(ticket) = member.syncing.take() {
                out.push(Answer::Sync(
                    ticket,
                    Err(ResponseError::RebalanceInProgress),
                ));
            }
        }
        self.not_before = if self.phase == Phase::Empty {
            now + self.initial_delay
        } else {
            now
        };
        self.join_by = now + self.longest_rebalance();
        self.phase = Phase::PreparingRebalance;
    }

    /// Ends the round when everybody has joined, or when it has lasted long enough.
    pub(crate) fn try_complete(&mut self, now: Instant, out: &mut Vec<Answer>) {
        if self.phase != Phase::PreparingRebalance
            || (now < self.not_before && !self.members.is_empty())
        {
            return;
        }
        if !self.all_joined() {
            if now < self.join_by {
                return;
            }
            // A static member that is away keeps its place until its session ends.
            let instances = &mut self.instances;
            self.members.retain(|_, member| {
                let stays = member.joining.is_some() || member.instance.is_some();
                if let (false, Some(instance)) = (stays, &member.instance) {
                    instances.remove(instance);
                }
                stays
            });
            if !self.members.is_empty()
                && self.members.values().all(|member| member.joining.is_none())
            {
                self.join_by = now + self.longest_rebalance();
                return;
            }
        }
        self.next_generation(now, out);
    }

    pub(crate) fn next_generation(&mut self, now: Instant, out: &mut Vec<Answer>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.protocol.clear();
            self.leader.clear();
            return;
        }
        if self
            .members
            .get(&self.leader)
            .is_none_or(|leader| leader.joining.is_none())
        {
            let joined = self
                .members
                .iter()
                .find(|(_, member)| member.joining.is_some());
            self.leader = joined.map(|(id, _)| id.clone()).unwrap_or_default();
        }
        self.protocol = self.select_protocol();
        self.phase = Phase::CompletingRebalance;
        self.sync_by = now + self.longest_rebalance();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its key was just read");
            // Who is away (static) is not waited for: it syncs when it comes back, or its session ends.
            member.synced = member.joining.is_none();
            if let Some(ticket) = member.joining.take() {
                member.alive(now);
                let joined = self.joined(&id);
                out.push(Answer::Join(ticket, Ok(joined)));
            }
        }
    }

    pub(crate) fn assign(
        &mut self,
        assignments: Vec<(String, Bytes)>,
        now: Instant,
        out: &mut Vec<Answer>,
    ) {
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        self.phase = Phase::Stable;
        let mut answers = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(ticket) = member.syncing.take() {
                member.synced = true;
                member.alive(now);
                answers.push((ticket, member.assignment.clone()));
            }
        }
        out.extend(
            answers
                .into_iter()
                .map(|(ticket, assignment)| Answer::Sync(ticket, Ok(self.synced(assignment)))),
        );
    }

    /// The protocol that all offer and most prefer.
    pub(crate) fn select_protocol(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let shared = |name: &str| {
                self.members
                    .values()
                    .all(|other| other.metadata(name).is_some())
            };
            if let Some(choice) = member
                .protocols
                .iter()
                .find(|protocol| shared(&protocol.name))
            {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(name, _)| name.to_owned())
            .unwrap_or_default()
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    pub(crate) fn awaits_sync(&self) -> bool {
        matches!(self.phase, Phase::CompletingRebalance | Phase::Stable)
            && self.members.values().any(|member| !member.synced)
    }

    pub(crate) fn longest_rebalance(&self) -> Duration {
        self.members
            .values()
            .map(|member| member.rebalance)
            .max()
            .unwrap_or(Duration::from_secs(1))
    }
}

//! A consumer group as a state machine: calls and the time go in, answers come out. It does no IO and reads no clock.
//!
//! The rules are those of Kafka's classic protocol, static membership included: whoever holds a
//! `group.instance.id` may come back under a new member id and gets its assignment back, and nobody else notices.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::group_call::{
    Answer, Caller, Candidate, JoinCall, Joined, Phase, Refused, Synced, Ticket,
};
use super::group_member::{Member, same_topics};

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) phase: Phase,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) members: BTreeMap<String, Member>,
    /// Instance ids to member ids.
    pub(crate) instances: HashMap<String, String>,
    /// Ids given out to members that have not joined with them, and until when.
    pub(crate) pending: BTreeMap<String, Instant>,
    /// How long an empty group waits after its first member.
    pub(crate) initial_delay: Duration,
    /// A round does not end before this.
    pub(crate) not_before: Instant,
    /// Whoever has not joined by then is left behind.
    pub(crate) join_by: Instant,
    /// Whoever has not fetched its assignment by then is dropped.
    pub(crate) sync_by: Instant,
}

impl Group {
    pub(crate) fn new(initial_delay: Duration, now: Instant) -> Group {
        Group {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: BTreeMap::new(),
            initial_delay,
            not_before: now,
            join_by: now,
            sync_by: now,
        }
    }

    /// Whether nobody would miss it.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty() && self.phase == Phase::Empty
    }

    /// A member wants to join. It is answered now, or when the round is complete.
    pub(crate) fn join(&mut self, call: JoinCall, now: Instant, out: &mut Vec<Answer>) {
        let known_instance = call
            .instance
            .as_ref()
            .and_then(|instance| self.instances.get(instance))
            .cloned();
        let refuse = |error, member_id: &str| {
            Answer::Join(
                call.ticket,
                Err(Refused {
                    error,
                    member_id: member_id.to_owned(),
                }),
            )
        };
        if !self.fits(&call) {
            out.push(refuse(
                ResponseError::InconsistentGroupProtocol,
                &call.member_id,
            ));
            return;
        }
        if call.member_id.is_empty() {
            match known_instance {
                Some(old_id) => self.replace_static(&old_id, call, now, out),
                None if call.id_first && call.instance.is_none() => {
                    self.pending
                        .insert(call.new_member_id.clone(), now + call.session);
                    out.push(refuse(ResponseError::MemberIdRequired, &call.new_member_id));
                }
                None => {
                    let member_id = call.new_member_id.clone();
                    self.add(member_id, call, now, out);
                }
            }
        } else if call.instance.is_some()
            && known_instance
                .as_ref()
                .is_some_and(|holder| *holder != call.member_id)
        {
            out.push(refuse(ResponseError::FencedInstanceId, &call.member_id));
        } else if self.members.contains_key(&call.member_id) {
            self.rejoin(call, now, out);
        } else if self.pending.remove(&call.member_id).is_some() {
            let member_id = call.member_id.clone();
            self.add(member_id, call, now, out);
        } else {
            out.push(refuse(ResponseError::UnknownMemberId, &call.member_id));
        }
    }

    /// A member asks for its assignment; the leader brings all.
    pub(crate) fn sync(
        &mut self,
        ticket: Ticket,
        caller: Caller<'_>,
        assignments: Vec<(String, Bytes)>,
        now: Instant,
        out: &mut Vec<Answer>,
    ) {
        let Caller { member_id, .. } = caller;
        if let Err(error) = self.identify(caller) {
            out.push(Answer::Sync(ticket, Err(error)));
            return;
        }
        match self.phase {
            Phase::Empty => out.push(Answer::Sync(ticket, Err(ResponseError::UnknownMemberId))),
            Phase::PreparingRebalance => out.push(Answer::Sync(
                ticket,
                Err(ResponseError::RebalanceInProgress),
            )),
            Phase::CompletingRebalance => {
                let member = self.members.get_mut(member_id).expect("identified above");
                member.alive(now);
                if let Some(earlier) = member.syncing.replace(ticket) {
                    out.push(Answer::Sync(
                        earlier,
                        Err(ResponseError::RebalanceInProgress),
                    ));
                }
                if self.leader == member_id {
                    self.assign(assignments, now, out);
                }
            }
            Phase::Stable => {
                let member = self.members.get_mut(member_id).expect("identified above");
                member.alive(now);
                member.synced = true;
                let assignment = member.assignment.clone();
                out.push(Answer::Sync(ticket, Ok(self.synced(assignment))));
            }
        }
    }

    /// A member says that it lives.
    pub(crate) fn heartbeat(
        &mut self,
        caller: Caller<'_>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.identify(caller)?;
        self.members
            .get_mut(caller.member_id)
            .expect("identified above")
            .alive(now);
        match self.phase {
            Phase::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
            Phase::Empty => Err(ResponseError::UnknownMemberId),
        }
    }

    /// A member leaves, named by its id or, for a static one, by its instance.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        now: Instant,
        out: &mut Vec<Answer>,
    ) -> Result<(), ResponseError> {
        if self.pending.remove(member_id).is_some() {
            self.try_complete(now, out);
            return Ok(());
        }
        let holder = match instance {
            Some(instance) => {
                let holder = self
                    .instances
                    .get(instance)
                    .cloned()
                    .ok_or(ResponseError::UnknownMemberId)?;
                if !member_id.is_empty() && holder != member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                holder
            }
            None => member_id.to_owned(),
        };
        if !self.members.contains_key(&holder) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove(&holder, now, out);
        Ok(())
    }

    /// Whether that member may commit offsets now. A commit counts as a sign of life.
    pub(crate) fn may_commit(
        &mut self,
        caller: Caller<'_>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if caller.generation < 0 && self.members.is_empty() {
            return Ok(()); // Not a member: a tool, or a consumer that assigns by itself.
        }
        self.identify(caller)?;
        self.members
            .get_mut(caller.member_id)
            .expect("identified above")
            .alive(now);
        match self.phase {
            Phase::Stable | Phase::PreparingRebalance => Ok(()),
            Phase::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            Phase::Empty => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Lets time pass: silent members go, a round that lasts too long ends without the late ones.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Answer>) {
        self.pending.retain(|_, until| *until > now);
        let unsynced_are_late = self.awaits_sync() && now >= self.sync_by;
        let late = |member: &Member| {
            (member.expires() <= now && member.must_heartbeat())
                || (unsynced_are_late && !member.synced && member.syncing.is_none())
        };
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| late(member))
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in gone {
            self.remove(&member_id, now, out);
        }
        if unsynced_are_late {
            self.sync_by = now + self.longest_rebalance();
        }
        self.try_complete(now, out);
    }

    /// When [`Group::tick`] has something to do next, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let silent = self
            .members
            .values()
            .filter(|member| member.must_heartbeat())
            .map(Member::expires)
            .min();
        let pending = self.pending.values().min().copied();
        let round = match self.phase {
            Phase::PreparingRebalance if self.all_joined() => Some(self.not_before),
            Phase::PreparingRebalance => Some(self.join_by.max(self.not_before)),
            Phase::CompletingRebalance | Phase::Stable if self.awaits_sync() => Some(self.sync_by),
            Phase::CompletingRebalance | Phase::Stable | Phase::Empty => None,
        };
        [silent, pending, round].into_iter().flatten().min()
    }

    /// Whether the caller is a member, the one that holds its instance id, and of this generation.
    fn identify(&self, caller: Caller<'_>) -> Result<(), ResponseError> {
        if let Some(instance) = caller.instance {
            match self.instances.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != caller.member_id => {
                    return Err(ResponseError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        if !self.members.contains_key(caller.member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if caller.generation == self.generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    /// Whether the call speaks of the same kind of group, and shares a protocol with every other member.
    fn fits(&self, call: &JoinCall) -> bool {
        if call.protocol_type.is_empty() || call.protocols.is_empty() {
            return false;
        }
        let others = self.members.iter().filter(|(id, member)| {
            **id != call.member_id
                && (member.instance.is_none() || member.instance != call.instance)
        });
        if others.clone().next().is_none() {
            return true;
        }
        self.protocol_type == call.protocol_type
            && call.protocols.iter().any(|protocol| {
                others
                    .clone()
                    .all(|(_, other)| other.metadata(&protocol.name).is_some())
            })
    }

    fn add(&mut self, member_id: String, call: JoinCall, now: Instant, out: &mut Vec<Answer>) {
        self.protocol_type.clone_from(&call.protocol_type);
        if let Some(instance) = &call.instance {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        if self.leader.is_empty() {
            self.leader.clone_from(&member_id);
        }
        self.members.insert(member_id, Member::joining(call, now));
        self.prepare(now, out);
        self.try_complete(now, out);
    }

    fn rejoin(&mut self, call: JoinCall, now: Instant, out: &mut Vec<Answer>) {
        let member_id = call.member_id.clone();
        let member = self
            .members
            .get_mut(&member_id)
            .expect("the caller looked it up");
        let unchanged = member.protocols == call.protocols;
        let answer_now = match self.phase {
            Phase::Stable => unchanged && self.leader != member_id,
            Phase::CompletingRebalance => unchanged, // The answer to its join was lost.
            Phase::Empty | Phase::PreparingRebalance => false,
        };
        if answer_now {
            member.alive(now);
            let joined = self.joined(&member_id);
            out.push(Answer::Join(call.ticket, Ok(joined)));
            return;
        }
        if let Some(earlier) = member.update(call, now) {
            let error = ResponseError::RebalanceInProgress;
            out.push(Answer::Join(earlier, Err(Refused { error, member_id })));
        }
        self.prepare(now, out);
        self.try_complete(now, out);
    }

    /// A static member is back under a new id. It inherits everything; the old id is fenced.
    fn replace_static(
        &mut self,
        old_id: &str,
        call: JoinCall,
        now: Instant,
        out: &mut Vec<Answer>,
    ) {
        let mut member = self
            .members
            .remove(old_id)
            .expect("every instance has its member");
        let member_id = call.new_member_id.clone();
        let fenced = ResponseError::FencedInstanceId;
        if let Some(ticket) = member.joining.take() {
            out.push(Answer::Join(
                ticket,
                Err(Refused {
                    error: fenced,
                    member_id: old_id.to_owned(),
                }),
            ));
        }
        if let Some(ticket) = member.syncing.take() {
            out.push(Answer::Sync(ticket, Err(fenced)));
        }
        if let Some(instance) = &call.instance {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        let led = self.leader == old_id;
        if led {
            self.leader.clone_from(&member_id);
        }
        let (ticket, can_skip) = (call.ticket, call.can_skip_assignment);
        let same_subscription = same_topics(
            member.metadata(&self.protocol),
            call.protocols
                .iter()
                .find(|protocol| protocol.name == self.protocol)
                .map(|protocol| &protocol.metadata),
        );
        member.update(call, now);
        member.synced = true;
        self.members.insert(member_id.clone(), member);
        if self.phase == Phase::Stable
            && same_subscription
            && self.select_protocol() == self.protocol
        {
            self.members
                .get_mut(&member_id)
                .expect("just inserted")
                .joining = None;
            let mut joined = self.joined(&member_id);
            if led && can_skip {
                joined.skip_assignment = true;
            } else if led {
                // It must not assign: let it believe that another leads.
                joined.leader = old_id.to_owned();
                joined.candidates.clear();
            }
            out.push(Answer::Join(ticket, Ok(joined)));
            return;
        }
        if matches!(self.phase, Phase::Stable | Phase::CompletingRebalance) {
            self.prepare(now, out);
        }
        self.try_complete(now, out);
    }

    fn remove(&mut self, member_id: &str, now: Instant, out: &mut Vec<Answer>) {
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        let error = ResponseError::UnknownMemberId;
        if let Some(ticket) = member.joining {
            out.push(Answer::Join(
                ticket,
                Err(Refused {
                    error,
                    member_id: member_id.to_owned(),
                }),
            ));
        }
        if let Some(ticket) = member.syncing {
            out.push(Answer::Sync(ticket, Err(error)));
        }
        if self.leader == member_id {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
        self.prepare(now, out);
        self.try_complete(now, out);
    }

    pub(crate) fn joined(&self, member_id: &str) -> Joined {
        let candidate = |(id, member): (&String, &Member)| Candidate {
            member_id: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(&self.protocol).cloned().unwrap_or_default(),
        };
        let leads = self.leader == member_id;
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: member_id.to_owned(),
            candidates: if leads {
                self.members.iter().map(candidate).collect()
            } else {
                Vec::new()
            },
            skip_assignment: false,
        }
    }

    pub(crate) fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }
}

//! Requests of group members.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::broker::Broker;
use super::error::RequestError;
use super::group_call::{Caller, Candidate, JoinCall, Joined, Protocol, Refused};
use super::protocol::{Peer, code, text};

/// Longest session a member may ask for: Kafka's `group.max.session.timeout.ms`.
pub(crate) const SESSION_MAX: Duration = Duration::from_mins(30);

impl Broker {
    pub(crate) fn join_group(
        &self,
        request: JoinGroupRequest,
        version: i16,
        peer: &Peer,
    ) -> Result<JoinGroupResponse, RequestError> {
        if request.group_id.is_empty() {
            return Ok(refused(
                &Refused {
                    error: ResponseError::InvalidGroupId,
                    member_id: String::new(),
                },
                version,
            ));
        }
        let session = millis(request.session_timeout_ms);
        if session.is_zero() || session > SESSION_MAX {
            let member_id = request.member_id.to_string();
            return Ok(refused(
                &Refused {
                    error: ResponseError::InvalidSessionTimeout,
                    member_id,
                },
                version,
            ));
        }
        let instance = request.group_instance_id.as_ref().map(ToString::to_string);
        let stem = instance.as_deref().unwrap_or(&peer.client_id);
        let call = JoinCall {
            ticket: 0,
            new_member_id: format!("{stem}-{}", Uuid::new_v4()),
            member_id: request.member_id.to_string(),
            instance,
            client_id: peer.client_id.clone(),
            client_host: format!("/{}", peer.host),
            protocol_type: request.protocol_type.to_string(),
            protocols: request
                .protocols
                .into_iter()
                .map(|protocol| Protocol {
                    name: protocol.name.to_string(),
                    metadata: own(&protocol.metadata),
                })
                .collect(),
            session,
            // Version 0 has no rebalance timeout; the session stands in.
            rebalance: if version == 0 {
                session
            } else {
                millis(request.rebalance_timeout_ms)
            },
            id_first: version >= 4,
            can_skip_assignment: version >= 9,
        };
        let result = self
            .coordinator
            .join(&request.group_id, call, &peer.waker)
            .ok_or(RequestError::Stopping)?;
        Ok(match result {
            Ok(joined) => accepted(joined, version),
            Err(refusal) => refused(&refusal, version),
        })
    }

    pub(crate) fn sync_group(
        &self,
        request: SyncGroupRequest,
        version: i16,
        peer: &Peer,
    ) -> Result<SyncGroupResponse, RequestError> {
        let assignments = request
            .assignments
            .into_iter()
            .map(|assigned| (assigned.member_id.to_string(), own(&assigned.assignment)))
            .collect();
        let caller = Caller {
            group: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
        };
        let response = SyncGroupResponse::default();
        Ok(
            match self
                .coordinator
                .sync(caller, assignments, &peer.waker)
                .ok_or(RequestError::Stopping)?
            {
                Err(error) => response.with_error_code(error.code()),
                Ok(synced) if version >= 5 => response
                    .with_protocol_type(Some(text(&synced.protocol_type)))
                    .with_protocol_name(Some(text(&synced.protocol)))
                    .with_assignment(synced.assignment),
                Ok(synced) => response.with_assignment(synced.assignment),
            },
        )
    }

    pub(crate) fn heartbeat(&self, request: &HeartbeatRequest) -> HeartbeatResponse {
        let caller = Caller {
            group: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
        };
        HeartbeatResponse::default().with_error_code(code(&self.coordinator.heartbeat(caller)))
    }

    pub(crate) fn leave_group(
        &self,
        request: LeaveGroupRequest,
        version: i16,
    ) -> LeaveGroupResponse {
        let response = LeaveGroupResponse::default();
        if version < 3 {
            let result = self
                .coordinator
                .leave(&request.group_id, &request.member_id, None);
            return response.with_error_code(code(&result));
        }
        let members = request.members.into_iter().map(|member| {
            let result = self.coordinator.leave(
                &request.group_id,
                &member.member_id,
                member.group_instance_id.as_deref(),
            );
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code(&result))
        });
        response.with_members(members.collect())
    }
}

/// The newer group protocol (KIP-848) is refused in so many words: a client that finds it missing from what is
/// advertised may look for another coordinator for ever, and say nothing.
pub(crate) fn consumer_group_heartbeat() -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_error_message(Some(StrBytes::from_static_str(
            "the embedded broker speaks the classic group protocol only: set group.protocol=classic",
        )))
}

fn accepted(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |candidate: Candidate| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&candidate.member_id))
            .with_group_instance_id(
                candidate
                    .instance
                    .filter(|_| version >= 5)
                    .map(StrBytes::from_string),
            )
            .with_metadata(candidate.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type((version >= 7).then(|| text(&joined.protocol_type)))
        .with_protocol_name(Some(text(&joined.protocol)))
        .with_leader(text(&joined.leader))
        .with_member_id(text(&joined.member_id))
        .with_skip_assignment(joined.skip_assignment)
        .with_members(joined.candidates.into_iter().map(member).collect())
}

fn refused(refusal: &Refused, version: i16) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(refusal.error.code())
        .with_generation_id(-1)
        // Null is allowed from version 7 on.
        .with_protocol_name((version < 7).then(StrBytes::new))
        .with_member_id(text(&refusal.member_id))
}

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

/// A copy, so that what a group keeps of a request does not keep all of it.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

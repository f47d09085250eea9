//! What is served, in which versions, and who answers it.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterConfigsRequest, ApiKey,
    ApiVersionsResponse, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest,
    FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    ListOffsetsRequest, ListTransactionsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    RequestHeader, ResponseHeader, SyncGroupRequest, TxnOffsetCommitRequest,
    api_versions_response::ApiVersion,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::broker::Broker;
use super::error::RequestError;
use super::frame::Frame;
use super::lent::Piece;
use super::membership::consumer_group_heartbeat;
use super::memory::Held;
use super::shape;
use super::waker::Waker;

/// Every API that is served, with its first and last version.
///
/// First versions are low because clients of all ages come; last versions stay below those that name topics by id
/// (Fetch 13, Produce 13) or match them by a pattern (ListTransactions 2). The newer group protocol (KIP-848) is
/// advertised and refused: see `membership`.
pub(crate) const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 8),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
];

/// Bytes that one element of a request takes at most once it is decoded, with its part of the answer.
const ELEMENT_BYTES: usize = 512;
/// Requests of fewer elements do not count what these take: it is less than a connection's stack.
const ELEMENTS_FREE: usize = 1_000;

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The address it comes from, without the port.
    pub(crate) host: String,
    /// What it calls itself.
    pub(crate) client_id: String,
    /// Wakes the thread of its connection.
    pub(crate) waker: Arc<Waker>,
}

/// An answer, whole with its length, or a way to wait for it.
pub(crate) enum Reply {
    /// Ready to be sent.
    Now(BytesMut),
    /// Ready to be sent, one piece after the other; the memory of its records is held until it is.
    Pieces(Vec<Piece>, Held),
    /// Comes with a commit. The connection may read on meanwhile; answers leave in the order of the requests.
    Later(Box<dyn Later>),
    /// The client wants none (`acks=0`).
    None,
}

/// An answer that comes with a commit.
pub(crate) trait Later: Send {
    /// Waits for it; makes the commit if nobody else does.
    fn wait(self: Box<Self>) -> Result<BytesMut, RequestError>;
}

/// The header of a request, as far as an answer needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    correlation_id: i32,
}

impl Asked {
    /// Reads a request's body.
    pub(crate) fn decode<T: Decodable>(&self, body: &mut Bytes) -> Result<T, RequestError> {
        T::decode(body, self.version).map_err(|error| self.malformed(error.to_string()))
    }

    /// Writes a whole answer.
    pub(crate) fn encode(&self, response: &impl Encodable) -> Result<BytesMut, RequestError> {
        let unencodable = |reason| self.unencodable(reason);
        let header_version = self.api.response_header_version(self.version);
        let size = response
            .compute_size(self.version)
            .map_err(|error| unencodable(error.to_string()))?;
        let mut out = BytesMut::with_capacity(size + 16);
        out.put_u32(0);
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut out, header_version)
            .and_then(|()| response.encode(&mut out, self.version))
            .map_err(|error| unencodable(error.to_string()))?;
        let length =
            u32::try_from(out.len() - 4).map_err(|_| unencodable("over 4 GiB".to_owned()))?;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Ok(out)
    }

    pub(crate) fn unencodable(&self, reason: String) -> RequestError {
        RequestError::Unencodable {
            api: self.api as i16,
            version: self.version,
            reason,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(api: ApiKey, version: i16) -> Asked {
        Asked {
            api,
            version,
            correlation_id: 0x0102_0304,
        }
    }

    fn malformed(&self, reason: String) -> RequestError {
        RequestError::Malformed {
            api: self.api as i16,
            version: self.version,
            reason,
        }
    }
}

/// Answers one request.
pub(crate) fn answer(
    broker: &Arc<Broker>,
    host: &str,
    waker: &Arc<Waker>,
    Frame { bytes, held }: Frame,
) -> Result<Reply, RequestError> {
    let mut frame = Bytes::from(bytes);
    let Some([k0, k1, v0, v1, c0, c1, c2, c3]) = frame.first_chunk::<8>().copied() else {
        return Err(RequestError::Malformed {
            api: -1,
            version: -1,
            reason: "shorter than a header".to_owned(),
        });
    };
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let api = ApiKey::try_from(key).map_err(|()| RequestError::NotServed { api: key, version })?;
    let asked = Asked {
        api,
        version,
        correlation_id: i32::from_be_bytes([c0, c1, c2, c3]),
    };
    if !SERVED
        .iter()
        .any(|&(served, first, last)| served == api && (first..=last).contains(&version))
    {
        if api == ApiKey::ApiVersions {
            // Too new: the answer is in version 0, from which the client learns what there is.
            let asked = Asked {
                version: 0,
                ..asked
            };
            return asked
                .encode(&api_versions(ResponseError::UnsupportedVersion.code()))
                .map(Reply::Now);
        }
        return Err(RequestError::NotServed { api: key, version });
    }
    let header_version = api.request_header_version(version);
    shape::check_header(header_version, &frame)
        .map_err(|reason| asked.malformed(reason.to_owned()))?;
    let header = RequestHeader::decode(&mut frame, header_version)
        .map_err(|error| asked.malformed(error.to_string()))?;
    let elements = shape::check(api, version, &frame)
        .map_err(|reason| asked.malformed(reason.to_owned()))?
        .elements;
    let _unfolded = hold_elements(broker, elements)?;
    let client_id = header
        .client_id
        .map(|id| id.to_string())
        .unwrap_or_default();
    let peer = Peer {
        host: host.to_owned(),
        client_id,
        waker: Arc::clone(waker),
    };
    dispatch(broker, &peer, asked, frame, held)
}

/// Holds what many elements take once they are decoded and answered, until the request is.
fn hold_elements(broker: &Broker, elements: usize) -> Result<Option<Held>, RequestError> {
    if elements < ELEMENTS_FREE {
        return Ok(None);
    }
    // Requests before it may hold memory until their commit, for which nobody was called yet.
    broker.queue.call();
    let mut held = broker.requests.take(0);
    held.grow(elements * ELEMENT_BYTES)
        .ok_or(RequestError::Stopping)?;
    Ok(Some(held))
}

/// The answer to the first request of a connection for which there is no room; `None` when it asks for no versions.
pub(crate) fn refusal(frame: &[u8]) -> Result<Option<BytesMut>, RequestError> {
    let Some([k0, k1, v0, v1, c0, c1, c2, c3]) = frame.first_chunk::<8>().copied() else {
        return Ok(None);
    };
    if i16::from_be_bytes([k0, k1]) != ApiKey::ApiVersions as i16 {
        return Ok(None);
    }
    let version = i16::from_be_bytes([v0, v1]);
    let known = SERVED
        .iter()
        .any(|&(api, first, last)| api == ApiKey::ApiVersions && (first..=last).contains(&version));
    let asked = Asked {
        api: ApiKey::ApiVersions,
        version: if known { version } else { 0 },
        correlation_id: i32::from_be_bytes([c0, c1, c2, c3]),
    };
    let answer = api_versions(ResponseError::ThrottlingQuotaExceeded.code());
    asked.encode(&answer).map(Some)
}

/// Reads a request, has it answered, writes the answer.
fn reply<Q: Decodable, A: Encodable>(
    asked: Asked,
    mut body: Bytes,
    work: impl FnOnce(Q) -> A,
) -> Result<Reply, RequestError> {
    let request = asked.decode(&mut body)?;
    asked.encode(&work(request)).map(Reply::Now)
}

fn dispatch(
    broker: &Arc<Broker>,
    peer: &Peer,
    asked: Asked,
    mut body: Bytes,
    held: Held,
) -> Result<Reply, RequestError> {
    let version = asked.version;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not in SERVED does not come here"
    )]
    match asked.api {
        ApiKey::ApiVersions => asked.encode(&api_versions(0)).map(Reply::Now),
        ApiKey::Produce => {
            let request: ProduceRequest = asked.decode(&mut body)?;
            drop(body);
            Ok(broker.produce(request, asked, held))
        }
        ApiKey::Fetch => {
            let request: FetchRequest = asked.decode(&mut body)?;
            let (fetched, held) = broker.fetch(&request, &peer.waker);
            fetched
                .encode(asked)
                .map(|pieces| Reply::Pieces(pieces, held))
        }
        ApiKey::ListOffsets => reply(asked, body, |r: ListOffsetsRequest| {
            broker.list_offsets(r, version)
        }),
        ApiKey::Metadata => reply(asked, body, |r: MetadataRequest| {
            broker.metadata(r, version)
        }),
        ApiKey::OffsetForLeaderEpoch => reply(asked, body, |r: OffsetForLeaderEpochRequest| {
            broker.offset_for_leader_epoch(r)
        }),
        ApiKey::FindCoordinator => reply(asked, body, |r: FindCoordinatorRequest| {
            broker.find_coordinator(r, version)
        }),
        ApiKey::DescribeCluster => reply(asked, body, |r: DescribeClusterRequest| {
            broker.describe_cluster(&r)
        }),
        ApiKey::JoinGroup => {
            let response =
                broker.join_group(asked.decode::<JoinGroupRequest>(&mut body)?, version, peer)?;
            asked.encode(&response).map(Reply::Now)
        }
        ApiKey::SyncGroup => {
            let response =
                broker.sync_group(asked.decode::<SyncGroupRequest>(&mut body)?, version, peer)?;
            asked.encode(&response).map(Reply::Now)
        }
        ApiKey::Heartbeat => reply(asked, body, |r: HeartbeatRequest| broker.heartbeat(&r)),
        ApiKey::LeaveGroup => reply(asked, body, |r: LeaveGroupRequest| {
            broker.leave_group(r, version)
        }),
        ApiKey::DescribeGroups => reply(asked, body, |r: DescribeGroupsRequest| {
            broker.describe_groups(r, version)
        }),
        ApiKey::ListGroups => reply(asked, body, |r: ListGroupsRequest| {
            broker.list_groups(&r, version)
        }),
        ApiKey::DeleteGroups => reply(asked, body, |r: DeleteGroupsRequest| {
            broker.delete_groups(r)
        }),
        ApiKey::OffsetCommit => reply(asked, body, |r: OffsetCommitRequest| {
            broker.offset_commit(r)
        }),
        ApiKey::OffsetFetch => reply(asked, body, |r: OffsetFetchRequest| {
            broker.offset_fetch(r, version)
        }),
        ApiKey::OffsetDelete => reply(asked, body, |r: OffsetDeleteRequest| {
            broker.offset_delete(r)
        }),
        ApiKey::CreateTopics => reply(asked, body, |r: CreateTopicsRequest| {
            broker.create_topics(r, version)
        }),
        ApiKey::DeleteTopics => reply(asked, body, |r: DeleteTopicsRequest| {
            broker.delete_topics(r, version)
        }),
        ApiKey::CreatePartitions => reply(asked, body, |r: CreatePartitionsRequest| {
            broker.create_partitions(r)
        }),
        ApiKey::DeleteRecords => reply(asked, body, |r: DeleteRecordsRequest| {
            broker.delete_records(r)
        }),
        ApiKey::DescribeConfigs => reply(asked, body, |r: DescribeConfigsRequest| {
            broker.describe_configs(r)
        }),
        ApiKey::AlterConfigs => reply(asked, body, |r: AlterConfigsRequest| {
            broker.alter_configs(r)
        }),
        ApiKey::IncrementalAlterConfigs => {
            reply(asked, body, |r: IncrementalAlterConfigsRequest| {
                broker.incremental_alter_configs(r)
            })
        }
        ApiKey::InitProducerId => reply(asked, body, |r: InitProducerIdRequest| {
            broker.init_producer_id(r, version)
        }),
        ApiKey::AddPartitionsToTxn => reply(asked, body, |r: AddPartitionsToTxnRequest| {
            broker.add_partitions_to_txn(r, version)
        }),
        ApiKey::AddOffsetsToTxn => reply(asked, body, |r: AddOffsetsToTxnRequest| {
            broker.add_offsets_to_txn(r, version)
        }),
        ApiKey::TxnOffsetCommit => reply(asked, body, |r: TxnOffsetCommitRequest| {
            broker.txn_offset_commit(r, version)
        }),
        ApiKey::ConsumerGroupHeartbeat => reply(asked, body, |_: ConsumerGroupHeartbeatRequest| {
            consumer_group_heartbeat()
        }),
        ApiKey::DescribeLogDirs => reply(asked, body, |r: DescribeLogDirsRequest| {
            broker.describe_log_dirs(r)
        }),
        ApiKey::DescribeProducers => reply(asked, body, |r: DescribeProducersRequest| {
            broker.describe_producers(r)
        }),
        ApiKey::DescribeTransactions => reply(asked, body, |r: DescribeTransactionsRequest| {
            broker.describe_transactions(r)
        }),
        ApiKey::ListTransactions => reply(asked, body, |r: ListTransactionsRequest| {
            broker.list_transactions(r)
        }),
        ApiKey::EndTxn => reply(asked, body, |r: EndTxnRequest| broker.end_txn(r, version)),
        _ => Err(RequestError::NotServed {
            api: asked.api as i16,
            version,
        }),
    }
}

fn api_versions(error_code: i16) -> ApiVersionsResponse {
    let served = SERVED.iter().map(|&(api, first, last)| {
        ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(first)
            .with_max_version(last)
    });
    ApiVersionsResponse::default()
        .with_error_code(error_code)
        .with_api_keys(served.collect())
}

/// A string as the protocol crate wants it.
pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// Keeps the first of each: what is described or asked for once is not described again, however often it is named, so
/// that an answer is not many times as large as what the broker knows and its request together.
pub(crate) fn once<T, K: Hash + Eq>(named: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::with_capacity(named.len());
    let mut named = named;
    named.retain(|item| seen.insert(key(item)));
    named
}

/// A count as the protocol has it.
pub(crate) fn count(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// The code of an outcome: 0 is success.
pub(crate) fn code(result: &Result<(), ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

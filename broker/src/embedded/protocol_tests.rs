//! Every API in every version that is advertised, over a socket.
//!
//! The protocol crate refuses to write a field that an old version lacks, so an answer that is right for a new client
//! can close the connection of an old one. Each test asks in all versions, for a success and for a refusal.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

use super::batch::tests::sample;
use super::broker::Broker;
use super::protocol::SERVED;
use super::shape::check;
use super::{EmbeddedBroker, EmbeddedConfig};

/// A broker and a connection to it that speaks any version.
pub(super) struct Talk {
    folder: Arc<tempfile::TempDir>,
    broker: Arc<EmbeddedBroker>,
    pub(super) stream: TcpStream,
    asked: Mutex<BTreeSet<(i16, i16)>>,
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(super) fn topic(value: &str) -> TopicName {
    TopicName(text(value))
}

pub(super) fn versions(api: ApiKey) -> RangeInclusive<i16> {
    let (_, first, last) = SERVED
        .iter()
        .find(|(served, ..)| *served == api)
        .copied()
        .unwrap();
    first..=last
}

impl Talk {
    pub(super) fn start() -> Talk {
        Talk::start_with(EmbeddedConfig::default())
    }

    /// With these limits, in a folder and on a port of its own.
    pub(super) fn start_with(config: EmbeddedConfig) -> Talk {
        Talk::open(Arc::new(tempfile::tempdir().unwrap()), config)
    }

    fn open(folder: Arc<tempfile::TempDir>, config: EmbeddedConfig) -> Talk {
        let broker = EmbeddedBroker::start(EmbeddedConfig {
            path: folder.path().join("broker.db"),
            listen: ([127, 0, 0, 1], 0).into(),
            initial_rebalance_delay: Duration::ZERO,
            ..config
        })
        .unwrap();
        let stream = TcpStream::connect(broker.bootstrap_servers()).unwrap();
        let talk = Talk {
            folder,
            broker: Arc::new(broker),
            stream,
            asked: Mutex::default(),
        };
        talk.patient()
    }

    /// The same broker over another connection.
    pub(super) fn on(&self, stream: TcpStream) -> Talk {
        let talk = Talk {
            folder: Arc::clone(&self.folder),
            broker: Arc::clone(&self.broker),
            stream,
            asked: Mutex::default(),
        };
        talk.patient()
    }

    /// The same broker over one more connection.
    pub(super) fn another(&self) -> Talk {
        self.on(TcpStream::connect(self.bootstrap()).unwrap())
    }

    pub(super) fn inner(&self) -> Arc<Broker> {
        self.broker.shared()
    }

    pub(super) fn bootstrap(&self) -> String {
        self.broker.bootstrap_servers()
    }

    /// The broker is stopped and started again on its file.
    pub(super) fn restarted(self) -> Talk {
        let Talk {
            folder,
            broker,
            stream,
            asked,
        } = self;
        drop((broker, stream));
        Talk {
            asked,
            ..Talk::open(folder, EmbeddedConfig::default())
        }
    }

    fn patient(self) -> Talk {
        let patience = Some(Duration::from_secs(30));
        self.stream.set_read_timeout(patience).unwrap();
        self
    }

    pub(super) fn ask<Q: Encodable, A: Decodable>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
    ) -> A {
        self.send(api, version, request);
        self.receive(api, version)
    }

    pub(super) fn send<Q: Encodable>(&self, api: ApiKey, version: i16, request: &Q) {
        let mut frame = BytesMut::new();
        frame.put_u32(0);
        RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(text("test")))
            .encode(&mut frame, api.request_header_version(version))
            .unwrap();
        let header_end = frame.len();
        request
            .encode(&mut frame, version)
            .unwrap_or_else(|error| panic!("request {api:?} {version}: {error}"));
        if SERVED
            .iter()
            .any(|&(served, _, last)| served == api && version <= last)
        {
            let body = Bytes::copy_from_slice(&frame[header_end..]);
            assert_eq!(
                check(api, version, &body).map(|held| held.left_over),
                Ok(0),
                "shape of {api:?} version {version}"
            );
        }
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        (&self.stream).write_all(&frame).unwrap();
        self.asked.lock().unwrap().insert((api as i16, version));
    }

    pub(super) fn receive<A: Decodable>(&self, api: ApiKey, version: i16) -> A {
        let mut length = [0; 4];
        (&self.stream)
            .read_exact(&mut length)
            .unwrap_or_else(|error| panic!("no answer to {api:?} version {version}: {error}"));
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        (&self.stream).read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        let header =
            ResponseHeader::decode(&mut answer, api.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7);
        let response = A::decode(&mut answer, version)
            .unwrap_or_else(|error| panic!("answer {api:?} {version}: {error}"));
        assert!(
            answer.is_empty(),
            "{api:?} version {version}: {} bytes too many",
            answer.len()
        );
        response
    }

    pub(super) fn make_topic(&self, name: &str) {
        let wish = create_topics_request::CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(2)
            .with_replication_factor(1);
        let made: CreateTopicsResponse = self.ask(
            ApiKey::CreateTopics,
            5,
            &CreateTopicsRequest::default().with_topics(vec![wish]),
        );
        assert_eq!(made.topics[0].error_code, 0);
    }

    pub(super) fn produce(&self, version: i16, name: &str, batch: Bytes) -> (i16, i64) {
        self.send_produce(version, name, batch);
        self.receive_produced(version)
    }

    pub(super) fn send_produce(&self, version: i16, name: &str, batch: Bytes) {
        let partition = produce_request::PartitionProduceData::default()
            .with_index(0)
            .with_records(Some(batch));
        let wish = produce_request::TopicProduceData::default()
            .with_name(topic(name))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![wish]);
        self.send(ApiKey::Produce, version, &request);
    }

    /// The error code and the offset of what was produced.
    pub(super) fn receive_produced(&self, version: i16) -> (i16, i64) {
        let answer: ProduceResponse = self.receive(ApiKey::Produce, version);
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    pub(super) fn join(
        &self,
        version: i16,
        group: &str,
        member_id: &str,
        instance: Option<&str>,
    ) -> JoinGroupResponse {
        let protocol = join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(&[0, 1, 0, 0, 0, 0]));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(if version >= 1 { 10_000 } else { -1 })
            .with_member_id(text(member_id))
            .with_group_instance_id(instance.map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        self.ask(ApiKey::JoinGroup, version, &request)
    }

    /// Makes a group of one static member that has its assignment. Returns its id and generation.
    pub(super) fn settled(&self, group: &str) -> (StrBytes, i32) {
        let joined = self.join(5, group, "", Some("instance"));
        assert_eq!(joined.error_code, 0);
        let assignment = sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![assignment]);
        let synced: SyncGroupResponse = self.ask(ApiKey::SyncGroup, 3, &request);
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"all"[..])
        );
        (joined.member_id, joined.generation_id)
    }
}

#[test]
fn every_version_is_advertised_to_every_version() {
    let talk = Talk::start();
    for version in versions(ApiKey::ApiVersions) {
        let request = ApiVersionsRequest::default();
        let request = if version >= 3 {
            request
                .with_client_software_name(text("t"))
                .with_client_software_version(text("1"))
        } else {
            request
        };
        let answer: ApiVersionsResponse = talk.ask(ApiKey::ApiVersions, version, &request);
        assert_eq!(answer.api_keys.len(), SERVED.len());
        assert!(
            answer
                .api_keys
                .iter()
                .all(|api| api.api_key != ApiKey::ShareGroupHeartbeat as i16)
        );
    }
    // A client from the future is told what there is, in version 0.
    let future = [
        0, 0, 0, 14, 0, 18, 0, 99, 0, 0, 0, 7, 0, 4, b't', b'e', b's', b't',
    ];
    (&talk.stream).write_all(&future).unwrap();
    let answer: ApiVersionsResponse = {
        let mut length = [0; 4];
        (&talk.stream).read_exact(&mut length).unwrap();
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        (&talk.stream).read_exact(&mut bytes).unwrap();
        ApiVersionsResponse::decode(&mut Bytes::from(bytes).slice(4..), 0).unwrap()
    };
    assert_eq!(answer.error_code, ResponseError::UnsupportedVersion.code());
}

#[test]
fn what_is_advertised_is_what_the_crate_can_read_and_write() {
    for &(api, first, last) in SERVED {
        let valid = api.valid_versions();
        assert!(
            first >= valid.min && last <= valid.max,
            "{api:?} {first}..={last} is not within {valid:?}"
        );
    }
}

#[test]
fn topics_are_described_to_every_version() {
    let talk = Talk::start();
    talk.make_topic("orders");
    for version in versions(ApiKey::Metadata) {
        let asked = |name: &str| {
            metadata_request::MetadataRequestTopic::default().with_name(Some(topic(name)))
        };
        let request =
            MetadataRequest::default().with_topics(Some(vec![asked("orders"), asked("none")]));
        let answer: MetadataResponse = talk.ask(ApiKey::Metadata, version, &request);
        assert_eq!(
            (
                answer.topics[0].error_code,
                answer.topics[0].partitions.len()
            ),
            (0, 2)
        );
        assert_eq!(
            answer.topics[1].error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
        assert_eq!(answer.brokers[0].port, i32::from(talk.broker.port()));
        let all = MetadataRequest::default().with_topics(if version == 0 {
            Some(Vec::new())
        } else {
            None
        });
        let answer: MetadataResponse = talk.ask(ApiKey::Metadata, version, &all);
        assert_eq!(answer.topics.len(), 1);
    }
    for version in versions(ApiKey::FindCoordinator) {
        let request = FindCoordinatorRequest::default();
        let request = if version >= 4 {
            request.with_coordinator_keys(vec![text("g")])
        } else {
            request.with_key(text("g"))
        };
        let answer: FindCoordinatorResponse = talk.ask(ApiKey::FindCoordinator, version, &request);
        let port = if version >= 4 {
            answer.coordinators[0].port
        } else {
            answer.port
        };
        assert_eq!(port, i32::from(talk.broker.port()));
    }
    for version in versions(ApiKey::DescribeCluster) {
        let answer: DescribeClusterResponse = talk.ask(
            ApiKey::DescribeCluster,
            version,
            &DescribeClusterRequest::default(),
        );
        assert_eq!(answer.brokers.len(), 1);
    }
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        let partition = |index| {
            offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
                .with_partition(index)
        };
        let asked = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(topic("orders"))
            .with_partitions(vec![partition(0), partition(9)]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![asked]);
        let answer: OffsetForLeaderEpochResponse =
            talk.ask(ApiKey::OffsetForLeaderEpoch, version, &request);
        assert_eq!(answer.topics[0].partitions[0].end_offset, 0);
        assert_eq!(
            answer.topics[0].partitions[1].error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
    }
}

#[test]
fn records_are_taken_from_and_given_to_every_version() {
    let talk = Talk::start();
    talk.make_topic("orders");
    for (offset, version) in versions(ApiKey::Produce).enumerate() {
        assert_eq!(
            talk.produce(version, "orders", sample(-1, -1, -1, &[100])),
            (0, i64::try_from(offset).unwrap())
        );
        assert_eq!(
            talk.produce(version, "none", sample(-1, -1, -1, &[100])).0,
            ResponseError::UnknownTopicOrPartition.code()
        );
        let two = [sample(-1, -1, -1, &[100]), sample(-1, -1, -1, &[100])].concat();
        assert_eq!(
            talk.produce(version, "orders", two.into()).0,
            ResponseError::InvalidRecord.code()
        );
    }
    for version in versions(ApiKey::Fetch) {
        for isolation in [0, 1] {
            let partition = |index, offset| {
                fetch_request::FetchPartition::default()
                    .with_partition(index)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(1 << 20)
            };
            let asked = fetch_request::FetchTopic::default()
                .with_topic(topic("orders"))
                .with_partitions(vec![partition(0, 0), partition(0, 99), partition(9, 0)]);
            let request = FetchRequest::default()
                .with_max_wait_ms(0)
                .with_min_bytes(1)
                .with_max_bytes(1 << 20)
                .with_isolation_level(isolation)
                .with_topics(vec![asked]);
            let answer: FetchResponse = talk.ask(ApiKey::Fetch, version, &request);
            let partitions = &answer.responses[0].partitions;
            assert!(!partitions[0].records.as_ref().unwrap().is_empty());
            assert_eq!(
                partitions[1].error_code,
                ResponseError::OffsetOutOfRange.code()
            );
            assert_eq!(
                partitions[2].error_code,
                ResponseError::UnknownTopicOrPartition.code()
            );
        }
    }
    for version in versions(ApiKey::ListOffsets) {
        let partition = |index, time| {
            list_offsets_request::ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(time)
        };
        let asked = list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![
                partition(0, -1),
                partition(0, -2),
                partition(0, -3),
                partition(0, 100),
                partition(0, 101),
                partition(9, -1),
            ]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![asked]);
        let answer: ListOffsetsResponse = talk.ask(ApiKey::ListOffsets, version, &request);
        let offsets: Vec<i64> = answer.topics[0]
            .partitions
            .iter()
            .map(|partition| partition.offset)
            .collect();
        assert_eq!(offsets, [7, 0, 0, 0, -1, -1], "version {version}");
    }
    for version in versions(ApiKey::DeleteRecords) {
        let partition = |index, offset| {
            delete_records_request::DeleteRecordsPartition::default()
                .with_partition_index(index)
                .with_offset(offset)
        };
        let asked = delete_records_request::DeleteRecordsTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![
                partition(0, i64::from(version) + 1),
                partition(0, 99),
                partition(9, 0),
            ]);
        let answer: DeleteRecordsResponse = talk.ask(
            ApiKey::DeleteRecords,
            version,
            &DeleteRecordsRequest::default().with_topics(vec![asked]),
        );
        let partitions = &answer.topics[0].partitions;
        assert_eq!(partitions[0].low_watermark, i64::from(version) + 1);
        assert_eq!(
            partitions[1].error_code,
            ResponseError::OffsetOutOfRange.code()
        );
    }
}

#[test]
fn topics_are_made_changed_and_deleted_by_every_version() {
    let talk = Talk::start();
    talk.make_topic("orders");
    for version in versions(ApiKey::CreateTopics) {
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("5")));
        let wish = create_topics_request::CreatableTopic::default()
            .with_name(topic(&format!("topic-{version}")))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        let twice = wish.clone().with_name(topic("orders"));
        let answer: CreateTopicsResponse = talk.ask(
            ApiKey::CreateTopics,
            version,
            &CreateTopicsRequest::default().with_topics(vec![wish, twice]),
        );
        assert_eq!(answer.topics[0].error_code, 0);
        assert_eq!(answer.topics[0].topic_id != Uuid::nil(), version >= 7);
        assert_eq!(
            answer.topics[1].error_code,
            ResponseError::TopicAlreadyExists.code()
        );
    }
    for version in versions(ApiKey::CreatePartitions) {
        let wish = |count| {
            create_partitions_request::CreatePartitionsTopic::default()
                .with_name(topic("orders"))
                .with_count(count)
        };
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wish(3 + i32::from(version)), wish(1)]);
        let answer: CreatePartitionsResponse =
            talk.ask(ApiKey::CreatePartitions, version, &request);
        assert_eq!(
            (answer.results[0].error_code, answer.results[1].error_code),
            (0, ResponseError::InvalidPartitions.code())
        );
    }
    for version in versions(ApiKey::AlterConfigs) {
        let config = alter_configs_request::AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("77")));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configs(vec![config]);
        let wrong = resource.clone().with_resource_name(text("none"));
        let request = AlterConfigsRequest::default().with_resources(vec![resource, wrong]);
        let answer: AlterConfigsResponse = talk.ask(ApiKey::AlterConfigs, version, &request);
        assert_eq!(
            (
                answer.responses[0].error_code,
                answer.responses[1].error_code
            ),
            (0, 3)
        );
    }
    for version in versions(ApiKey::IncrementalAlterConfigs) {
        let config = incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text("cleanup.policy"))
            .with_config_operation(1)
            .with_value(Some(text("compact")));
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configs(vec![config]);
        let broker = resource
            .clone()
            .with_resource_type(4)
            .with_resource_name(text("1"));
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource, broker]);
        let answer: IncrementalAlterConfigsResponse =
            talk.ask(ApiKey::IncrementalAlterConfigs, version, &request);
        assert_eq!(
            (
                answer.responses[0].error_code,
                answer.responses[1].error_code
            ),
            (0, ResponseError::InvalidRequest.code())
        );
    }
    for version in versions(ApiKey::DescribeConfigs) {
        let resource = |kind, name| {
            describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
        };
        let request = DescribeConfigsRequest::default()
            .with_include_synonyms(true)
            .with_resources(vec![
                resource(2, "orders"),
                resource(4, "1"),
                resource(2, "none"),
            ]);
        let answer: DescribeConfigsResponse = talk.ask(ApiKey::DescribeConfigs, version, &request);
        let retention = answer.results[0]
            .configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms")
            .unwrap();
        assert_eq!(
            (retention.value.as_deref(), retention.config_source),
            (Some("77"), 1)
        );
        assert!(!answer.results[1].configs.is_empty());
        assert_eq!(answer.results[2].error_code, 3);
    }
    for version in versions(ApiKey::DeleteTopics) {
        let names = vec![topic(&format!("topic-{}", version + 1)), topic("none")];
        let answer: DeleteTopicsResponse = talk.ask(
            ApiKey::DeleteTopics,
            version,
            &DeleteTopicsRequest::default().with_topic_names(names),
        );
        assert_eq!(
            (
                answer.responses[0].error_code,
                answer.responses[1].error_code
            ),
            (0, 3)
        );
    }
}

#[test]
fn members_of_every_version_join_sync_live_and_leave() {
    let talk = Talk::start();
    for version in versions(ApiKey::JoinGroup) {
        let group = format!("join-{version}");
        let mut joined = talk.join(version, &group, "", None);
        if version >= 4 {
            assert_eq!(joined.error_code, ResponseError::MemberIdRequired.code());
            joined = talk.join(version, &group, &joined.member_id, None);
        }
        assert_eq!(
            (
                joined.error_code,
                joined.generation_id,
                joined.members.len()
            ),
            (0, 1, 1),
            "version {version}"
        );
        assert_eq!(
            talk.join(version, &group, "stranger", None).error_code,
            ResponseError::UnknownMemberId.code()
        );
    }
    for version in versions(ApiKey::JoinGroup).filter(|version| *version >= 5) {
        let (first, _) = talk.settled(&format!("static-{version}"));
        let back = talk.join(version, &format!("static-{version}"), "", Some("instance"));
        assert_eq!((back.error_code, back.skip_assignment), (0, version >= 9));
        assert_ne!(back.member_id, first);
    }
    for version in versions(ApiKey::SyncGroup) {
        let (member_id, generation) = talk.settled(&format!("sync-{version}"));
        let request = |generation| {
            let request = SyncGroupRequest::default()
                .with_group_id(GroupId(text(&format!("sync-{version}"))))
                .with_generation_id(generation)
                .with_member_id(member_id.clone());
            if version >= 5 {
                request
                    .with_protocol_type(Some(text("consumer")))
                    .with_protocol_name(Some(text("range")))
            } else {
                request
            }
        };
        let answer: SyncGroupResponse = talk.ask(ApiKey::SyncGroup, version, &request(generation));
        assert_eq!(
            (answer.error_code, &answer.assignment[..]),
            (0, &b"all"[..])
        );
        let answer: SyncGroupResponse = talk.ask(ApiKey::SyncGroup, version, &request(99));
        assert_eq!(answer.error_code, ResponseError::IllegalGeneration.code());
    }
    let (member_id, generation) = talk.settled("live");
    for version in versions(ApiKey::Heartbeat) {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text("live")))
            .with_generation_id(generation)
            .with_member_id(member_id.clone());
        let answer: HeartbeatResponse = talk.ask(ApiKey::Heartbeat, version, &request);
        assert_eq!(answer.error_code, 0);
    }
    for version in versions(ApiKey::DescribeGroups) {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(text("live")), GroupId(text("none"))]);
        let answer: DescribeGroupsResponse = talk.ask(ApiKey::DescribeGroups, version, &request);
        assert_eq!(
            (
                answer.groups[0].group_state.as_str(),
                answer.groups[1].group_state.as_str()
            ),
            ("Stable", "Dead")
        );
        let missing = if version >= 6 {
            ResponseError::GroupIdNotFound.code()
        } else {
            0
        };
        assert_eq!(answer.groups[1].error_code, missing);
        assert_eq!(&answer.groups[0].members[0].member_assignment[..], b"all");
    }
    for version in versions(ApiKey::ListGroups) {
        let answer: ListGroupsResponse =
            talk.ask(ApiKey::ListGroups, version, &ListGroupsRequest::default());
        assert!(
            answer
                .groups
                .iter()
                .any(|group| group.group_id.as_str() == "live")
        );
    }
    for version in versions(ApiKey::LeaveGroup) {
        let (member_id, _) = talk.settled(&format!("leave-{version}"));
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(text(&format!("leave-{version}"))));
        let request = if version >= 3 {
            request.with_members(vec![
                leave_group_request::MemberIdentity::default().with_member_id(member_id),
                leave_group_request::MemberIdentity::default().with_member_id(text("stranger")),
            ])
        } else {
            request.with_member_id(member_id)
        };
        let answer: LeaveGroupResponse = talk.ask(ApiKey::LeaveGroup, version, &request);
        assert_eq!(answer.error_code, 0);
        assert!(
            version < 3 || answer.members[1].error_code == ResponseError::UnknownMemberId.code()
        );
    }
}

#[test]
fn offsets_are_kept_for_every_version() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let (member_id, generation) = talk.settled("g");
    for version in versions(ApiKey::OffsetCommit) {
        let partition = |index| {
            offset_commit_request::OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(i64::from(version))
                .with_committed_leader_epoch(if version >= 6 { 0 } else { -1 })
                .with_committed_metadata(Some(text("why")))
        };
        let asked = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition(0), partition(9)]);
        let request = |generation| {
            OffsetCommitRequest::default()
                .with_group_id(GroupId(text("g")))
                .with_generation_id_or_member_epoch(generation)
                .with_member_id(member_id.clone())
                .with_topics(vec![asked.clone()])
        };
        let answer: OffsetCommitResponse =
            talk.ask(ApiKey::OffsetCommit, version, &request(generation));
        let errors: Vec<i16> = answer.topics[0]
            .partitions
            .iter()
            .map(|partition| partition.error_code)
            .collect();
        assert_eq!(errors, [0, ResponseError::UnknownTopicOrPartition.code()]);
        let answer: OffsetCommitResponse = talk.ask(ApiKey::OffsetCommit, version, &request(99));
        assert_eq!(
            answer.topics[0].partitions[0].error_code,
            ResponseError::IllegalGeneration.code()
        );
    }
    for version in versions(ApiKey::OffsetFetch) {
        let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
        let (offset, missing) = if version >= 8 {
            let asked = offset_fetch_request::OffsetFetchRequestTopics::default()
                .with_name(topic("orders"))
                .with_partition_indexes(vec![0, 1]);
            let group = offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text("g")))
                .with_topics(Some(vec![asked]));
            let answer: OffsetFetchResponse = talk.ask(
                ApiKey::OffsetFetch,
                version,
                &request.with_groups(vec![group]),
            );
            let partitions = &answer.groups[0].topics[0].partitions;
            (
                partitions[0].committed_offset,
                partitions[1].committed_offset,
            )
        } else {
            let asked = offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic("orders"))
                .with_partition_indexes(vec![0, 1]);
            let request = request
                .with_group_id(GroupId(text("g")))
                .with_topics(Some(vec![asked]));
            let answer: OffsetFetchResponse = talk.ask(ApiKey::OffsetFetch, version, &request);
            let partitions = &answer.topics[0].partitions;
            (
                partitions[0].committed_offset,
                partitions[1].committed_offset,
            )
        };
        assert_eq!((offset, missing), (8, -1), "version {version}");
    }
    let delete = |group| {
        let partition =
            offset_delete_request::OffsetDeleteRequestPartition::default().with_partition_index(0);
        let asked = offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(vec![asked]);
        talk.ask::<_, OffsetDeleteResponse>(ApiKey::OffsetDelete, 0, &request)
            .error_code
    };
    assert_eq!(
        (delete("g"), delete("none")),
        (0, ResponseError::GroupIdNotFound.code())
    );
    for version in versions(ApiKey::DeleteGroups) {
        let request = DeleteGroupsRequest::default()
            .with_groups_names(vec![GroupId(text("g")), GroupId(text("none"))]);
        let answer: DeleteGroupsResponse = talk.ask(ApiKey::DeleteGroups, version, &request);
        let errors: Vec<i16> = answer
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(
            errors,
            [
                ResponseError::NonEmptyGroup.code(),
                ResponseError::GroupIdNotFound.code()
            ]
        );
    }
}

#[test]
fn transactions_of_every_version_are_fenced_and_ended() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let begin = |version: i16, id: &str| {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(10_000);
        let answer: InitProducerIdResponse = talk.ask(ApiKey::InitProducerId, version, &request);
        assert_eq!(answer.error_code, 0);
        (answer.producer_id, answer.producer_epoch)
    };
    for version in versions(ApiKey::InitProducerId) {
        assert_eq!(begin(version, "init").1, version);
        let plain: InitProducerIdResponse = talk.ask(
            ApiKey::InitProducerId,
            version,
            &InitProducerIdRequest::default().with_transactional_id(None),
        );
        assert!(plain.producer_id.0 > 0);
        let endless = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("init"))))
            .with_transaction_timeout_ms(i32::MAX);
        let refused: InitProducerIdResponse = talk.ask(ApiKey::InitProducerId, version, &endless);
        assert_eq!(
            refused.error_code,
            ResponseError::InvalidTransactionTimeout.code()
        );
    }
    for version in 0..=3 {
        let id = format!("txn-{version}");
        let (_, old_epoch) = begin(2, &id);
        let (producer, epoch) = begin(2, &id);
        let fenced = if version >= 2 {
            ResponseError::ProducerFenced
        } else {
            ResponseError::InvalidProducerEpoch
        };
        let add = |epoch| {
            let asked = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic("orders"))
                .with_partitions(vec![0]);
            let request = AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(TransactionalId(text(&id)))
                .with_v3_and_below_producer_id(producer)
                .with_v3_and_below_producer_epoch(epoch)
                .with_v3_and_below_topics(vec![asked]);
            let answer: AddPartitionsToTxnResponse =
                talk.ask(ApiKey::AddPartitionsToTxn, version, &request);
            answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
        };
        assert_eq!(
            (add(old_epoch), add(epoch)),
            (fenced.code(), 0),
            "version {version}"
        );
        assert_eq!(
            talk.produce(9, "orders", sample(producer.0, epoch, 0, &[100]))
                .0,
            0
        );
        assert_eq!(
            talk.produce(9, "orders", sample(producer.0, epoch + 1, 0, &[100]))
                .0,
            ResponseError::InvalidProducerEpoch.code()
        );
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&id)))
            .with_producer_id(producer)
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text("g")));
        let answer: AddOffsetsToTxnResponse = talk.ask(ApiKey::AddOffsetsToTxn, version, &request);
        assert_eq!(answer.error_code, 0);
        let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(7);
        let asked = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&id)))
            .with_group_id(GroupId(text("g")))
            .with_producer_id(producer)
            .with_producer_epoch(epoch)
            .with_topics(vec![asked]);
        let answer: TxnOffsetCommitResponse = talk.ask(ApiKey::TxnOffsetCommit, version, &request);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        let end = |epoch| {
            let request = EndTxnRequest::default()
                .with_transactional_id(TransactionalId(text(&id)))
                .with_producer_id(producer)
                .with_producer_epoch(epoch)
                .with_committed(version % 2 == 0);
            talk.ask::<_, EndTxnResponse>(ApiKey::EndTxn, version, &request)
                .error_code
        };
        assert_eq!(
            (end(old_epoch), end(epoch)),
            (fenced.code(), 0),
            "version {version}"
        );
    }
    // Each test notes what it asked; here all of one kind come together.
    let asked = talk.asked.lock().unwrap().clone();
    for api in [
        ApiKey::InitProducerId,
        ApiKey::AddPartitionsToTxn,
        ApiKey::AddOffsetsToTxn,
        ApiKey::TxnOffsetCommit,
        ApiKey::EndTxn,
    ] {
        assert!(
            versions(api).all(|version| asked.contains(&(api as i16, version))),
            "{api:?}"
        );
    }
}

#[test]
fn what_was_not_advertised_closes_the_connection() {
    let talk = Talk::start();
    talk.send(
        ApiKey::ShareGroupHeartbeat,
        1,
        &ShareGroupHeartbeatRequest::default(),
    );
    assert_eq!((&talk.stream).read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn a_repeated_batch_is_answered_with_its_old_offset_also_after_a_restart() {
    let talk = Talk::start();
    talk.make_topic("orders");
    let answer: InitProducerIdResponse = talk.ask(
        ApiKey::InitProducerId,
        4,
        &InitProducerIdRequest::default().with_transactional_id(None),
    );
    let producer = answer.producer_id.0;
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 0, &[1, 2])),
        (0, 0)
    );
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 2, &[3])),
        (0, 2)
    );
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 0, &[1, 2])),
        (0, 0)
    );
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 9, &[1])).0,
        ResponseError::OutOfOrderSequenceNumber.code()
    );
    let talk = talk.restarted();
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 2, &[3])),
        (0, 2)
    );
    assert_eq!(
        talk.produce(9, "orders", sample(producer, 0, 3, &[4])),
        (0, 3)
    );
}

#[test]
fn a_request_that_claims_more_than_it_holds_closes_its_connection_only() {
    let talk = Talk::start();
    // Metadata, version 1: 2,147,483,647 topics in four bytes.
    let frame = [
        0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
    ];
    (&talk.stream).write_all(&frame).unwrap();
    assert_eq!((&talk.stream).read(&mut [0; 1]).unwrap_or(0), 0);
    let stream = TcpStream::connect(talk.bootstrap()).unwrap();
    talk.on(stream).make_topic("orders");
}

//! Offsets that groups have committed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::broker::{Broker, read_error, storage_error};
use super::failpoint::{Point, reach};
use super::group_call::Caller;
use super::ledger::now_ms;
use super::protocol::{code, once, text};

/// Bytes that may be committed beside an offset: Kafka's `offset.metadata.max.bytes`.
pub(crate) const METADATA_MAX: usize = 4_096;

/// One offset to keep.
#[derive(Debug, Clone)]
pub(crate) struct CommittedOffset {
    pub(crate) topic: TopicName,
    pub(crate) index: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

impl CommittedOffset {
    /// Whether it may be kept.
    pub(crate) fn check(&self, broker: &Broker) -> Result<(), ResponseError> {
        if broker.topics.partition(&self.topic, self.index).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        if self.metadata.len() > METADATA_MAX {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        Ok(())
    }
}

/// What became of one partition's offset.
type Outcome = (i32, Result<(), ResponseError>);

/// An offset as it was kept.
struct Kept {
    offset: i64,
    leader_epoch: i32,
    metadata: String,
}

impl Broker {
    pub(crate) fn offset_commit(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let caller = Caller {
            group: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
        };
        let allowed = self.coordinator.may_commit(caller);
        let mut taken = Vec::new();
        let mut topics: Vec<(TopicName, Vec<Outcome>)> = Vec::new();
        for topic in request.topics {
            let mut partitions = Vec::new();
            for partition in topic.partitions {
                let offset = CommittedOffset {
                    topic: topic.name.clone(),
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition
                        .committed_metadata
                        .map(|metadata| metadata.to_string())
                        .unwrap_or_default(),
                };
                let result = allowed.and_then(|()| offset.check(self));
                if result.is_ok() {
                    taken.push(offset);
                }
                partitions.push((partition.partition_index, result));
            }
            topics.push((topic.name, partitions));
        }
        let group = request.group_id.to_string();
        let kept = if taken.is_empty() {
            Ok(())
        } else {
            self.queue
                .write(move |ledger| keep(&ledger.db, &group, &taken))
                .map_err(storage_error)
        };
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, result)| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code(&result.and(kept)))
            });
            OffsetCommitResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    pub(crate) fn offset_fetch(
        &self,
        request: OffsetFetchRequest,
        version: i16,
    ) -> OffsetFetchResponse {
        let stable = request.require_stable;
        let response = OffsetFetchResponse::default();
        if version < 8 {
            let asked = request.topics.map(|topics| {
                once(topics, |topic| topic.name.clone())
                    .into_iter()
                    .map(|topic| (topic.name, once(topic.partition_indexes, |index| *index)))
                    .collect()
            });
            return match self.offsets_of(&request.group_id, asked, stable) {
                Ok(topics) => {
                    let topics = topics.into_iter().map(|topic| old_topic(topic, version));
                    response.with_topics(topics.collect())
                }
                Err(error) if version >= 2 => response.with_error_code(error.code()),
                Err(_) => response,
            };
        }
        let asked = once(request.groups, |group| group.group_id.clone());
        let groups = asked.into_iter().map(|group| {
            let asked = group.topics.map(|topics| {
                once(topics, |topic| topic.name.clone())
                    .into_iter()
                    .map(|topic| (topic.name, once(topic.partition_indexes, |index| *index)))
                    .collect()
            });
            let answer = OffsetFetchResponseGroup::default();
            let answer = match self.offsets_of(&group.group_id, asked, stable) {
                Ok(topics) => answer.with_topics(topics.into_iter().map(topic).collect()),
                Err(error) => answer.with_error_code(error.code()),
            };
            answer.with_group_id(group.group_id)
        });
        response.with_groups(groups.collect())
    }

    pub(crate) fn offset_delete(&self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let response = OffsetDeleteResponse::default();
        let group = request.group_id.to_string();
        // Topics that a member reads now keep their offsets.
        let subscribed = self.coordinator.look(&group, |group| {
            let metadata: Vec<_> = group
                .members
                .values()
                .filter_map(|member| member.metadata(&group.protocol).cloned())
                .collect();
            (!group.members.is_empty(), metadata)
        });
        let known = match self.readers.read(|db| {
            db.query_row(
                "select 1 from group_offset where group_id = ?1 limit 1",
                [&group],
                |_| Ok(()),
            )
            .optional()
        }) {
            Ok(known) => known.is_some() || subscribed.is_some(),
            Err(error) => return response.with_error_code(read_error(error).code()),
        };
        if !known {
            return response.with_error_code(ResponseError::GroupIdNotFound.code());
        }
        let busy = |topic: &TopicName| {
            subscribed.as_ref().is_some_and(|(active, metadata)| {
                *active
                    && metadata
                        .iter()
                        .any(|metadata| super::group_member::reads_topic(metadata, topic))
            })
        };
        let mut gone = Vec::new();
        let mut topics = Vec::new();
        for topic in request.topics {
            let busy = busy(&topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let error = if self.topics.partition(&topic.name, index).is_none() {
                    ResponseError::UnknownTopicOrPartition.code()
                } else if busy {
                    ResponseError::GroupSubscribedToTopic.code()
                } else {
                    gone.push((topic.name.clone(), index));
                    0
                };
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(error)
            });
            let partitions = partitions.collect();
            topics.push(
                OffsetDeleteResponseTopic::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        let deleted = self.queue.write(move |ledger| {
            let mut delete = ledger.db.prepare_cached(
                "delete from group_offset where group_id = ?1 and topic = ?2 and position = ?3",
            )?;
            for (topic, index) in &gone {
                delete.execute(params![group, topic.as_str(), index])?;
            }
            Ok(())
        });
        response
            .with_topics(topics)
            .with_error_code(code(&deleted.map_err(storage_error)))
    }

    /// What a group has committed for the topics asked for, or for all.
    fn offsets_of(
        &self,
        group: &str,
        asked: Option<Vec<(TopicName, Vec<i32>)>>,
        stable: bool,
    ) -> Result<Vec<(TopicName, Vec<Found>)>, ResponseError> {
        let (kept, unsettled) = self
            .readers
            .read(|db| {
                let unsettled = if stable {
                    unsettled(db, group)?
                } else {
                    Vec::new()
                };
                Ok((kept(db, group)?, unsettled))
            })
            .map_err(read_error)?;
        let asked = asked.unwrap_or_else(|| {
            let mut all: BTreeMap<&String, Vec<i32>> = BTreeMap::new();
            kept.keys()
                .for_each(|(topic, index)| all.entry(topic).or_default().push(*index));
            all.into_iter()
                .map(|(topic, indexes)| (TopicName(text(topic)), indexes))
                .collect()
        });
        let find = |topic: &TopicName, index: i32| {
            let key = (topic.to_string(), index);
            if unsettled.contains(&key) {
                return Found {
                    index,
                    kept: None,
                    error: ResponseError::UnstableOffsetCommit.code(),
                };
            }
            let kept = kept
                .get(&key)
                .map(|kept| (kept.offset, kept.leader_epoch, kept.metadata.clone()));
            Found {
                index,
                kept,
                error: 0,
            }
        };
        Ok(asked
            .into_iter()
            .map(|(topic, indexes)| {
                let found = indexes
                    .into_iter()
                    .map(|index| find(&topic, index))
                    .collect();
                (topic, found)
            })
            .collect())
    }
}

/// The answer for one partition.
struct Found {
    index: i32,
    kept: Option<(i64, i32, String)>,
    error: i16,
}

/// Keeps offsets, in the writer's transaction.
pub(crate) fn keep(
    db: &Connection,
    group: &str,
    offsets: &[CommittedOffset],
) -> rusqlite::Result<()> {
    let mut keep = db.prepare_cached(
        "insert into group_offset (group_id, topic, position, committed, leader_epoch, metadata, committed_ms)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (group_id, topic, position) do update
         set committed = excluded.committed, leader_epoch = excluded.leader_epoch, metadata = excluded.metadata,
             committed_ms = excluded.committed_ms",
    )?;
    let now = now_ms();
    for kept in offsets {
        keep.execute(params![
            group,
            kept.topic.as_str(),
            kept.index,
            kept.offset,
            kept.leader_epoch,
            kept.metadata,
            now
        ])?;
        reach(Point::OffsetKept)?;
    }
    Ok(())
}

fn kept(db: &Connection, group: &str) -> rusqlite::Result<BTreeMap<(String, i32), Kept>> {
    let mut find = db.prepare_cached("select topic, position, committed, leader_epoch, metadata from group_offset where group_id = ?1")?;
    let rows = find.query_map([group], |row| {
        Ok((
            (row.get(0)?, row.get(1)?),
            Kept {
                offset: row.get(2)?,
                leader_epoch: row.get(3)?,
                metadata: row.get(4)?,
            },
        ))
    })?;
    rows.collect()
}

/// Partitions whose offset an open transaction is about to change.
fn unsettled(db: &Connection, group: &str) -> rusqlite::Result<Vec<(String, i32)>> {
    let mut find =
        db.prepare_cached("select topic, position from txn_offset where group_id = ?1")?;
    let rows = find.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn old_topic((name, found): (TopicName, Vec<Found>), version: i16) -> OffsetFetchResponseTopic {
    let partitions = found.into_iter().map(|found| {
        let (offset, epoch, metadata) = found.kept.unwrap_or((-1, -1, String::new()));
        OffsetFetchResponsePartition::default()
            .with_partition_index(found.index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(if version >= 5 { epoch } else { -1 })
            .with_metadata(Some(text(&metadata)))
            .with_error_code(found.error)
    });
    OffsetFetchResponseTopic::default()
        .with_name(name)
        .with_partitions(partitions.collect())
}

fn topic((name, found): (TopicName, Vec<Found>)) -> OffsetFetchResponseTopics {
    let partitions = found.into_iter().map(|found| {
        let (offset, epoch, metadata) = found.kept.unwrap_or((-1, -1, String::new()));
        OffsetFetchResponsePartitions::default()
            .with_partition_index(found.index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(text(&metadata)))
            .with_error_code(found.error)
    });
    OffsetFetchResponseTopics::default()
        .with_name(name)
        .with_partitions(partitions.collect())
}

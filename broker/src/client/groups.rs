//! Consumer groups seen from outside: listed, described, put to other offsets, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{ANSWER_WAIT_MAX, Admin, first_failure, options};
use super::error::{BrokerError, ErrorCode};
use super::record::TopicPartition;
use super::wait::block_on;

/// A consumer group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: GroupState,
    /// How partitions are shared out, such as `cooperative-sticky`; empty without members.
    pub assignor: String,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It has members, and each knows its partitions.
    Stable,
    /// Members come or go: partitions are being shared out anew.
    Rebalancing,
    /// It has offsets and no members.
    Empty,
    /// It is listed, and the broker describes it to nobody who asks as this client does: its members speak a newer protocol
    /// (KIP-848, share groups), or it went away meanwhile.
    Hidden,
}

impl GroupState {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Stable => "stable",
            GroupState::Rebalancing => "rebalancing",
            GroupState::Empty => "empty",
            GroupState::Hidden => "hidden",
        }
    }
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The coordinator's name for it.
    pub id: String,
    /// What it calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub host: String,
    /// The partitions that it was given; none if it isn't a consumer's usual assignment.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// All consumer groups, by name, each with its members.
    ///
    /// # Errors
    ///
    /// If a broker doesn't answer.
    pub fn describe_groups(&self) -> Result<Vec<GroupDescription>, BrokerError> {
        let mut groups = self.fetch_groups(None, "list the groups".to_owned())?;
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// One consumer group; `None` if nobody knows it.
    ///
    /// # Errors
    ///
    /// If a broker doesn't answer.
    pub fn describe_group(&self, group: &str) -> Result<Option<GroupDescription>, BrokerError> {
        let mut found = self.fetch_groups(Some(group), format!("look up group {group}"))?;
        Ok(found.pop())
    }

    /// Puts a group without members to these offsets, each that of the next record to be read. A group that isn't there is
    /// made by it.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] if the group has members. If a part of the offsets wasn't taken, which the error names; the
    /// others were.
    pub fn reset_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), BrokerError> {
        let attempted = || format!("put group {group} to other offsets");
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            list.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(*offset),
            )
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        }
        let bystander = self.bystander(group)?;
        bystander
            .commit(&list, CommitMode::Sync)
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        // The library tells only of a commit that failed for all partitions.
        let partitions: Vec<TopicPartition> = offsets.keys().cloned().collect();
        for (partition, found) in self.committed_offsets(group, &partitions)? {
            if found != offsets.get(&partition).copied() {
                return Err(BrokerError::from_kafka(
                    format!("put group {group} to another offset of {partition}"),
                    KafkaError::ConsumerCommit(ErrorCode::Unknown),
                ));
            }
        }
        Ok(())
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] if it has members or isn't there.
    pub fn delete_group(&self, group: &str) -> Result<(), BrokerError> {
        let attempted = || format!("delete group {group}");
        let results = block_on(self.native.delete_groups(&[group], &options()))
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        first_failure(results, attempted)
    }

    fn fetch_groups(
        &self,
        group: Option<&str>,
        attempted: String,
    ) -> Result<Vec<GroupDescription>, BrokerError> {
        let list = self
            .native
            .inner()
            .fetch_group_list(group, ANSWER_WAIT_MAX)
            .map_err(|error| BrokerError::from_kafka(attempted, error))?;
        Ok(list
            .groups()
            .iter()
            // Connect's workers and the like share out other things than partitions.
            .filter(|group| matches!(group.protocol_type(), "consumer" | ""))
            .map(described)
            .collect())
    }
}

fn described(group: &GroupInfo) -> GroupDescription {
    let state = match group.state() {
        "Stable" => GroupState::Stable,
        "Empty" => GroupState::Empty,
        "PreparingRebalance" | "CompletingRebalance" | "AwaitingSync" => GroupState::Rebalancing,
        _ => GroupState::Hidden,
    };
    GroupDescription {
        name: group.name().to_owned(),
        state,
        assignor: group.protocol().to_owned(),
        members: group.members().iter().map(member).collect(),
    }
}

fn member(member: &GroupMemberInfo) -> GroupMember {
    GroupMember {
        id: member.id().to_owned(),
        client_id: member.client_id().to_owned(),
        host: member.client_host().trim_start_matches('/').to_owned(),
        partitions: member
            .assignment()
            .and_then(read_assignment)
            .unwrap_or_default(),
    }
}

/// Reads a consumer's assignment: version, then topics with their partitions, then what is the member's own. `None` if it is
/// something else: a member may write there what it likes.
fn read_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let (_version, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut partitions = Vec::new();
    for _ in 0..count(&mut rest)? {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let len = usize::try_from(i16::from_be_bytes(*len)).ok()?;
        let (name, after) = after.split_at_checked(len)?;
        let topic: Arc<str> = std::str::from_utf8(name).ok()?.into();
        rest = after;
        for _ in 0..count(&mut rest)? {
            let (partition, after) = rest.split_first_chunk::<4>()?;
            partitions.push(TopicPartition {
                topic: Arc::clone(&topic),
                partition: i32::from_be_bytes(*partition),
            });
            rest = after;
        }
    }
    partitions.sort();
    Some(partitions)
}

/// A count that four bytes give. What it counts is read one by one, so a count that lies ends with the bytes.
fn count(rest: &mut &[u8]) -> Option<usize> {
    let (count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(i32::from_be_bytes(*count)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1; orders with 0 and 3; nothing of the member's own.
    const ASSIGNMENT: &[u8] =
        b"\x00\x01\x00\x00\x00\x01\x00\x06orders\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00\xff\xff\xff\xff";

    #[test]
    fn an_assignment_is_read_in_order() {
        let read = read_assignment(ASSIGNMENT).unwrap();
        assert_eq!(
            read,
            [
                TopicPartition::new("orders", 0),
                TopicPartition::new("orders", 3)
            ]
        );
    }

    #[test]
    fn an_assignment_that_lies_is_none() {
        let body = ASSIGNMENT.len() - 4;
        for len in 0..body {
            assert_eq!(read_assignment(&ASSIGNMENT[..len]), None, "{len}");
        }
        assert_eq!(read_assignment(b"\x00\x01\x7f\xff\xff\xff"), None);
        assert_eq!(
            read_assignment(b"\x00\x01\x00\x00\x00\x01\xff\xff\x00\x00"),
            None
        );
    }
}

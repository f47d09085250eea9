//! Groups seen from outside: listed, described, deleted.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;
use rusqlite::OptionalExtension;

use super::broker::{Broker, read_error, storage_error};
use super::group::Group;
use super::group_call::Phase;
use super::protocol::{code, once, text};

/// The kind of every group that reads topics.
const CONSUMER: &str = "consumer";
/// The protocol that every group here speaks.
const CLASSIC: &str = "classic";

impl Broker {
    pub(crate) fn describe_groups(
        &self,
        request: DescribeGroupsRequest,
        version: i16,
    ) -> DescribeGroupsResponse {
        let asked = once(request.groups, GroupId::clone);
        let groups = asked.into_iter().map(|id| {
            let described = self
                .coordinator
                .look(&id, |group| describe(group, version))
                .unwrap_or_else(|| match self.has_offsets(&id) {
                    Ok(true) => DescribedGroup::default()
                        .with_group_state(name(Phase::Empty))
                        .with_protocol_type(text(CONSUMER)),
                    Ok(false) if version < 6 => {
                        DescribedGroup::default().with_group_state(text("Dead"))
                    }
                    Ok(false) => DescribedGroup::default()
                        .with_group_state(text("Dead"))
                        .with_error_code(ResponseError::GroupIdNotFound.code())
                        .with_error_message(Some(text(&format!(
                            "Group {} not found.",
                            id.as_str()
                        )))),
                    Err(error) => DescribedGroup::default().with_error_code(error.code()),
                });
            described.with_group_id(id)
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    pub(crate) fn list_groups(
        &self,
        request: &ListGroupsRequest,
        version: i16,
    ) -> ListGroupsResponse {
        let stored = self.readers.read(|db| {
            let mut find = db.prepare_cached("select distinct group_id from group_offset")?;
            let ids = find.query_map([], |row| row.get::<_, String>(0))?;
            ids.collect::<Result<Vec<_>, _>>()
        });
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                return ListGroupsResponse::default().with_error_code(read_error(error).code());
            }
        };
        let mut groups: BTreeMap<String, (String, StrBytes)> = stored
            .into_iter()
            .map(|id| (id, (CONSUMER.to_owned(), name(Phase::Empty))))
            .collect();
        groups.extend(self.coordinator.look_at_all(|id, group| {
            (
                id.to_owned(),
                (group.protocol_type.clone(), name(group.phase)),
            )
        }));
        // States and types are asked for in any case.
        let asked = |asked: &[StrBytes], is: &str| {
            asked.is_empty() || asked.iter().any(|word| word.eq_ignore_ascii_case(is))
        };
        let wanted = |state: &StrBytes| {
            asked(&request.states_filter, state) && asked(&request.types_filter, CLASSIC)
        };
        let listed = groups
            .into_iter()
            .filter(|(_, (_, state))| wanted(state))
            .map(|(id, (kind, state))| {
                let state = if version >= 4 { state } else { StrBytes::new() };
                ListedGroup::default()
                    .with_group_id(GroupId(text(&id)))
                    .with_protocol_type(text(&kind))
                    .with_group_state(state)
                    .with_group_type(if version >= 5 {
                        StrBytes::from_static_str(CLASSIC)
                    } else {
                        StrBytes::new()
                    })
            });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    pub(crate) fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let results = request.groups_names.into_iter().map(|id| {
            let result = self.delete_group(&id);
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(code(&result))
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    }

    fn delete_group(&self, id: &str) -> Result<(), ResponseError> {
        let had_members = self.coordinator.forget(id)?;
        let group = id.to_owned();
        let deleted = self.queue.write(move |ledger| {
            if ledger.txn_holds(&group)? {
                return Ok(Err(ResponseError::NonEmptyGroup));
            }
            Ok(Ok(ledger.db.execute(
                "delete from group_offset where group_id = ?1",
                [&group],
            )?))
        });
        let offset_count = deleted.map_err(storage_error)??;
        if had_members || offset_count > 0 {
            Ok(())
        } else {
            Err(ResponseError::GroupIdNotFound)
        }
    }

    fn has_offsets(&self, group: &str) -> Result<bool, ResponseError> {
        let find = |db: &rusqlite::Connection| {
            db.query_row(
                "select 1 from group_offset where group_id = ?1 limit 1",
                [group],
                |_| Ok(()),
            )
            .optional()
        };
        Ok(self.readers.read(find).map_err(read_error)?.is_some())
    }
}

fn describe(group: &Group, version: i16) -> DescribedGroup {
    let members = group.members.iter().map(|(id, member)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(
                member
                    .instance
                    .as_deref()
                    .filter(|_| version >= 4)
                    .map(text),
            )
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(
                member
                    .metadata(&group.protocol)
                    .cloned()
                    .unwrap_or_default(),
            )
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(name(group.phase))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(members.collect())
}

fn name(phase: Phase) -> StrBytes {
    StrBytes::from_static_str(match phase {
        Phase::Empty => "Empty",
        Phase::PreparingRebalance => "PreparingRebalance",
        Phase::CompletingRebalance => "CompletingRebalance",
        Phase::Stable => "Stable",
    })
}

//! `groups reset` and `groups delete`: only of groups without members, and only when told so twice.

use std::collections::BTreeMap;

use backstitch_broker::{
    Admin, BrokerError, ErrorCode, GroupDescription, GroupState, TopicPartition,
};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args_kafka::{GroupsDeleteArgs, GroupsResetArgs};
use super::context::Context;
use super::error::CliError;
use super::groups::{group, lag};
use super::point::within;
use super::records::narrow;
use super::text::{harmless, table, write_table};
use super::topics_show::{Bounds, bounds};

/// Members that an error names.
const NAMED_MAX: usize = 5;

/// Puts a group to other offsets, or says what would change.
pub(crate) fn reset(context: &Context, args: &GroupsResetArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let topic = context.topic(&admin, &args.topic)?;
    let there = admin.describe_group(&args.group)?;
    if let Some(group) = &there {
        refuse_active(group, "be put to other offsets")?;
    }
    let mut bounds = bounds(&admin, &topic)?;
    narrow(&topic, &mut bounds, &args.partitions)?;
    let committed = committed(&admin, &args.group, &args.topic, &bounds)?;
    let goals = match (args.to, args.by) {
        (Some(point), _) => point.offsets(&admin, &args.topic, &bounds)?,
        (None, by) => moved(&committed, &bounds, by.unwrap_or(0)).map_err(|partition| {
            CliError::usage(format!(
                "group {} has committed nothing in {}/{partition}, so there is nothing to go by",
                args.group, args.topic
            ))
            .with_help("`--to earliest`, `--to latest`, or `--partition` for those where it has")
        })?,
    };
    if args.yes {
        let offsets: BTreeMap<TopicPartition, i64> = goals
            .iter()
            .map(|(partition, goal)| {
                let place = TopicPartition::new(args.topic.as_str(), *partition);
                (place, *goal)
            })
            .collect();
        admin
            .reset_offsets(&args.group, &offsets)
            .map_err(|error| joined_meanwhile(error, &args.group))?;
    }
    let mut text = String::new();
    if there.is_none() {
        let verb = if args.yes { "is new" } else { "would be new" };
        text.push_str(&format!(
            "group {} {verb}: it had committed nothing\n\n",
            args.group
        ));
    }
    text.push_str(&goals_table(&goals, &committed, &bounds));
    if let Some(note) = note_on(context, &args.group) {
        text.push_str(&format!("\n\nnote: {note}"));
    }
    text.push_str(if args.yes {
        "\n\ndone: its next members begin there"
    } else {
        "\n\nnothing is changed yet: --yes does it"
    });
    let json = json!({
        "group": args.group,
        "topic": args.topic,
        "changed": args.yes,
        "partitions": goals.iter().map(|(partition, goal)| json!({
            "partition": partition,
            "committed": committed.get(partition),
            "goal": goal,
            "lag": lag(*goal, &bounds[partition]),
        })).collect::<Vec<Value>>(),
    });
    Ok(Answer::good(harmless(&text), json))
}

/// Deletes a group, or says what would be lost.
pub(crate) fn delete(context: &Context, args: &GroupsDeleteArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let group = group(&admin, &args.group)?;
    refuse_active(&group, "be deleted")?;
    let topics = admin.describe_topics()?;
    let committed = admin.all_committed(&group.name, &topics)?;
    let what = format!(
        "group {} with its offsets of {} partition(s)",
        group.name,
        committed.len()
    );
    let json = |outcome: &str| json!({ "group": group.name, "offsets": committed.len(), "outcome": outcome });
    if !args.yes {
        return Ok(Answer::good(
            harmless(&format!(
                "would delete {what}\nnothing is deleted yet: --yes does it"
            )),
            json("none"),
        ));
    }
    admin
        .delete_group(&group.name)
        .map_err(|error| joined_meanwhile(error, &group.name))?;
    Ok(Answer::good(
        harmless(&format!("deleted {what}")),
        json("deleted"),
    ))
}

/// What the group has committed of these partitions.
fn committed(
    admin: &Admin,
    group: &str,
    topic: &str,
    bounds: &Bounds,
) -> Result<BTreeMap<i32, i64>, CliError> {
    let places: Vec<TopicPartition> = bounds
        .keys()
        .map(|partition| TopicPartition::new(topic, *partition))
        .collect();
    let found = admin.committed_offsets(group, &places)?;
    Ok(found
        .into_iter()
        .filter_map(|(place, offset)| Some((place.partition, offset?)))
        .collect())
}

/// Each partition's offset, so many records from where the group stands; the first partition where it stands nowhere is an error.
fn moved(
    committed: &BTreeMap<i32, i64>,
    bounds: &Bounds,
    by: i64,
) -> Result<BTreeMap<i32, i64>, i32> {
    bounds
        .iter()
        .map(|(partition, range)| {
            let at = committed.get(partition).ok_or(*partition)?;
            Ok((*partition, within(at.saturating_add(by), range)))
        })
        .collect()
}

fn goals_table(
    goals: &BTreeMap<i32, i64>,
    committed: &BTreeMap<i32, i64>,
    bounds: &Bounds,
) -> String {
    let mut rows = table([
        "partition",
        "committed",
        "goal",
        "first",
        "next",
        "lag then",
    ]);
    for (partition, goal) in goals {
        let range = &bounds[partition];
        rows.add_row([
            partition.to_string(),
            committed
                .get(partition)
                .map_or_else(|| "none".to_owned(), i64::to_string),
            goal.to_string(),
            range.start.to_string(),
            range.end.to_string(),
            lag(*goal, range).to_string(),
        ]);
    }
    write_table(&rows)
}

/// A group that reads holds its own offsets in memory, and would commit over what is put there.
fn refuse_active(group: &GroupDescription, what: &str) -> Result<(), CliError> {
    if group.members.is_empty() && group.state != GroupState::Rebalancing {
        return Ok(());
    }
    let mut named: Vec<String> = group
        .members
        .iter()
        .take(NAMED_MAX)
        .map(|member| format!("{} on {}", member.client_id, member.host))
        .collect();
    if group.members.len() > NAMED_MAX {
        named.push("…".to_owned());
    }
    let named = named.join(", ");
    let while_it = match group.members.len() {
        0 => "members are joining it".to_owned(),
        1 => format!("it has a member: {named}"),
        count => format!("it has {count} members: {named}"),
    };
    Err(CliError::failed(format!(
        "group {} can't {what} while {while_it}",
        group.name
    ))
    .with_help("stop its consumers; one that died is out after its session timeout"))
}

/// The broker's own guard, for what joined since we looked, or is hidden from us.
fn joined_meanwhile(error: BrokerError, group: &str) -> CliError {
    match error.code() {
        Some(
            ErrorCode::UnknownMemberId
            | ErrorCode::NonEmptyGroup
            | ErrorCode::RebalanceInProgress
            | ErrorCode::IllegalGeneration
            | ErrorCode::StaleMemberEpoch,
        ) => CliError::of(&error).with_help(format!(
            "group {group} has members: stop its consumers; one that died is out after its session timeout"
        )),
        Some(_) | None => error.into(),
    }
}

/// What a new offset means for groups of our own.
fn note_on(context: &Context, group: &str) -> Option<String> {
    let topics = context.topics();
    if group == topics.orchestrator_group() {
        return Some(
            "orchestrators go by the offsets in their store, not by these: this repeats nothing and passes over nothing"
                .to_owned(),
        );
    }
    if group == topics.intake_group() {
        return Some(
            "events that are read again start no saga twice: the same key is the same saga"
                .to_owned(),
        );
    }
    group.starts_with(&topics.worker_group("")).then(|| {
        "workers answer commands that they have answered before from memory; commands that are passed over time out"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_moved_within_what_there_is() {
        let bounds = Bounds::from([(0, 10..20), (1, 0..5)]);
        let committed = BTreeMap::from([(0, 12), (1, 5)]);
        let moved_by = |by| moved(&committed, &bounds, by);
        assert_eq!(moved_by(-1), Ok(BTreeMap::from([(0, 11), (1, 4)])));
        assert_eq!(moved_by(-100), Ok(BTreeMap::from([(0, 10), (1, 0)])));
        assert_eq!(moved_by(i64::MAX), Ok(BTreeMap::from([(0, 20), (1, 5)])));
        assert_eq!(moved(&BTreeMap::from([(0, 12)]), &bounds, 1), Err(1));
    }
}

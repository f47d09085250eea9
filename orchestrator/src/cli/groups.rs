//! `groups list` and `groups show`: who reads what, and how far behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backstitch_broker::{
    Admin, GroupDescription, GroupMember, GroupState, TopicDescription, TopicPartition,
};
use backstitch_saga::nearest;
use serde_json::{Value, json};

use super::answer::Answer;
use super::args_kafka::{GroupsListArgs, GroupsShowArgs};
use super::context::Context;
use super::error::CliError;
use super::text::{harmless, table, write_table};

/// Groups whose offsets are asked for side by side: each takes a client of its own.
const ASKED_AT_ONCE: usize = 8;

/// What a group is that is listed and not described.
const HIDDEN: &str =
    "its members speak a newer protocol (KIP-848), which this client does not see into";

/// What a group has committed.
type Committed = BTreeMap<TopicPartition, i64>;

/// Lists all groups.
pub(crate) fn list(context: &Context, args: &GroupsListArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let groups = admin.describe_groups()?;
    let topics = if args.quick {
        Vec::new()
    } else {
        admin.describe_topics()?
    };
    let committed = if args.quick {
        Vec::new()
    } else {
        committed_by(&admin, &groups, &topics)?
    };
    let read: BTreeSet<&TopicPartition> = committed.iter().flat_map(BTreeMap::keys).collect();
    let bounds = bounds_of(&admin, &topics, read.into_iter())?;

    let mut rows = table(["group", "state", "members", "topics", "lag"]);
    let mut json = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let committed = committed.get(index);
        let lag = committed.map(|committed| lag_of(committed, &bounds));
        let read: Option<Vec<&str>> = committed.map(topics_of);
        rows.add_row([
            group.name.clone(),
            group.state.name().to_owned(),
            members_count(group),
            read.as_ref()
                .map_or_else(|| "?".to_owned(), |read| read.join(", ")),
            lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
        ]);
        json.push(json!({
            "group": group.name,
            "state": group.state.name(),
            "members": group.members.len(),
            "topics": read,
            "lag": lag,
        }));
    }
    let json = json!({ "groups": json });
    if groups.is_empty() {
        return Ok(Answer::good("no consumer groups", json));
    }
    let mut text = write_table(&rows);
    if groups.iter().any(|group| group.state == GroupState::Hidden) {
        text.push_str(&format!("\n\nhidden: {HIDDEN}"));
    }
    Ok(Answer::good(harmless(&text), json))
}

/// What each group has committed, in the order of the groups.
fn committed_by(
    admin: &Admin,
    groups: &[GroupDescription],
    topics: &[TopicDescription],
) -> Result<Vec<Committed>, CliError> {
    let mut all = Vec::with_capacity(groups.len());
    for some in groups.chunks(ASKED_AT_ONCE) {
        let answers = std::thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|group| scope.spawn(|| admin.all_committed(&group.name, topics)))
                .collect();
            asked
                .into_iter()
                .map(|thread| thread.join().expect("asking a broker does not panic"))
                .collect::<Vec<_>>()
        });
        for answer in answers {
            all.push(answer?);
        }
    }
    Ok(all)
}

/// Shows one group.
pub(crate) fn show(context: &Context, args: &GroupsShowArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let group = group(&admin, &args.group)?;
    let topics = admin.describe_topics()?;
    let committed = admin.all_committed(&group.name, &topics)?;
    let held = holders(&group);
    let places: BTreeSet<&TopicPartition> = committed.keys().chain(held.keys().copied()).collect();
    let bounds = bounds_of(&admin, &topics, places.iter().copied())?;

    let mut text = format!(
        "group    {}\nstate    {}{}\nmembers  {}\nlag      {}\n",
        group.name,
        group.state.name(),
        match (group.state, group.assignor.as_str()) {
            (GroupState::Hidden, _) => format!(": {HIDDEN}"),
            (_, "") => String::new(),
            (_, assignor) => format!(", shares partitions by {assignor}"),
        },
        members_count(&group),
        lag_of(&committed, &bounds),
    );
    if !group.members.is_empty() {
        let mut rows = table(["member", "host", "id", "partitions"]);
        for member in &group.members {
            rows.add_row([
                member.client_id.clone(),
                member.host.clone(),
                member.id.clone(),
                member.partitions.len().to_string(),
            ]);
        }
        text.push_str(&format!("\n{}\n", write_table(&rows)));
    }
    let mut rows = table([
        "topic",
        "partition",
        "committed",
        "first",
        "next",
        "lag",
        "member",
    ]);
    let mut json = Vec::new();
    for place in places {
        let line = Standing::of(place, &committed, &bounds, &held);
        rows.add_row([
            place.topic.to_string(),
            place.partition.to_string(),
            or(line.committed, "none"),
            or(line.range.map(|range| range.start), "?"),
            or(line.range.map(|range| range.end), "?"),
            or(line.lag, "?"),
            line.member
                .map(|member| member.client_id.clone())
                .unwrap_or_default(),
        ]);
        json.push(line.json(place));
    }
    if json.is_empty() {
        text.push_str("\nit has committed nothing, and reads nothing");
    } else {
        text.push_str(&format!("\n{}", write_table(&rows)));
    }
    let json = json!({
        "group": group.name,
        "state": group.state.name(),
        "assignor": group.assignor,
        "lag": lag_of(&committed, &bounds),
        "members": group.members.iter().map(member_json).collect::<Vec<_>>(),
        "partitions": json,
    });
    Ok(Answer::good(harmless(&text), json))
}

/// Finds a group; one that is not there is told with what may have been meant.
pub(crate) fn group(admin: &Admin, name: &str) -> Result<GroupDescription, CliError> {
    if let Some(found) = admin.describe_group(name)? {
        return Ok(found);
    }
    let there = admin.describe_groups()?;
    let names: Vec<&str> = there.iter().map(|group| group.name.as_str()).collect();
    let help = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`? `backstitch groups list` lists all"),
        None => "`backstitch groups list` lists those that are there".to_owned(),
    };
    Err(CliError::not_found(format!("there is no group {name}")).with_help(help))
}

/// How a group stands in one partition.
struct Standing<'a> {
    committed: Option<i64>,
    range: Option<&'a Range<i64>>,
    lag: Option<i64>,
    member: Option<&'a GroupMember>,
}

impl<'a> Standing<'a> {
    fn of(
        place: &TopicPartition,
        committed: &Committed,
        bounds: &'a BTreeMap<TopicPartition, Range<i64>>,
        held: &BTreeMap<&TopicPartition, &'a GroupMember>,
    ) -> Self {
        let committed = committed.get(place).copied();
        let range = bounds.get(place);
        Self {
            committed,
            range,
            lag: committed.zip(range).map(|(at, range)| lag(at, range)),
            member: held.get(place).copied(),
        }
    }

    fn json(&self, place: &TopicPartition) -> Value {
        json!({
            "topic": &*place.topic,
            "partition": place.partition,
            "committed": self.committed,
            "first_offset": self.range.map(|range| range.start),
            "next_offset": self.range.map(|range| range.end),
            "lag": self.lag,
            "member": self.member.map(|member| &member.id),
        })
    }
}

/// Records that a group has yet to read: those that it would be given, from where it stands or the oldest that is left.
pub(crate) fn lag(committed: i64, range: &Range<i64>) -> i64 {
    (range.end - committed.max(range.start)).max(0)
}

fn lag_of(committed: &Committed, bounds: &BTreeMap<TopicPartition, Range<i64>>) -> i64 {
    let lags = committed
        .iter()
        .filter_map(|(place, at)| Some(lag(*at, bounds.get(place)?)));
    lags.sum()
}

/// First and next offsets of those of these partitions that have a leader.
fn bounds_of<'p>(
    admin: &Admin,
    topics: &[TopicDescription],
    places: impl Iterator<Item = &'p TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Range<i64>>, CliError> {
    let led: BTreeSet<(&str, i32)> = topics
        .iter()
        .flat_map(|topic| {
            let led = topic
                .partitions
                .iter()
                .filter(|partition| partition.leader.is_some());
            led.map(|partition| (topic.name.as_str(), partition.partition))
        })
        .collect();
    let asked: Vec<TopicPartition> = places
        .filter(|place| led.contains(&(place.topic.as_ref(), place.partition)))
        .cloned()
        .collect();
    Ok(admin.bounds(&asked)?)
}

/// Who was given each partition.
fn holders(group: &GroupDescription) -> BTreeMap<&TopicPartition, &GroupMember> {
    let members = group.members.iter();
    members
        .flat_map(|member| member.partitions.iter().map(move |place| (place, member)))
        .collect()
}

fn topics_of(committed: &Committed) -> Vec<&str> {
    let topics: BTreeSet<&str> = committed.keys().map(|place| place.topic.as_ref()).collect();
    topics.into_iter().collect()
}

/// The number of members; that of a hidden group is not known.
fn members_count(group: &GroupDescription) -> String {
    match group.state {
        GroupState::Hidden => "?".to_owned(),
        GroupState::Stable | GroupState::Rebalancing | GroupState::Empty => {
            group.members.len().to_string()
        }
    }
}

fn member_json(member: &GroupMember) -> Value {
    json!({
        "id": member.id,
        "client_id": member.client_id,
        "host": member.host,
        "partitions": member.partitions.iter().map(|place| json!({
            "topic": &*place.topic,
            "partition": place.partition,
        })).collect::<Vec<_>>(),
    })
}

fn or(number: Option<i64>, otherwise: &str) -> String {
    number.map_or_else(|| otherwise.to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_what_is_left_to_read() {
        assert_eq!(lag(5, &(0..8)), 3);
        assert_eq!(lag(8, &(0..8)), 0);
        // What was deleted unread is not read any more; a topic made anew has not come as far.
        assert_eq!(lag(5, &(6..8)), 2);
        assert_eq!(lag(100, &(0..8)), 0);
    }
}

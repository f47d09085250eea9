//! `topics list` and `topics show`: what there is, and how it is set.

use std::collections::BTreeMap;
use std::ops::Range;

use backstitch_broker::{
    Admin, PartitionDescription, SettingOrigin, TopicDescription, TopicPartition, TopicSetting,
};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args_kafka::{TopicsListArgs, TopicsShowArgs};
use super::context::Context;
use super::error::CliError;
use super::text::{harmless, table, write_table};

/// What decides how long records stay: shown also where it is at its default.
const KEEPING: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];

/// First and next offsets of a topic's partitions; those without a leader are left out.
pub(crate) type Bounds = BTreeMap<i32, Range<i64>>;

/// Lists all topics.
pub(crate) fn list(context: &Context, args: &TopicsListArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let mut topics = admin.describe_topics()?;
    topics.retain(|topic| args.all || !topic.name.starts_with("__"));
    let led: Vec<TopicPartition> = topics.iter().flat_map(led).collect();
    let bounds = admin.bounds(&led)?;
    let held = |topic: &TopicDescription| -> i64 {
        led_ranges(topic, &bounds)
            .map(|(_, range)| range.end - range.start)
            .sum()
    };
    let json = json!({
        "topics": topics.iter().map(|topic| json!({
            "topic": topic.name,
            "partitions": topic.partitions.len(),
            "records": held(topic),
            "without_leader": leaderless(topic),
        })).collect::<Vec<_>>(),
    });
    if topics.is_empty() {
        return Ok(Answer::good(
            "no topics\n`backstitch topics apply` makes those that the definitions need",
            json,
        ));
    }
    let mut rows = table(["topic", "partitions", "records", ""]);
    for topic in &topics {
        let trouble = match leaderless(topic) {
            0 => String::new(),
            count => format!("{count} without a leader, not counted"),
        };
        rows.add_row([
            topic.name.clone(),
            topic.partitions.len().to_string(),
            held(topic).to_string(),
            trouble,
        ]);
    }
    Ok(Answer::good(harmless(&write_table(&rows)), json))
}

/// Shows one topic.
pub(crate) fn show(context: &Context, args: &TopicsShowArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let topic = context.topic(&admin, &args.name)?;
    let bounds = bounds(&admin, &topic)?;
    let settings = admin.topic_settings(&args.name)?;
    let shown: Vec<&TopicSetting> = settings
        .iter()
        .filter(|setting| {
            args.all
                || setting.origin != SettingOrigin::Default
                || KEEPING.contains(&setting.name.as_str())
        })
        .collect();

    let mut rows = table([
        "partition",
        "leader",
        "replicas",
        "in sync",
        "first",
        "next",
        "records",
    ]);
    for partition in &topic.partitions {
        let range = bounds.get(&partition.partition);
        let offset = |of: &dyn Fn(&Range<i64>) -> i64| {
            range.map_or_else(|| "?".to_owned(), |range| of(range).to_string())
        };
        rows.add_row([
            partition.partition.to_string(),
            partition
                .leader
                .map_or_else(|| "NONE".to_owned(), |id| id.to_string()),
            join(&partition.replicas),
            join(&partition.in_sync),
            offset(&|range| range.start),
            offset(&|range| range.end),
            offset(&|range| range.end - range.start),
        ]);
    }
    let mut text = format!("topic {}\n\n{}\n", topic.name, write_table(&rows));
    if settings.is_empty() {
        text.push_str(
            "\nits settings are not for us to see: that takes the right to describe configurations",
        );
    } else if shown.is_empty() {
        text.push_str("\nall settings are at their default");
    } else {
        let mut rows = table(["setting", "value", "set for"]);
        for setting in &shown {
            let value = setting.value.as_deref().unwrap_or("(kept secret)");
            rows.add_row([&setting.name, value, origin(setting.origin)]);
        }
        text.push_str(&format!("\n{}", write_table(&rows)));
    }
    let json = json!({
        "topic": topic.name,
        "partitions": topic.partitions.iter().map(|p| partition_json(p, &bounds)).collect::<Vec<_>>(),
        "settings": shown.iter().map(|setting| json!({
            "name": setting.name,
            "value": setting.value,
            "origin": origin(setting.origin),
        })).collect::<Vec<_>>(),
    });
    Ok(Answer::good(harmless(&text), json))
}

/// First and next offsets of one topic.
pub(crate) fn bounds(admin: &Admin, topic: &TopicDescription) -> Result<Bounds, CliError> {
    let led: Vec<TopicPartition> = led(topic).collect();
    let found = admin.bounds(&led)?;
    Ok(found
        .into_iter()
        .map(|(place, range)| (place.partition, range))
        .collect())
}

/// The partitions that can be asked for their offsets.
fn led(topic: &TopicDescription) -> impl Iterator<Item = TopicPartition> {
    let name: std::sync::Arc<str> = topic.name.as_str().into();
    let led = topic
        .partitions
        .iter()
        .filter(|partition| partition.leader.is_some());
    led.map(move |partition| TopicPartition::new(std::sync::Arc::clone(&name), partition.partition))
}

fn led_ranges<'b>(
    topic: &TopicDescription,
    bounds: &'b BTreeMap<TopicPartition, Range<i64>>,
) -> impl Iterator<Item = (i32, &'b Range<i64>)> {
    led(topic).filter_map(|place| Some((place.partition, bounds.get(&place)?)))
}

fn leaderless(topic: &TopicDescription) -> usize {
    let partitions = topic.partitions.iter();
    partitions
        .filter(|partition| partition.leader.is_none())
        .count()
}

fn partition_json(partition: &PartitionDescription, bounds: &Bounds) -> Value {
    let range = bounds.get(&partition.partition);
    json!({
        "partition": partition.partition,
        "leader": partition.leader,
        "replicas": partition.replicas,
        "in_sync": partition.in_sync,
        "first_offset": range.map(|range| range.start),
        "next_offset": range.map(|range| range.end),
        "records": range.map(|range| range.end - range.start),
    })
}

fn origin(origin: SettingOrigin) -> &'static str {
    match origin {
        SettingOrigin::Topic => "topic",
        SettingOrigin::Broker => "broker",
        SettingOrigin::Default => "default",
    }
}

fn join(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
    ids.join(",")
}

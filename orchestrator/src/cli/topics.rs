//! `topics apply`: makes the topics that the definitions need.

use std::collections::BTreeMap;

use backstitch_broker::{Admin, TopicOutcome};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::TopicsApplyArgs;
use super::context::Context;
use super::error::CliError;
use super::text::{table, write_table};
use crate::config::TopicPlan;
use crate::engine::{TopicSizes, apply_topics, topics_needed};

impl From<&TopicPlan> for TopicSizes {
    fn from(plan: &TopicPlan) -> Self {
        Self {
            inbox_partitions: plan.inbox_partitions,
            command_partitions: plan.command_partitions,
            journal_partitions: plan.journal_partitions,
            source_partitions: plan.source_partitions,
            replication: plan.replication,
        }
    }
}

/// Makes what is missing, and says of each topic what became of it.
pub(crate) fn apply(context: &Context, args: &TopicsApplyArgs) -> Result<Answer, CliError> {
    let kafka = context.kafka()?;
    let topics = context.topics();
    let plan = &context.config().topics;
    let definitions = context.config().definitions()?;
    let admin = Admin::new(&kafka)?;
    refuse_other_inbox(
        &admin.list_topics()?,
        &topics.inbox(),
        plan.inbox_partitions,
    )?;

    let with_sources = args.sources || context.is_embedded();
    let outcomes = apply_topics(&kafka, &topics, &definitions, plan.into(), with_sources)
        .map_err(|error| CliError::of(&error))?;
    let there = admin.list_topics()?;

    let mut rows = table(["topic", "partitions", "outcome"]);
    let mut json = Vec::new();
    let partitions_of = |name: &str| there.get(name).copied();
    let mut line = |name: &str, outcome: &str, written: &str| {
        let partitions = partitions_of(name);
        rows.add_row([
            name.to_owned(),
            partitions.map_or_else(String::new, |count| count.to_string()),
            written.to_owned(),
        ]);
        json.push(json!({ "topic": name, "partitions": partitions, "outcome": outcome }));
    };
    for (name, outcome) in &outcomes {
        match outcome {
            TopicOutcome::Created => line(name, "created", "created"),
            TopicOutcome::AlreadyExists => line(name, "existing", "was there, left as it is"),
        }
    }
    let mut is_missing = false;
    if !with_sources {
        for name in topics_needed(&topics, &definitions).sources {
            if partitions_of(&name).is_some() {
                line(&name, "existing", "source, was there");
            } else {
                is_missing = true;
                line(
                    &name,
                    "missing",
                    "source, MISSING: its services make it, or --sources",
                );
            }
        }
    }
    let json = json!({ "topics": Value::Array(json), "sources_missing": is_missing });
    Ok(Answer::good(write_table(&rows), json))
}

/// A saga lives in the partition that its key hashes to; with another count it would be looked for elsewhere.
fn refuse_other_inbox(
    there: &BTreeMap<String, i32>,
    inbox: &str,
    wanted: i32,
) -> Result<(), CliError> {
    match there.get(inbox) {
        Some(found) if *found != wanted => Err(CliError::failed(format!(
            "{inbox} has {found} partitions, and topics.inbox_partitions is {wanted}: the inbox can't be resized, since \
             sagas live in the partition that their key hashes to, and would be looked for in another"
        ))
        .with_help(format!(
            "set topics.inbox_partitions to {found}, or use another prefix and a new store"
        ))),
        Some(_) | None => Ok(()),
    }
}

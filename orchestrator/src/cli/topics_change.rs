//! `topics create` and `topics delete`.

use backstitch_broker::{Admin, BrokerError, ErrorCode, NewTopicSpec, TopicOutcome};
use serde_json::json;

use super::answer::Answer;
use super::args_kafka::{TopicsCreateArgs, TopicsDeleteArgs};
use super::context::Context;
use super::error::CliError;
use super::topics_show::bounds;

/// Makes one topic.
pub(crate) fn create(context: &Context, args: &TopicsCreateArgs) -> Result<Answer, CliError> {
    let plan = &context.config().topics;
    let spec = NewTopicSpec {
        replication: plan.replication,
        config: args.setting.clone(),
        ..NewTopicSpec::new(
            args.name.as_str(),
            args.partitions.unwrap_or(plan.source_partitions),
        )
    };
    let name = &spec.name;
    let outcomes = Admin::new(&context.kafka()?)?
        .create_topics(std::slice::from_ref(&spec))
        .map_err(|error| why_not(error, &spec))?;
    if outcomes.contains(&TopicOutcome::AlreadyExists) {
        return Err(
            CliError::failed(format!("there is a topic {name} already")).with_help(format!(
                "`backstitch topics show {name}` shows how it is set"
            )),
        );
    }
    let json = json!({ "topic": name, "partitions": spec.partitions, "outcome": "created" });
    let plural = if spec.partitions == 1 {
        "partition"
    } else {
        "partitions"
    };
    Ok(Answer::good(
        format!("created {name} with {} {plural}", spec.partitions),
        json,
    ))
}

/// Deletes one topic, or says what would be lost.
pub(crate) fn delete(context: &Context, args: &TopicsDeleteArgs) -> Result<Answer, CliError> {
    let admin = Admin::new(&context.kafka()?)?;
    let topic = context.topic(&admin, &args.name)?;
    let held: i64 = bounds(&admin, &topic)?
        .values()
        .map(|range| range.end - range.start)
        .sum();
    let name = &topic.name;
    let what = format!(
        "{name}: {} partition(s) with {held} record(s)",
        topic.partitions.len()
    );
    let json = |outcome: &str| {
        json!({
            "topic": name,
            "partitions": topic.partitions.len(),
            "records": held,
            "outcome": outcome,
        })
    };
    if !args.yes {
        let note =
            note_on(context, name).map_or_else(String::new, |note| format!("note: {note}\n"));
        return Ok(Answer::good(
            format!("would delete {what}\n{note}nothing is deleted yet: --yes does it"),
            json("none"),
        ));
    }
    admin.delete_topics(&[name])?;
    Ok(Answer::good(format!("deleted {what}"), json("deleted")))
}

/// What the loss of a topic of our own means.
fn note_on(context: &Context, name: &str) -> Option<&'static str> {
    let topics = context.topics();
    if name == topics.inbox() {
        return Some(
            "orchestrators go by offsets of this inbox that are in their store: another one needs a new store too",
        );
    }
    name.starts_with(&topics.commands("")).then_some(
        "commands that lie on it are not carried out; their steps time out, and are asked for again",
    )
}

/// What a broker has against a topic, as far as its code tells.
fn why_not(error: BrokerError, spec: &NewTopicSpec) -> CliError {
    let help = match error.code() {
        Some(ErrorCode::InvalidTopic) => {
            "a topic's name has letters, digits, dots, hyphens and underscores, 249 at most"
                .to_owned()
        }
        Some(ErrorCode::InvalidReplicationFactor) => format!(
            "topics.replication is {}, and there are fewer brokers: `--set topics.replication=1`",
            spec.replication
        ),
        Some(ErrorCode::InvalidConfig) => {
            let names: Vec<&str> = spec.config.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "it knows no such setting, or not this value: {}",
                names.join(", ")
            )
        }
        Some(_) | None => return error.into(),
    };
    CliError::from(error).with_help(help)
}

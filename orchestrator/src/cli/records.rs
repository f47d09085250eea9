//! `records list`, `records show`, `records tail`: what lies on a topic, decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstitch_broker::{
    Admin, IncomingRecord, KafkaConfig, TopicDescription, TopicReader, TopicTail,
};

use super::answer::{Answer, say, say_bytes};
use super::args_kafka::{Choice, Reading, RecordsListArgs, RecordsShowArgs, RecordsTailArgs};
use super::context::Context;
use super::error::CliError;
use super::point::within;
use super::record_read::Reader;
use super::record_write::{brief, contains, json_of, whole};
use super::records_find::{first, latest};
use super::topics_show::{Bounds, bounds};

/// How often `tail` looks whether it is asked to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a record is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Raw,
}

impl Form {
    fn of(reading: &Reading, as_json: bool) -> Result<Self, CliError> {
        match (reading.raw, as_json) {
            (true, true) => Err(CliError::usage(
                "--raw and --json are two ways to print a record: take one",
            )),
            (true, false) => Ok(Self::Raw),
            (false, true) => Ok(Self::Json),
            (false, false) => Ok(Self::Text),
        }
    }

    /// Prints one of several. `false` if nobody reads any more.
    fn say(self, record: &IncomingRecord, reader: &mut Reader) -> Result<bool, CliError> {
        match self {
            Self::Text => say(&brief(record, reader)),
            Self::Json => say(&json_of(record, reader).to_string()),
            Self::Raw => {
                let mut bytes = record.payload.clone().unwrap_or_default();
                bytes.push(b'\n');
                say_bytes(&bytes)
            }
        }
    }
}

/// The topic at hand, with the partitions that were chosen.
struct Chosen {
    kafka: KafkaConfig,
    admin: Admin,
    topic: TopicDescription,
    bounds: Bounds,
    reader: Reader,
}

impl Chosen {
    fn new(context: &Context, choice: &Choice) -> Result<Self, CliError> {
        let kafka = context.kafka()?;
        let admin = Admin::new(&kafka)?;
        let topic = context.topic(&admin, &choice.topic)?;
        let mut bounds = bounds(&admin, &topic)?;
        narrow(&topic, &mut bounds, &choice.partitions)?;
        let reader = Reader::new(context, choice.reading.schema.as_deref())?;
        Ok(Self {
            kafka,
            admin,
            topic,
            bounds,
            reader,
        })
    }
}

/// Leaves the partitions that were asked for; all if none was.
pub(crate) fn narrow(
    topic: &TopicDescription,
    bounds: &mut Bounds,
    asked: &[i32],
) -> Result<(), CliError> {
    let count = topic.partitions.len();
    for partition in asked {
        if !topic
            .partitions
            .iter()
            .any(|there| there.partition == *partition)
        {
            return Err(CliError::not_found(format!(
                "{} has no partition {partition}: it has {count}, counted from 0",
                topic.name
            )));
        }
    }
    let asked: BTreeSet<i32> = asked.iter().copied().collect();
    bounds.retain(|partition, _| asked.is_empty() || asked.contains(partition));
    Ok(())
}

fn is_wanted(choice: &Choice, record: &IncomingRecord, reader: &mut Reader) -> bool {
    let has_key = |key: &String| record.key.as_deref() == Some(key.as_bytes());
    choice.key.as_ref().is_none_or(has_key)
        && choice
            .contains
            .as_deref()
            .is_none_or(|text| contains(record, reader, text))
}

/// Lists records.
pub(crate) fn list(
    context: &Context,
    args: &RecordsListArgs,
    as_json: bool,
) -> Result<Answer, CliError> {
    let choice = &args.choice;
    let form = Form::of(&choice.reading, as_json)?;
    let mut chosen = Chosen::new(context, choice)?;
    let name = chosen.topic.name.as_str();
    let ends = args.until.offsets(&chosen.admin, name, &chosen.bounds)?;
    let begins = match args.from {
        Some(from) => from.offsets(&chosen.admin, name, &chosen.bounds)?,
        None => chosen
            .bounds
            .iter()
            .map(|(id, range)| (*id, range.start))
            .collect(),
    };
    let ranges = ends
        .into_iter()
        .map(|(partition, end)| (partition, begins[&partition]..end))
        .collect();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let takes_all = choice.key.is_none() && choice.contains.is_none();
    let wanted = |record: &IncomingRecord| is_wanted(choice, record, &mut chosen.reader);
    let records = if args.from.is_some() {
        first(&chosen.kafka, name, &ranges, limit, wanted)?
    } else {
        latest(&chosen.kafka, name, &ranges, limit, takes_all, wanted)?
    };
    for record in &records {
        if !form.say(record, &mut chosen.reader)? {
            break;
        }
    }
    if records.is_empty() && form == Form::Text {
        return Ok(Answer::good(
            nothing(&chosen, takes_all),
            serde_json::Value::Null,
        ));
    }
    Ok(Answer::said())
}

/// Why a list is empty.
fn nothing(chosen: &Chosen, takes_all: bool) -> String {
    let held: i64 = chosen
        .bounds
        .values()
        .map(|range| range.end - range.start)
        .sum();
    let name = &chosen.topic.name;
    match (held, takes_all) {
        (0, _) => format!("{name} is empty"),
        (_, true) => format!("no records of {name} there"),
        (_, false) => format!("no such records in {name}"),
    }
}

/// Shows one record whole.
pub(crate) fn show(
    context: &Context,
    args: &RecordsShowArgs,
    as_json: bool,
) -> Result<Answer, CliError> {
    let form = Form::of(&args.reading, as_json)?;
    let kafka = context.kafka()?;
    let admin = Admin::new(&kafka)?;
    let topic = context.topic(&admin, &args.topic)?;
    let (partition, offset) = args.place;
    let mut bounds = bounds(&admin, &topic)?;
    narrow(&topic, &mut bounds, &[partition])?;
    let range = bounds.get(&partition).cloned().ok_or_else(|| {
        CliError::failed(format!(
            "partition {partition} of {} has no leader now",
            topic.name
        ))
    })?;
    let absent = |why: &str| {
        CliError::not_found(format!(
            "{} has no record at {partition}/{offset}: {why}",
            topic.name
        ))
    };
    if !range.contains(&offset) {
        let why = if range.is_empty() {
            format!(
                "the partition is empty, and its next offset is {}",
                range.end
            )
        } else {
            format!("it holds {} to {}", range.start, range.end - 1)
        };
        return Err(absent(&why));
    }
    let ranges = BTreeMap::from([(partition, offset..offset + 1)]);
    let record = TopicReader::open_ranges(&kafka, &topic.name, &ranges)?
        .next()
        .transpose()?
        .filter(|record| record.offset == offset)
        .ok_or_else(|| absent("it was compacted away, or is the mark of a transaction"))?;
    let mut reader = Reader::new(context, args.reading.schema.as_deref())?;
    match form {
        Form::Text => say(&whole(&record, &mut reader))?,
        Form::Json => say(&json_of(&record, &mut reader).to_string())?,
        Form::Raw => say_bytes(record.payload.as_deref().unwrap_or_default())?,
    };
    Ok(Answer::said())
}

/// Follows a topic until asked to end.
pub(crate) fn tail(
    context: &Context,
    args: &RecordsTailArgs,
    as_json: bool,
) -> Result<Answer, CliError> {
    let choice = &args.choice;
    let form = Form::of(&choice.reading, as_json)?;
    let asked_to_end = context.asked_to_end();
    let mut chosen = Chosen::new(context, choice)?;
    let name = chosen.topic.name.as_str();
    let from = match args.last {
        Some(last) => chosen
            .bounds
            .iter()
            .map(|(id, range)| (*id, within(range.end - i64::from(last), range)))
            .collect(),
        None => args.from.offsets(&chosen.admin, name, &chosen.bounds)?,
    };
    let mut tail = TopicTail::open(&chosen.kafka, name, &from)?;
    // For people, and for whoever has to know from when on nothing is missed; a program reads stdout.
    note(&format!(
        "following {name}, {} partition(s); Ctrl-C ends it",
        from.len()
    ));
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut is_away = false;
    while left > 0 && !asked_to_end.load(Ordering::Relaxed) {
        match tail.next_within(LOOK_EVERY) {
            Ok(None) => {}
            Ok(Some(record)) => {
                is_away = false;
                if is_wanted(choice, &record, &mut chosen.reader) {
                    left -= 1;
                    if !form.say(&record, &mut chosen.reader)? {
                        break;
                    }
                }
            }
            Err(error) if error.is_transient() => {
                if !is_away {
                    note(&format!(
                        "waiting for the broker: {}",
                        CliError::of(&error).message()
                    ));
                }
                is_away = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Answer::said())
}

fn note(line: &str) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "{}", super::text::harmless(line));
}

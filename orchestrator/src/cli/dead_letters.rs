//! `dead-letters list` and `dead-letters show`: what could not be read or applied.

use std::collections::BTreeMap;

use backstitch_broker::{Admin, IncomingRecord, KafkaConfig, TopicReader};
use backstitch_schemas::{Codec, DeadLetter};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::{DeadLettersListArgs, DeadLettersShowArgs};
use super::context::Context;
use super::error::CliError;
use super::text::{base64, harmless, shortened, table, write_bytes, write_table, write_time};

/// Characters of a value that `show` prints; the JSON has all of it.
const VALUE_CHARS: usize = 4_000;

/// Lists the latest, newest first.
pub(crate) fn list(context: &Context, args: &DeadLettersListArgs) -> Result<Answer, CliError> {
    let (kafka, topic) = topic(context)?;
    let codec = context.codec()?;
    let limit = i64::from(args.limit);
    let mut from = BTreeMap::new();
    for (partition, (low, high)) in watermarks(context, &kafka, &topic)? {
        from.insert(partition, (high - limit).max(low));
    }
    let mut records = TopicReader::open(&kafka, &topic, &from)?.collect::<Result<Vec<_>, _>>()?;
    records.sort_by_key(|record| {
        (
            std::cmp::Reverse(record.timestamp_ms),
            record.partition,
            std::cmp::Reverse(record.offset),
        )
    });
    records.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let letters: Vec<(IncomingRecord, Result<DeadLetter, String>)> = records
        .into_iter()
        .map(|record| {
            let letter = read(&codec, &record);
            (record, letter)
        })
        .collect();
    let json = json!({
        "dead_letters": letters.iter().map(|(record, letter)| json_of(record, letter)).collect::<Vec<_>>(),
    });
    if letters.is_empty() {
        return Ok(Answer::good("no dead letters", json));
    }
    let mut rows = table(["place", "time", "reason", "from", "key", "detail"]);
    for (record, letter) in &letters {
        let place = format!("{}/{}", record.partition, record.offset);
        match letter {
            Ok(letter) => rows.add_row([
                place,
                write_time(letter.at_ms),
                letter.reason.as_str().to_owned(),
                harmless(&format!(
                    "{}/{}/{}",
                    letter.topic, letter.partition, letter.offset
                )),
                letter
                    .key
                    .as_deref()
                    .map_or_else(|| "null".to_owned(), |key| write_bytes(key, 30)),
                harmless(&shortened(&letter.detail, 80)),
            ]),
            Err(reason) => rows.add_row([
                place,
                write_time(record.timestamp_ms),
                "?".to_owned(),
                String::new(),
                String::new(),
                harmless(&format!("is no dead letter of ours: {reason}")),
            ]),
        };
    }
    Ok(Answer::good(write_table(&rows), json))
}

/// Shows one whole.
pub(crate) fn show(context: &Context, args: &DeadLettersShowArgs) -> Result<Answer, CliError> {
    let (kafka, topic) = topic(context)?;
    let (partition, offset) = args.place;
    let absent = || CliError::not_found(format!("{topic} has no record at {partition}/{offset}"));
    let watermarks = watermarks(context, &kafka, &topic)?;
    let (low, high) = *watermarks.get(&partition).ok_or_else(absent)?;
    if !(low..high).contains(&offset) {
        return Err(absent());
    }
    // The other partitions are read from their end: not at all.
    let mut from: BTreeMap<i32, i64> = watermarks
        .iter()
        .map(|(id, (_, high))| (*id, *high))
        .collect();
    from.insert(partition, offset);
    let record = TopicReader::open(&kafka, &topic, &from)?
        .find(|record| !matches!(record, Ok(record) if record.partition != partition))
        .ok_or_else(absent)??;
    if record.offset != offset {
        return Err(absent());
    }
    let letter = read(&context.codec()?, &record);
    let json = json_of(&record, &letter);
    let letter = letter.map_err(|reason| {
        CliError::failed(format!(
            "{partition}/{offset} is no dead letter of ours: {reason}"
        ))
    })?;
    Ok(Answer::good(harmless(&write(&record, &letter)), json))
}

fn write(record: &IncomingRecord, letter: &DeadLetter) -> String {
    let mut text = format!(
        "place     {}/{}\nreason    {}: {}\nset aside {} by {}\nfrom      topic {}, partition {}, offset {}\nwritten   {}\nkey       {}\n",
        record.partition,
        record.offset,
        letter.reason,
        letter.detail,
        write_time(letter.at_ms),
        letter.by,
        letter.topic,
        letter.partition,
        letter.offset,
        write_time(letter.timestamp_ms),
        write_null(letter.key.as_deref(), 200),
    );
    for header in &letter.headers {
        let value = write_null(header.value.as_deref(), 400);
        text.push_str(&format!("header    {} = {value}\n", header.name));
    }
    text.push_str(&format!(
        "value     {}",
        write_null(letter.value.as_deref(), VALUE_CHARS)
    ));
    text
}

fn write_null(bytes: Option<&[u8]>, chars_max: usize) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| write_bytes(bytes, chars_max))
}

fn json_of(record: &IncomingRecord, letter: &Result<DeadLetter, String>) -> Value {
    let place = json!({ "partition": record.partition, "offset": record.offset });
    match letter {
        Ok(letter) => json!({
            "place": place,
            "reason": letter.reason.as_str(),
            "detail": letter.detail,
            "origin": {
                "topic": letter.topic,
                "partition": letter.partition,
                "offset": letter.offset,
                "timestamp_ms": letter.timestamp_ms,
            },
            "key_base64": letter.key.as_deref().map(base64),
            "value_base64": letter.value.as_deref().map(base64),
            "headers": letter.headers.iter().map(|header| json!({
                "name": header.name,
                "value_base64": header.value.as_deref().map(base64),
            })).collect::<Vec<_>>(),
            "by": letter.by,
            "at_ms": letter.at_ms,
        }),
        Err(reason) => json!({
            "place": place,
            "unreadable": reason,
            "record_base64": record.payload.as_deref().map(base64),
        }),
    }
}

fn read(codec: &Codec, record: &IncomingRecord) -> Result<DeadLetter, String> {
    codec
        .decode_dead_letter(record.payload.as_deref().unwrap_or_default())
        .map_err(|error| error.to_string())
}

fn topic(context: &Context) -> Result<(KafkaConfig, String), CliError> {
    Ok((context.kafka()?, context.topics().dead_letters()))
}

/// Of each partition, the offset of its oldest record and the one behind its latest.
fn watermarks(
    context: &Context,
    kafka: &KafkaConfig,
    topic: &str,
) -> Result<BTreeMap<i32, (i64, i64)>, CliError> {
    let count = context.partitions_of(kafka, topic)?;
    let admin = Admin::new(kafka)?;
    let mut found = BTreeMap::new();
    for partition in 0..count {
        found.insert(partition, admin.watermarks(topic, partition)?);
    }
    Ok(found)
}

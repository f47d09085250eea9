//! `publish`: events for a source topic.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use backstitch_broker::{BatchDone, Headers, OutgoingRecord, Producer};
use backstitch_schemas::{Address, Codec, OrderPlaced, wire};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::{PublishArgs, parse_pair};
use super::context::Context;
use super::error::CliError;
use super::text::now_ms;
use crate::demo::Orders;

/// Records handed over at once.
const BATCH: usize = 500;
/// How long the broker may take to acknowledge a batch.
const DELIVERY_WAIT: Duration = Duration::from_secs(30);

/// Publishes a file's lines, or example orders.
pub(crate) fn publish(context: &Context, args: &PublishArgs) -> Result<Answer, CliError> {
    let kafka = context.kafka()?;
    context.partitions_of(&kafka, &args.topic)?;
    let make = Maker {
        topic: args.topic.as_str().into(),
        key: args.key.clone(),
        key_field: args.key_field.clone(),
        codec: args.avro.then(|| context.codec()).transpose()?,
        headers: headers(&args.header)?,
    };
    let mut press = Press::new(&kafka)?;
    let keys = match &args.file {
        Some(path) => from_file(&make, &mut press, path)?,
        None => examples(&make, &mut press, args)?,
    };
    let count = press.finish()?;
    let plural = if count == 1 { "event" } else { "events" };
    let json = json!({ "topic": args.topic, "published": count, "keys": keys });
    let mut text = format!("published {count} {plural} to {}", args.topic);
    if args.file.is_none()
        && let Some(key) = keys.first()
    {
        text.push_str(&format!("\nbackstitch show {key}"));
    }
    Ok(Answer::good(text, json))
}

/// Makes records of events.
struct Maker {
    topic: Arc<str>,
    key: Option<String>,
    key_field: Option<String>,
    codec: Option<Codec>,
    headers: Headers,
}

impl Maker {
    /// `place` says where the event stands, for errors.
    fn record(&self, event: &Value, place: &str) -> Result<OutgoingRecord, CliError> {
        let payload = match &self.codec {
            Some(codec) => {
                let order = order_of(event).map_err(|what| {
                    CliError::usage(format!("{place} is no OrderPlaced: {what}"))
                })?;
                codec
                    .encode_order_placed(&order)
                    .map_err(|error| CliError::of(&error))?
            }
            None => event.to_string().into_bytes(),
        };
        let mut record = OutgoingRecord::new(Arc::clone(&self.topic), payload);
        record.key = self.key_of(event, place)?.map(String::into_bytes);
        record.headers.clone_from(&self.headers);
        if self.codec.is_some() {
            record
                .headers
                .push(wire::CONTENT_TYPE, wire::CONTENT_TYPE_AVRO);
        }
        Ok(record)
    }

    fn key_of(&self, event: &Value, place: &str) -> Result<Option<String>, CliError> {
        let Some(field) = &self.key_field else {
            return Ok(self.key.clone());
        };
        match &event[field.as_str()] {
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(CliError::usage(format!(
                    "{place} has no text or number in its field `{field}`"
                )))
            }
        }
    }
}

fn from_file(make: &Maker, press: &mut Press, path: &Path) -> Result<Vec<String>, CliError> {
    let lines: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = std::fs::File::open(path).map_err(|error| {
            CliError::failed(format!("cannot read {}: {error}", path.display()))
        })?;
        Box::new(BufReader::new(file))
    };
    for (index, line) in lines.lines().enumerate() {
        let place = format!("{}, line {}", path.display(), index + 1);
        let line =
            line.map_err(|error| CliError::failed(format!("cannot read {place}: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let event: Value = serde_json::from_str(&line)
            .map_err(|error| CliError::usage(format!("{place} is no JSON: {error}")))?;
        press.add(make.record(&event, &place)?)?;
    }
    Ok(Vec::new())
}

/// Example orders, each with a number of its own; returns the keys of the sagas that they start.
fn examples(make: &Maker, press: &mut Press, args: &PublishArgs) -> Result<Vec<String>, CliError> {
    let fail_at = match &args.fail_at {
        None => None,
        Some(wanted) => Some(known_activity(wanted)?),
    };
    let run = uuid::Uuid::new_v4().simple().to_string();
    let orders = Orders {
        topic: Arc::clone(&make.topic),
        name: format!("{}-", &run[..6]),
        fail_rate: if fail_at.is_some() { 1.0 } else { 0.0 },
        fail_at: fail_at.into_iter().collect(),
        seed: 0,
    };
    let mut keys = Vec::new();
    for number in 0..args.count {
        let at_ms = now_ms();
        let example = orders.record(number, at_ms);
        let payload = example.payload.as_deref().unwrap_or_default();
        let mut event: Value = serde_json::from_slice(payload)
            .map_err(|error| CliError::failed(format!("an example order is no JSON: {error}")))?;
        if let Value::Object(fields) = &mut event {
            fields.retain(|_, value| !value.is_null());
            fields.insert("placed_at_ms".to_owned(), Value::from(at_ms));
        }
        let mut record = make.record(&event, "an example order")?;
        record.key = record.key.or(example.key);
        press.add(record)?;
        if keys.len() < 10 {
            let order_id = event["order_id"].as_str().unwrap_or_default();
            keys.push(format!("process-order/{order_id}"));
        }
    }
    Ok(keys)
}

fn known_activity(wanted: &str) -> Result<&'static str, CliError> {
    let known = backstitch_workers::order::order_activities();
    known
        .into_iter()
        .find(|activity| *activity == wanted)
        .ok_or_else(|| {
            CliError::usage(format!("no example worker offers `{wanted}`"))
                .with_help(format!("there are {}", known.join(", ")))
        })
}

fn headers(given: &[String]) -> Result<Headers, CliError> {
    given
        .iter()
        .map(|pair| {
            parse_pair(pair)
                .map(|(name, value)| (name, Some(value)))
                .map_err(|what| CliError::usage(format!("--header {pair}: {what}")))
        })
        .collect()
}

/// Hands records over in batches, and counts what is acknowledged.
struct Press {
    producer: Producer,
    done: Receiver<BatchDone>,
    batch: Vec<OutgoingRecord>,
    sent: usize,
    open: u64,
    next: u64,
}

impl Press {
    fn new(kafka: &backstitch_broker::KafkaConfig) -> Result<Self, CliError> {
        let (tell, done) = channel();
        // The receiver lives as long as the producer; a failed send means that nobody asks any more.
        let producer = Producer::new(kafka, move |batch| {
            let _ = tell.send(batch);
        })?;
        Ok(Self {
            producer,
            done,
            batch: Vec::new(),
            sent: 0,
            open: 0,
            next: 0,
        })
    }

    fn add(&mut self, record: OutgoingRecord) -> Result<(), CliError> {
        self.batch.push(record);
        if self.batch.len() >= BATCH {
            self.hand_over()?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), CliError> {
        let batch = std::mem::take(&mut self.batch);
        self.sent += batch.len();
        self.producer.send(self.next, batch)?;
        self.next += 1;
        self.open += 1;
        Ok(())
    }

    /// Waits until everything is acknowledged; returns how much that is.
    fn finish(mut self) -> Result<usize, CliError> {
        if !self.batch.is_empty() {
            self.hand_over()?;
        }
        while self.open > 0 {
            let batch = self.done.recv_timeout(DELIVERY_WAIT).map_err(|_| {
                CliError::failed("the broker has not acknowledged what was published within 30 s")
                    .with_help("what was not acknowledged may be stored or not; the same order twice is one saga")
            })?;
            batch.result.map_err(|error| CliError::of(&error))?;
            self.open -= 1;
        }
        Ok(self.sent)
    }
}

/// Reads an event as the example record; says what is missing.
fn order_of(event: &Value) -> Result<OrderPlaced, String> {
    let text = |value: &Value, name: &str, default: Option<&str>| {
        value[name]
            .as_str()
            .or(default)
            .map(str::to_owned)
            .ok_or_else(|| format!("`{name}` is no text"))
    };
    let number = |value: &Value, name: &str| {
        value[name]
            .as_i64()
            .ok_or_else(|| format!("`{name}` is no whole number"))
    };
    let lines = event["lines"].as_array().ok_or("`lines` is no list")?;
    let address = &event["address"];
    Ok(OrderPlaced {
        kind: text(event, "type", Some("OrderPlaced"))?,
        order_id: text(event, "order_id", None)?,
        customer_id: text(event, "customer_id", None)?,
        total: number(event, "total")?,
        currency: text(event, "currency", Some("EUR"))?,
        lines: lines
            .iter()
            .map(|line| {
                Ok(backstitch_schemas::Line {
                    sku: text(line, "sku", None)?,
                    n: i32::try_from(number(line, "n")?).map_err(|_| "`n` is too large")?,
                })
            })
            .collect::<Result<_, String>>()?,
        address: Address {
            street: text(address, "street", Some(""))?,
            city: text(address, "city", Some(""))?,
            country: text(address, "country", None)?,
        },
        placed_at_ms: number(event, "placed_at_ms")?,
        fail_at: event["fail_at"].as_str().map(str::to_owned),
        fail_how: event["fail_how"].as_str().map(str::to_owned),
    })
}

//! What a source record leads to: sagas that start, and events for sagas that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_broker::IncomingRecord;
use backstitch_saga::Definition;
use backstitch_saga::definition::StartRule;
use backstitch_saga::expression::Scope;
use backstitch_schemas::{
    DeadLetterReason, Event, EventSchemas, SourcePosition, Start, WaitEvent, decode_event,
};
use serde_json::Value;

use super::awaiting::Clauses;

/// Matches source records against the start rules and the waits of definitions.
#[derive(Debug, Clone)]
pub struct Matcher {
    topics: BTreeMap<String, OfTopic>,
    schemas: EventSchemas,
}

/// What may come of the records of one topic.
#[derive(Debug, Clone, Default)]
struct OfTopic {
    /// The definitions that it may start a saga of, by name.
    starts: Vec<Arc<Definition>>,
    waits: Clauses,
}

/// What a source record leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Matched {
    /// It was read, and leads to this.
    Found(Found),
    /// It cannot be read, or a start rule cannot be evaluated on it.
    Dead {
        /// Of which sort.
        reason: DeadLetterReason,
        /// In words.
        detail: String,
    },
    /// The schema registry could not be asked: try again.
    Later(String),
}

/// What is sent on for a source record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// One for each definition with a start rule that holds.
    pub starts: Vec<Start>,
    /// One for each mailbox: a record reaches it once, however many versions wait for it.
    pub events: Vec<WaitEvent>,
    /// Waits that it might be for, but that cannot be evaluated on it: for the log. A topic may carry
    /// much that is not meant for them, so these are no dead letters.
    pub troubles: Vec<String>,
    /// Waits that it is for, and whose schema it breaks, in words: it goes to the dead letters, beside
    /// whatever else comes of it.
    pub misfits: Vec<String>,
    /// W3C `traceparent` of the record.
    pub traceparent: Option<String>,
}

impl Matcher {
    /// Matches against the start rules of the `current` versions and the waits of `all`, which
    /// running sagas may be pinned to; `schemas` reads the records.
    pub fn new(
        current: Vec<Arc<Definition>>,
        all: Vec<Arc<Definition>>,
        schemas: EventSchemas,
    ) -> Self {
        let mut topics: BTreeMap<String, OfTopic> = BTreeMap::new();
        for definition in current {
            for rule in &definition.start {
                let of_topic = topics.entry(rule.topic.clone()).or_default();
                let last = of_topic.starts.last();
                if last.is_none_or(|last| last.hash != definition.hash) {
                    of_topic.starts.push(Arc::clone(&definition));
                }
            }
        }
        for definition in &all {
            Clauses::of(definition, &mut |topic, clause| {
                let of_topic = topics.entry(topic.to_owned()).or_default();
                of_topic.waits.push(clause);
            });
        }
        Self { topics, schemas }
    }

    /// The source topics of the definitions, each once, in order.
    pub fn topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// Reads one record and finds what it leads to.
    pub fn matches(&self, record: &IncomingRecord, now_ms: i64) -> Matched {
        let dead = |reason, detail| Matched::Dead { reason, detail };
        let Some(of_topic) = self.topics.get(&*record.topic) else {
            return Matched::Found(Found::default());
        };
        // A wait does not look at it: other services may key their records as they like.
        if !of_topic.starts.is_empty()
            && let Some(key) = &record.key
            && std::str::from_utf8(key).is_err()
        {
            return dead(DeadLetterReason::BadKey, "its key is not UTF-8".to_owned());
        }
        let payload = record.payload.as_deref().unwrap_or_default();
        let headers = record
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let event = match decode_event(payload, headers, &self.schemas) {
            Ok(event) => event,
            Err(error) => {
                return match error.reason() {
                    Some(reason) => dead(reason, error.to_string()),
                    None => Matched::Later(error.to_string()),
                };
            }
        };
        let starts = match of_topic.starts(record, &event, now_ms) {
            Ok(starts) => starts,
            Err(detail) => return dead(DeadLetterReason::CannotApply, detail),
        };
        let mut found = Found {
            starts,
            ..Found::default()
        };
        of_topic.waits.matches(record, &event, now_ms, &mut found);
        found.traceparent = event.traceparent;
        Matched::Found(found)
    }
}

impl OfTopic {
    fn starts(
        &self,
        record: &IncomingRecord,
        event: &Event,
        now_ms: i64,
    ) -> Result<Vec<Start>, String> {
        let scope = Scope::of_event(&event.value, now_ms);
        let mut starts = Vec::new();
        for definition in &self.starts {
            let rules = definition.start.iter();
            for rule in rules.filter(|rule| *rule.topic == *record.topic) {
                let key = key_by(rule, &scope)
                    .map_err(|why| format!("a start rule of `{}`: {why}", definition.name))?;
                let Some(key) = key else { continue };
                starts.push(Start {
                    definition: definition.name.clone(),
                    saga: backstitch_saga::Saga::key_of(&definition.name, &key),
                    event: event.value.to_string().into_bytes(),
                    source: Some(position_of(record)),
                    event_time_ms: event.time_ms.unwrap_or(record.timestamp_ms),
                    by: None,
                    at_ms: now_ms,
                    parent: None,
                });
                break;
            }
        }
        Ok(starts)
    }
}

/// The business key that a rule gives, if it holds.
fn key_by(rule: &StartRule, scope: &Scope<'_>) -> Result<Option<String>, String> {
    let holds = match &rule.when {
        None => true,
        Some(when) => when.holds(scope).map_err(|error| error.to_string())?,
    };
    if !holds {
        return Ok(None);
    }
    let key = rule
        .key
        .evaluate(scope)
        .map_err(|error| error.to_string())?;
    key_text(key).map(Some)
}

/// Where a record lies.
pub(super) fn position_of(record: &IncomingRecord) -> SourcePosition {
    SourcePosition {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
    }
}

/// A business key is a text or a whole number, and not empty.
fn key_text(value: Value) -> Result<String, String> {
    match &value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Err(format!(
            "the key is {value}; a text that is not empty or a whole number was expected"
        )),
    }
}

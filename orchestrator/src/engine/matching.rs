//! Which sagas a source record starts.

use std::sync::Arc;

use backstitch_broker::IncomingRecord;
use backstitch_saga::Definition;
use backstitch_saga::expression::Scope;
use backstitch_schemas::{DeadLetterReason, EventSchemas, SourcePosition, Start, decode_event};
use serde_json::Value;

/// Matches source records against the start rules of definitions.
#[derive(Debug, Clone)]
pub struct Matcher {
    definitions: Vec<Arc<Definition>>,
    schemas: EventSchemas,
}

/// What a source record leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Matched {
    /// These sagas start; none if no rule holds.
    Starts {
        /// One for each definition that matches.
        starts: Vec<Start>,
        /// W3C `traceparent` of the record.
        traceparent: Option<String>,
    },
    /// It cannot be read, or a rule cannot be evaluated on it.
    Dead {
        /// Of which sort.
        reason: DeadLetterReason,
        /// In words.
        detail: String,
    },
    /// The schema registry could not be asked: try again.
    Later(String),
}

impl Matcher {
    /// Matches against these definitions; `schemas` reads the records.
    pub fn new(definitions: Vec<Arc<Definition>>, schemas: EventSchemas) -> Self {
        Self {
            definitions,
            schemas,
        }
    }

    /// The source topics of the definitions, each once, in order.
    pub fn topics(&self) -> Vec<String> {
        let rules = self.definitions.iter().flat_map(|d| &d.start);
        let mut topics: Vec<String> = rules.map(|rule| rule.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// Reads one record and finds what it starts.
    pub fn matches(&self, record: &IncomingRecord, now_ms: i64) -> Matched {
        let dead = |reason, detail| Matched::Dead { reason, detail };
        if let Some(key) = &record.key
            && std::str::from_utf8(key).is_err()
        {
            return dead(DeadLetterReason::BadKey, "its key is not UTF-8".to_owned());
        }
        let payload = record.payload.as_deref().unwrap_or_default();
        let headers = record
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let event = match decode_event(payload, headers, &self.schemas) {
            Ok(event) => event,
            Err(error) => {
                return match error.reason() {
                    Some(reason) => dead(reason, error.to_string()),
                    None => Matched::Later(error.to_string()),
                };
            }
        };
        let scope = Scope::of_event(&event.value, now_ms);
        let mut starts = Vec::new();
        for definition in &self.definitions {
            let rules = definition.start.iter();
            for rule in rules.filter(|rule| *rule.topic == *record.topic) {
                let holds = rule
                    .when
                    .as_ref()
                    .map_or(Ok(true), |when| when.holds(&scope));
                let key = match holds {
                    Ok(false) => continue,
                    Ok(true) => rule.key.evaluate(&scope),
                    Err(error) => Err(error),
                };
                let key = match key.map_err(|e| e.to_string()).and_then(key_text) {
                    Ok(key) => key,
                    Err(why) => {
                        let detail = format!("a start rule of `{}`: {why}", definition.name);
                        return dead(DeadLetterReason::CannotApply, detail);
                    }
                };
                starts.push(Start {
                    definition: definition.name.clone(),
                    saga: backstitch_saga::Saga::key_of(&definition.name, &key),
                    event: event.value.to_string().into_bytes(),
                    source: Some(SourcePosition {
                        topic: record.topic.to_string(),
                        partition: record.partition,
                        offset: record.offset,
                    }),
                    event_time_ms: event.time_ms.unwrap_or(record.timestamp_ms),
                    by: None,
                    at_ms: now_ms,
                    parent: None,
                });
                break;
            }
        }
        Matched::Starts {
            starts,
            traceparent: event.traceparent,
        }
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

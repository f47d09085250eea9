//! Which mailboxes a source record is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_broker::IncomingRecord;
use backstitch_saga::Definition;
use backstitch_saga::core::mailbox;
use backstitch_saga::definition::{SchemaFile, Verb, Wait, walk};
use backstitch_saga::expression::{Expression, Root, Scope, Segment, key_text};
use backstitch_schemas::{Event, WaitEvent};
use serde_json::Value;

use super::matching::{Found, position_of};

/// A record that is younger counts as new when it is read: after an outage, sagas and what they wait
/// for come late together. An older one is a backlog, and is kept from its own time on. 24 h.
const OUTAGE_MAX_MS: i64 = 24 * 3_600_000;

/// The waits for the records of one topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Clauses(Vec<Clause>);

/// One `wait` of one definition, whichever versions have it so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    definition: Arc<str>,
    wait: String,
    key: Expression,
    accept: Option<Expression>,
    input: Option<SchemaFile>,
    early_ms: i64,
}

impl Clauses {
    /// Gives out each wait of a definition with its topic.
    pub(super) fn of(definition: &Definition, of_topic: &mut impl FnMut(&str, Clause)) {
        let name: Arc<str> = Arc::from(definition.name.as_str());
        walk(&definition.steps, &mut |step| {
            if let Verb::Wait(wait) = &step.verb {
                of_topic(&wait.topic, Clause::of(&name, &step.id, wait));
            }
        });
    }

    /// Adds a wait, unless another version has it too.
    pub(super) fn push(&mut self, clause: Clause) {
        if !self.0.contains(&clause) {
            self.0.push(clause);
        }
    }

    /// Adds the events that a record is for sagas that wait, one for each mailbox.
    pub(super) fn matches(
        &self,
        record: &IncomingRecord,
        event: &Event,
        now_ms: i64,
        found: &mut Found,
    ) {
        if self.0.is_empty() {
            return;
        }
        let mut until_of: BTreeMap<String, i64> = BTreeMap::new();
        let mut misfits: BTreeMap<String, String> = BTreeMap::new();
        for clause in &self.0 {
            match clause.mailbox(&event.value, now_ms) {
                Ok(None) => {}
                Ok(Some(mailbox)) => {
                    if let Some(misfit) = clause.misfit(&event.value) {
                        misfits.insert(mailbox, misfit);
                        continue;
                    }
                    let until = since(record, now_ms).saturating_add(clause.early_ms);
                    let known = until_of.entry(mailbox).or_insert(until);
                    *known = until.max(*known);
                }
                Err(trouble) => found.troubles.push(trouble),
            }
        }
        // Where versions differ, it is enough that one of them takes it.
        misfits.retain(|mailbox, _| !until_of.contains_key(mailbox));
        found.misfits.extend(misfits.into_values());
        for (saga, until_ms) in until_of {
            found.events.push(WaitEvent {
                saga,
                step: None,
                value: event.value.to_string().into_bytes(),
                source: position_of(record),
                until_ms: Some(until_ms),
                at_ms: now_ms,
            });
        }
    }
}

/// From when on a record is kept.
fn since(record: &IncomingRecord, now_ms: i64) -> i64 {
    if now_ms.saturating_sub(record.timestamp_ms) <= OUTAGE_MAX_MS {
        now_ms
    } else {
        record.timestamp_ms
    }
}

impl Clause {
    fn of(definition: &Arc<str>, id: &str, wait: &Wait) -> Self {
        Self {
            definition: Arc::clone(definition),
            wait: id.to_owned(),
            key: wait.key.clone(),
            accept: wait.accept.clone(),
            input: wait.input.clone(),
            early_ms: i64::try_from(wait.early_ms).unwrap_or(i64::MAX),
        }
    }

    /// Why a record that is for this wait breaks the schema that it declares, if it does.
    fn misfit(&self, message: &Value) -> Option<String> {
        let input = self.input.as_ref()?;
        let misfit = input.schema.as_ref()?.misfit(message)?;
        Some(format!(
            "the record for `{}` of `{}` does not fit `{}`: {misfit}",
            self.wait, self.definition, input.path
        ))
    }

    /// The mailbox that a record is for, if it is for this wait at all; why nobody can tell.
    fn mailbox(&self, message: &Value, now_ms: i64) -> Result<Option<String>, String> {
        let scope = Scope::of_message(message, now_ms);
        let told = |why: &dyn std::fmt::Display| {
            format!("`{}` of `{}`: {why}", self.wait, self.definition)
        };
        if let Some(accept) = &self.accept {
            match accept.holds(&scope) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(_) if lacks(accept, message) => return Ok(None),
                Err(error) => return Err(told(&error)),
            }
        }
        let key = match self.key.evaluate(&scope) {
            Ok(Value::Null) => return Ok(None),
            Ok(key) => key,
            Err(_) if lacks(&self.key, message) => return Ok(None),
            Err(error) => return Err(told(&error)),
        };
        let key = key_text(&key).map_err(|why| told(&format!("the key: {why}")))?;
        Ok(Some(mailbox::key_of(&self.definition, &self.wait, &key)))
    }
}

/// Whether a record does not have what an expression reads: then it is plainly not meant.
fn lacks(expression: &Expression, message: &Value) -> bool {
    expression
        .paths()
        .filter(|path| *path.root() == Root::Message)
        .any(|path| {
            let mut at = Some(message);
            for segment in path.segments() {
                at = at.and_then(|value| match segment {
                    Segment::Field(name) => value.get(name),
                    Segment::Index(index) => {
                        usize::try_from(*index).ok().and_then(|n| value.get(n))
                    }
                });
            }
            at.is_none_or(Value::is_null)
        })
}

#[cfg(test)]
#[path = "awaiting_tests.rs"]
mod tests;

//! Records of source topics, and the real intake that reads them: what starts the saga, and what it
//! waits for.

use std::sync::Arc;

use backstitch_broker::{Headers, IncomingRecord};
use backstitch_saga::{Payload, Saga};
use backstitch_schemas::Start;
use serde_json::Value;

use super::cast::Cast;
use super::post::Stored;
use super::script::{Coming, START, find};
use super::turns::Begins;
use super::world::{BEGIN_MS, Happening, World};
use crate::engine::{Found, Matched};

/// The business key of a saga that is started by hand.
const KEY: &str = "rehearsal";
/// The second of two records comes so much later.
const AGAIN_MS: i64 = 5;
/// Of an event, so many characters are shown at most.
const SHOWN_MAX: usize = 200;

/// What a record of a source topic is to lead to.
#[derive(Debug, Clone)]
pub(super) enum Meant {
    /// It starts the saga.
    Start,
    /// It is for this mailbox, in which this occurrence waits.
    Mailbox(String, String),
}

impl Cast {
    /// The topic on which an event starts the saga, and why it does not if it does not.
    pub(super) fn entrance(&self, event: &Value, begins: Begins) -> (Option<&str>, Option<String>) {
        let misfit = || {
            let payload = Payload::from_bytes(event.to_string().as_bytes()).ok()?;
            self.main.event_misfit(&payload)
        };
        let rules = &self.main.start;
        let first = match begins {
            Begins::By(n) => rules.get(n),
            Begins::ByAny | Begins::Never => rules.first(),
        };
        let Some(first) = first else {
            return (None, misfit().map(|why| self.told(event, &why)));
        };
        let mut topics = vec![first.topic.as_str()];
        if !matches!(begins, Begins::By(_)) {
            topics.extend(rules.iter().map(|rule| rule.topic.as_str()));
        }
        let mut why = Vec::new();
        for (n, topic) in topics.iter().enumerate() {
            if topics[..n].contains(topic) {
                continue;
            }
            match self.takes(topic, event) {
                Ok(()) => return (Some(topic), misfit().map(|why| self.told(event, &why))),
                Err(reason) => why.push(reason),
            }
        }
        (Some(topics[0]), Some(self.told(event, &why.join("; "))))
    }

    /// Whether a record of a topic starts the saga; why not, for people.
    fn takes(&self, topic: &str, event: &Value) -> Result<(), String> {
        match self
            .matcher
            .matches(&record(topic, event, 0, BEGIN_MS), BEGIN_MS)
        {
            Matched::Found(found) if !found.starts.is_empty() => Ok(()),
            Matched::Found(_) => {
                let rules = self.main.start.iter().filter(|rule| rule.topic == topic);
                let rules = rules.filter_map(|rule| rule.when.as_ref());
                let rules: Vec<String> = rules
                    .map(|when| format!("`{}` does not hold", when.source()))
                    .collect();
                Err(format!("in `{topic}`, {}", rules.join(" and ")))
            }
            Matched::Dead { detail, .. } => {
                Err(format!("in `{topic}`, it becomes a dead letter: {detail}"))
            }
            Matched::Later(reason) => Err(reason),
        }
    }

    fn told(&self, event: &Value, why: &str) -> String {
        let mut shown = event.to_string();
        if let Some((end, _)) = shown.char_indices().nth(SHOWN_MAX) {
            shown.truncate(end);
            shown.push('…');
        }
        format!(
            "the event starts no `{}`: {why}; it is {shown}",
            self.main.name
        )
    }
}

impl World<'_> {
    /// An event comes in that starts the saga, or that is to start none.
    pub(super) fn begin(&mut self, event: &Value, begins: Begins) {
        let (topic, refusal) = self.cast.entrance(event, begins);
        self.refusal = refusal;
        let Some(topic) = topic else {
            return self.begin_by_hand(event);
        };
        self.witness.start_is_asked(self.now);
        let coming = find(&self.script.events, START).map(|event| event.coming);
        self.source_record(
            topic,
            event,
            0,
            coming == Some(Coming::ReadAgain),
            &Meant::Start,
        );
        if coming == Some(Coming::Twice) {
            self.source_record(topic, event, AGAIN_MS, false, &Meant::Start);
        }
    }

    /// A person starts the saga.
    fn begin_by_hand(&mut self, event: &Value) {
        let definition = self.cast.main.name.clone();
        let start = Start {
            saga: Saga::key_of(&definition, KEY),
            definition,
            event: event.to_string().into_bytes(),
            source: None,
            event_time_ms: BEGIN_MS,
            by: None,
            at_ms: BEGIN_MS,
            parent: None,
        };
        let record = Stored::start(&self.codec, &start);
        self.send(0, record);
    }

    /// A service publishes a record, which intake reads after this, once or twice.
    pub(super) fn source_record(
        &mut self,
        topic: &str,
        value: &Value,
        wait_ms: i64,
        is_read_again: bool,
        meant: &Meant,
    ) {
        let offset = self.offsets.entry(topic.to_owned()).or_insert(-1);
        *offset += 1;
        let at_ms = self.now.saturating_add(wait_ms);
        let record = record(topic, value, *offset, at_ms);
        let read = |record| Happening::Read(Box::new((record, meant.clone())));
        if is_read_again {
            self.after(wait_ms + AGAIN_MS, read(record.clone()));
        }
        self.after(wait_ms, read(record));
    }

    /// Intake reads a record, and sends on what it leads to.
    pub(super) fn read_source(&mut self, record: &IncomingRecord, meant: &Meant) {
        let found = match self.cast.matcher.matches(record, self.now) {
            Matched::Found(found) => found,
            Matched::Dead { detail, .. } | Matched::Later(detail) => {
                return self.astray(meant, &format!("it becomes a dead letter: {detail}"));
            }
        };
        self.hold_against(&found, meant);
        for start in &found.starts {
            let record = Stored::start(&self.codec, start);
            self.send(0, record);
        }
        for event in &found.events {
            let record = Stored::event(&self.codec, event);
            self.send(0, record);
        }
    }

    fn hold_against(&mut self, found: &Found, meant: &Meant) {
        match meant {
            Meant::Start => {
                self.begun
                    .extend(found.starts.iter().map(|start| start.saga.clone()));
                if self.begun.len() > 1 {
                    let keys: Vec<&str> = self.begun.iter().map(String::as_str).collect();
                    self.fail(format!(
                        "the same event begins more than one saga: {}; its key must be the same whenever it is read",
                        keys.join(", ")
                    ));
                }
            }
            Meant::Mailbox(mailbox, _) => {
                if found.events.iter().any(|event| event.saga == *mailbox) {
                    return;
                }
                let why = found.misfits.iter().chain(&found.troubles);
                let why: Vec<&str> = why.map(String::as_str).collect();
                self.astray(meant, &why.join("; "));
            }
        }
    }

    /// A record does not lead to what it is meant for. What starts nothing is told by the run itself.
    fn astray(&mut self, meant: &Meant, why: &str) {
        if let Meant::Mailbox(_, occurrence) = meant {
            self.notes.insert(format!(
                "the record for `{occurrence}` does not reach it: {why}"
            ));
        }
    }
}

fn record(topic: &str, value: &Value, offset: i64, at_ms: i64) -> IncomingRecord {
    IncomingRecord {
        topic: Arc::from(topic),
        partition: 0,
        offset,
        generation: 0,
        key: None,
        payload: Some(value.to_string().into_bytes()),
        headers: Headers::default(),
        timestamp_ms: at_ms,
    }
}

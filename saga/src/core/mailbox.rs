//! Events that wait for a saga, and sagas that wait for an event.
//!
//! For each `wait` of a definition and each key of its records there is a mailbox. It is run by the
//! same engine as a saga: it has a key that hashes to a shard, a row and a journal, and changes by
//! changes only. Each event is given to one saga, in the order in which they came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::advance::{Ignored, Turn};
use super::change::Change;
use super::message::{Event, Note, NoteBody, Source, Want};
use super::part::Part;
use super::state::Saga;
use crate::definition::Definition;
use crate::payload::Payload;

/// What stands in the place of a definition's hash.
pub const MAILBOX_HASH: &str = "mailbox";

/// Events that one mailbox keeps at most. A further one is [`Ignored::MailboxFull`].
pub const KEPT_MAX: usize = 100;

/// How many of those are remembered who were given an event or wait no more, so that asking twice
/// gives one event, and none to those who have left.
const SERVED_MAX: usize = 32;

/// What a mailbox holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Mailbox {
    /// Events that nobody has taken, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Who waits, first come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiter>,
    /// Who was given an event lately, or has left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<Waiter>,
    /// By `topic/partition`: the highest offset that was taken in. Intake sends in order, and may
    /// send twice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, i64>,
}

/// An event that nobody has taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The record.
    pub value: Payload,
    /// Where it was read.
    pub source: Source,
    /// How long it is kept. Milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A saga that waits for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// Which saga.
    pub saga: String,
    /// Its occurrence of the `wait`.
    pub occurrence: String,
}

/// What changes in a mailbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailChange {
    /// An event is kept.
    Kept(Kept),
    /// A saga waits.
    Waits(Waiter),
    /// A saga waits no more.
    Left(Waiter),
    /// An event was given to a saga. In the outbox it *is* the message to that saga.
    Given {
        /// To whom.
        to: Waiter,
        /// The record.
        value: Payload,
        /// Where it was read.
        source: Source,
        /// W3C `traceparent`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
    },
    /// Events were kept long enough: those that were kept up to this time.
    Expired(i64),
}

/// Whether a key is that of a mailbox. The names of definitions begin with a letter.
pub fn is_mailbox(key: &str) -> bool {
    key.starts_with('~')
}

/// The key of the mailbox of a `wait` for records with a key.
pub fn key_of(definition: &str, wait: &str, value: &str) -> String {
    format!("~{definition}.{wait}/{value}")
}

/// What mailboxes are pinned to.
pub fn definition() -> Definition {
    Definition {
        name: "~".to_owned(),
        hash: MAILBOX_HASH.to_owned(),
        source: String::new(),
        files: BTreeMap::new(),
        start: Vec::new(),
        input: None,
        activities: BTreeMap::new(),
        tags: BTreeMap::new(),
        deadline_ms: None,
        steps: Vec::new(),
        output: None,
    }
}

impl Mailbox {
    /// When the first event has been kept long enough.
    pub(super) fn wake_at_ms(&self) -> Option<i64> {
        self.kept.iter().map(|kept| kept.until_ms).min()
    }

    /// Applies a change; `None` if it does not fit.
    pub(super) fn apply(&mut self, change: &MailChange) -> Option<()> {
        match change {
            MailChange::Kept(kept) => {
                self.note(&kept.source);
                self.kept.push(kept.clone());
            }
            MailChange::Waits(waiter) => self.waiting.push(waiter.clone()),
            MailChange::Left(waiter) => {
                self.waiting.retain(|known| known != waiter);
                self.is_over_for(waiter);
            }
            MailChange::Given { to, source, .. } => {
                self.kept.retain(|kept| kept.source != *source);
                self.note(source);
                self.waiting.retain(|known| known != to);
                self.is_over_for(to);
            }
            MailChange::Expired(at_ms) => self.kept.retain(|kept| kept.until_ms > *at_ms),
        }
        Some(())
    }

    fn is_over_for(&mut self, waiter: &Waiter) {
        self.served.push(waiter.clone());
        if self.served.len() > SERVED_MAX {
            self.served.remove(0);
        }
    }

    fn note(&mut self, source: &Source) {
        let seen = self.seen.entry(partition_of(source)).or_insert(-1);
        *seen = source.offset.max(*seen);
    }
}

fn partition_of(source: &Source) -> String {
    format!("{}/{}", source.topic, source.partition)
}

impl MailChange {
    /// What leaves for it.
    pub(super) fn note(&self) -> Option<Note> {
        match self {
            Self::Given {
                to,
                value,
                source,
                trace,
            } => Some(Note {
                to: to.saga.clone(),
                body: NoteBody::Event(Event {
                    occurrence: Some(to.occurrence.clone()),
                    value: value.clone(),
                    source: source.clone(),
                    until_ms: None,
                    trace: trace.clone(),
                }),
            }),
            Self::Kept(_) | Self::Waits(_) | Self::Left(_) | Self::Expired(_) => None,
        }
    }
}

impl Saga {
    /// What it holds, if it is a mailbox.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match &self.root {
            Part::Mailbox(mailbox) => Some(mailbox),
            Part::Sequence { .. }
            | Part::Line(_)
            | Part::Skipped
            | Part::Parallel(_)
            | Part::Choose { .. }
            | Part::Each { .. }
            | Part::Repeat(_)
            | Part::Reversing { .. }
            | Part::Recovering { .. } => None,
        }
    }
}

impl Turn<'_> {
    fn mail(&mut self, change: MailChange) {
        self.emit(Change::Mail(Box::new(change)));
    }

    /// An event has come: for the first who waits, or to be kept.
    pub(super) fn event_to_mailbox(&mut self, event: &Event) -> Result<(), Ignored> {
        let mailbox = self.saga.mailbox().ok_or(Ignored::NotApplicable)?;
        let seen = mailbox.seen.get(&partition_of(&event.source));
        if seen.is_some_and(|seen| event.source.offset <= *seen) {
            return Err(Ignored::NotAwaited);
        }
        if let Some(to) = mailbox.waiting.first().cloned() {
            self.mail(MailChange::Given {
                to,
                value: event.value.clone(),
                source: event.source.clone(),
                trace: event.trace.clone(),
            });
            return Ok(());
        }
        let until_ms = event.until_ms.unwrap_or(self.at_ms);
        if until_ms <= self.at_ms {
            return Err(Ignored::NotAwaited);
        }
        if mailbox.kept.len() >= KEPT_MAX {
            return Err(Ignored::MailboxFull);
        }
        self.mail(MailChange::Kept(Kept {
            value: event.value.clone(),
            source: event.source.clone(),
            until_ms,
            trace: event.trace.clone(),
        }));
        Ok(())
    }

    /// A saga waits, or does no more.
    pub(super) fn want(&mut self, want: &Want) -> Result<(), Ignored> {
        let mailbox = self.saga.mailbox().ok_or(Ignored::NotApplicable)?;
        let waiter = Waiter {
            saga: want.saga.clone(),
            occurrence: want.occurrence.clone(),
        };
        let waits = mailbox.waiting.contains(&waiter);
        let was_served = mailbox.served.contains(&waiter);
        if want.cancel {
            if !waits {
                return Err(Ignored::NotAwaited);
            }
            self.mail(MailChange::Left(waiter));
            return Ok(());
        }
        if waits || was_served {
            return Err(Ignored::NotAwaited);
        }
        let at_ms = self.at_ms;
        let fresh = mailbox.kept.iter().find(|kept| kept.until_ms > at_ms);
        match fresh.cloned() {
            Some(kept) => self.mail(MailChange::Given {
                to: waiter,
                value: kept.value,
                source: kept.source,
                trace: kept.trace,
            }),
            None => self.mail(MailChange::Waits(waiter)),
        }
        Ok(())
    }

    /// Forgets what was kept long enough.
    pub(super) fn expire_mail(&mut self) -> Result<(), Ignored> {
        let mailbox = self.saga.mailbox().ok_or(Ignored::NotApplicable)?;
        let at_ms = self.at_ms;
        if mailbox.kept.iter().all(|kept| kept.until_ms > at_ms) {
            return Err(Ignored::NothingDue);
        }
        self.mail(MailChange::Expired(at_ms));
        Ok(())
    }
}

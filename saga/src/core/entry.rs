//! A transition in the journal, chained by hash to the saga's entry before it.

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::message::{
    Act, Answer, Command, Decision, Direction, Message, Note, Parent, Source, Want,
};
use super::state::{Saga, Status};

/// One transition, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The saga.
    pub saga: String,
    /// Counts the saga's transitions from 1.
    pub seq: u64,
    /// When it was decided. Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How the saga stands after it.
    pub status: Status,
    /// One word for what led to it.
    pub cause: &'static str,
    /// JSON of a [`Body`].
    pub body: Vec<u8>,
    /// Hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// BLAKE3 over previous hash, key, number, time and body, as lower-case hex.
    pub hash: String,
}

/// What led to a transition, and what it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// What led to it.
    pub cause: Cause,
    /// What changed, in order.
    pub changes: Vec<Change>,
}

/// What led to a transition. For readers; folding needs the changes only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The saga was started.
    Start {
        /// By a person, if so.
        by: Option<String>,
    },
    /// A worker answered.
    Reply {
        /// The occurrence.
        occurrence: String,
        /// Doing or undoing.
        direction: Direction,
        /// The attempt that was answered.
        attempt: u32,
        /// `done`, `failed`, `refused` or `heartbeat`.
        answer: String,
        /// Who answered.
        worker: Option<String>,
    },
    /// Time had passed.
    Wake,
    /// A person acted.
    Act(Act),
    /// An event came from outside.
    Event(Source),
    /// A person decided.
    Decision(Decision),
    /// A mailbox was told who waits.
    Want(Want),
    /// The parent asked to take it all back.
    Undo(Parent),
}

impl Cause {
    pub(super) fn of(message: &Message) -> Self {
        match message {
            Message::Reply(reply) => Self::Reply {
                occurrence: reply.occurrence.clone(),
                direction: reply.direction,
                attempt: reply.attempt,
                answer: match reply.answer {
                    Answer::Done(_) => "done",
                    Answer::Failed { .. } => "failed",
                    Answer::Refused { .. } => "refused",
                    Answer::Heartbeat => "heartbeat",
                }
                .to_owned(),
                worker: reply.worker.clone(),
            },
            Message::Wake => Self::Wake,
            Message::Act(act) => Self::Act(act.clone()),
            Message::Event(event) => Self::Event(event.source.clone()),
            Message::Decision(decision) => Self::Decision(decision.clone()),
            Message::Want(want) => Self::Want(want.clone()),
            Message::Undo(undo) => Self::Undo(undo.parent.clone()),
        }
    }

    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Reply { .. } => "reply",
            Self::Wake => "wake",
            Self::Act(_) => "act",
            Self::Event(_) => "event",
            Self::Decision(_) => "decision",
            Self::Want(_) => "want",
            Self::Undo(_) => "undo",
        }
    }
}

/// A journal that is not that of a saga, or was altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The body cannot be read.
    #[error("journal entry {seq} of saga {saga} cannot be read: {reason}")]
    Unreadable {
        /// The saga.
        saga: String,
        /// The entry.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// An entry is missing, doubled or out of order.
    #[error("journal of saga {saga} goes from entry {after} to entry {found}")]
    Gap {
        /// The saga.
        saga: String,
        /// The last good one.
        after: u64,
        /// The next one found.
        found: u64,
    },
    /// An entry does not follow from the one before: it, or the one before, was altered.
    #[error("journal entry {seq} of saga {saga} does not carry the hash it should")]
    Broken {
        /// The saga.
        saga: String,
        /// The first bad entry.
        seq: u64,
    },
    /// A change does not fit the saga.
    #[error("a change in journal entry {seq} does not fit saga {saga}")]
    Misfit {
        /// The saga.
        saga: String,
        /// The entry.
        seq: u64,
    },
}

impl Entry {
    /// Seals a transition: numbers it, hashes it, and moves the saga's head on.
    pub(super) fn seal(saga: &mut Saga, cause: Cause, changes: Vec<Change>, at_ms: i64) -> Self {
        let word = cause.name();
        let body = serde_json::to_vec(&Body { cause, changes })
            .expect("causes and changes have string keys only");
        saga.seq += 1;
        saga.changed_at_ms = at_ms;
        let hash = chain(&saga.head, &saga.key, saga.seq, at_ms, &body);
        let previous_hash = std::mem::replace(&mut saga.head, hash.clone());
        Self {
            saga: saga.key.clone(),
            seq: saga.seq,
            at_ms,
            status: saga.status,
            cause: word,
            body,
            previous_hash,
            hash,
        }
    }

    /// Reads the body of an entry.
    ///
    /// # Errors
    ///
    /// What `serde_json` says.
    pub fn read_body(body: &[u8]) -> Result<Body, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The commands that an entry asks for: the journal is the outbox.
    pub fn commands(saga: &str, body: &Body) -> Vec<Command> {
        body.changes
            .iter()
            .filter_map(|change| {
                if let Change::Requested(request) = change {
                    Some(request.command(saga))
                } else {
                    None
                }
            })
            .collect()
    }
}

impl Entry {
    /// What an entry says to other sagas and mailboxes, in order: the journal is the outbox.
    pub fn notes(saga: &str, at_ms: i64, body: &Body) -> Vec<Note> {
        let changes = body.changes.iter();
        changes
            .filter_map(|change| change.note(saga, at_ms))
            .collect()
    }
}

/// The hash of an entry, as lower-case hex.
pub(super) fn chain(previous: &str, saga: &str, seq: u64, at_ms: i64, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [previous.as_bytes(), saga.as_bytes()] {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&seq.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    hasher.update(body);
    hasher.finalize().to_hex().to_string()
}

impl Saga {
    /// Folds one journal entry into a saga; the first one begins it (S-6).
    ///
    /// # Errors
    ///
    /// [`FoldError`] if the entry is not the next one of this saga. The saga is left unchanged.
    pub fn fold(
        saga: Option<Self>,
        key: &str,
        seq: u64,
        at_ms: i64,
        body: &[u8],
        hash: &str,
    ) -> Result<Self, FoldError> {
        let named = || key.to_owned();
        let after = saga.as_ref().map_or(0, |saga| saga.seq);
        if seq != after + 1 {
            return Err(FoldError::Gap {
                saga: named(),
                after,
                found: seq,
            });
        }
        let head = saga.as_ref().map_or("", |saga| saga.head.as_str());
        if chain(head, key, seq, at_ms, body) != hash {
            return Err(FoldError::Broken { saga: named(), seq });
        }
        let read = Entry::read_body(body).map_err(|error| FoldError::Unreadable {
            saga: named(),
            seq,
            reason: error.to_string(),
        })?;
        let misfit = || FoldError::Misfit { saga: named(), seq };
        let mut changes = read.changes.iter();
        let mut folded = match saga {
            Some(saga) => saga,
            None => changes
                .next()
                .and_then(|first| first.begin(key, at_ms))
                .ok_or_else(misfit)?,
        };
        for change in changes {
            folded.apply(change, at_ms).ok_or_else(misfit)?;
        }
        folded.seq = seq;
        folded.changed_at_ms = at_ms;
        hash.clone_into(&mut folded.head);
        Ok(folded)
    }
}

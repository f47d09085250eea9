//! What a record of the inbox says, to a saga, to a mailbox, or to nobody.

use std::sync::Arc;

use backstitch_saga::core::{self as saga_core, mailbox, nothing_to_undo};
use backstitch_saga::{Answer, Message, Payload, Saga};
use backstitch_schemas::DeadLetterReason;

use super::io::Effect;
use super::shard::{Cached, Hot};
use super::turn::Machine;
use crate::store::ShardId;

/// How long the definitions of the store count as read, where a name is not among them. 5 s.
const DEFINITIONS_FRESH_MS: i64 = 5_000;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was applied, or changes nothing.
    Yes,
    /// There is no such saga that can be read.
    Unknown,
    /// The mailbox keeps no more events.
    Full,
}

impl Machine {
    /// Whether the store has to be asked for definitions before a name counts as unknown: another
    /// orchestrator may have brought it just now. What it answered holds for a while.
    pub(super) fn asks_for_definitions(&mut self, now_ms: i64) -> bool {
        let read = self.definitions_read_ms;
        if read.is_some_and(|read| now_ms.saturating_sub(read) < DEFINITIONS_FRESH_MS) {
            return false;
        }
        if !self.is_loading {
            self.is_loading = true;
            self.effects.push(Effect::ReadDefinitions);
        }
        true
    }

    /// Applies what a record says to a saga or a mailbox; the reason if it belongs into the dead
    /// letters.
    pub(super) fn hear(
        &mut self,
        id: ShardId,
        key: &str,
        message: Message,
        now_ms: i64,
    ) -> Result<(), (DeadLetterReason, String)> {
        // An answer that breaks its contract is kept for people; to the saga it is a failure, so that
        // it is asked again and does not wait in vain.
        if let Some(detail) = self.misfit(id, key, &message)
            && let Message::Reply(reply) = message
        {
            self.counters.misfits += 1;
            let answer = Answer::Failed {
                code: "output_misfit".to_owned(),
                reason: detail.clone(),
            };
            let failed = Message::Reply(saga_core::Reply { answer, ..reply });
            self.message(id, key, &failed, now_ms);
            return Err((DeadLetterReason::CannotApply, detail));
        }
        match self.message(id, key, &message, now_ms) {
            Heard::Yes => Ok(()),
            Heard::Unknown => {
                let detail = format!("there is no saga `{key}` that can be read");
                Err((DeadLetterReason::UnknownSaga, detail))
            }
            Heard::Full => {
                let detail = format!(
                    "mailbox `{key}` keeps {} events that nobody has waited for, and no more",
                    mailbox::KEPT_MAX
                );
                Err((DeadLetterReason::CannotApply, detail))
            }
        }
    }

    /// What a message to a key leads to that there is nothing under; `None` if there is a mailbox now.
    pub(super) fn message_to_nobody(
        &mut self,
        id: ShardId,
        key: &str,
        message: &Message,
        now_ms: i64,
    ) -> Option<Heard> {
        match message {
            Message::Wake => Some(Heard::Yes),
            Message::Undo(undo) => {
                let note = nothing_to_undo(undo, key);
                self.answer(id, note, now_ms);
                Some(Heard::Yes)
            }
            Message::Event(_) | Message::Want(_) if mailbox::is_mailbox(key) => {
                if self.open_mailbox(id, key, message, now_ms) {
                    return None;
                }
                self.counters.ignored += 1;
                Some(Heard::Yes)
            }
            Message::Reply(_)
            | Message::Act(_)
            | Message::Event(_)
            | Message::Decision(_)
            | Message::Want(_) => Some(Heard::Unknown),
        }
    }

    /// Makes the mailbox that an event or a saga is for, if it is worth one. Returns whether it did.
    fn open_mailbox(&mut self, id: ShardId, key: &str, message: &Message, now_ms: i64) -> bool {
        let is_kept = match message {
            // Nobody waits for it, and it is not kept: a topic may be full of such.
            Message::Event(event) => event.until_ms.is_some_and(|until| until > now_ms),
            Message::Want(want) => !want.cancel,
            Message::Reply(_)
            | Message::Wake
            | Message::Act(_)
            | Message::Decision(_)
            | Message::Undo(_) => false,
        };
        if !is_kept {
            return false;
        }
        let Some(definition) = self.book.pinned(mailbox::MAILBOX_HASH).map(Arc::clone) else {
            return false;
        };
        let Some(shard) = self.shards.get_mut(&id) else {
            return false;
        };
        let start = saga_core::Start {
            key: key.to_owned(),
            event: Payload::null(),
            trace: None,
            by: None,
            event_time_ms: now_ms,
            parent: None,
        };
        let (saga, transition) = Saga::start(&definition, start, now_ms);
        let hot = Hot {
            saga,
            definition,
            stored_wake_ms: None,
            in_batch: 0,
        };
        shard.cache.put(key, Cached::Hot(Box::new(hot)));
        self.take_in(id, key, transition, now_ms);
        true
    }

    /// Why an answer breaks the contract of its activity, if it does.
    fn misfit(&self, id: ShardId, key: &str, message: &Message) -> Option<String> {
        let Message::Reply(reply) = message else {
            return None;
        };
        match self.shards.get(&id)?.cache.get(key)? {
            Cached::Hot(hot) => hot.saga.output_misfit(&hot.definition, reply),
            Cached::Ended | Cached::Absent | Cached::Unreadable => None,
        }
    }
}

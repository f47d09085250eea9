//! The tasks that speak to the store: one for commits, one for everything else, so that a load
//! never waits for a commit.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use backstitch_saga::Definition;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::machine::{CommitOutcome, Effect, Input};
use super::turning::Event;
use crate::store::{CommitError, Store, StoreError};

/// Where effects for the store go.
#[derive(Debug)]
pub(super) struct Asking {
    commits: UnboundedSender<Effect>,
    reads: UnboundedSender<Effect>,
}

impl Asking {
    /// Starts the tasks on the given runtime. They end when this is dropped.
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        store: &Arc<dyn Store>,
        owner: &str,
        events: &Sender<Event>,
    ) -> Self {
        let (commits, commits_in) = unbounded_channel();
        let (reads, reads_in) = unbounded_channel();
        for effects in [commits_in, reads_in] {
            let (store, owner, events) = (Arc::clone(store), owner.to_owned(), events.clone());
            runtime.spawn(carry_out(effects, store, owner, events));
        }
        Self { commits, reads }
    }

    /// Hands an effect over; the answer comes as an input.
    pub(super) fn give(&self, effect: Effect) {
        let to = if matches!(effect, Effect::Commit { .. }) {
            &self.commits
        } else {
            &self.reads
        };
        // The tasks outlive the engine's thread, so this cannot fail while it turns.
        let _ = to.send(effect);
    }
}

async fn carry_out(
    mut effects: UnboundedReceiver<Effect>,
    store: Arc<dyn Store>,
    owner: String,
    events: Sender<Event>,
) {
    while let Some(effect) = effects.recv().await {
        let Some(input) = ask(store.as_ref(), &owner, effect).await else {
            continue;
        };
        if events.send(Event::Input(input)).is_err() {
            return;
        }
    }
}

async fn ask(store: &dyn Store, owner: &str, effect: Effect) -> Option<Input> {
    match effect {
        Effect::Commit { ticket, plan } => {
            let outcome = match store.commit(&plan).await {
                Ok(()) => CommitOutcome::Done,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a commit failed");
                    match error {
                        CommitError::Fenced { shards } => CommitOutcome::Fenced(shards),
                        CommitError::InDoubt { .. } => CommitOutcome::InDoubt,
                        CommitError::Refused { .. } => CommitOutcome::Refused,
                        CommitError::Unavailable { .. } => CommitOutcome::Unavailable,
                    }
                }
            };
            Some(Input::Committed { ticket, outcome })
        }
        Effect::Claim(shards) => {
            let rows = or_log("claim shards", store.claim(&shards, owner).await);
            Some(Input::Claimed(rows.unwrap_or_default()))
        }
        Effect::ReadOutbox {
            shard,
            epoch,
            after_seq,
            limit,
        } => {
            let rows = store.journal_of_shard(shard, after_seq, limit).await;
            let rows = or_log("read the outbox", rows);
            Some(Input::Outbox { shard, epoch, rows })
        }
        Effect::ReadDue {
            shard,
            epoch,
            after,
            until_ms,
            limit,
        } => {
            let after = after.as_ref().map(|(ms, key)| (*ms, key.as_str()));
            let rows = store.due(shard, after, until_ms, limit).await;
            let rows = or_log("read due sagas", rows);
            Some(Input::Due { shard, epoch, rows })
        }
        Effect::Load { shards, keys } => {
            let rows = or_log("load sagas", store.load(&keys).await);
            Some(Input::Loaded { shards, keys, rows })
        }
        Effect::ReadDefinitions => {
            let rows = or_log("read definitions", store.definitions().await);
            let known = rows.unwrap_or_default().into_iter().filter_map(|row| {
                Definition::from_stored(&row.source)
                    .inspect_err(|_| {
                        tracing::error!(hash = row.hash, "a stored definition is not valid")
                    })
                    .ok()
            });
            Some(Input::Definitions(known.collect()))
        }
        Effect::Release(held) => {
            or_log("release shards", store.release(&held).await);
            None
        }
        Effect::Read { .. }
        | Effect::Pause(_)
        | Effect::Resume(_)
        | Effect::Publish { .. }
        | Effect::LetGo(_)
        | Effect::Drained
        | Effect::Report(_) => None,
    }
}

fn or_log<T>(attempted: &str, result: Result<T, StoreError>) -> Option<T> {
    result
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "cannot {attempted}; it is tried again");
        })
        .ok()
}

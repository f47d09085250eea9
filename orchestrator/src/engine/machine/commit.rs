//! Batches to commits to publishing, and every way in which these end.

use std::sync::Arc;

use backstitch_saga::{Saga, Status};

use super::batch::{Batch, InFlight};
use super::io::{BatchId, CommitOutcome, Effect, Report, Ticket};
use super::shard::{Cached, Hot, Phase, Shard};
use super::turn::Machine;
use crate::store::{CommitPlan, Epoch, JournalRow, SagaRow, SagaStatus, ShardCommit, ShardId};

/// The longest wait until an unavailable store is asked again.
const STORE_WAIT_MAX_MS: i64 = 2_000;

/// Bytes that the state of a saga with a few steps takes.
const STATE_LEN_USUAL: usize = 2_048;

impl Machine {
    /// Closes the open batch and commits it, unless a commit is in flight.
    ///
    /// Returns whether the batch was full of what changed nothing, so that more can be applied.
    pub(super) fn start_commit(&mut self, now_ms: i64) -> bool {
        if let Some(waiting) = &mut self.in_flight {
            if waiting.retry_at_ms.is_some_and(|at| at <= now_ms) {
                waiting.retry_at_ms = None;
                self.effects.push(Effect::Commit {
                    ticket: waiting.ticket,
                    plan: Arc::clone(&waiting.plan),
                });
            }
            return false;
        }
        if self.publishing.count() >= self.config.publish_batches_max {
            return false;
        }
        let is_idle = now_ms.saturating_sub(self.last_commit_ms) >= self.config.watermark_idle_ms;
        let mut shards = Vec::new();
        for shard in self.shards.values_mut().filter(|shard| shard.is_held()) {
            let is_touched = shard.next_offset != shard.committed_offset
                || self.batch.journal.iter().any(|row| row.shard == shard.id);
            let lags = shard.lags();
            let is_closing = matches!(shard.phase, Phase::Closing { .. });
            if !is_touched && !(lags && (is_idle || is_closing)) {
                continue;
            }
            shards.push(ShardCommit {
                id: shard.id,
                epoch: shard.epoch,
                offset_from: shard.committed_offset,
                offset_to: shard.next_offset,
                journal_seq: shard.journal_seq,
                published_seq: shard.published_seq,
            });
            shard.committed_offset = shard.next_offset;
            shard.stored_published_seq = shard.published_seq;
        }
        if shards.is_empty() {
            // What was taken were wake-ups without effect, or it was dropped with its shard.
            let was_full = self.is_batch_full();
            self.batch = Batch::new(self.batch.number);
            return was_full;
        }
        let number = self.batch.number;
        let batch = std::mem::replace(&mut self.batch, Batch::new(number + 1));
        let mut sagas = Vec::with_capacity(batch.sagas.len());
        let mut ended = Vec::new();
        for (id, key) in batch.sagas {
            let shard = self.shards.get_mut(&id);
            if let Some(hot) = shard.and_then(|shard| shard.cache.hot_mut(&key)) {
                sagas.push(row_of(id, hot));
                if hot.saga.status.has_ended() {
                    ended.push((id, key));
                }
            }
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let plan = Arc::new(CommitPlan {
            shards,
            journal: batch.journal,
            sagas,
        });
        self.effects.push(Effect::Commit {
            ticket,
            plan: Arc::clone(&plan),
        });
        self.in_flight = Some(InFlight {
            ticket,
            number,
            plan,
            records: batch.records,
            ended,
            retry_at_ms: None,
            tries: 0,
        });
        false
    }

    pub(super) fn committed(&mut self, ticket: Ticket, outcome: CommitOutcome, now_ms: i64) {
        let Some(commit) = self.in_flight.take_if(|commit| commit.ticket == ticket) else {
            return;
        };
        match outcome {
            CommitOutcome::Done => self.commit_done(commit, now_ms),
            CommitOutcome::Unavailable => {
                let doublings = commit.tries.min(10);
                let wait = (self.config.store_wait_ms << doublings).min(STORE_WAIT_MAX_MS);
                self.in_flight = Some(InFlight {
                    retry_at_ms: Some(now_ms.saturating_add(wait)),
                    tries: commit.tries + 1,
                    ..commit
                });
            }
            CommitOutcome::Fenced(shards) => {
                self.counters.fenced += 1;
                let until_ms = now_ms.saturating_add(self.config.fenced_wait_ms);
                for id in &shards {
                    self.drop_claim(*id, &commit.plan, until_ms);
                }
                self.effects
                    .push(Effect::Report(Report::Fenced(shards.clone())));
                self.commit_rest(commit, &shards);
            }
            CommitOutcome::InDoubt | CommitOutcome::Refused => {
                let shards: Vec<ShardId> = commit.plan.shards.iter().map(|s| s.id).collect();
                let until_ms = now_ms.saturating_add(self.config.store_wait_ms * 2);
                for id in &shards {
                    self.drop_claim(*id, &commit.plan, until_ms);
                }
                let report = if outcome == CommitOutcome::InDoubt {
                    self.counters.in_doubt += 1;
                    Report::InDoubt(shards)
                } else {
                    Report::Refused(shards)
                };
                self.effects.push(Effect::Report(report));
            }
        }
    }

    /// What the fence let through is committed again, without what it held back.
    fn commit_rest(&mut self, mut commit: InFlight, fenced: &[ShardId]) {
        let is_fenced = |id: ShardId| fenced.contains(&id);
        let plan = Arc::make_mut(&mut commit.plan);
        plan.shards.retain(|shard| !is_fenced(shard.id));
        plan.journal.retain(|row| !is_fenced(row.shard));
        plan.sagas.retain(|row| !is_fenced(row.shard));
        commit.records.retain(|(id, _)| !is_fenced(*id));
        commit.ended.retain(|(id, _)| !is_fenced(*id));
        if commit.plan.shards.is_empty() || fenced.is_empty() {
            return;
        }
        self.tickets += 1;
        commit.ticket = Ticket(self.tickets);
        self.effects.push(Effect::Commit {
            ticket: commit.ticket,
            plan: Arc::clone(&commit.plan),
        });
        self.in_flight = Some(commit);
    }

    fn commit_done(&mut self, commit: InFlight, now_ms: i64) {
        self.counters.commits += 1;
        self.last_commit_ms = now_ms;
        let mut marks = Vec::new();
        for done in &commit.plan.shards {
            let shard = self.shards.get(&done.id);
            let is_ours = shard.is_some_and(|s| s.epoch == done.epoch && s.is_held());
            let has_rows = commit.plan.journal.iter().any(|row| row.shard == done.id);
            if is_ours && has_rows {
                marks.push((done.id, done.epoch, done.journal_seq));
            }
        }
        for (id, key) in &commit.ended {
            if let Some(shard) = self.shards.get_mut(id)
                && let Some(hot) = shard.cache.hot_mut(key)
                && hot.in_batch <= commit.number
                && hot.saga.status.has_ended()
            {
                match hot.saga.status {
                    Status::Completed => self.counters.completed += 1,
                    Status::Compensated => self.counters.compensated += 1,
                    Status::Running
                    | Status::Compensating
                    | Status::Parked
                    | Status::Terminated => {}
                }
                shard.cache.put(key, Cached::Ended);
            }
        }
        let count_max = self.config.cache_count_max;
        let open = self.batch.number;
        for shard in self.shards.values_mut() {
            shard.cache.shrink(count_max, open);
        }
        if marks.is_empty() {
            return;
        }
        // What another owner has taken over, it publishes.
        let records = commit
            .records
            .into_iter()
            .filter(|(id, _)| marks.iter().any(|(of, _, _)| of == id))
            .map(|(_, record)| record)
            .collect();
        let batch = self.publishing.begin(marks);
        self.effects.push(Effect::Publish { batch, records });
    }

    pub(super) fn published(&mut self, batch: BatchId) {
        for (id, epoch, seq) in self.publishing.done(batch) {
            if let Some(shard) = self.shards.get_mut(&id)
                && shard.epoch == epoch
            {
                shard.published_seq = shard.published_seq.max(seq);
            }
        }
    }

    /// Publishes what an earlier owner committed and perhaps did not publish.
    pub(super) fn outbox(&mut self, id: ShardId, epoch: Epoch, rows: Option<Vec<JournalRow>>) {
        let Some(shard) = self.shards.get_mut(&id).filter(|s| s.epoch == epoch) else {
            return;
        };
        if !shard.outbox_open {
            return;
        }
        let limit = self.config.outbox_rows_max;
        let Some(rows) = rows else {
            // The store could not be reached: begin again with the claim. Whoever is giving the
            // shard up leaves the rest to the next owner.
            if shard.is_open() {
                shard.phase = Phase::Waiting { until_ms: 0 };
            }
            return;
        };
        let is_whole = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let journal_seq = shard.journal_seq;
        // Rows above what the claim found are those of an owner after us, who publishes them.
        let earlier = || rows.iter().take_while(|row| row.seq <= journal_seq);
        let last = earlier().last().map(|row| row.seq);
        let mut records = Vec::new();
        for row in earlier() {
            let codecs = (&self.codec, &self.journal_codec);
            let partitions = self.config.partitions;
            records.extend(self.names.of_row(codecs, row, partitions));
        }
        if let Some(last) = last {
            let batch = self.publishing.begin(vec![(id, epoch, last)]);
            self.effects.push(Effect::Publish { batch, records });
        }
        match last.filter(|last| !is_whole && *last < journal_seq) {
            None => shard.outbox_open = false,
            Some(after_seq) => self.effects.push(Effect::ReadOutbox {
                shard: id,
                epoch,
                after_seq,
                limit,
            }),
        }
    }

    /// The producer has ended: everything is read again from the store, and what is above the
    /// watermarks is published again.
    pub(super) fn producer_lost(&mut self, now_ms: i64) {
        self.publishing.clear();
        self.book.tell_all_again();
        let ids: Vec<ShardId> = self.shards.keys().copied().collect();
        for id in ids {
            self.drop_shard(id, now_ms);
        }
    }

    /// Drops a shard, if it is still held under the claim that a plan was made under.
    fn drop_claim(&mut self, id: ShardId, plan: &CommitPlan, until_ms: i64) {
        let of_plan = plan.shards.iter().find(|shard| shard.id == id);
        let held = self.shards.get(&id).filter(|shard| shard.is_held());
        if let (Some(of_plan), Some(held)) = (of_plan, held)
            && of_plan.epoch == held.epoch
        {
            self.drop_shard(id, until_ms);
        }
    }

    /// Forgets a shard's state; if the group still gives it to us, it is claimed again then.
    fn drop_shard(&mut self, id: ShardId, until_ms: i64) {
        self.batch.drop_shard(id);
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        if let Phase::Closing { .. } = shard.phase {
            self.shards.remove(&id);
            self.effects.push(Effect::LetGo(vec![id]));
            return;
        }
        self.generation += 1;
        *shard = Shard {
            phase: Phase::Waiting { until_ms },
            ..Shard::claiming(id, self.generation)
        };
        self.effects.push(Effect::Pause(id));
    }

    pub(super) fn revoked(&mut self, shards: &[ShardId], lost: bool, now_ms: i64) {
        let mut gone = Vec::new();
        for id in shards {
            let Some(shard) = self.shards.get_mut(id) else {
                gone.push(*id);
                continue;
            };
            if lost || !shard.is_held() {
                self.batch.drop_shard(*id);
                self.shards.remove(id);
                gone.push(*id);
                continue;
            }
            if let Phase::Open = shard.phase {
                let by_ms = now_ms.saturating_add(self.config.closing_ms);
                shard.phase = Phase::Closing { by_ms };
                shard.pending.clear();
                shard.pending_bytes = 0;
                self.effects.push(Effect::Pause(*id));
            }
        }
        if !gone.is_empty() {
            self.effects.push(Effect::LetGo(gone));
        }
    }

    /// Gives up the shards that have finished.
    pub(super) fn let_go(&mut self, now_ms: i64) {
        let mut finished = Vec::new();
        for shard in self.shards.values() {
            let Phase::Closing { by_ms } = shard.phase else {
                continue;
            };
            let id = shard.id;
            let in_commit = self
                .in_flight
                .as_ref()
                .is_some_and(|commit| commit.plan.shards.iter().any(|s| s.id == id));
            let in_batch = self.batch.journal.iter().any(|row| row.shard == id);
            let is_stored = shard.next_offset == shard.committed_offset
                && shard.stored_published_seq == shard.published_seq;
            let is_done = !in_commit && !in_batch && is_stored && !self.publishing.concerns(id);
            if is_done || by_ms <= now_ms {
                finished.push((id, shard.epoch));
            }
        }
        if finished.is_empty() {
            return;
        }
        let ids = finished.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        for id in &ids {
            self.batch.drop_shard(*id);
            self.shards.remove(id);
        }
        self.effects.push(Effect::Release(finished));
        self.effects.push(Effect::LetGo(ids));
    }
}

/// A saga as the store keeps it.
fn row_of(shard: ShardId, hot: &Hot) -> SagaRow {
    let saga = &hot.saga;
    SagaRow {
        key: saga.key.clone(),
        definition_hash: saga.definition_hash.clone(),
        shard,
        status: status_of(saga),
        seq: i64::try_from(saga.seq).unwrap_or(i64::MAX),
        wake_at_ms: hot.stored_wake_ms,
        tags: if saga.tags.is_empty() {
            "{}".to_owned()
        } else {
            storable(serde_json::to_string(&saga.tags).expect("tags are strings"))
        },
        parked_reason: saga
            .parked
            .as_ref()
            .map(|parked| storable(parked.reason.clone())),
        state: state_of(saga),
        started_at_ms: saga.started_at_ms,
        ended_at_ms: saga.ended_at_ms,
    }
}

fn state_of(saga: &Saga) -> Vec<u8> {
    // Room for most, so that writing does not move it again and again as it grows.
    let mut state = Vec::with_capacity(STATE_LEN_USUAL);
    serde_json::to_writer(&mut state, saga).expect("a saga has string keys only");
    state
}

fn status_of(saga: &Saga) -> SagaStatus {
    match saga.status {
        Status::Running => SagaStatus::Running,
        Status::Compensating => SagaStatus::Compensating,
        Status::Parked => SagaStatus::Parked,
        Status::Completed => SagaStatus::Completed,
        Status::Compensated => SagaStatus::Compensated,
        Status::Terminated => SagaStatus::Terminated,
    }
}

/// Text columns cannot hold U+0000 everywhere; a JSON text can hold it only as an escape.
fn storable(text: String) -> String {
    if text.contains('\0') || text.contains("\\u0000") {
        text.replace('\0', "\u{FFFD}")
            .replace("\\u0000", "\u{FFFD}")
    } else {
        text
    }
}

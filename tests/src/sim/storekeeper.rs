//! The way to the store and back, with all that can happen on it.

use std::sync::Arc;

use backstitch_orchestrator::engine::machine::{CommitOutcome, Input, Ticket};
use backstitch_orchestrator::store::{
    CommitError, CommitPlan, Epoch, JournalRow, SagaRow, ShardId,
};

use super::faults::Bug;
use super::world::{Event, Life, World};

/// A question to the store, or a commit.
#[derive(Debug)]
pub(super) enum Ask {
    Claim(Vec<ShardId>),
    Outbox(ShardId, Epoch, i64, u32),
    Due(ShardId, Epoch, Option<(i64, String)>, i64, u32),
    Load(Vec<(ShardId, Epoch)>, Vec<String>),
    Definitions,
    Release(Vec<(ShardId, Epoch)>),
    Commit(Ticket, Arc<CommitPlan>),
    /// A commit whose answer was lost, and which is carried out all the same.
    LateCommit(Arc<CommitPlan>),
}

impl World {
    pub(super) fn ask_store(&mut self, of: Life, ask: Ask) {
        let wait = self.latency();
        self.after(wait, Event::Store(of, ask));
    }

    pub(super) fn send_commit(&mut self, of: Life, ticket: Ticket, plan: Arc<CommitPlan>) {
        if self.has_bug(Bug::DualWrite) {
            self.publish_before_commit(of, &plan);
        }
        self.ask_store(of, Ask::Commit(ticket, plan));
    }

    fn answer(&mut self, of: Life, input: Input) {
        let wait = self.latency();
        self.after(wait, Event::Deliver(of, input));
    }

    /// What a dead process has sent may still arrive.
    pub(super) fn reach_store(&mut self, of: Life, ask: Ask) {
        if self.living(of).is_none() && self.rng.happens(500) {
            return;
        }
        let away = self.strikes(self.faults.unavailable);
        match ask {
            Ask::Claim(shards) => {
                let owner = format!("process-{}", of.process);
                let rows = if away {
                    Vec::new()
                } else {
                    self.store.claim_now(&shards, &owner).unwrap_or_default()
                };
                self.answer(of, Input::Claimed(rows));
            }
            Ask::Outbox(shard, epoch, after_seq, limit) => {
                let rows = (!away).then(|| self.read_outbox(shard, after_seq, limit));
                self.answer(of, Input::Outbox { shard, epoch, rows });
            }
            Ask::Due(shard, epoch, after, until_ms, limit) => {
                let after = after.as_ref().map(|(at, key)| (*at, key.as_str()));
                let rows: Option<Vec<SagaRow>> =
                    (!away).then(|| self.store.due_now(shard, after, until_ms, limit));
                self.answer(of, Input::Due { shard, epoch, rows });
            }
            Ask::Load(shards, keys) => {
                let rows = (!away).then(|| self.store.load_now(&keys));
                self.answer(of, Input::Loaded { shards, keys, rows });
            }
            Ask::Definitions if away => self.answer(of, Input::Definitions(Vec::new())),
            Ask::Definitions => {
                self.mark("a saga waited for its definition");
                let known = [&self.scenario.definition, &self.scenario.successor];
                let definitions = known.into_iter().cloned().collect();
                self.answer(of, Input::Definitions(definitions));
            }
            Ask::Release(held) => {
                if !away {
                    self.store.release_now(&held);
                }
            }
            Ask::Commit(ticket, plan) => {
                let outcome = if away {
                    CommitOutcome::Unavailable
                } else {
                    self.try_commit(of, plan)
                };
                self.answer(of, Input::Committed { ticket, outcome });
            }
            Ask::LateCommit(plan) => {
                let outcome = self.apply(&plan);
                self.mark(if outcome == CommitOutcome::Done {
                    "a commit in doubt was carried out late"
                } else {
                    "a commit in doubt came too late"
                });
            }
        }
    }

    fn read_outbox(&mut self, shard: ShardId, after_seq: i64, limit: u32) -> Vec<JournalRow> {
        let mut rows = self.store.journal_of_shard_now(shard, after_seq, limit);
        if self.has_bug(Bug::OutboxGap) && rows.len() > 1 && self.rng.happens(500) {
            let gap = self.rng.below(rows.len() - 1);
            rows.remove(gap);
        }
        rows
    }

    fn try_commit(&mut self, of: Life, plan: Arc<CommitPlan>) -> CommitOutcome {
        if self.strikes(self.faults.in_doubt) {
            // It is carried out before the answer is lost, after that, or never.
            let is_carried_out = match self.rng.below(3) {
                0 => self.apply(&plan) == CommitOutcome::Done,
                1 => {
                    let wait = self.rng.between(0, 150);
                    let late = Ask::LateCommit(plan);
                    self.after(wait, Event::Store(of, late));
                    false
                }
                _ => false,
            };
            self.trace(|_| format!("  in doubt; carried out: {is_carried_out}"));
            self.mark(if is_carried_out {
                "a commit in doubt was carried out"
            } else {
                "a commit in doubt was not carried out by then"
            });
            return match self.bug {
                Some(Bug::RetryInDoubt | Bug::RetryInDoubtUnguarded) => CommitOutcome::Unavailable,
                Some(Bug::InDoubtIsDone) => CommitOutcome::Done,
                _ => CommitOutcome::InDoubt,
            };
        }
        self.apply(&plan)
    }

    /// Carries a plan out, under the store's guards or what a planted bug leaves of them.
    fn apply(&mut self, plan: &CommitPlan) -> CommitOutcome {
        let asked_for = plan.shards.clone();
        let weakened = self.weaken(plan);
        let plan = weakened.as_ref().unwrap_or(plan);
        match self.store.commit_now(plan) {
            Ok(()) => {
                self.witness(&asked_for, plan);
                CommitOutcome::Done
            }
            Err(CommitError::Fenced { shards }) => {
                let was_whole = shards.len() == plan.shards.len();
                self.mark(if was_whole {
                    "a commit was fenced"
                } else {
                    "a part of a commit was fenced"
                });
                CommitOutcome::Fenced(shards)
            }
            Err(CommitError::InDoubt { .. }) => CommitOutcome::InDoubt,
            Err(CommitError::Unavailable { .. }) => CommitOutcome::Unavailable,
            Err(CommitError::Refused { source }) => {
                self.fail(format!("the store refuses a commit: {source}"));
                CommitOutcome::Refused
            }
        }
    }
}

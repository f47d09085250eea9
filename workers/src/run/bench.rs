//! The workbench: what waits, what is at work, what may be committed. Decides everything and does nothing: inputs in, effects out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use backstitch_broker::{DeliveryError, IncomingRecord, OutgoingRecord, TopicPartition};

use super::ears::Generations;
use super::outbox::{Outbox, Parcel, Shipment};
use super::reading::{Reading, Reread};
use crate::batch::{Item, Outcome, Task};
use crate::config::WorkerConfig;
use crate::handler::{Handler, Handlers};
use crate::intake::{Intake, Job, Unread};
use crate::lanes::{Kind, Lanes};
use crate::outlet::Outlet;
use crate::said::Said;
use crate::stats::{Counters, count};
use crate::time::millis;
use crate::work::{Answer, Work};

/// How long what could not be delivered waits before it is tried again.
const TROUBLE_WAIT_MS: i64 = 1_000;

/// How long a drain goes on after it has dropped what was at work, so that the rest is acknowledged.
const DRAIN_GRACE_MS: i64 = 2_000;

/// What the shell has to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Carry out this batch; one at a time.
    Batch(Vec<Item>),
    /// Start an outside handler.
    Go {
        ticket: u64,
        work: Arc<Work>,
    },
    /// Produce, and tell when it is acknowledged.
    Send(Shipment),
    /// Produce a sign of life, about which nothing has to be known.
    Beat(OutgoingRecord),
    /// Commit these offsets.
    Commit(Vec<(TopicPartition, i64)>),
    Pause(Vec<TopicPartition>),
    Resume(Vec<TopicPartition>),
    /// Read again.
    Seek(Reread),
    /// Tell the consumer that its partitions may go.
    LetGo(SyncSender<()>),
    /// Drop the outside handlers that still run.
    Abort,
    /// The worker has drained.
    Stop,
}

/// An outside handler that runs.
#[derive(Debug)]
struct Outside {
    job: Arc<Job>,
    every_ms: i64,
    next_beat_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining {
        until_ms: i64,
    },
    /// What was at work is dropped; only acknowledgements are waited for.
    Closing {
        until_ms: i64,
    },
    Stopped,
}

/// Limits of the bench, from the configuration.
#[derive(Debug)]
struct Limits {
    concurrency: usize,
    batch_len_max: usize,
    commands_max: usize,
    bytes_max: usize,
    heartbeat_min_ms: i64,
    commit_every_ms: i64,
    drain_max_ms: i64,
}

#[derive(Debug)]
pub(super) struct Bench {
    limits: Limits,
    handlers: Handlers,
    intake: Intake,
    outlet: Outlet,
    counters: Arc<Counters>,
    lanes: Lanes<Arc<Job>>,
    reading: Reading,
    outbox: Outbox,
    at_work: HashMap<u64, Arc<Job>>,
    outside: HashMap<u64, Outside>,
    /// Answers of outside handlers that wait to be remembered.
    answered: Vec<Item>,
    next_ticket: u64,
    batch_running: bool,
    open_count: usize,
    open_bytes: usize,
    paused: bool,
    commit_due_ms: Option<i64>,
    trouble_due_ms: Option<i64>,
    stage: Stage,
    effects: Vec<Effect>,
}

impl Bench {
    pub(super) fn new(
        config: &WorkerConfig,
        handlers: Handlers,
        intake: Intake,
        outlet: Outlet,
        counters: Arc<Counters>,
        generations: Generations,
    ) -> Self {
        Self {
            limits: Limits {
                concurrency: config.concurrency.max(1),
                batch_len_max: config.batch_len_max.max(1),
                commands_max: config.commands_max.max(1),
                bytes_max: config.bytes_max.max(1),
                heartbeat_min_ms: millis(config.heartbeat_min).max(1),
                commit_every_ms: millis(config.commit_every),
                drain_max_ms: millis(config.drain_max),
            },
            handlers,
            intake,
            outlet,
            counters,
            lanes: Lanes::new(),
            reading: Reading::new(generations),
            outbox: Outbox::default(),
            at_work: HashMap::new(),
            outside: HashMap::new(),
            answered: Vec::new(),
            next_ticket: 0,
            batch_running: false,
            open_count: 0,
            open_bytes: 0,
            paused: false,
            commit_due_ms: None,
            trouble_due_ms: None,
            stage: Stage::Serving,
            effects: Vec::new(),
        }
    }

    /// Partitions have come, each with the generation that its records will carry.
    pub(super) fn assigned(&mut self, partitions: Vec<(TopicPartition, u64)>) {
        self.reading.assigned(partitions);
    }

    /// Partitions go. What waits for them is dropped; what is at work is waited for, unless they are lost already.
    pub(super) fn revoked(
        &mut self,
        partitions: &[TopicPartition],
        lost: bool,
        let_go: SyncSender<()>,
    ) {
        self.drop_waiting(|origin| {
            partitions
                .iter()
                .any(|gone| gone.partition == origin.partition && gone.topic == origin.topic)
        });
        let earlier = self.reading.revoked(partitions, lost, let_go);
        self.effects.extend(earlier.map(Effect::LetGo));
    }

    pub(super) fn records(&mut self, records: Vec<IncomingRecord>, now_ms: i64) {
        count(&self.counters.records, records.len() as u64);
        for record in records {
            if !self.reading.read(&record) {
                continue;
            }
            if self.stage != Stage::Serving {
                self.reading.dropped(&record);
                continue;
            }
            let weight = weight(&record);
            match self.intake.read(record, now_ms) {
                Ok(job) => {
                    self.open_count += 1;
                    self.open_bytes += weight;
                    let (saga, kind) = (Arc::clone(&job.saga), job.kind);
                    self.lanes.push(&saga, kind, Arc::new(job));
                }
                Err(Unread::NotYet { place, error }) => {
                    tracing::warn!(%error, partition = %place, "a partition waits for a schema");
                    self.reread(&place, now_ms + TROUBLE_WAIT_MS);
                }
                Err(Unread::Rejected(rejected)) => {
                    count(&self.counters.dead_letters, 1);
                    tracing::warn!(
                        topic = %rejected.record.topic,
                        partition = rejected.record.partition,
                        offset = rejected.record.offset,
                        reason = rejected.reason.as_str(),
                        detail = rejected.detail,
                        "a record is no command for this worker and goes to the dead letters"
                    );
                    self.open_count += 1;
                    self.open_bytes += weight;
                    self.outbox.add(Parcel::Letter(rejected));
                }
            }
        }
    }

    /// Has a partition read again from its first unfinished record, under a new generation. What is at work goes on.
    fn reread(&mut self, place: &TopicPartition, at_ms: i64) {
        self.drop_waiting(|origin| {
            origin.partition == place.partition && origin.topic == place.topic
        });
        self.reading.reread(place, at_ms);
    }

    /// The batch that ran is committed.
    pub(super) fn batch_done(&mut self, outcomes: Vec<(u64, Outcome)>, now_ms: i64) {
        self.batch_running = false;
        count(&self.counters.batches, 1);
        for (ticket, outcome) in outcomes {
            match outcome {
                Outcome::Say(said) => {
                    self.count_said(&said);
                    self.settle(ticket, Some(said), now_ms);
                }
                Outcome::Repeat(said) => {
                    count(&self.counters.repeated, 1);
                    self.settle(ticket, Some(said), now_ms);
                }
                Outcome::Silence => {
                    count(&self.counters.silent, 1);
                    self.settle(ticket, None, now_ms);
                }
                Outcome::Go(work) => self.go(ticket, work, now_ms),
            }
        }
    }

    /// An outside handler has answered; its answer is to be remembered before it is sent.
    pub(super) fn answered(&mut self, ticket: u64, answer: Answer) {
        if let Some(outside) = self.outside.remove(&ticket) {
            let work = Arc::clone(&outside.job.work);
            let task = match (outside.job.kind, self.handlers.get(&work.activity), answer) {
                // It has prepared; now it runs. If it has failed to, that is its answer.
                (Kind::Prepared, Some(Handler::Local(handler)), Answer::Done(_)) => {
                    Task::Run(Arc::clone(handler))
                }
                (_, _, answer) => Task::Finish(answer),
            };
            self.answered.push(Item { ticket, work, task });
        }
    }

    /// A shipment is through.
    pub(super) fn delivered(
        &mut self,
        batch_id: u64,
        result: Result<(), DeliveryError>,
        now_ms: i64,
    ) {
        match result {
            Ok(()) => {
                for parcel in self.outbox.acknowledged(batch_id) {
                    self.finish(parcel.origin(), now_ms);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "replies were not delivered; they are sent again one by one");
                self.outbox.undelivered(batch_id, &error.reason);
                self.trouble_due_ms.get_or_insert(now_ms + TROUBLE_WAIT_MS);
            }
        }
    }

    /// The producer took nothing of a shipment.
    pub(super) fn not_taken(&mut self, batch_id: u64, now_ms: i64) {
        self.outbox.not_taken(batch_id);
        self.trouble_due_ms.get_or_insert(now_ms + TROUBLE_WAIT_MS);
    }

    /// The producer has ended and was replaced: nobody knows what of its queue arrived, so everything that is not committed is
    /// read again. What was done is answered from memory.
    pub(super) fn producer_replaced(&mut self, now_ms: i64) {
        count(&self.counters.producers_rebuilt, 1);
        for parcel in self.outbox.clear() {
            self.close(parcel.origin());
        }
        self.drop_waiting(|_| true);
        self.reading.reread_all(now_ms);
    }

    /// The consumer has ended and is replaced: its partitions come again.
    pub(super) fn consumer_replaced(&mut self) {
        self.drop_waiting(|_| true);
        let waited = self.reading.clear();
        self.effects.extend(waited.map(Effect::LetGo));
    }

    /// Stops reading; what is at work is finished.
    pub(super) fn drain(&mut self, now_ms: i64) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Draining {
                until_ms: now_ms + self.limits.drain_max_ms,
            };
            self.drop_waiting(|_| true);
        }
    }

    /// Decides what follows from the inputs so far. To be called after every handful of inputs, and at [`Bench::wake_at_ms`].
    pub(super) fn turn(&mut self, now_ms: i64) -> Vec<Effect> {
        self.seek(now_ms);
        self.next_batch(now_ms);
        self.beat(now_ms);
        self.ship(now_ms);
        self.let_go();
        self.commit(now_ms);
        self.pace();
        self.advance_drain(now_ms);
        self.counters
            .open
            .store(self.open_count as u64, std::sync::atomic::Ordering::Relaxed);
        std::mem::take(&mut self.effects)
    }

    /// When [`Bench::turn`] has to be called even if nothing comes in.
    pub(super) fn wake_at_ms(&self) -> Option<i64> {
        let beat = self
            .outside
            .values()
            .map(|outside| outside.next_beat_ms)
            .min();
        let drain = match self.stage {
            Stage::Draining { until_ms } | Stage::Closing { until_ms } => Some(until_ms),
            Stage::Serving | Stage::Stopped => None,
        };
        let reread = self.reading.next_reread_ms();
        [beat, drain, reread, self.commit_due_ms, self.trouble_due_ms]
            .into_iter()
            .flatten()
            .min()
    }

    fn seek(&mut self, now_ms: i64) {
        let due = self.reading.due_rereads(now_ms);
        self.effects.extend(due.into_iter().map(Effect::Seek));
    }

    fn next_batch(&mut self, now_ms: i64) {
        if self.batch_running {
            return;
        }
        let mut items = std::mem::take(&mut self.answered);
        let room = self.limits.batch_len_max.saturating_sub(items.len());
        let outside_room = self.limits.concurrency.saturating_sub(self.outside.len());
        for job in self.lanes.take(room, outside_room.min(room)) {
            let task = match (job.kind, self.handlers.get(&job.work.activity)) {
                (Kind::Local, Some(Handler::Local(handler))) => Task::Run(Arc::clone(handler)),
                _ => Task::Begin,
            };
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            let (work, kind) = (Arc::clone(&job.work), job.kind);
            self.at_work.insert(ticket, job);
            match kind {
                Kind::Prepared => self.go(ticket, work, now_ms),
                Kind::Local | Kind::External => items.push(Item { ticket, work, task }),
            }
        }
        if !items.is_empty() {
            self.batch_running = true;
            self.effects.push(Effect::Batch(items));
        }
    }

    fn go(&mut self, ticket: u64, work: Arc<Work>, now_ms: i64) {
        let Some(job) = self.at_work.get(&ticket) else {
            return;
        };
        let within_ms = work.deadline_ms.saturating_sub(work.sent_at_ms);
        // A third: two may be late before one is missed.
        let third_ms = work.heartbeat_ms.unwrap_or(within_ms).min(within_ms) / 3;
        let every_ms = third_ms.max(self.limits.heartbeat_min_ms);
        let first_ms = if work.heartbeat_ms.is_some() {
            0
        } else {
            every_ms
        };
        self.outside.insert(
            ticket,
            Outside {
                job: Arc::clone(job),
                every_ms,
                next_beat_ms: now_ms + first_ms,
            },
        );
        self.effects.push(Effect::Go { ticket, work });
    }

    fn count_said(&self, said: &Said) {
        let counter = match said {
            Said::Done { .. } => &self.counters.done,
            Said::Refused { .. } => &self.counters.refused,
            Said::Failed { .. } => &self.counters.failed,
        };
        count(counter, 1);
    }

    /// A command is through in the memory: its key goes on, its answer goes out.
    fn settle(&mut self, ticket: u64, said: Option<Said>, now_ms: i64) {
        let Some(job) = self.at_work.remove(&ticket) else {
            return;
        };
        self.lanes.free(&job.saga);
        match said {
            Some(said) => self.outbox.add(Parcel::Reply { job, said }),
            None => self.finish(&job.record, now_ms),
        }
    }

    /// A record is through altogether.
    fn finish(&mut self, record: &IncomingRecord, now_ms: i64) {
        self.close(record);
        if self.reading.finished(record) {
            self.commit_due_ms
                .get_or_insert(now_ms + self.limits.commit_every_ms);
        }
    }

    /// A record takes no room any more.
    fn close(&mut self, record: &IncomingRecord) {
        self.open_count -= 1;
        self.open_bytes -= weight(record);
    }

    fn drop_waiting(&mut self, drop: impl Fn(&IncomingRecord) -> bool) {
        for job in self.lanes.drop_waiting(|job| drop(&job.record)) {
            self.close(&job.record);
            self.reading.dropped(&job.record);
        }
    }

    fn beat(&mut self, now_ms: i64) {
        for outside in self.outside.values_mut() {
            if now_ms < outside.next_beat_ms {
                continue;
            }
            outside.next_beat_ms = now_ms + outside.every_ms;
            match self.outlet.heartbeat(&outside.job, now_ms) {
                Ok(record) => {
                    count(&self.counters.heartbeats, 1);
                    self.effects.push(Effect::Beat(record));
                }
                Err(error) => tracing::warn!(%error, "a heartbeat can't be written"),
            }
        }
    }

    fn ship(&mut self, now_ms: i64) {
        let shipment = self.outbox.flush(&self.outlet, now_ms);
        self.effects.extend(shipment.map(Effect::Send));
        if self.trouble_due_ms.is_some_and(|due| due <= now_ms) {
            self.trouble_due_ms = None;
            let shipments = self.outbox.retry(&self.outlet, now_ms);
            self.effects.extend(shipments.into_iter().map(Effect::Send));
        } else if self.trouble_due_ms.is_none() && self.outbox.has_trouble() {
            self.trouble_due_ms = Some(now_ms + TROUBLE_WAIT_MS);
        }
    }

    /// Lets partitions go once nothing of theirs is at work.
    fn let_go(&mut self) {
        if let Some((offsets, let_go)) = self.reading.take_gone() {
            if !offsets.is_empty() {
                self.effects.push(Effect::Commit(offsets));
            }
            self.effects.push(Effect::LetGo(let_go));
        }
    }

    fn commit(&mut self, now_ms: i64) {
        if self.commit_due_ms.is_some_and(|due| due <= now_ms) {
            self.commit_due_ms = None;
            self.commit_all();
        }
    }

    fn commit_all(&mut self) {
        let offsets = self.reading.take_commits();
        if !offsets.is_empty() {
            self.effects.push(Effect::Commit(offsets));
        }
    }

    /// Stops reading above the limits and goes on below half of them; partitions that came meanwhile follow.
    fn pace(&mut self) {
        if self.open_count >= self.limits.commands_max || self.open_bytes >= self.limits.bytes_max {
            self.paused = true;
        } else if self.open_count <= self.limits.commands_max / 2
            && self.open_bytes <= self.limits.bytes_max / 2
        {
            self.paused = false;
        }
        let pause = self.paused || self.stage != Stage::Serving;
        let turned = self.reading.turn(pause);
        if !turned.is_empty() {
            self.effects.push(if pause {
                Effect::Pause(turned)
            } else {
                Effect::Resume(turned)
            });
        }
    }

    fn advance_drain(&mut self, now_ms: i64) {
        let idle = self.at_work.is_empty() && self.outbox.is_empty();
        match self.stage {
            Stage::Draining { until_ms } if !idle && now_ms >= until_ms => {
                tracing::warn!(
                    commands = self.outside.len(),
                    "the drain takes too long: what is at work outside is dropped and comes again elsewhere"
                );
                for ticket in self.outside.drain().map(|(ticket, _)| ticket) {
                    if let Some(job) = self.at_work.remove(&ticket) {
                        self.open_count -= 1;
                        self.open_bytes -= weight(&job.record);
                    }
                }
                self.effects.push(Effect::Abort);
                self.stage = Stage::Closing {
                    until_ms: now_ms + DRAIN_GRACE_MS,
                };
            }
            Stage::Draining { .. } if idle => self.stop(),
            Stage::Closing { until_ms } if idle || now_ms >= until_ms => self.stop(),
            Stage::Serving | Stage::Draining { .. } | Stage::Closing { .. } | Stage::Stopped => {}
        }
    }

    fn stop(&mut self) {
        self.commit_all();
        self.stage = Stage::Stopped;
        self.effects.push(Effect::Stop);
    }
}

/// What a record takes in memory, roughly.
fn weight(record: &IncomingRecord) -> usize {
    const RECORD_BYTES: usize = 512;
    RECORD_BYTES + record.payload.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
#[path = "bench_tests.rs"]
mod tests;

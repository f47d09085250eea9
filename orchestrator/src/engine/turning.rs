//! The thread that turns the machine and carries its effects out.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backstitch_broker::{ConsumerControl, OutgoingRecord, TopicPartition};
use backstitch_schemas::wire;

use super::asking::Asking;
use super::hearing::Waiting;
use super::machine::{Counters, Effect, Input, Machine, Report};
use super::now_ms;
use super::saying::Saying;
use crate::telemetry::{SpanKind, SpanSink};

/// The longest that the machine sleeps.
const TICK_MAX: Duration = Duration::from_millis(500);

/// How often the group learns how far the inbox is read, for its view of the lag.
const POSITIONS_EVERY_MS: i64 = 2_000;

/// What the thread hears.
#[derive(Debug)]
pub(super) enum Event {
    /// For the machine.
    Input(Input),
    /// The producer of this number has ended.
    ProducerEnded(u64),
    /// The producer of this number is there.
    ProducerRebuilt(u64),
    /// Whoever consumes can be controlled so.
    Consuming(ConsumerControl),
    /// Nobody consumes any more: whatever was assigned is lost, until a new consumer joins.
    Deaf,
    /// Something failed for good: the process has to start again.
    Failed(String),
}

/// How the turning ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Everything is committed, published and released.
    Drained,
    /// Something failed for good.
    Failed(String),
}

/// The thread's belongings.
#[derive(Debug)]
pub(super) struct Turning {
    pub(super) machine: Machine,
    pub(super) events: Receiver<Event>,
    pub(super) asking: Asking,
    pub(super) saying: Saying,
    pub(super) waiting: Waiting,
    pub(super) inbox: Arc<str>,
    pub(super) shared: Shared,
    pub(super) control: Option<ConsumerControl>,
    pub(super) producer_number: u64,
    pub(super) is_rebuilding: bool,
    pub(super) positions_at_ms: i64,
    pub(super) spans: Option<SpanSink>,
}

/// What others may look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<View>>);

/// How the machine stood after its latest turn.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) counters: Counters,
    pub(super) shard_count: usize,
    pub(super) is_idle: bool,
}

impl Shared {
    pub(super) fn view(&self) -> View {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn show(&self, view: View) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

impl Turning {
    /// Turns until drained or failed.
    pub(super) fn run(mut self) -> End {
        loop {
            let wait = self.wait();
            let first = match self.events.recv_timeout(wait) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return End::Drained,
            };
            let now = now_ms();
            let mut next = first;
            while let Some(event) = next {
                if let Some(end) = self.take(event, now) {
                    return end;
                }
                next = self.events.try_recv().ok();
            }
            for effect in self.machine.turn(now) {
                if let Some(end) = self.carry_out(effect) {
                    return end;
                }
            }
            self.tell_positions(now);
            self.shared.show(View {
                counters: self.machine.counters(),
                shard_count: self.machine.held().len(),
                is_idle: self.machine.is_idle(),
            });
        }
    }

    fn wait(&self) -> Duration {
        let Some(next) = self.machine.next_wake_ms() else {
            return TICK_MAX;
        };
        let left = u64::try_from(next.saturating_sub(now_ms())).unwrap_or(0);
        // At least a millisecond: something that is due but cannot be done yet must not spin.
        Duration::from_millis(left.max(1)).min(TICK_MAX)
    }

    fn take(&mut self, event: Event, now: i64) -> Option<End> {
        match event {
            Event::Input(input) => self.machine.take(input, now),
            Event::Consuming(control) => self.control = Some(control),
            Event::Deaf => {
                self.control = None;
                let shards = self.machine.assigned_shards();
                let lost = true;
                self.machine.take(Input::Revoked { shards, lost }, now);
            }
            Event::ProducerEnded(number) => {
                if number == self.producer_number && !self.is_rebuilding {
                    self.is_rebuilding = true;
                    self.saying.rebuild();
                }
            }
            Event::ProducerRebuilt(number) => {
                self.producer_number = number;
                self.is_rebuilding = false;
                self.machine.take(Input::ProducerLost, now);
            }
            Event::Failed(reason) => return Some(End::Failed(reason)),
        }
        None
    }

    fn carry_out(&mut self, effect: Effect) -> Option<End> {
        match effect {
            Effect::Claim(_)
            | Effect::ReadOutbox { .. }
            | Effect::ReadDue { .. }
            | Effect::Load { .. }
            | Effect::ReadDefinitions
            | Effect::Commit { .. }
            | Effect::Release(_) => self.asking.give(effect),
            Effect::Publish { batch, records } => {
                if let Some(spans) = &self.spans {
                    record_spans(spans, &records);
                }
                self.saying.batch(batch, records);
            }
            Effect::Read {
                shard,
                offset,
                generation,
            } => {
                if !self.waiting.begin(shard, offset, generation)
                    && let Some(control) = &self.control
                {
                    let partition = TopicPartition::new(Arc::clone(&self.inbox), shard.0);
                    control.seek(partition.clone(), offset, generation);
                    control.resume(vec![partition]);
                }
            }
            Effect::Pause(shard) => {
                if let Some(control) = &self.control {
                    control.pause(vec![TopicPartition::new(Arc::clone(&self.inbox), shard.0)]);
                }
            }
            Effect::Resume(shard) => {
                if let Some(control) = &self.control {
                    control.resume(vec![TopicPartition::new(Arc::clone(&self.inbox), shard.0)]);
                }
            }
            Effect::LetGo(shards) => {
                for shard in shards {
                    self.waiting.let_go(shard);
                }
            }
            Effect::Drained => return Some(End::Drained),
            Effect::Report(report) => log(&report),
        }
        None
    }

    fn tell_positions(&mut self, now: i64) {
        if now - self.positions_at_ms < POSITIONS_EVERY_MS {
            return;
        }
        self.positions_at_ms = now;
        let positions: Vec<(TopicPartition, i64)> = self
            .machine
            .positions()
            .into_iter()
            .map(|(shard, next)| (TopicPartition::new(Arc::clone(&self.inbox), shard.0), next))
            .collect();
        if let Some(control) = self.control.as_ref().filter(|_| !positions.is_empty()) {
            control.commit(positions);
        }
    }
}

/// A span for each record that leaves: from when it was decided to when it was committed. Its
/// parent is the event that started the saga, so one trace shows one order.
fn record_spans(spans: &SpanSink, records: &[OutgoingRecord]) {
    let now = now_ms();
    for record in records {
        let value = |name: &str| {
            let found = record.headers.get(name);
            found.and_then(|value| std::str::from_utf8(value).ok())
        };
        let Some(trace) = value(wire::TRACEPARENT) else {
            continue;
        };
        let mut attributes = vec![
            ("messaging.system", "kafka".to_owned()),
            ("messaging.operation.type", "send".to_owned()),
            ("messaging.destination.name", record.topic.to_string()),
        ];
        for (attribute, header) in [
            ("messaging.message.id", wire::CE_ID),
            ("messaging.message.conversation_id", wire::CE_SUBJECT),
            ("saga.step", wire::SAGA_STEP),
            ("saga.attempt", wire::SAGA_ATTEMPT),
        ] {
            if let Some(value) = value(header) {
                attributes.push((attribute, value.to_owned()));
            }
        }
        let name = format!("send {}", record.topic);
        let begun = record.timestamp_ms.unwrap_or(now);
        spans.record(
            name,
            Some(trace),
            begun,
            now,
            SpanKind::Producer,
            &attributes,
        );
    }
}

fn log(report: &Report) {
    match report {
        Report::Fenced(shards) => {
            tracing::warn!(?shards, "another orchestrator has taken shards over");
        }
        Report::InDoubt(shards) => {
            tracing::warn!(
                ?shards,
                "the answer to a commit was lost; its shards are read again"
            );
        }
        Report::Refused(shards) => {
            tracing::error!(
                ?shards,
                "the store refused a commit; its shards are read again"
            );
        }
        Report::DeadLetter {
            shard,
            offset,
            reason,
        } => tracing::warn!(shard = shard.0, offset, reason, "to the dead letters"),
        Report::Parked { saga, reason } => {
            tracing::warn!(saga.id = saga, reason, "a saga waits for a person");
        }
        Report::OtherEvent { saga } => tracing::warn!(
            saga.id = saga,
            "it was to be started again with another event; the first one counts"
        ),
        Report::Violation(what) => tracing::error!(what, "an invariant is broken"),
    }
}

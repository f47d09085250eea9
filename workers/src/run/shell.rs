//! The shell around the bench: carries out its effects, brings it its inputs, decides nothing.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstitch_broker::{
    BatchDone, BrokerError, Consumer, ConsumerControl, ConsumerError, ConsumerOptions, KafkaConfig,
    OutgoingRecord, Producer,
};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::mpsc::{channel, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::bench::{Bench, Effect};
use super::builder::WorkerError;
use super::carry::Carrying;
use super::ears::{Ears, Generations, Input};
use crate::batch::Item;
use crate::config::WorkerConfig;
use crate::handler::{Caught, Handler, Handlers};
use crate::intake::Intake;
use crate::memory::Memory;
use crate::outlet::Outlet;
use crate::stats::{Counters, Stats};
use crate::time::now_ms;

/// Inputs taken in before the bench decides: what has come together is handled together.
const INPUTS_MAX: usize = 256;

/// Batch number of heartbeats, whose fate is of no interest.
const HEARTBEAT_BATCH: u64 = u64::MAX;

/// The wait before a client that has ended is built anew, and between attempts.
const REBUILD_WAIT: Duration = Duration::from_millis(500);

/// A worker that runs. Dropping it drains it in the background.
#[derive(Debug)]
pub struct RunningWorker {
    inputs: UnboundedSender<Input>,
    counters: Arc<Counters>,
    task: Option<JoinHandle<Result<(), WorkerError>>>,
}

impl RunningWorker {
    /// Asks the worker to stop reading, finish what is at work, send its replies, commit and leave. Returns at once; twice is once.
    pub fn drain(&self) {
        // Nobody listens: it has ended already.
        let _ = self.inputs.send(Input::Drain);
    }

    /// Waits until the worker has ended, which it does after [`RunningWorker::drain`].
    ///
    /// # Errors
    ///
    /// If it ended for another reason.
    pub async fn join(mut self) -> Result<Stats, WorkerError> {
        if let Some(task) = self.task.take() {
            task.await.map_err(|_| WorkerError::Panicked)??;
        }
        Ok(self.counters.snapshot())
    }

    /// Lets it work until `end`, then drains it; waits for both.
    ///
    /// # Errors
    ///
    /// If it ended for another reason.
    pub async fn until(mut self, end: impl Future<Output = ()>) -> Result<Stats, WorkerError> {
        if let Some(mut task) = self.task.take() {
            let ended = tokio::select! {
                ended = &mut task => ended,
                () = end => {
                    self.drain();
                    task.await
                }
            };
            ended.map_err(|_| WorkerError::Panicked)??;
        }
        Ok(self.counters.snapshot())
    }

    /// What it has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.drain();
    }
}

/// Everything a worker is made of but its memory.
pub(super) struct Parts {
    pub(super) group: String,
    pub(super) topics: Vec<String>,
    pub(super) config: WorkerConfig,
    pub(super) handlers: Handlers,
    pub(super) intake: Intake,
    pub(super) outlet: Outlet,
}

impl Parts {
    pub(super) fn start<M: Memory>(self, memory: M) -> Result<RunningWorker, WorkerError> {
        let (inputs, incoming) = unbounded_channel();
        let (batches, to_carry) = channel(1);
        let counters = Arc::new(Counters::default());
        let generations = Generations::default();
        let bench = Bench::new(
            &self.config,
            self.handlers.clone(),
            self.intake,
            self.outlet,
            Arc::clone(&counters),
            generations.clone(),
        );
        let mut options = ConsumerOptions::new(self.group, self.topics);
        options.instance_id.clone_from(&self.config.instance_id);
        options.session_timeout = self.config.session_timeout;
        options.fetch_pacing = self.config.fetch_pacing;
        let links = Links {
            kafka: self.config.kafka.clone(),
            options,
            inputs: inputs.clone(),
            generations,
            revoke_wait: self.config.revoke_wait,
        };
        let producer = links.produce(0)?;
        let (consumer, consumer_replaced) = links.consume()?;
        let shell = Shell {
            control: consumer.control(),
            consumer: Some(consumer),
            consumer_replaced,
            producer,
            producer_number: 0,
            links,
            batches,
            bench,
            handlers: self.handlers,
            outside: JoinSet::new(),
            stopped: false,
        };
        let carrying = Carrying::new(&self.config, Arc::clone(&counters));
        let task = tokio::spawn(shell.run(incoming, carrying, memory, to_carry));
        Ok(RunningWorker {
            inputs,
            counters,
            task: Some(task),
        })
    }
}

/// Makes clients.
struct Links {
    kafka: KafkaConfig,
    options: ConsumerOptions,
    inputs: UnboundedSender<Input>,
    generations: Generations,
    revoke_wait: Duration,
}

impl Links {
    fn produce(&self, producer: u64) -> Result<Producer, BrokerError> {
        let inputs = self.inputs.clone();
        Producer::new(&self.kafka, move |done: BatchDone| {
            if done.batch_id != HEARTBEAT_BATCH {
                let _ = inputs.send(Input::Delivered { producer, done });
            }
        })
    }

    fn consume(&self) -> Result<(Consumer, Arc<AtomicBool>), BrokerError> {
        let replaced = Arc::new(AtomicBool::new(false));
        let ears = Ears {
            replaced: Arc::clone(&replaced),
            inputs: self.inputs.clone(),
            generations: self.generations.clone(),
            revoke_wait: self.revoke_wait,
        };
        let consumer = Consumer::start(&self.kafka, self.options.clone(), ears)?;
        Ok((consumer, replaced))
    }
}

struct Shell {
    consumer: Option<Consumer>,
    /// Set before the consumer is let go, so that its last words are not taken for the next one's.
    consumer_replaced: Arc<AtomicBool>,
    control: ConsumerControl,
    producer: Producer,
    /// Tells the acknowledgements of this producer from those of one that has ended.
    producer_number: u64,
    links: Links,
    batches: Sender<Vec<Item>>,
    bench: Bench,
    handlers: Handlers,
    outside: JoinSet<()>,
    stopped: bool,
}

impl Shell {
    async fn run<M: Memory>(
        mut self,
        mut incoming: UnboundedReceiver<Input>,
        carrying: Carrying,
        memory: M,
        to_carry: Receiver<Vec<Item>>,
    ) -> Result<(), WorkerError> {
        let mut tasks = JoinSet::new();
        tasks.spawn(carrying.run(memory, to_carry, self.links.inputs.clone()));
        while !self.stopped {
            let wake = self.bench.wake_at_ms().map(|at_ms| at_ms - now_ms());
            tokio::select! {
                input = incoming.recv() => {
                    let mut next = input;
                    let mut taken = 0;
                    while let Some(input) = next {
                        self.take(input).await;
                        taken += 1;
                        next = if taken < INPUTS_MAX { incoming.try_recv().ok() } else { None };
                    }
                }
                () = wait(wake) => {}
                Some(_) = self.outside.join_next() => {}
                Some(_) = tasks.join_next() => return Err(WorkerError::Panicked),
            }
            self.turn().await;
        }
        if let Some(consumer) = self.consumer.take() {
            self.leave(consumer, incoming).await;
        }
        Ok(())
    }

    /// Leaves the group. The consumer asks for its partitions once more while it stops, so somebody has to answer.
    async fn leave(&self, consumer: Consumer, mut incoming: UnboundedReceiver<Input>) {
        let mut stopping = tokio::task::spawn_blocking(move || consumer.stop());
        loop {
            tokio::select! {
                _ = &mut stopping => return,
                Some(input) = incoming.recv() => {
                    if let Input::Revoked { let_go, .. } = input {
                        let _ = let_go.try_send(());
                    }
                }
            }
        }
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Assigned(partitions) => self.bench.assigned(partitions),
            Input::Revoked {
                partitions,
                lost,
                let_go,
            } => self.bench.revoked(&partitions, lost, let_go),
            Input::Records(records) => self.bench.records(records, now_ms()),
            Input::Batch(outcomes) => self.bench.batch_done(outcomes, now_ms()),
            Input::Answered { ticket, answer } => self.bench.answered(ticket, answer),
            Input::Delivered { producer, done } => {
                if producer == self.producer_number {
                    match &done.result {
                        Err(error) if error.fatal => self.replace_producer(&error.reason).await,
                        Ok(()) | Err(_) => {
                            self.bench.delivered(done.batch_id, done.result, now_ms());
                        }
                    }
                }
            }
            Input::ConsumerFailed(ConsumerError::Fatal { reason }) => {
                self.replace_consumer(&reason).await;
            }
            Input::ConsumerFailed(error) => tracing::warn!(%error, "the worker's consumer"),
            Input::Drain => self.bench.drain(now_ms()),
        }
    }

    async fn turn(&mut self) {
        let mut ended = None;
        for effect in self.bench.turn(now_ms()) {
            match effect {
                Effect::Batch(items) => {
                    // The channel has room for one, and the bench asks for one at a time.
                    let _ = self.batches.try_send(items);
                }
                Effect::Go { ticket, work } => self.go(ticket, work),
                Effect::Send(shipment) => {
                    match self.producer.send(shipment.batch_id, shipment.records) {
                        Ok(()) => {}
                        Err(BrokerError::Fatal { reason }) => ended = Some(reason),
                        Err(error) => {
                            tracing::warn!(%error, "replies wait");
                            self.bench.not_taken(shipment.batch_id, now_ms());
                        }
                    }
                }
                Effect::Beat(record) => self.beat(record),
                Effect::Commit(offsets) => self.control.commit(offsets),
                Effect::Pause(partitions) => self.control.pause(partitions),
                Effect::Resume(partitions) => self.control.resume(partitions),
                Effect::Seek(again) => {
                    self.control
                        .seek(again.partition, again.offset, again.generation);
                }
                Effect::LetGo(let_go) => {
                    // The consumer waits for a limited time only.
                    let _ = let_go.try_send(());
                }
                Effect::Abort => self.outside.abort_all(),
                Effect::Stop => self.stopped = true,
            }
        }
        if let Some(reason) = ended {
            self.replace_producer(&reason).await;
        }
    }

    fn go(&mut self, ticket: u64, work: Arc<crate::work::Work>) {
        let answering = match self.handlers.get(&work.activity) {
            Some(Handler::External(handler)) => Arc::clone(handler).call(Arc::clone(&work)),
            Some(Handler::Local(handler)) => Arc::clone(handler).call_prepare(Arc::clone(&work)),
            None => return,
        };
        let inputs = self.links.inputs.clone();
        self.outside.spawn(async move {
            let answer = Caught::new(answering, &work).await;
            let _ = inputs.send(Input::Answered { ticket, answer });
        });
    }

    fn beat(&self, record: OutgoingRecord) {
        if let Err(error) = self.producer.send(HEARTBEAT_BATCH, vec![record]) {
            tracing::warn!(%error, "a heartbeat was not sent");
        }
    }

    async fn replace_producer(&mut self, reason: &str) {
        tracing::error!(
            reason,
            "the producer has ended; commands are read again from the last commit"
        );
        self.producer_number += 1;
        loop {
            match self.links.produce(self.producer_number) {
                Ok(producer) => {
                    self.producer = producer;
                    break;
                }
                Err(error) => tracing::error!(%error, "no new producer yet"),
            }
            sleep(REBUILD_WAIT).await;
        }
        self.bench.producer_replaced(now_ms());
    }

    async fn replace_consumer(&mut self, reason: &str) {
        tracing::error!(reason, "the consumer has ended and is replaced");
        self.consumer_replaced.store(true, Ordering::Release);
        self.bench.consumer_replaced();
        if let Some(ended) = self.consumer.take() {
            // It may wait for the broker for seconds; its partitions are not ours any more.
            tokio::task::spawn_blocking(move || ended.stop());
        }
        loop {
            sleep(REBUILD_WAIT).await;
            match self.links.consume() {
                Ok((consumer, replaced)) => {
                    self.control = consumer.control();
                    self.consumer_replaced = replaced;
                    self.consumer = Some(consumer);
                    return;
                }
                Err(error) => tracing::error!(%error, "no new consumer yet"),
            }
        }
    }
}

async fn wait(millis: Option<i64>) {
    match millis {
        Some(millis) => sleep(Duration::from_millis(u64::try_from(millis).unwrap_or(0))).await,
        None => pending().await,
    }
}

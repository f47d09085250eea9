//! The consumer's thread: polls, rebalances, and carries out what is asked.
//!
//! The library runs rebalances inside `poll`, on this thread. Records polled before are handed over before a rebalance is, so a
//! handler never sees a record of a partition that it has let go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, Offset, Statistics, TopicPartitionList};

use super::consumer::{ConsumerHandler, ConsumerOptions, StartAt};
use super::error::{BrokerError, ConsumerError, ErrorCode};
use super::record::{IncomingRecord, TopicPartition};
use super::wait::lock;

/// How long an idle consumer waits for records, and so a command for an idle consumer. 20 wake-ups a second cost 0.1 % of a core.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How long a seek may take. It is local, but may have to wait for the library's own threads.
const SEEK_WAIT_MAX: Duration = Duration::from_secs(5);

pub(crate) enum Command {
    Pause(Vec<TopicPartition>),
    Resume(Vec<TopicPartition>),
    Seek {
        partition: TopicPartition,
        offset: i64,
        generation: u64,
    },
    Commit(Vec<(TopicPartition, i64)>),
    Stop,
}

/// What the thread and the library's callbacks (on the same thread) share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// No one waits for the handler any more, so it must not act.
    abandoned: AtomicBool,
}

struct Inner {
    handler: Box<dyn ConsumerHandler>,
    /// A panic has left the handler in an unknown state.
    panicked: bool,
    commands: Receiver<Command>,
    stopping: bool,
    /// The generation of each assigned partition.
    assigned: HashMap<Arc<str>, HashMap<i32, u64>>,
    /// Polled and not yet handed over.
    pending: Vec<IncomingRecord>,
    /// What the library said about the error that it is about to return.
    last_reason: Option<String>,
    /// Offsets to be committed together, the latest of each partition.
    to_commit: HashMap<TopicPartition, i64>,
    /// When they are.
    commit_at: Option<Instant>,
    commit_pacing: Duration,
}

impl Shared {
    pub(crate) fn new(
        handler: Box<dyn ConsumerHandler>,
        commands: Receiver<Command>,
        commit_pacing: Duration,
    ) -> Shared {
        Shared {
            inner: Mutex::new(Inner {
                handler,
                panicked: false,
                commands,
                stopping: false,
                assigned: HashMap::new(),
                pending: Vec::new(),
                last_reason: None,
                to_commit: HashMap::new(),
                commit_at: None,
                commit_pacing,
            }),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Calls the handler, unless it has panicked or no one waits for it.
    fn call<R>(
        &self,
        inner: &mut Inner,
        call: impl FnOnce(&mut dyn ConsumerHandler) -> R,
    ) -> Option<R> {
        if inner.panicked || self.abandoned.load(Ordering::Acquire) {
            return None;
        }
        inner.panicked = true;
        let result = call(inner.handler.as_mut());
        inner.panicked = false;
        Some(result)
    }

    fn hand_over(&self, inner: &mut Inner) {
        if !inner.pending.is_empty() {
            let records = std::mem::take(&mut inner.pending);
            self.call(inner, |handler| handler.records(records));
        }
    }

    fn fail(&self, inner: &mut Inner, error: ConsumerError) {
        self.hand_over(inner);
        self.call(inner, |handler| handler.failed(error));
    }
}

impl Inner {
    /// Takes the record in, unless its partition isn't ours.
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        if let Some((topic, partitions)) = self.assigned.get_key_value(message.topic())
            && let Some(generation) = partitions.get(&message.partition())
        {
            self.pending
                .push(IncomingRecord::read(message, topic.clone(), *generation));
        }
    }

    fn generation(&mut self, partition: &TopicPartition) -> Option<&mut u64> {
        self.assigned
            .get_mut(&partition.topic)?
            .get_mut(&partition.partition)
    }
}

/// Creates the consumer and subscribes.
pub(crate) fn join(
    native: &ClientConfig,
    options: &ConsumerOptions,
    shared: Arc<Shared>,
) -> Result<BaseConsumer<Callbacks>, BrokerError> {
    let consumer: BaseConsumer<Callbacks> = native
        .create_with_context(Callbacks { shared })
        .map_err(|error| BrokerError::from_kafka("start a consumer", error))?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(|error| {
        BrokerError::from_kafka(format!("subscribe to {}", topics.join(", ")), error)
    })?;
    Ok(consumer)
}

/// Polls until told to stop. Dropping the consumer then revokes and leaves.
pub(crate) fn run(consumer: BaseConsumer<Callbacks>, shared: &Shared, chunk_max: usize) {
    loop {
        {
            let mut inner = lock(&shared.inner);
            carry_out(&consumer, shared, &mut inner, true);
            // The last ones are for the revocation that comes with the end.
            if inner.stopping {
                return;
            }
            if inner.commit_at.is_some_and(|at| at <= Instant::now()) {
                commit(&consumer, shared, &mut inner);
            }
        }
        let mut wait = IDLE_WAIT;
        for _ in 0..chunk_max {
            // Not under the lock: the library calls back from here.
            match consumer.poll(wait) {
                Some(Ok(message)) => lock(&shared.inner).push(&message),
                Some(Err(error)) => {
                    let mut inner = lock(&shared.inner);
                    let reason = inner.last_reason.take();
                    shared.fail(&mut inner, ConsumerError::from_kafka(&error, reason));
                    break;
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        shared.hand_over(&mut lock(&shared.inner));
    }
}

/// Carries out what was asked so far. Inside a revocation, commits only come through if the partitions are still ours.
fn carry_out(
    consumer: &BaseConsumer<Callbacks>,
    shared: &Shared,
    inner: &mut Inner,
    may_commit: bool,
) {
    while let Ok(command) = inner.commands.try_recv() {
        match command {
            Command::Pause(partitions) => {
                let (ours, list) = keep_assigned(inner, partitions);
                report(shared, inner, "pause", &ours, consumer.pause(&list));
            }
            Command::Resume(partitions) => {
                let (ours, list) = keep_assigned(inner, partitions);
                report(shared, inner, "resume", &ours, consumer.resume(&list));
            }
            Command::Seek {
                partition,
                offset,
                generation,
            } => seek(consumer, shared, inner, partition, offset, generation),
            Command::Commit(offsets) if may_commit => {
                inner.to_commit.extend(offsets);
                inner
                    .commit_at
                    .get_or_insert_with(|| Instant::now() + inner.commit_pacing);
            }
            Command::Commit(_) => {}
            Command::Stop => inner.stopping = true,
        }
    }
}

fn keep_assigned(
    inner: &mut Inner,
    partitions: Vec<TopicPartition>,
) -> (Vec<TopicPartition>, TopicPartitionList) {
    let ours: Vec<TopicPartition> = partitions
        .into_iter()
        .filter(|partition| inner.generation(partition).is_some())
        .collect();
    let mut list = TopicPartitionList::with_capacity(ours.len());
    for partition in &ours {
        list.add_partition(&partition.topic, partition.partition);
    }
    (ours, list)
}

fn report(
    shared: &Shared,
    inner: &mut Inner,
    attempted: &'static str,
    partitions: &[TopicPartition],
    result: KafkaResult<()>,
) {
    if let Err(error) = result {
        for partition in partitions {
            let error = ConsumerError::Control {
                attempted,
                partition: partition.clone(),
                reason: error.to_string(),
            };
            shared.fail(inner, error);
        }
    }
}

/// The library numbers a partition's fetches and drops those from before a seek, so whatever is polled after it is new.
fn seek(
    consumer: &BaseConsumer<Callbacks>,
    shared: &Shared,
    inner: &mut Inner,
    partition: TopicPartition,
    offset: i64,
    generation: u64,
) {
    let result = if inner.generation(&partition).is_none() {
        Err("it is not assigned".to_owned())
    } else {
        consumer
            .seek(
                &partition.topic,
                partition.partition,
                Offset::Offset(offset),
                SEEK_WAIT_MAX,
            )
            .or_else(|_| start_again(consumer, &partition, offset))
            .map_err(|error| error.to_string())
    };
    match (result, inner.generation(&partition)) {
        (Ok(()), Some(current)) => *current = generation,
        (Ok(()), None) => {}
        (Err(reason), _) => shared.fail(
            inner,
            ConsumerError::Control {
                attempted: "seek",
                partition,
                reason,
            },
        ),
    }
}

/// A partition whose fetch hasn't begun yet can't be sought in, but it can be given back and taken again.
fn start_again(
    consumer: &BaseConsumer<Callbacks>,
    partition: &TopicPartition,
    offset: i64,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(
        &partition.topic,
        partition.partition,
        Offset::Offset(offset),
    )?;
    consumer.incremental_unassign(&list)?;
    consumer.incremental_assign(&list)
}

fn commit(consumer: &BaseConsumer<Callbacks>, shared: &Shared, inner: &mut Inner) {
    inner.commit_at = None;
    let offsets = std::mem::take(&mut inner.to_commit);
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        if inner.generation(&partition).is_some()
            && let Err(error) = list.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(offset),
            )
        {
            let error = ConsumerError::Control {
                attempted: "commit",
                partition,
                reason: error.to_string(),
            };
            shared.fail(inner, error);
        }
    }
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        shared.fail(
            inner,
            ConsumerError::Commit {
                code: error.rdkafka_error_code().unwrap_or(ErrorCode::Unknown),
            },
        );
    }
}

/// What the library calls back, all of it inside `poll` or the drop of the consumer.
pub(crate) struct Callbacks {
    shared: Arc<Shared>,
}

impl ClientContext for Callbacks {
    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
        lock(&self.shared.inner).last_reason = Some(reason.to_owned());
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<TopicPartition> = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let mut inner = lock(&self.shared.inner);
        self.shared.hand_over(&mut inner);
        let result = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, &mut inner, &partitions)
        } else {
            self.revoke(consumer, &mut inner, &partitions)
        };
        if let Err(error) = result {
            self.shared.fail(
                &mut inner,
                ConsumerError::Fatal {
                    reason: format!("rebalance: {error}"),
                },
            );
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            let code = error.rdkafka_error_code().unwrap_or(ErrorCode::Unknown);
            if code != ErrorCode::NoOffset {
                self.shared.fail(
                    &mut lock(&self.shared.inner),
                    ConsumerError::Commit { code },
                );
            }
        }
    }
}

impl Callbacks {
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        inner: &mut Inner,
        partitions: &[TopicPartition],
    ) -> KafkaResult<()> {
        let starts: Vec<StartAt> = if partitions.is_empty() {
            Vec::new()
        } else {
            self.shared
                .call(inner, |handler| handler.assigned(partitions))
                .unwrap_or_default()
        };
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        let mut paused = TopicPartitionList::new();
        for partition in partitions {
            let start = starts.iter().find(|start| start.partition == *partition);
            let offset = start
                .and_then(|start| start.offset)
                .map_or(Offset::Invalid, Offset::Offset);
            list.add_partition_offset(&partition.topic, partition.partition, offset)?;
            if start.is_some_and(|start| start.paused) {
                paused.add_partition(&partition.topic, partition.partition);
            }
            let generation = start.map_or(0, |start| start.generation);
            inner
                .assigned
                .entry(partition.topic.clone())
                .or_default()
                .insert(partition.partition, generation);
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&list)?,
        }
        if paused.count() > 0 {
            consumer.pause(&paused)?;
        }
        Ok(())
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        inner: &mut Inner,
        partitions: &[TopicPartition],
    ) -> KafkaResult<()> {
        let lost = consumer.assignment_lost();
        if !partitions.is_empty() {
            self.shared
                .call(inner, |handler| handler.revoked(partitions, lost));
            carry_out(consumer, &self.shared, inner, !lost);
            if lost {
                // Others may be further on.
                inner.to_commit.retain(|of, _| !partitions.contains(of));
            } else {
                commit(consumer, &self.shared, inner);
            }
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
            if let Some(topic) = inner.assigned.get_mut(&partition.topic) {
                topic.remove(&partition.partition);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => {
                inner.assigned.clear();
                consumer.unassign()
            }
        }
    }
}

//! Producing: batches whose deliveries are counted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::config::KafkaConfig;
use super::deliveries::{Batch, Deliveries, Waiter};
use super::error::{BrokerError, DeliveryError, ErrorCode};
use super::lanes::Lanes;
use super::record::OutgoingRecord;
use super::settings::Role;
use super::wait::{Slot, lock};

/// How long [`Producer::send`] waits for room in the queue.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a poll serves deliveries before it looks whether to stop. The binding spins through the last millisecond of each
/// poll, so a short one costs an idle process: 100 ms were 1 % of a core for each producer.
const POLL: Duration = Duration::from_millis(500);
/// How long [`Producer::send_one`] waits for the acknowledgement.
const ONE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Produces batches, idempotently and without gaps, and counts their deliveries.
///
/// Records that name the same partition, and records that have the same key, are delivered in the order of the calls. One producer a process is the intent: each is a connection to
/// every broker, and threads. Dropping it fails what is still queued; [`flush`](Producer::flush) first.
pub struct Producer {
    native: Arc<BaseProducer<Deliveries>>,
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

/// Tells that a batch is through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchDone {
    /// The number that was given to [`Producer::send`].
    pub batch_id: u64,
    /// Whether all of its records are acknowledged, or what kept some from it.
    pub result: Result<(), DeliveryError>,
}

impl Producer {
    /// Starts a producer. The broker needn't be there yet.
    ///
    /// `on_done` is called on the producer's own thread, or within `send` for a batch that is through at once. It must not block.
    ///
    /// # Errors
    ///
    /// If a setting is wrong or refused.
    pub fn new(
        config: &KafkaConfig,
        on_done: impl Fn(BatchDone) + Send + Sync + 'static,
    ) -> Result<Producer, BrokerError> {
        let mut native = config.native(Role::Producer, &[])?;
        let context = Deliveries::new(on_done, &mut native)?;
        let native: BaseProducer<Deliveries> = native
            .create_with_context(context)
            .map_err(|error| BrokerError::from_kafka("start a producer", error))?;
        let native = Arc::new(native);
        // Fresh, so it can't be set yet.
        let _ = native.context().producer.set(Arc::downgrade(&native));
        let stop = Arc::new(AtomicBool::new(false));
        let poller = std::thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn({
                let (native, stop) = (native.clone(), stop.clone());
                move || {
                    while !stop.load(Ordering::Acquire) {
                        // Serves whatever comes, for this long.
                        native.poll(POLL);
                    }
                }
            })
            .map_err(|error| BrokerError::Fatal {
                reason: format!("cannot start a thread: {error}"),
            })?;
        Ok(Producer {
            native,
            stop,
            poller: Some(poller),
        })
    }

    /// Hands over a batch. `on_done` is called exactly once for it, when all of its records are acknowledged or finally failed.
    ///
    /// Waits while the queue is full, up to 30 s. An empty batch is done at once. A record that this client refuses (too large)
    /// counts as failed and is named in [`DeliveryError::refused`]; the others are sent. While brokers are away, records wait without
    /// limit of time. The same batch sent twice is stored twice: idempotence is the producer's, below this call.
    ///
    /// # Errors
    ///
    /// If the producer has ended or the queue stayed full. Then nothing was taken and `on_done` isn't called.
    pub fn send(&self, batch_id: u64, records: Vec<OutgoingRecord>) -> Result<(), BrokerError> {
        self.hand_over(records, Waiter::Batch(batch_id))
    }

    /// Hands over one record and returns its delivery, to be awaited or waited for.
    ///
    /// # Errors
    ///
    /// As for [`send`](Producer::send).
    pub fn deliver(&self, record: OutgoingRecord) -> Result<Delivery, BrokerError> {
        let slot = Slot::new();
        self.hand_over(vec![record], Waiter::One(slot.clone()))?;
        Ok(Delivery { slot })
    }

    /// Produces one record and waits for its partition and offset, up to 30 s.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unavailable`] if there was no answer in time. The record stays queued and may be delivered later.
    pub fn send_one(&self, record: OutgoingRecord) -> Result<(i32, i64), BrokerError> {
        self.deliver(record)?.wait(ONE_WAIT_MAX)
    }

    /// How many produce requests were sent so far, for budgets and metrics. Updated once a second.
    pub fn produce_request_count(&self) -> u64 {
        self.native
            .context()
            .produce_requests
            .load(Ordering::Relaxed)
    }

    /// How many records are queued or in flight.
    pub fn queued_count(&self) -> usize {
        lock(&self.native.context().lanes).queued()
    }

    /// Waits until everything that was sent is acknowledged or failed.
    ///
    /// # Errors
    ///
    /// If the time is over; what is left stays queued.
    pub fn flush(&self, timeout: Duration) -> Result<(), BrokerError> {
        let is_empty = |lanes: &Lanes<Arc<Batch>>| lanes.queued() == 0;
        match self
            .native
            .context()
            .wait_until(Instant::now() + timeout, is_empty)
        {
            Some(_) => Ok(()),
            None => Err(BrokerError::from_kafka(
                "flush the producer",
                KafkaError::Flush(ErrorCode::OperationTimedOut),
            )),
        }
    }

    fn hand_over(&self, records: Vec<OutgoingRecord>, waiter: Waiter) -> Result<(), BrokerError> {
        let batch = Batch::of(waiter, records.len());
        let context = self.native.context();
        let flights = {
            let deadline = Instant::now() + QUEUE_WAIT_MAX;
            let has_room = |lanes: &Lanes<Arc<Batch>>| lanes.has_room(&records);
            let lanes = context.wait_until(deadline, has_room);
            let mut lanes = lanes.ok_or(BrokerError::QueueFull {
                waited: QUEUE_WAIT_MAX,
            })?;
            if let Some((_, reason)) = self.native.client().fatal_error() {
                return Err(BrokerError::Fatal { reason });
            }
            lanes.admit(records, &batch)
        };
        context.fly(Some(&self.native), flights);
        batch.count_down(1, context);
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(poller) = self.poller.take()
            && poller.thread().id() != std::thread::current().id()
            && poller.join().is_err()
        {
            tracing::error!("a callback of the kafka producer has panicked");
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("queued_count", &self.queued_count())
            .finish_non_exhaustive()
    }
}

/// One record on its way. Await it, or wait for it on a thread; dropping it doesn't take the record back.
pub struct Delivery {
    slot: Arc<Slot<Result<(i32, i64), DeliveryError>>>,
}

impl Delivery {
    /// Waits for the record's partition and offset.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Undelivered`] if it failed; [`BrokerError::Unavailable`] if the time is over, in which case it may still be delivered.
    pub fn wait(self, timeout: Duration) -> Result<(i32, i64), BrokerError> {
        match self.slot.wait(timeout) {
            Some(answer) => Ok(answer?),
            None => Err(BrokerError::Unavailable {
                attempted: format!("deliver a record within {} ms", timeout.as_millis()),
                source: KafkaError::MessageProduction(ErrorCode::MessageTimedOut),
            }),
        }
    }
}

impl Future for Delivery {
    type Output = Result<(i32, i64), BrokerError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(context).map(|answer| Ok(answer?))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

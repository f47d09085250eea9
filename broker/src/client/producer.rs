//! Producing: batches whose deliveries are counted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{Message, Statistics};

use super::config::KafkaConfig;
use super::error::{BrokerError, DeliveryError, ErrorCode};
use super::lanes::{Flight, LaneId, Lanes, Room};
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
        let context = Deliveries {
            on_done: Box::new(on_done),
            producer: OnceLock::new(),
            produce_requests: AtomicU64::new(0),
            lanes: Mutex::new(Lanes::new(room_of(&mut native)?)),
            awaited: AtomicUsize::new(0),
            moved: Condvar::new(),
        };
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
        // One more than there are records, so that the batch can't be through before the last is handed over.
        let batch = Arc::new(Batch {
            waiter,
            left: AtomicUsize::new(records.len() + 1),
            failures: Mutex::new(None),
        });
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

/// Who is told when a batch is through.
enum Waiter {
    Batch(u64),
    One(Arc<Slot<Result<(i32, i64), DeliveryError>>>),
}

/// A batch on its way. Every record of it carries a reference: no allocation for each, and no future.
struct Batch {
    waiter: Waiter,
    left: AtomicUsize,
    failures: Mutex<Option<Failures>>,
}

/// What comes back with a record: its batch, and the lane in which it left.
struct Ticket {
    batch: Arc<Batch>,
    lane: LaneId,
}

struct Failures {
    first: ErrorCode,
    count: usize,
    refused: Vec<usize>,
}

impl Batch {
    fn fail(&self, code: ErrorCode, count: usize, refused: Option<usize>) {
        let mut failures = lock(&self.failures);
        let failures = failures.get_or_insert(Failures {
            first: code,
            count: 0,
            refused: Vec::new(),
        });
        failures.count += count;
        failures.refused.extend(refused);
    }

    fn count_down(&self, count: usize, context: &Deliveries) {
        if self.left.fetch_sub(count, Ordering::AcqRel) == count {
            let failed = lock(&self.failures).take();
            let result = failed.map_or(Ok(()), |failures| Err(context.judge(failures)));
            match &self.waiter {
                Waiter::Batch(batch_id) => (context.on_done)(BatchDone {
                    batch_id: *batch_id,
                    result,
                }),
                // A delivered one has been told already, with its offset.
                Waiter::One(slot) => {
                    if let Err(error) = result {
                        slot.fill(Err(error));
                    }
                }
            }
        }
    }
}

/// What the library calls back.
struct Deliveries {
    on_done: Box<dyn Fn(BatchDone) + Send + Sync>,
    producer: OnceLock<Weak<BaseProducer<Deliveries>>>,
    produce_requests: AtomicU64,
    lanes: Mutex<Lanes<Arc<Batch>>>,
    /// How many threads wait for [`Deliveries::moved`].
    awaited: AtomicUsize,
    /// Records are off the queue.
    moved: Condvar,
}

impl Deliveries {
    /// Waits until the queue is as wished; `None` when the time is over.
    fn wait_until(
        &self,
        deadline: Instant,
        is_so: impl Fn(&Lanes<Arc<Batch>>) -> bool,
    ) -> Option<MutexGuard<'_, Lanes<Arc<Batch>>>> {
        let mut lanes = lock(&self.lanes);
        if is_so(&lanes) {
            return Some(lanes);
        }
        self.awaited.fetch_add(1, Ordering::Relaxed);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let waited = self.moved.wait_timeout(lanes, left);
                (lanes, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
            let is_so = is_so(&lanes);
            if is_so || left.is_zero() {
                self.awaited.fetch_sub(1, Ordering::Relaxed);
                return is_so.then_some(lanes);
            }
        }
    }

    /// Hands flights over to the library, and those that follow at once. Without a producer, which is being dropped, they fail.
    fn fly(&self, native: Option<&BaseProducer<Deliveries>>, mut flights: Vec<Flight<Arc<Batch>>>) {
        while let Some(flight) = flights.pop() {
            let lane = flight.lane;
            let failed = hand_over(native, flight);
            {
                let mut lanes = lock(&self.lanes);
                flights.extend(lanes.land(lane, failed.len(), None));
                flights.extend(lanes.handed_over(lane));
            }
            self.tell();
            for (batch, index, code) in failed {
                let is_its_own = !matches!(
                    code,
                    ErrorCode::Fatal | ErrorCode::QueueFull | ErrorCode::PurgeQueue
                );
                batch.fail(code, 1, is_its_own.then_some(index));
                batch.count_down(1, self);
            }
        }
    }

    /// Tells those who wait that records are off the queue.
    fn tell(&self) {
        if self.awaited.load(Ordering::Relaxed) > 0 {
            self.moved.notify_all();
        }
    }

    /// A record is off the queue: what waited behind it leaves.
    fn landed(&self, lane: LaneId, partition: Option<i32>) {
        let flights = lock(&self.lanes).land(lane, 1, partition);
        self.tell();
        if !flights.is_empty() {
            let native = self.producer.get().and_then(Weak::upgrade);
            self.fly(native.as_deref(), flights);
        }
    }

    fn judge(&self, failures: Failures) -> DeliveryError {
        // The library's callbacks don't tell a fatal error from a passing one; the producer does. It is gone if it is being dropped.
        let ended = self
            .producer
            .get()
            .and_then(Weak::upgrade)
            .and_then(|producer| producer.client().fatal_error());
        let dropped = matches!(
            failures.first,
            ErrorCode::PurgeQueue | ErrorCode::PurgeInflight
        );
        DeliveryError {
            fatal: ended.is_some() || dropped,
            code: failures.first,
            reason: match ended {
                Some((_, reason)) => format!("{} ({reason})", failures.first),
                None => failures.first.to_string(),
            },
            failed_count: failures.count,
            refused: failures.refused,
        }
    }
}

impl ClientContext for Deliveries {
    fn stats(&self, statistics: Statistics) {
        let sent: i64 = statistics
            .brokers
            .values()
            .filter_map(|broker| broker.req.get("Produce"))
            .sum();
        self.produce_requests
            .store(u64::try_from(sent).unwrap_or(0), Ordering::Relaxed);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // The library says at every start that the guarantee we ask for is experimental. We know: what it
        // does when it can't be kept, ending the producer, is what the engine builds on.
        if facility == "CONFWARN" && message.contains("enable.gapless.guarantee") {
            return tracing::debug!(facility, message, "librdkafka");
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        let Ticket { batch, lane } = &*ticket;
        let partition = match result {
            Ok(message) => {
                if let Waiter::One(slot) = &batch.waiter {
                    slot.fill(Ok((message.partition(), message.offset())));
                }
                Some(message.partition())
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(ErrorCode::Unknown);
                batch.fail(code, 1, None);
                None
            }
        };
        self.landed(*lane, partition);
        batch.count_down(1, self);
    }
}

/// A record that the library did not take: its batch, its place in there, and why.
type NotTaken = (Arc<Batch>, usize, ErrorCode);

/// Hands the records of a lane over, without anything else in between: the library's thread wakes up with the first of them,
/// and what is not there by then waits for another request.
fn hand_over(
    native: Option<&BaseProducer<Deliveries>>,
    flight: Flight<Arc<Batch>>,
) -> Vec<NotTaken> {
    let Flight { lane, parcels } = flight;
    let mut failed = Vec::new();
    let Some(native) = native else {
        let parcels = parcels.into_iter();
        return parcels
            .map(|parcel| (parcel.batch, parcel.index, ErrorCode::PurgeQueue))
            .collect();
    };
    let headers: Vec<_> = parcels
        .iter()
        .map(|parcel| parcel.record.native_headers())
        .collect();
    let mut ticket: Option<Arc<Ticket>> = None;
    for (parcel, headers) in parcels.iter().zip(headers) {
        let ticket = match &mut ticket {
            Some(ticket) if Arc::ptr_eq(&ticket.batch, &parcel.batch) => ticket,
            other => other.insert(Arc::new(Ticket {
                batch: Arc::clone(&parcel.batch),
                lane,
            })),
        };
        let record = &parcel.record;
        let mut taken: BaseRecord<'_, [u8], [u8], Arc<Ticket>> =
            BaseRecord::with_opaque_to(&record.topic, Arc::clone(ticket));
        taken.partition = record.partition;
        taken.key = record.key.as_deref();
        taken.payload = record.payload.as_deref();
        taken.timestamp = record.timestamp_ms;
        taken.headers = headers;
        if let Err((error, _)) = native.send(taken) {
            let code = error
                .rdkafka_error_code()
                .unwrap_or(ErrorCode::InvalidArgument);
            failed.push((Arc::clone(&parcel.batch), parcel.index, code));
        }
    }
    failed
}

/// What may be queued, by the settings' names; the library's own limits are taken off.
fn room_of(config: &mut ClientConfig) -> Result<Room, BrokerError> {
    let mut take = |key: &str, off: &str| -> Result<usize, BrokerError> {
        let value = config.get(key).unwrap_or_default().to_owned();
        config.set(key, off);
        value.trim().parse().map_err(|_| BrokerError::Setting {
            key: key.to_owned(),
            reason: format!("is {value:?}: it must be a number, 0 or above"),
        })
    };
    let count_max = take("queue.buffering.max.messages", "0")?;
    let kilobytes = take("queue.buffering.max.kbytes", "2147483647")?;
    Ok(Room {
        count_max: if count_max == 0 {
            usize::MAX
        } else {
            count_max
        },
        bytes_max: kilobytes.saturating_mul(1024),
    })
}

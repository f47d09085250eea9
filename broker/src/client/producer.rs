//! Producing: batches whose deliveries are counted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{Message, Statistics};

use super::config::KafkaConfig;
use super::error::{BrokerError, DeliveryError, ErrorCode};
use super::record::OutgoingRecord;
use super::settings::Role;
use super::wait::{Slot, lock};

/// How long [`Producer::send`] waits for room in the queue.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it looks again. The library has no signal for room.
const QUEUE_LOOK: Duration = Duration::from_millis(1);
/// How long a poll serves deliveries before it looks whether to stop. The binding spins through the last millisecond of each
/// poll, so a short one costs an idle process: 100 ms were 1 % of a core for each producer.
const POLL: Duration = Duration::from_millis(500);
/// How long [`Producer::send_one`] waits for the acknowledgement.
const ONE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Produces batches, idempotently and without gaps, and counts their deliveries.
///
/// Records of one partition are delivered in the order of the calls. One producer a process is the intent: each is a connection to
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
        let context = Deliveries {
            on_done: Box::new(on_done),
            producer: OnceLock::new(),
            produce_requests: AtomicU64::new(0),
        };
        let native: BaseProducer<Deliveries> = config
            .native(Role::Producer, &[])?
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
    /// If the producer has ended or the queue stayed full. Then nothing was taken and `on_done` isn't called. (If the queue fills up
    /// in the middle and stays full, the rest fails and is counted in `on_done`.)
    pub fn send(&self, batch_id: u64, records: Vec<OutgoingRecord>) -> Result<(), BrokerError> {
        self.hand_over(&records, Waiter::Batch(batch_id))
    }

    /// Hands over one record and returns its delivery, to be awaited or waited for.
    ///
    /// # Errors
    ///
    /// As for [`send`](Producer::send).
    pub fn deliver(&self, record: OutgoingRecord) -> Result<Delivery, BrokerError> {
        let slot = Slot::new();
        self.hand_over(&[record], Waiter::One(slot.clone()))?;
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
        usize::try_from(self.native.in_flight_count()).unwrap_or(0)
    }

    /// Waits until everything that was sent is acknowledged or failed.
    ///
    /// # Errors
    ///
    /// If the time is over; what is left stays queued.
    pub fn flush(&self, timeout: Duration) -> Result<(), BrokerError> {
        self.native
            .flush(timeout)
            .map_err(|error| BrokerError::from_kafka("flush the producer", error))
    }

    fn hand_over(&self, records: &[OutgoingRecord], waiter: Waiter) -> Result<(), BrokerError> {
        if let Some((_, reason)) = self.native.client().fatal_error() {
            return Err(BrokerError::Fatal { reason });
        }
        // One more than there are records, so that the batch can't be through before the last is handed over.
        let batch = Arc::new(Batch {
            waiter,
            left: AtomicUsize::new(records.len() + 1),
            failures: Mutex::new(None),
        });
        let mut deadline = None;
        for (index, record) in records.iter().enumerate() {
            match self.enqueue(record, &batch, &mut deadline) {
                Ok(()) => {}
                Err(ErrorCode::QueueFull) if index == 0 => {
                    return Err(BrokerError::QueueFull {
                        waited: QUEUE_WAIT_MAX,
                    });
                }
                Err(code @ (ErrorCode::QueueFull | ErrorCode::Fatal)) => {
                    batch.fail(code, records.len() - index, None);
                    batch.count_down(records.len() - index, self.native.context());
                    break;
                }
                Err(code) => {
                    batch.fail(code, 1, Some(index));
                    batch.count_down(1, self.native.context());
                }
            }
        }
        batch.count_down(1, self.native.context());
        Ok(())
    }

    fn enqueue(
        &self,
        record: &OutgoingRecord,
        batch: &Arc<Batch>,
        deadline: &mut Option<Instant>,
    ) -> Result<(), ErrorCode> {
        let mut native: BaseRecord<'_, [u8], [u8], Arc<Batch>> =
            BaseRecord::with_opaque_to(&record.topic, batch.clone());
        native.partition = record.partition;
        native.key = record.key.as_deref();
        native.payload = record.payload.as_deref();
        native.timestamp = record.timestamp_ms;
        native.headers = record.native_headers();
        loop {
            let (error, back) = match self.native.send(native) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error
                .rdkafka_error_code()
                .unwrap_or(ErrorCode::InvalidArgument);
            let until = *deadline.get_or_insert_with(|| Instant::now() + QUEUE_WAIT_MAX);
            if code != ErrorCode::QueueFull || Instant::now() >= until {
                return Err(code);
            }
            native = back;
            std::thread::sleep(QUEUE_LOOK);
        }
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
}

impl Deliveries {
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
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        match result {
            Ok(message) => {
                if let Waiter::One(slot) = &batch.waiter {
                    slot.fill(Ok((message.partition(), message.offset())));
                }
            }
            Err((error, _)) => batch.fail(
                error.rdkafka_error_code().unwrap_or(ErrorCode::Unknown),
                1,
                None,
            ),
        }
        batch.count_down(1, self);
    }
}

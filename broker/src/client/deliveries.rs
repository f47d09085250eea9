//! What becomes of records that were handed over: batches that are counted down, and lanes that let the next ones leave.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, Message, Statistics};

use super::error::{BrokerError, DeliveryError, ErrorCode};
use super::lanes::{Flight, LaneId, Lanes, Room};
use super::producer::BatchDone;
use super::wait::{Slot, lock};

/// Who is told when a batch is through.
pub(super) enum Waiter {
    Batch(u64),
    One(Arc<Slot<Result<(i32, i64), DeliveryError>>>),
}

/// A batch on its way. Every record of it carries a reference: no allocation for each, and no future.
pub(super) struct Batch {
    waiter: Waiter,
    left: AtomicUsize,
    failures: Mutex<Option<Failures>>,
}

/// What comes back with a record: its batch, and the lane in which it left.
pub(super) struct Ticket {
    batch: Arc<Batch>,
    lane: LaneId,
}

struct Failures {
    first: ErrorCode,
    count: usize,
    refused: Vec<usize>,
}

impl Batch {
    /// A batch of so many records. It counts one more, so that it can't be through before the last is handed over.
    pub(super) fn of(waiter: Waiter, count: usize) -> Arc<Batch> {
        Arc::new(Batch {
            waiter,
            left: AtomicUsize::new(count + 1),
            failures: Mutex::new(None),
        })
    }

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

    pub(super) fn count_down(&self, count: usize, context: &Deliveries) {
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
pub(super) struct Deliveries {
    on_done: Box<dyn Fn(BatchDone) + Send + Sync>,
    pub(super) producer: OnceLock<Weak<BaseProducer<Deliveries>>>,
    pub(super) produce_requests: AtomicU64,
    pub(super) lanes: Mutex<Lanes<Arc<Batch>>>,
    /// How many threads wait for [`Deliveries::moved`].
    awaited: AtomicUsize,
    /// Records are off the queue.
    moved: Condvar,
}

impl Deliveries {
    /// `config` says how much may be queued; the library's own limits are taken off it.
    pub(super) fn new(
        on_done: impl Fn(BatchDone) + Send + Sync + 'static,
        config: &mut ClientConfig,
    ) -> Result<Deliveries, BrokerError> {
        Ok(Deliveries {
            on_done: Box::new(on_done),
            producer: OnceLock::new(),
            produce_requests: AtomicU64::new(0),
            lanes: Mutex::new(Lanes::new(room_of(config)?)),
            awaited: AtomicUsize::new(0),
            moved: Condvar::new(),
        })
    }

    /// Waits until the queue is as wished; `None` when the time is over.
    pub(super) fn wait_until(
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
    pub(super) fn fly(
        &self,
        native: Option<&BaseProducer<Deliveries>>,
        mut flights: Vec<Flight<Arc<Batch>>>,
    ) {
        while let Some(flight) = flights.pop() {
            let lane = flight.lane;
            let failed = hand_over(native, flight);
            let failed_count = failed.len();
            for (batch, index, code) in failed {
                let is_its_own = !matches!(
                    code,
                    ErrorCode::Fatal | ErrorCode::QueueFull | ErrorCode::PurgeQueue
                );
                batch.fail(code, 1, is_its_own.then_some(index));
                batch.count_down(1, self);
            }
            {
                let mut lanes = lock(&self.lanes);
                flights.extend(lanes.land(lane, failed_count, None));
                flights.extend(lanes.handed_over(lane));
            }
            self.tell();
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
        // Whoever waits for the queue to be empty has heard of every batch by then.
        batch.count_down(1, self);
        self.landed(*lane, partition);
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

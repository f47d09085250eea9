//! Producers that keep records on their way, and a reader that reads all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use backstitch_broker::{BatchDone, BrokerError, KafkaConfig, OutgoingRecord, Producer, TopicTail};

/// Records handed to a producer at once, all for one partition: what a client's sticky partitioner does.
const CHUNK: u64 = 25;
/// How long the last acknowledgements may take.
const DRAIN_WAIT: Duration = Duration::from_secs(60);
/// How long the next record may take to be read.
const READ_WAIT: Duration = Duration::from_secs(30);

/// What is produced.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) producers: usize,
    pub(super) record_bytes: usize,
    /// Records that a producer has on their way, at most.
    pub(super) outstanding: u64,
    /// Records a second of all producers together; `None`: as many as are acknowledged.
    pub(super) rate: Option<f64>,
    pub(super) warm: Duration,
    pub(super) window: Duration,
}

/// What the producers saw.
#[derive(Debug, Default)]
pub(super) struct Produced {
    /// Acknowledged within the window.
    pub(super) records: u64,
    /// From the hand-over to the acknowledgement, sorted, in microseconds; one for each
    /// chunk that was handed over and acknowledged in the window.
    pub(super) times_us: Vec<i64>,
    /// Acknowledged in all.
    pub(super) all: u64,
    pub(super) failed: u64,
}

/// Runs the producers, each on its own thread; `at_edges` is told the begin and the end of the window.
///
/// The time counts from when each of them has had an acknowledgement: until then it looks for its broker.
pub(super) fn produce(
    kafka: &KafkaConfig,
    load: &Load,
    mut at_edges: impl FnMut(),
) -> Result<Produced, BrokerError> {
    let connected = (0..load.producers)
        .map(|number| Alone::connect(kafka, load, number))
        .collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let seen = thread::scope(|scope| {
        let producers: Vec<_> = connected
            .into_iter()
            .map(|alone| scope.spawn(move || alone.run(load, began)))
            .collect();
        thread::sleep((began + load.warm).saturating_duration_since(Instant::now()));
        at_edges();
        thread::sleep((began + load.warm + load.window).saturating_duration_since(Instant::now()));
        at_edges();
        producers
            .into_iter()
            .map(|producer| {
                producer.join().unwrap_or_else(|_| {
                    Err(BrokerError::Fatal {
                        reason: "a producer of the benchmark has panicked".to_owned(),
                    })
                })
            })
            .collect::<Result<Vec<Produced>, _>>()
    })?;
    let mut all = Produced::default();
    for one in seen {
        all.records += one.records;
        all.all += one.all;
        all.failed += one.failed;
        all.times_us.extend(one.times_us);
    }
    all.times_us.sort_unstable();
    Ok(all)
}

/// One producer, and what it has on its way.
struct Alone {
    producer: Producer,
    told: Receiver<(BatchDone, Instant)>,
    number: usize,
    dice: u64,
    /// The number of the next chunk.
    next: u64,
    /// When each chunk that is on its way was handed over.
    sent: VecDeque<Option<Instant>>,
    /// The number of the first of them.
    first: u64,
    on_their_way: u64,
    /// The window; none while the producer looks for its broker.
    edges: Option<(Instant, Instant)>,
    seen: Produced,
}

impl Alone {
    /// Makes a producer, and waits until its first chunk is acknowledged or refused.
    fn connect(kafka: &KafkaConfig, load: &Load, number: usize) -> Result<Alone, BrokerError> {
        let (tell, told) = channel();
        let producer = Producer::new(kafka, move |done| {
            // Nobody listens when the producer has given up.
            let _ = tell.send((done, Instant::now()));
        })?;
        let mut alone = Alone {
            producer,
            told,
            number,
            dice: 0x9e37_79b9_7f4a_7c15_u64 ^ (number as u64 + 1),
            next: 0,
            sent: VecDeque::new(),
            first: 0,
            on_their_way: 0,
            edges: None,
            seen: Produced::default(),
        };
        alone.send(load)?;
        alone.drain();
        Ok(alone)
    }

    /// Hands over one chunk.
    fn send(&mut self, load: &Load) -> Result<(), BrokerError> {
        let chunk = self.next;
        let partition = (chunk + self.number as u64) % u64::from(load.partitions.unsigned_abs());
        let records = (0..CHUNK)
            .map(|_| OutgoingRecord {
                partition: i32::try_from(partition).ok(),
                ..OutgoingRecord::new(
                    load.topic.as_str(),
                    noise(&mut self.dice, load.record_bytes),
                )
            })
            .collect();
        self.next += 1;
        self.on_their_way += CHUNK;
        self.sent.push_back(Some(Instant::now()));
        self.producer.send(chunk, records)
    }

    fn hear(&mut self, (done, at): (BatchDone, Instant)) {
        self.on_their_way -= CHUNK;
        let index = usize::try_from(done.batch_id - self.first).unwrap_or(usize::MAX);
        let sent = self.sent.get_mut(index).and_then(Option::take);
        while self.sent.front().is_some_and(Option::is_none) {
            self.sent.pop_front();
            self.first += 1;
        }
        if done.result.is_err() {
            self.seen.failed += CHUNK;
            return;
        }
        self.seen.all += CHUNK;
        let Some((opens, ends)) = self.edges else {
            return;
        };
        if (opens..ends).contains(&at) {
            self.seen.records += CHUNK;
            if let Some(sent) = sent.filter(|sent| *sent >= opens) {
                let took = at.duration_since(sent).as_micros();
                self.seen
                    .times_us
                    .push(i64::try_from(took).unwrap_or(i64::MAX));
            }
        }
    }

    /// Waits for all that is on its way.
    fn drain(&mut self) {
        let patience = Instant::now() + DRAIN_WAIT;
        while self.on_their_way > 0 {
            let left = patience.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(heard) => self.hear(heard),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.seen.failed += self.on_their_way;
                    return;
                }
            }
        }
    }

    fn run(mut self, load: &Load, began: Instant) -> Result<Produced, BrokerError> {
        let (opens, ends) = (began + load.warm, began + load.warm + load.window);
        self.edges = Some((opens, ends));
        let share = load.rate.map(|rate| rate / load.producers as f64);
        for chunk in 0_u64.. {
            if Instant::now() >= ends {
                break;
            }
            // Producers that know nothing of each other do not send at the same moments.
            let turn = chunk as f64 + self.number as f64 / load.producers as f64;
            let due = share.map(|rate| began + Duration::from_secs_f64(turn * CHUNK as f64 / rate));
            self.wait_for_turn(load.outstanding, due, ends);
            self.send(load)?;
        }
        self.drain();
        Ok(self.seen)
    }

    /// Returns when one more chunk may leave: there is room for it, and it is due.
    fn wait_for_turn(&mut self, outstanding: u64, due: Option<Instant>, ends: Instant) {
        while let Ok(heard) = self.told.try_recv() {
            self.hear(heard);
        }
        loop {
            let now = Instant::now();
            let has_room = self.on_their_way + CHUNK <= outstanding.max(CHUNK);
            let wait_until = match due {
                Some(due) if due > now => due,
                _ if has_room => return,
                _ => ends + DRAIN_WAIT,
            };
            match self.told.recv_timeout(wait_until - now) {
                Ok(heard) => self.hear(heard),
                Err(RecvTimeoutError::Timeout) if has_room => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Bytes that no compression makes smaller (xorshift64*).
fn noise(state: &mut u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Reads `count` records of a topic from its start, and returns how long it took from the first of them to the last.
pub(super) fn read(
    kafka: &KafkaConfig,
    topic: &str,
    partitions: i32,
    count: u64,
) -> Result<Duration, BrokerError> {
    let from: BTreeMap<i32, i64> = (0..partitions).map(|partition| (partition, 0)).collect();
    let mut tail = TopicTail::open(kafka, topic, &from)?;
    let mut began = None;
    for _ in 0..count {
        if tail.next_within(READ_WAIT)?.is_none() {
            return Err(BrokerError::Fatal {
                reason: format!("topic {topic} lacks records that were acknowledged"),
            });
        }
        began.get_or_insert_with(Instant::now);
    }
    Ok(began.map_or(Duration::ZERO, |began| began.elapsed()))
}

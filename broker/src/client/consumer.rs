//! Consuming in a group, on a thread of its own.

use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::config::KafkaConfig;
use super::consumer_loop::{self, Command, Shared};
use super::error::{BrokerError, ConsumerError};
use super::record::{IncomingRecord, TopicPartition};
use super::settings::Role;
use super::wait::lock;

/// How long [`Consumer::stop`] waits for the group to be left.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a member is heard of, at most; a rebalance is noticed with the next heartbeat.
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);
/// With fetch pacing, the bytes that end a wait early.
const PACED_FETCH_BYTES_MIN: u32 = 32 * 1024;

/// Where to begin when the group has no committed offset, or the one asked for is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At the oldest record. The default.
    #[default]
    Earliest,
    /// Nowhere: the partition stands still and [`ConsumerError::NoOffset`] is reported.
    Error,
}

/// How to consume.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The consumer group.
    pub group: String,
    /// The topics, by name. Patterns are refused: each is a topic of its own.
    pub topics: Vec<String>,
    /// A name that outlives the process, unique in the group. A member that comes back under it within the session timeout gets its
    /// partitions back without a rebalance, and stopping doesn't leave the group. `None` (the default): an ordinary member.
    pub instance_id: Option<String>,
    /// After this long without a heartbeat a member counts as dead and its partitions move. Default 10 s; the broker's limits apply
    /// (6 s to 30 min by Kafka's default).
    pub session_timeout: Duration,
    /// After this long within one call of the handler the member loses its partitions. Default 60 s; at least `session_timeout`.
    pub handler_time_max: Duration,
    /// The most records in one call of [`ConsumerHandler::records`]. Default 1,000; at least 1.
    pub chunk_max: usize,
    /// How long the broker may hold back a fetch until 32 KiB have come together. Default 0: a record is sent at once. 2 to 5 ms trade
    /// latency for fewer, larger fetches; at most 500 ms.
    pub fetch_pacing: Duration,
    /// How long a commit may wait for later ones, to be sent as one request. Default 0. What a crash leaves uncommitted is read again.
    pub commit_pacing: Duration,
    /// Where to begin without a committed offset. Default [`OffsetReset::Earliest`].
    pub offset_reset: OffsetReset,
}

impl ConsumerOptions {
    /// The defaults for this group and these topics.
    pub fn new<T: Into<String>>(
        group: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> ConsumerOptions {
        ConsumerOptions {
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            instance_id: None,
            session_timeout: Duration::from_secs(10),
            handler_time_max: Duration::from_secs(60),
            chunk_max: 1_000,
            fetch_pacing: Duration::ZERO,
            commit_pacing: Duration::ZERO,
            offset_reset: OffsetReset::Earliest,
        }
    }

    pub(crate) fn native(&self) -> Result<Vec<(&'static str, String)>, BrokerError> {
        let refuse = |key: &str, reason: &str| {
            Err(BrokerError::Setting {
                key: key.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if self.group.is_empty() {
            return refuse("group.id", "is empty");
        }
        if self.topics.is_empty()
            || self
                .topics
                .iter()
                .any(|topic| topic.is_empty() || topic.starts_with('^'))
        {
            return refuse("topics", "need at least one name, and no patterns");
        }
        if self.chunk_max == 0 {
            return refuse("chunk_max", "has to be at least 1");
        }
        if self.fetch_pacing > Duration::from_millis(500) {
            return refuse("fetch_pacing", "is more than 500 ms");
        }
        let heartbeat = (self.session_timeout / 4)
            .min(HEARTBEAT_MAX)
            .max(Duration::from_millis(1));
        let handler_time_max = self.handler_time_max.max(self.session_timeout);
        let mut own = vec![
            ("group.id", self.group.clone()),
            (
                "session.timeout.ms",
                self.session_timeout.as_millis().to_string(),
            ),
            ("heartbeat.interval.ms", heartbeat.as_millis().to_string()),
            (
                "max.poll.interval.ms",
                handler_time_max.as_millis().to_string(),
            ),
            (
                "auto.offset.reset",
                match self.offset_reset {
                    OffsetReset::Earliest => "earliest".to_owned(),
                    OffsetReset::Error => "error".to_owned(),
                },
            ),
        ];
        if let Some(instance_id) = &self.instance_id {
            own.push(("group.instance.id", instance_id.clone()));
        }
        if !self.fetch_pacing.is_zero() {
            own.push(("fetch.min.bytes", PACED_FETCH_BYTES_MIN.to_string()));
            own.push((
                "fetch.wait.max.ms",
                self.fetch_pacing.as_millis().max(1).to_string(),
            ));
        }
        Ok(own)
    }
}

/// Where an assigned partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartAt {
    /// The partition, one of those that were assigned.
    pub partition: TopicPartition,
    /// The offset of the first record; `None` is the group's committed offset.
    pub offset: Option<i64>,
    /// The number that its records carry until the next seek or assignment.
    pub generation: u64,
    /// Whether it waits for [`ConsumerControl::resume`].
    pub paused: bool,
}

/// What a consumer calls, always on its own thread and one call at a time.
pub trait ConsumerHandler: Send + 'static {
    /// Partitions have come; says where each begins. One that isn't mentioned begins at the group's committed offset, with generation 0.
    ///
    /// May block up to [`ConsumerOptions::handler_time_max`]: heartbeats go on, the rebalance waits.
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Vec<StartAt>;

    /// Partitions go; no record of them follows until they are assigned again. May block likewise, until the owner has let go.
    ///
    /// Commits that were handed to [`ConsumerControl::commit`] before this returns are still carried out, unless they are `lost`:
    /// then others may own them already.
    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool);

    /// Records have come, at least one, in order within a partition.
    fn records(&mut self, records: Vec<IncomingRecord>);

    /// Something is wrong; all but [`ConsumerError::Fatal`] leave the consumer running.
    fn failed(&mut self, error: ConsumerError);
}

/// A member of a consumer group, on its own thread. Dropping it stops it.
pub struct Consumer {
    control: ConsumerControl,
    thread: Option<JoinHandle<()>>,
    ended: Arc<Ended>,
    shared: Arc<Shared>,
}

impl Consumer {
    /// Joins the group. The broker needn't be there yet.
    ///
    /// # Errors
    ///
    /// If an option or a setting is wrong or refused.
    pub fn start(
        config: &KafkaConfig,
        options: ConsumerOptions,
        handler: impl ConsumerHandler,
    ) -> Result<Consumer, BrokerError> {
        let native = config.native(Role::Consumer, &options.native()?)?;
        let (sender, commands) = mpsc::channel();
        let shared = Arc::new(Shared::new(
            Box::new(handler),
            commands,
            options.commit_pacing,
        ));
        let ended = Arc::new(Ended::default());
        let consumer = consumer_loop::join(&native, &options, shared.clone())?;
        let thread = std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn({
                let (shared, signal) = (shared.clone(), EndedOnDrop(ended.clone()));
                move || {
                    consumer_loop::run(consumer, &shared, options.chunk_max);
                    drop(signal);
                }
            })
            .map_err(|error| BrokerError::Fatal {
                reason: format!("cannot start a thread: {error}"),
            })?;
        Ok(Consumer {
            control: ConsumerControl { sender },
            thread: Some(thread),
            ended,
            shared,
        })
    }

    /// What can be asked of it while it runs.
    pub fn control(&self) -> ConsumerControl {
        self.control.clone()
    }

    /// Whether its thread is there. It ends by itself only if the handler panics: then the group is left and no call follows.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Stops: calls [`ConsumerHandler::revoked`], leaves the group (a static member doesn't) and ends the thread.
    ///
    /// Returns within 10 s even if the broker is away or the handler blocks; the thread then ends by itself, later, and calls the handler
    /// no more.
    pub fn stop(self) {}
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.control.give(Command::Stop);
        let Some(thread) = self.thread.take() else {
            return;
        };
        if thread.thread().id() == std::thread::current().id() {
            return; // The handler itself lets go of the consumer; its thread can't wait for itself.
        }
        if self.ended.wait(STOP_WAIT_MAX) {
            if thread.join().is_err() {
                tracing::error!("the consumer's handler has panicked");
            }
        } else {
            self.shared.abandon();
            tracing::warn!(
                "the consumer did not stop within {} s; left to end by itself",
                STOP_WAIT_MAX.as_secs()
            );
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

/// What can be asked of a running consumer. All of it is carried out on its thread, in order, within 50 ms unless the handler blocks;
/// what comes after the end is ignored. Errors come to [`ConsumerHandler::failed`].
#[derive(Clone)]
pub struct ConsumerControl {
    sender: Sender<Command>,
}

impl ConsumerControl {
    /// Stops fetching these partitions; what was fetched ahead is thrown away and fetched again on resume. Twice is once.
    pub fn pause(&self, partitions: Vec<TopicPartition>) {
        self.give(Command::Pause(partitions));
    }

    /// Goes on with these partitions after the last record that was handed over. One that isn't paused goes on as it is.
    pub fn resume(&self, partitions: Vec<TopicPartition>) {
        self.give(Command::Resume(partitions));
    }

    /// Goes on with this partition at the given offset, under a new generation. No record that was fetched before carries it.
    pub fn seek(&self, partition: TopicPartition, offset: i64, generation: u64) {
        self.give(Command::Seek {
            partition,
            offset,
            generation,
        });
    }

    /// Commits, for each partition, the offset of the next record to be read. What isn't assigned (any more) is left out, for its new
    /// owner may be further on. Waits for [`ConsumerOptions::commit_pacing`], but no longer than the partition is assigned.
    pub fn commit(&self, offsets: Vec<(TopicPartition, i64)>) {
        self.give(Command::Commit(offsets));
    }

    fn give(&self, command: Command) {
        // The consumer has ended, and with it whatever the command was about.
        let _ = self.sender.send(command);
    }
}

impl fmt::Debug for ConsumerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerControl").finish_non_exhaustive()
    }
}

/// A thread can't be joined with a limit of time, so it signals its end.
#[derive(Default)]
struct Ended {
    ended: Mutex<bool>,
    signal: Condvar,
}

impl Ended {
    fn wait(&self, timeout: Duration) -> bool {
        let (ended, _) = self
            .signal
            .wait_timeout_while(lock(&self.ended), timeout, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

struct EndedOnDrop(Arc<Ended>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        *lock(&self.0.ended) = true;
        self.0.signal.notify_all();
    }
}

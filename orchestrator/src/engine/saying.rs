//! The thread that hands records to the producer, batch by batch, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use backstitch_broker::{BatchDone, BrokerError, KafkaConfig, OutgoingRecord, Producer};

use super::machine::{BatchId, Input};
use super::turning::Event;

/// How long a rebuilt producer waits after the one before it ended.
const REBUILD_WAIT: Duration = Duration::from_millis(200);

/// How long the last records may take to be acknowledged when all is over.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

enum Word {
    Batch(BatchId, Vec<OutgoingRecord>),
    Rebuild,
}

/// Where batches of records go.
#[derive(Debug)]
pub(super) struct Saying {
    words: Option<Sender<Word>>,
    requests: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Saying {
    /// Makes the producer and starts the thread.
    pub(super) fn start(config: &KafkaConfig, events: &Sender<Event>) -> Result<Self, BrokerError> {
        let (words, heard) = channel();
        let first = producer(config, events, 0)?;
        let (config, events) = (config.clone(), events.clone());
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || say(&heard, first, &config, &events, &counted))
            .map_err(|error| BrokerError::Fatal {
                reason: format!("cannot start a thread: {error}"),
            })?;
        Ok(Self {
            words: Some(words),
            requests,
            thread: Some(thread),
        })
    }

    /// Produce requests so far; behind by up to a second.
    pub(super) fn request_count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.requests)
    }

    pub(super) fn batch(&self, id: BatchId, records: Vec<OutgoingRecord>) {
        if let Some(words) = &self.words {
            // The thread ends only with this handle.
            let _ = words.send(Word::Batch(id, records));
        }
    }

    /// Puts a new producer in the place of one that has ended.
    pub(super) fn rebuild(&self) {
        if let Some(words) = &self.words {
            let _ = words.send(Word::Rebuild);
        }
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        self.words = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the publishing thread has panicked");
        }
    }
}

/// Numbers producers, so that the end of an old one is not taken for that of the new one.
fn producer(
    config: &KafkaConfig,
    events: &Sender<Event>,
    number: u64,
) -> Result<Producer, BrokerError> {
    let events = events.clone();
    Producer::new(config, move |done: BatchDone| {
        let id = BatchId(done.batch_id);
        let event = match done.result {
            Ok(()) => Event::Input(Input::Published(id)),
            Err(error) if !error.fatal && error.failed_count == error.refused.len() => {
                tracing::error!(%error, "records were refused by this client and did not leave");
                Event::Input(Input::Published(id))
            }
            Err(error) => {
                tracing::error!(%error, "records were not delivered; they are published again");
                Event::ProducerEnded(number)
            }
        };
        // Nobody listens any more when the process ends.
        let _ = events.send(event);
    })
}

fn say(
    heard: &Receiver<Word>,
    first: Producer,
    config: &KafkaConfig,
    events: &Sender<Event>,
    requests: &AtomicU64,
) {
    let mut producer_now = first;
    let mut number = 0;
    // Of the producers before this one.
    let mut earlier = 0;
    while let Ok(word) = heard.recv() {
        match word {
            Word::Batch(id, records) => {
                requests.store(
                    earlier + producer_now.produce_request_count(),
                    Ordering::Relaxed,
                );
                if let Err(error) = producer_now.send(id.0, records) {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot publish");
                    let _ = events.send(Event::ProducerEnded(number));
                }
            }
            Word::Rebuild => {
                std::thread::sleep(REBUILD_WAIT);
                match producer(config, events, number + 1) {
                    Ok(next) => {
                        number += 1;
                        earlier += producer_now.produce_request_count();
                        producer_now = next;
                        let _ = events.send(Event::ProducerRebuilt(number));
                    }
                    Err(error) => {
                        let _ = events.send(Event::Failed(error.to_string()));
                    }
                }
            }
        }
    }
    if let Err(error) = producer_now.flush(FLUSH_WAIT_MAX) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the last records were not acknowledged; the next owner publishes them again"
        );
    }
}

//! Keeps a consumer running: when one has ended for good, another one joins in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use backstitch_broker::BrokerError;

/// How long it waits before it starts another one.
const WAIT: Duration = Duration::from_millis(500);

/// How often it looks whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Something that is kept running. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Kept {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Runs what `start` gives until that says, by the sender it was given, that it has ended; then
/// tells `ended` and starts it again.
pub(super) fn keep<T>(
    name: &'static str,
    mut start: impl FnMut(Sender<String>) -> Result<T, BrokerError> + Send + 'static,
    mut ended: impl FnMut() + Send + 'static,
) -> std::io::Result<Kept> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let is_stopped = move || stopped.load(Ordering::Relaxed);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            while !is_stopped() {
                let (ends, has_ended) = channel();
                match start(ends) {
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "the {name} cannot start; it is tried again");
                    }
                    Ok(running) => {
                        while !is_stopped() {
                            match has_ended.recv_timeout(LOOK_EVERY) {
                                Err(RecvTimeoutError::Timeout) => {}
                                Ok(reason) => {
                                    tracing::warn!(reason, "the {name} starts again");
                                    break;
                                }
                                // Its thread has panicked, and has logged so.
                                Err(RecvTimeoutError::Disconnected) => break,
                            }
                        }
                        drop(running);
                        if !is_stopped() {
                            ended();
                        }
                    }
                }
                if !is_stopped() {
                    std::thread::sleep(WAIT);
                }
            }
        })?;
    Ok(Kept {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread that keeps a consumer running has panicked");
        }
    }
}

//! One connection: requests in, answers out, in order.
//!
//! One thread reads and answers. As long as a client sends one request at a time, it waits for its commits too, or makes them. With the first
//! request that comes before the one ahead of it is answered, a second thread starts that waits for commits and
//! writes the answers, so that requests which follow on the same connection share the next commit.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::BytesMut;

use super::broker::Broker;
use super::error::{Foreign, RequestError};
use super::frame::Frames;
use super::lent::bytes_held;
use super::memory::{Held, Memory};
use super::outlet::Outlet;
use super::protocol::{Later, Reply, answer, refusal};
use super::waker::Waker;

/// Requests of one connection that may wait for their commit; librdkafka sends up to a million, Java five.
const ANSWERS_WAITING_MAX: usize = 64;
/// Bytes of memory of answers that may wait to be written to one connection; a larger one waits alone.
const ANSWERS_WAITING_BYTES_MAX: usize = 4 << 20;
/// Requests that are not waited for by the thread that reads, after one that came before the one ahead of it was answered.
const READ_ON_FOR: u32 = 4;
/// Bytes of answers that are written together, with the one that goes beyond.
const ANSWERS_TOGETHER_BYTES: usize = 16 << 10;
/// How long a connection that is refused has for its first request.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of that request that are read.
const REFUSAL_READ_MAX: usize = 4 << 10;
/// Stack of a connection's threads. Requests nest a handful of levels deep.
pub(crate) const STACK_BYTES: usize = 512 << 10;
/// What a browser is told.
const NO_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks Kafka's protocol, not HTTP: use a client of Kafka.\n";

/// Serves a connection until it ends.
pub(crate) fn serve(
    broker: &Arc<Broker>,
    stream: &Arc<TcpStream>,
    waker: &Arc<Waker>,
) -> Result<(), RequestError> {
    // Each is for one read or one write: a client that does either now and then is not idle.
    let idle_max = broker.config.idle_max;
    stream.set_read_timeout(Some(idle_max))?;
    stream.set_write_timeout(Some(idle_max))?;
    let host = stream.peer_addr()?.ip().to_string();
    let mut frames = Frames::new(broker, stream);
    let mut output = Output {
        outlet: Outlet::new(stream, idle_max, &broker.readers.segments)?,
        answers: None,
        read_on_for: 0,
    };
    let result = loop {
        let frame = match frames.next() {
            Ok(frame) => frame,
            Err(error) => break Err(error),
        };
        let sent =
            answer(broker, &host, waker, frame).and_then(|reply| output.send(reply, &frames));
        if let Err(error) = sent {
            break Err(error);
        }
    };
    if matches!(result, Err(RequestError::Foreign(Foreign::Http))) {
        // A courtesy: whoever does not take it is gone.
        let _ = output.send(Reply::Now(BytesMut::from(NO_HTTP)), &frames);
    }
    output.finish();
    result
}

/// Tells a connection for which there is no room that this is so, in the answer to its first request, and ends.
///
/// Clients ask for versions first. One that asks for anything else is closed without a word, which is all that the
/// protocol leaves.
pub(crate) fn refuse(mut stream: &TcpStream) -> Result<(), RequestError> {
    stream.set_read_timeout(Some(REFUSAL_WAIT_MAX))?;
    stream.set_write_timeout(Some(REFUSAL_WAIT_MAX))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let mut frame = vec![0; length.min(REFUSAL_READ_MAX)];
    stream.read_exact(&mut frame)?;
    if let Some(answer) = refusal(&frame)? {
        stream.write_all(&answer)?;
    }
    Ok(stream.shutdown(Shutdown::Both)?)
}

/// Where answers go.
struct Output {
    outlet: Outlet,
    /// The second thread, once there is one.
    answers: Option<Answers>,
    /// How many of the next answers that come with a commit are not waited for here.
    read_on_for: u32,
}

/// What the second thread writes, in order.
struct Answers {
    queue: SyncSender<Waiting>,
    /// What waits in the queue holds of it.
    memory: Arc<Memory>,
    /// How many were handed over …
    sent: u64,
    /// … and are written. When the thread has failed, these never meet again: nobody else writes behind what it has left.
    written: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

struct Waiting {
    reply: Reply,
    _held: Option<Held>,
}

impl Output {
    fn send(&mut self, reply: Reply, frames: &Frames<'_>) -> Result<(), RequestError> {
        let is_next = self.answers.as_ref().is_none_or(Answers::is_done);
        match reply {
            Reply::None => Ok(()),
            Reply::Now(bytes) if is_next => self.outlet.write(&bytes),
            Reply::Pieces(pieces, _held) if is_next => self.outlet.write_pieces(&pieces),
            Reply::Later(later) => self.send_later(later, is_next, frames),
            reply @ (Reply::Now(_) | Reply::Pieces(..)) => self.answers()?.send(reply),
        }
    }

    fn send_later(
        &mut self,
        mut later: Box<dyn Later>,
        is_next: bool,
        frames: &Frames<'_>,
    ) -> Result<(), RequestError> {
        if !is_next || frames.has_more() {
            self.read_on_for = READ_ON_FOR;
        }
        if self.read_on_for > 0 {
            self.read_on_for -= 1;
            later.call();
            return self.answers()?.send(Reply::Later(later));
        }
        let bytes = later.wait()?;
        if frames.has_more() {
            self.read_on_for = READ_ON_FOR;
        }
        self.outlet.write(&bytes)
    }

    fn answers(&mut self) -> Result<&mut Answers, RequestError> {
        let answers = match self.answers.take() {
            Some(answers) => answers,
            None => Answers::start(&self.outlet)?,
        };
        Ok(self.answers.insert(answers))
    }

    /// Sends what is still to come and ends the second thread.
    fn finish(&mut self) {
        if let Some(Answers { queue, writer, .. }) = self.answers.take() {
            drop(queue);
            // A panic there was reported by its thread.
            let _ = writer.join();
        }
    }
}

impl Answers {
    fn start(outlet: &Outlet) -> Result<Answers, RequestError> {
        let (queue, waiting) = sync_channel(ANSWERS_WAITING_MAX);
        let memory = Arc::new(Memory::new(ANSWERS_WAITING_BYTES_MAX));
        let outlet = outlet.clone();
        let end = End {
            stream: Arc::clone(outlet.stream()),
            memory: Arc::clone(&memory),
        };
        let written = Arc::<AtomicU64>::default();
        let count = Arc::clone(&written);
        let writer = thread::Builder::new()
            .name("kafka-answers".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _end = end;
                write_answers(&outlet, &waiting, &count);
            })
            .map_err(|source| RequestError::Thread { source })?;
        Ok(Answers {
            queue,
            memory,
            sent: 0,
            written,
            writer,
        })
    }

    /// Whether all that was handed over is written: what comes next may be written by anybody.
    fn is_done(&self) -> bool {
        self.written.load(Ordering::Acquire) == self.sent
    }

    fn send(&mut self, reply: Reply) -> Result<(), RequestError> {
        let ended = || RequestError::Closed(io::ErrorKind::BrokenPipe.into());
        let bytes = match &reply {
            Reply::Now(bytes) => Some(bytes.len()),
            Reply::Pieces(pieces, _) => Some(bytes_held(&[pieces])),
            Reply::Later(_) | Reply::None => None,
        };
        let _held = match bytes {
            Some(bytes) => Some(self.memory.hold(bytes).ok_or_else(ended)?.0),
            None => None,
        };
        self.queue
            .send(Waiting { reply, _held })
            .map_err(|_| ended())?;
        self.sent += 1;
        Ok(())
    }
}

/// Ends the reading side with the thread that writes, however that ends.
struct End {
    stream: Arc<TcpStream>,
    memory: Arc<Memory>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.memory.close();
        // An error means that it has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn write_answers(outlet: &Outlet, waiting: &Receiver<Waiting>, written: &AtomicU64) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
        match write_answer(outlet, first, waiting) {
            Ok((count, behind)) => {
                written.fetch_add(count, Ordering::Release);
                next = behind;
            }
            Err(error) => {
                if !matches!(error, RequestError::Closed(_)) {
                    tracing::error!(%error, peer = ?outlet.stream().peer_addr().ok(), "embedded broker: an answer cannot be given");
                }
                return;
            }
        }
    }
}

/// Waits for an answer and writes it. Those that came with the same commit leave with it: one write here, one waking up
/// there. Returns how many were written, and the one that comes next, if it was looked at.
fn write_answer(
    outlet: &Outlet,
    first: Waiting,
    waiting: &Receiver<Waiting>,
) -> Result<(u64, Option<Waiting>), RequestError> {
    let Waiting { reply, _held } = first;
    let mut bytes = match reply {
        Reply::Now(bytes) => return outlet.write(&bytes).map(|()| (1, None)),
        Reply::Pieces(pieces, _held) => {
            return outlet.write_pieces(&pieces).map(|()| (1, None));
        }
        Reply::Later(later) => later.wait()?,
        Reply::None => return Ok((1, None)),
    };
    let (mut count, mut behind) = (1, None);
    while bytes.len() < ANSWERS_TOGETHER_BYTES
        && let Ok(mut next) = waiting.try_recv()
    {
        let is_there = if let Reply::Later(later) = &mut next.reply {
            later.is_there()
        } else {
            false
        };
        let more = match next.reply {
            Reply::Later(later) if is_there => later.wait(),
            reply @ (Reply::Now(_) | Reply::Pieces(..) | Reply::Later(_) | Reply::None) => {
                next.reply = reply;
                behind = Some(next);
                break;
            }
        };
        match more {
            Ok(more) => {
                bytes.extend_from_slice(&more);
                count += 1;
            }
            Err(error) => {
                outlet.write(&bytes)?;
                return Err(error);
            }
        }
    }
    outlet.write(&bytes).map(|()| (count, behind))
}

//! One connection: requests in, answers out, in order.
//!
//! One thread reads and answers. With the first produce request a second one starts that waits for commits and
//! writes the answers, so that requests which follow on the same connection share the next commit.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::broker::Broker;
use super::error::RequestError;
use super::frame::Frames;
use super::protocol::{Reply, answer, refusal};
use super::waker::Waker;

/// Requests of one connection that may wait for their commit; librdkafka sends up to a million, Java five.
const ANSWERS_WAITING_MAX: usize = 64;
/// Bytes read at once.
const READ_BUFFER: usize = 64 << 10;
/// How long a connection that is refused has for its first request.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of that request that are read.
const REFUSAL_READ_MAX: usize = 4 << 10;
/// Stack of a connection's threads. Requests nest a handful of levels deep.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Serves a connection until it ends.
pub(crate) fn serve(
    broker: &Arc<Broker>,
    stream: TcpStream,
    waker: &Arc<Waker>,
) -> Result<(), RequestError> {
    stream.set_nodelay(true)?;
    let host = stream.peer_addr()?.ip().to_string();
    let mut frames = Frames::new(broker, stream.try_clone()?, READ_BUFFER);
    let mut output = Output::Direct(stream);
    let result = loop {
        let frame = match frames.next() {
            Ok(frame) => frame,
            Err(error) => break Err(error),
        };
        let sent = answer(broker, &host, waker, frame).and_then(|reply| output.send(reply));
        if let Err(error) = sent {
            break Err(error);
        }
    };
    output.finish();
    result
}

/// Tells a connection for which there is no room that this is so, in the answer to its first request, and ends.
///
/// Clients ask for versions first. One that asks for anything else is closed without a word, which is all that the
/// protocol leaves.
pub(crate) fn refuse(mut stream: TcpStream) -> Result<(), RequestError> {
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
enum Output {
    Direct(TcpStream),
    Queued {
        queue: SyncSender<Reply>,
        writer: JoinHandle<()>,
    },
    Gone,
}

impl Output {
    fn send(&mut self, reply: Reply) -> Result<(), RequestError> {
        if let (Output::Direct(stream), Reply::Later(_)) = (&*self, &reply) {
            let stream = stream.try_clone()?;
            let (queue, waiting) = sync_channel(ANSWERS_WAITING_MAX);
            let writer = thread::Builder::new()
                .name("kafka-answers".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || write_answers(stream, &waiting))?;
            *self = Output::Queued { queue, writer };
        }
        match (self, reply) {
            (Output::Direct(stream), Reply::Now(bytes) | Reply::Held(bytes, _)) => {
                Ok(stream.write_all(&bytes)?)
            }
            (
                Output::Queued { queue, .. },
                reply @ (Reply::Now(_) | Reply::Held(..) | Reply::Later(_)),
            ) => queue
                .send(reply)
                .map_err(|_| RequestError::Closed(io::ErrorKind::BrokenPipe.into())),
            (Output::Gone, _) | (_, Reply::None) => Ok(()),
            (Output::Direct(_), Reply::Later(_)) => unreachable!("turned into a queue above"),
        }
    }

    /// Sends what is still to come and ends the second thread.
    fn finish(&mut self) {
        if let Output::Queued { queue, writer } = std::mem::replace(self, Output::Gone) {
            drop(queue);
            // A panic there was reported by its thread.
            let _ = writer.join();
        }
    }
}

fn write_answers(mut stream: TcpStream, waiting: &Receiver<Reply>) {
    for reply in waiting {
        let mut _held = None;
        let bytes = match reply {
            Reply::Now(bytes) => Ok(bytes),
            Reply::Held(bytes, held) => {
                _held = Some(held);
                Ok(bytes)
            }
            Reply::Later(wait) => wait(),
            Reply::None => continue,
        };
        let written = bytes.and_then(|bytes| Ok(stream.write_all(&bytes)?));
        match written {
            Ok(()) => {}
            Err(error) => {
                if !matches!(error, RequestError::Closed(_)) {
                    tracing::error!(%error, "embedded broker: an answer cannot be given");
                }
                break;
            }
        }
    }
    // Ends the reading side too; an error means that it has ended already.
    let _ = stream.shutdown(Shutdown::Both);
}

//! One connection: frames in, answers out, in order.
//!
//! One thread reads and answers. With the first produce request a second one starts that waits for commits and
//! writes the answers, so that requests which follow on the same connection share the next commit.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use bytes::{Bytes, BytesMut};

use super::broker::Broker;
use super::error::RequestError;
use super::protocol::{Reply, answer};
use super::waker::Waker;

/// Requests of one connection that may wait for their commit; librdkafka sends up to a million, Java five.
const ANSWERS_WAITING_MAX: usize = 64;
/// Bytes read at once.
const READ_BUFFER: usize = 64 << 10;
/// A frame's memory grows with what has arrived, by at most this, whatever its length field says.
const FRAME_STEP: usize = 1 << 20;
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
    let mut reader = BufReader::with_capacity(READ_BUFFER, stream.try_clone()?);
    let mut output = Output::Direct(stream);
    let result = loop {
        let frame = match read_frame(&mut reader, broker.config.request_bytes_max) {
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

fn read_frame(reader: &mut impl Read, limit: usize) -> Result<Bytes, RequestError> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(RequestError::TooLarge {
            bytes: length,
            limit,
        });
    }
    let mut frame = BytesMut::new();
    while frame.len() < length {
        let from = frame.len();
        frame.resize((from + FRAME_STEP).min(length), 0);
        reader.read_exact(&mut frame[from..])?;
    }
    Ok(frame.freeze())
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
            (Output::Direct(stream), Reply::Now(bytes)) => Ok(stream.write_all(&bytes)?),
            (Output::Queued { queue, .. }, reply @ (Reply::Now(_) | Reply::Later(_))) => queue
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
        let bytes = match reply {
            Reply::Now(bytes) => Ok(bytes),
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
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

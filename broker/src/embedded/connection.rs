//! One connection: requests in, answers out, in order.
//!
//! One thread reads and answers. What comes with a commit it waits for, or commits itself (see `writer`); before that it takes the
//! requests of the same kind that have come meanwhile, so that they share the commit. Kafka has one request of a connection
//! under way at a time, too.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;

use super::broker::Broker;
use super::error::{Foreign, RequestError};
use super::frame::{Frame, Frames};
use super::outlet::Outlet;
use super::protocol::{Later, Reply, answer, refusal};
use super::waker::Waker;

/// Requests of one connection that are answered together, at most; librdkafka sends up to a million at once, Java five.
const TOGETHER_MAX: usize = 64;
/// Bytes of them, with the one that goes beyond.
const TOGETHER_BYTES: usize = 2 << 20;
/// How long a connection that is refused has for its first request.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of that request that are read.
const REFUSAL_READ_MAX: usize = 4 << 10;
/// Stack of a connection's thread. Requests nest a handful of levels deep, commits some more.
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
    let mut service = Service {
        broker,
        host: stream.peer_addr()?.ip().to_string(),
        waker,
        frames: Frames::new(broker, stream),
        outlet: Outlet::new(stream, idle_max, &broker.readers.segments)?,
        waiting: Vec::new(),
    };
    loop {
        let served = service.serve_next();
        // Those before an error have their answers all the same.
        let written = service.write_waiting();
        if let Err(error) = served.and(written) {
            if matches!(error, RequestError::Foreign(Foreign::Http)) {
                // A courtesy: whoever does not take it is gone.
                let _ = service.outlet.write(NO_HTTP);
            }
            return Err(error);
        }
    }
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

/// What a connection is served with.
struct Service<'a> {
    broker: &'a Arc<Broker>,
    /// The address it comes from.
    host: String,
    waker: &'a Arc<Waker>,
    frames: Frames<'a>,
    outlet: Outlet,
    /// Answers that come with a commit, in the order of their requests.
    waiting: Vec<Box<dyn Later>>,
}

impl Service<'_> {
    /// Serves the next request, and those behind it that can share its commit.
    fn serve_next(&mut self) -> Result<(), RequestError> {
        let mut next = Some(self.frames.next()?);
        let (mut count, mut bytes) = (0, 0);
        while let Some(frame) = next.take() {
            count += 1;
            bytes += frame.bytes.len();
            self.serve(frame)?;
            if !self.waiting.is_empty() && count < TOGETHER_MAX && bytes < TOGETHER_BYTES {
                next = self.frames.next_at_once(ApiKey::Produce)?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, frame: Frame) -> Result<(), RequestError> {
        let reply = answer(self.broker, &self.host, self.waker, frame)?;
        if matches!(reply, Reply::Now(_) | Reply::Pieces(..)) {
            self.write_waiting()?;
        }
        match reply {
            Reply::None => {}
            Reply::Later(later) => self.waiting.push(later),
            Reply::Now(bytes) => self.outlet.write(&bytes)?,
            Reply::Pieces(pieces, _held) => self.outlet.write_pieces(&pieces)?,
        }
        Ok(())
    }

    /// Waits for all commits and writes their answers: one write here, one waking up there. A client that reads nothing keeps back no
    /// change of its own.
    fn write_waiting(&mut self) -> Result<(), RequestError> {
        let mut answers = BytesMut::new();
        let mut waited = Ok(());
        for later in self.waiting.drain(..) {
            waited = later.wait().map(|answer| answers.unsplit(answer));
            if waited.is_err() {
                break;
            }
        }
        self.outlet.write(&answers)?;
        waited
    }
}

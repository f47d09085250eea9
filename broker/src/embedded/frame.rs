//! Requests as they come off the wire, each with the memory that it holds.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use kafka_protocol::messages::ApiKey;

use super::broker::Broker;
use super::error::{Foreign, RequestError};
use super::memory::{Held, Room};

/// What is held of a frame grows with what has arrived, whatever its length field says: from this much …
const STEP_FIRST: usize = 64 << 10;
/// … by at most this. Room for as much is taken at once, and more by doubling it: what was not written to is no memory yet, and
/// requests up to this size are not copied on their way.
const STEP_MAX: usize = 1 << 20;
/// Bytes read at once, where it is not known how many there are: a length field and the first step.
const READ_BUFFER: usize = 4 + STEP_FIRST;
/// A request that was begun has this long to arrive, and a second more for each [`STEP_MAX`] that has arrived: it holds
/// memory that others wait for.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);
/// How long the head of a request that is too large is waited for, which only tells whose it was.
const HEAD_WITHIN: Duration = Duration::from_secs(1);

/// The requests of one connection.
pub(crate) struct Frames<'a> {
    broker: &'a Arc<Broker>,
    stream: &'a TcpStream,
    reader: BufReader<&'a TcpStream>,
}

/// A request's bytes, and the memory that is held for them until it is answered.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) held: Held,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(broker: &'a Arc<Broker>, stream: &'a TcpStream) -> Frames<'a> {
        Frames {
            broker,
            stream,
            reader: BufReader::with_capacity(READ_BUFFER, stream),
        }
    }

    /// Waits for the next request, as long as a connection may be idle; once begun it has to arrive.
    pub(crate) fn next(&mut self) -> Result<Frame, RequestError> {
        let length = self.length()?;
        let limit = self.broker.config.request_bytes_max;
        let claimed = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if claimed > limit {
            if let Some(foreign) = Foreign::known_by(length) {
                return Err(RequestError::Foreign(foreign));
            }
            // The head may still come, or not: what has come says whose the request was.
            self.stream.set_read_timeout(Some(HEAD_WITHIN))?;
            return Err(RequestError::TooLarge {
                what: named(self.reader.fill_buf().unwrap_or_default()),
                bytes: claimed,
                limit,
            });
        }
        let first = claimed.min(STEP_FIRST);
        let (mut held, room) = self
            .broker
            .requests
            .hold(first)
            .ok_or(RequestError::Stopping)?;
        self.tell(room);
        let bytes = self.body(claimed, &mut held)?;
        Ok(Frame { bytes, held })
    }

    /// The next request, if it asks for this, has come whole, and there is memory for it: nothing is waited for.
    pub(crate) fn next_at_once(&mut self, api: ApiKey) -> Result<Option<Frame>, RequestError> {
        if self.reader.buffer().is_empty() && came(self.stream)? > 0 {
            self.reader.fill_buf()?;
        }
        let buffered = self.reader.buffer();
        let Some((&[l0, l1, l2, l3, a0, a1], _)) = buffered.split_first_chunk::<6>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let is_asked = i16::from_be_bytes([a0, a1]) == api as i16;
        if !is_asked || length > self.broker.config.request_bytes_max {
            return Ok(None);
        }
        let missing = (4 + length).saturating_sub(buffered.len());
        if missing > 0 && came(self.stream)? < missing as u64 {
            return Ok(None);
        }
        let Some(held) = self.broker.requests.hold_at_once(length) else {
            return Ok(None);
        };
        self.reader.consume(4);
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if !self.take_what_came(length - bytes.len(), &mut bytes)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(Some(Frame { bytes, held }))
    }

    /// The length field of the next request.
    fn length(&mut self) -> Result<[u8; 4], RequestError> {
        let mut length = [0; 4];
        if let Some((head, _)) = self.reader.buffer().split_first_chunk::<4>() {
            length = *head;
            self.reader.consume(4);
            return Ok(length);
        }
        let idle_max = self.broker.config.idle_max;
        self.reader.read_exact(&mut length).map_err(|error| {
            if is_timeout(&error) {
                RequestError::Idle { after: idle_max }
            } else {
                error.into()
            }
        })?;
        Ok(length)
    }

    fn tell(&self, room: Room) {
        if let Room::AfterWaiting { times } = room
            && times.is_power_of_two()
        {
            tracing::warn!(
                requests_bytes_max = self.broker.config.requests_bytes_max,
                times,
                "embedded broker: a request waited for the memory of others; send less at once, or raise requests_bytes_max"
            );
        }
    }

    fn body(&mut self, length: usize, held: &mut Held) -> Result<Vec<u8>, RequestError> {
        let mut bytes = Vec::new();
        if length <= self.reader.buffer().len() {
            bytes.extend_from_slice(&self.reader.buffer()[..length]);
            self.reader.consume(length);
            return Ok(bytes);
        }
        let begun = Instant::now();
        let result = self.read_from(begun, length, &mut bytes, held);
        self.stream
            .set_read_timeout(Some(self.broker.config.idle_max))?;
        result.map(|()| bytes)
    }

    fn read_from(
        &mut self,
        begun: Instant,
        length: usize,
        bytes: &mut Vec<u8>,
        held: &mut Held,
    ) -> Result<(), RequestError> {
        // The first step is held since the request was begun.
        let mut held_to = length.min(STEP_FIRST);
        while bytes.len() < length {
            if bytes.len() == held_to {
                let step = (3 * held_to).min(STEP_MAX).min(length - held_to);
                let room = held.grow(step).ok_or(RequestError::Stopping)?;
                self.tell(room);
                held_to += step;
            }
            if bytes.len() == bytes.capacity() {
                // In the end it has no more room than it has bytes: records may stay where they are.
                bytes.reserve_exact(bytes.len().max(STEP_MAX).min(length - bytes.len()));
            }
            let most = (held_to - bytes.len()).min(bytes.capacity() - bytes.len());
            if self.take_what_came(most, bytes)? {
                continue;
            }
            let patience = ARRIVES_WITHIN + Duration::from_secs((bytes.len() / STEP_MAX) as u64);
            let left = patience.saturating_sub(begun.elapsed());
            let too_slow = RequestError::TooSlow {
                bytes: length,
                arrived: bytes.len(),
                after: patience,
            };
            if left.is_zero() {
                return Err(too_slow);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.reader.fill_buf() {
                Ok([]) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(too_slow),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes up to so many bytes that have come, without waiting for more. Returns whether there were any.
    fn take_what_came(&mut self, most: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let buffered = self.reader.buffer();
        if !buffered.is_empty() {
            let taken = most.min(buffered.len());
            bytes.extend_from_slice(&buffered[..taken]);
            self.reader.consume(taken);
            return Ok(true);
        }
        // Straight to where they are to be.
        let taken = came(self.stream)?.min(most as u64);
        Ok(taken > 0 && self.stream.take(taken).read_to_end(bytes)? > 0)
    }
}

/// How many bytes a socket has that were not read yet.
#[cfg(target_os = "linux")]
fn came(stream: &TcpStream) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(stream)?)
}

/// Elsewhere it is not known.
#[cfg(not(target_os = "linux"))]
fn came(_: &TcpStream) -> io::Result<u64> {
    Ok(0)
}

/// Whether a read or a write of a socket ended because its time was over.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Names a request by its first bytes.
fn named(head: &[u8]) -> String {
    let name = || -> Option<String> {
        let (header, mut rest) = head.split_first_chunk::<8>()?;
        let api = ApiKey::try_from(i16::from_be_bytes([header[0], header[1]])).ok()?;
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let client = String::from_utf8_lossy(rest.get(..length)?);
        Some(format!("a {api:?} request of client {client:?}"))
    };
    name().unwrap_or_else(|| "a request (if it is one)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_its_head_and_other_bytes_are_not() {
        let head = [0, 0, 0, 9, 0, 0, 0, 7, 0, 3, b'a', b'p', b'p', 0];
        assert_eq!(named(&head), "a Produce request of client \"app\"");
        for length in 0..13 {
            assert_eq!(named(&head[..length]), "a request (if it is one)");
        }
        assert_eq!(named(b" / HTTP/1.1\r\n"), "a request (if it is one)");
    }
}

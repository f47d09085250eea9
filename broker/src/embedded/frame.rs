//! Requests as they come off the wire, each with the memory that it holds.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

use super::broker::Broker;
use super::error::RequestError;
use super::memory::{Held, Room};

/// A frame's memory grows with what has arrived, by at most this, whatever its length field says.
const STEP: usize = 1 << 20;
/// A request that was begun has this long to arrive, and a second more for each [`STEP`] of its length: it holds memory
/// that others wait for.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// The requests of one connection.
pub(crate) struct Frames<'a> {
    broker: &'a Arc<Broker>,
    reader: BufReader<TcpStream>,
}

/// A request's bytes. The memory is given back with the last of what was cut out of them.
struct Frame {
    bytes: BytesMut,
    _held: Held,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Frames<'a> {
    pub(crate) fn new(broker: &'a Arc<Broker>, stream: TcpStream, buffer: usize) -> Frames<'a> {
        Frames {
            broker,
            reader: BufReader::with_capacity(buffer, stream),
        }
    }

    /// Waits for the next request, for as long as its client likes; once begun it has to arrive.
    pub(crate) fn next(&mut self) -> Result<Bytes, RequestError> {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let limit = self.broker.config.request_bytes_max;
        if length > limit {
            return Err(RequestError::TooLarge {
                what: named(self.reader.fill_buf().unwrap_or_default()),
                bytes: length,
                limit,
            });
        }
        let (held, room) = self
            .broker
            .requests
            .hold(length)
            .ok_or(RequestError::Stopping)?;
        if let Room::AfterWaiting { times } = room
            && times.is_power_of_two()
        {
            tracing::warn!(
                requests_bytes_max = self.broker.config.requests_bytes_max,
                times,
                "embedded broker: a request waited for the memory of others; send less at once, or raise requests_bytes_max"
            );
        }
        let bytes = self.body(length)?;
        Ok(Bytes::from_owner(Frame { bytes, _held: held }))
    }

    fn body(&mut self, length: usize) -> Result<BytesMut, RequestError> {
        let mut bytes = BytesMut::new();
        if length <= self.reader.buffer().len() {
            bytes.extend_from_slice(&self.reader.buffer()[..length]);
            self.reader.consume(length);
            return Ok(bytes);
        }
        let patience = ARRIVES_WITHIN + Duration::from_secs((length / STEP) as u64);
        let deadline = Instant::now() + patience;
        let result = self.read_until(deadline, length, &mut bytes);
        self.reader.get_ref().set_read_timeout(None)?;
        match result {
            Ok(()) => Ok(bytes),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Err(RequestError::TooSlow {
                    bytes: length,
                    after: patience,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_until(
        &mut self,
        deadline: Instant,
        length: usize,
        bytes: &mut BytesMut,
    ) -> io::Result<()> {
        let mut filled = 0;
        while filled < length {
            if filled == bytes.len() {
                bytes.resize((filled + STEP).min(length), 0);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
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

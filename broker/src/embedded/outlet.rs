//! The writing side of a connection.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::error::RequestError;
use super::frame::is_timeout;
use super::lent::{self, Piece, Sink};
use super::segments::Segments;
use super::vectored::write_pieces_to;

/// Bytes that the system takes ahead of the reader. With as much as it would take by itself, a large answer would be out of the
/// processor's caches before its reader comes to it.
#[cfg(target_os = "linux")]
const SEND_BUFFER: usize = 128 << 10;

/// Writes answers.
pub(crate) struct Outlet {
    stream: Arc<TcpStream>,
    idle_max: Duration,
    segments: Arc<Segments>,
}

impl Outlet {
    /// `idle_max`: what the stream has as the time that one write may take.
    pub(crate) fn new(
        stream: &Arc<TcpStream>,
        idle_max: Duration,
        segments: &Arc<Segments>,
    ) -> io::Result<Outlet> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
        Ok(Outlet {
            stream: Arc::clone(stream),
            idle_max,
            segments: Arc::clone(segments),
        })
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), RequestError> {
        let written = (&*self.stream).write_all(bytes);
        written.map_err(|error| self.unwritten(error))
    }

    pub(crate) fn write_pieces(&self, pieces: &[Piece]) -> Result<(), RequestError> {
        lent::write_answer(pieces, &self.segments, self)
    }

    fn unwritten(&self, error: io::Error) -> RequestError {
        if is_timeout(&error) {
            RequestError::Unread {
                after: self.idle_max,
            }
        } else {
            error.into()
        }
    }
}

#[cfg(target_os = "linux")]
impl Sink for Outlet {
    fn write(&self, slices: &mut [IoSlice<'_>], more: bool) -> Result<(), RequestError> {
        let written = if more {
            write_pieces_to(Begun(&self.stream), slices)
        } else {
            write_pieces_to(&*self.stream, slices)
        };
        written.map_err(|error| self.unwritten(error))
    }

    fn send(&self, file: &File, from: u64, to: u64) -> Result<u64, RequestError> {
        use rustix::io::Errno;

        let mut at = from;
        while at < to {
            let left = usize::try_from(to - at).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(&*self.stream, file, Some(&mut at), left) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                // The reader has had its time, or has gone.
                Err(error @ (Errno::AGAIN | Errno::PIPE | Errno::CONNRESET)) => {
                    return Err(self.unwritten(error.into()));
                }
                // Not every file system has it, nor does every sandbox let it through; or the file cannot be read.
                Err(_) => break,
            }
        }
        Ok(at)
    }
}

/// A stream that is told of each write that more comes at once, so that its reader is not woken for a few bytes.
#[cfg(target_os = "linux")]
struct Begun<'a>(&'a TcpStream);

#[cfg(target_os = "linux")]
impl Write for Begun<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

        /// As many as the system takes at once.
        const SLICES_MAX: usize = 1_024;
        let slices = &slices[..slices.len().min(SLICES_MAX)];
        let none = &mut SendAncillaryBuffer::default();
        Ok(sendmsg(
            self.0,
            slices,
            none,
            SendFlags::MORE | SendFlags::NOSIGNAL,
        )?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Sink for Outlet {
    fn write(&self, slices: &mut [IoSlice<'_>], _: bool) -> Result<(), RequestError> {
        let written = write_pieces_to(&*self.stream, slices);
        written.map_err(|error| self.unwritten(error))
    }

    fn send(&self, _: &File, from: u64, _: u64) -> Result<u64, RequestError> {
        Ok(from)
    }
}

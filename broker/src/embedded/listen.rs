//! The sockets that are listened on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::error::EmbeddedError;

/// Free ports tried before giving up on one that both loopback addresses have.
const FREE_PORT_TRIES: usize = 20;

/// Listens on the address asked for and, on the same port, on the other loopback address where there is one.
pub(crate) fn listen(address: SocketAddr) -> Result<Vec<(TcpListener, SocketAddr)>, EmbeddedError> {
    let other_ip = if address.is_ipv4() {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    } else {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    };
    for last in (0..FREE_PORT_TRIES).rev() {
        let first = bind(address)?;
        let other = SocketAddr::new(other_ip, first.1.port());
        match bind(other) {
            Ok(second) => return Ok(vec![first, second]),
            Err(EmbeddedError::PortTaken { .. }) if address.port() == 0 && last > 0 => {}
            Err(error @ EmbeddedError::PortTaken { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, %other, "embedded broker: the other loopback address is not served");
                return Ok(vec![first]);
            }
        }
    }
    Err(EmbeddedError::PortTaken { address })
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), EmbeddedError> {
    TcpListener::bind(address)
        .and_then(|socket| socket.local_addr().map(|bound| (socket, bound)))
        .map_err(|source| {
            if source.kind() == io::ErrorKind::AddrInUse {
                EmbeddedError::PortTaken { address }
            } else {
                EmbeddedError::Listen { address, source }
            }
        })
}

/// Files that are left to the rest of the process: the broker's own file, readers of it, what else runs here.
const FILES_KEPT: usize = 64;
/// Connections that are served however few files may be open.
const CONNECTIONS_LEAST: usize = 16;

/// How many connections can be served of those wished for: each is an open file. Says so where it is less.
pub(crate) fn connections_possible(wished: usize) -> usize {
    let Some(files_max) = open_files_max() else {
        return wished;
    };
    let possible = within(wished, files_max);
    if possible < wished {
        tracing::warn!(
            connections_max = wished,
            possible,
            files_max,
            "embedded broker: the limit of open files leaves room for fewer connections; raise it (ulimit -n), or lower connections_max"
        );
    }
    possible
}

fn within(wished: usize, files_max: usize) -> usize {
    let possible = files_max.saturating_sub(FILES_KEPT).max(CONNECTIONS_LEAST);
    wished.min(possible)
}

/// The number of files that this process may have open, where the system tells.
fn open_files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    // "unlimited" is no number, and no limit.
    line.split_whitespace().nth(3)?.parse().ok()
}

/// What a log line about a connection that was not accepted says of the way out.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    // EMFILE of the process, ENFILE of the machine: the same numbers on every Unix.
    match error.raw_os_error() {
        Some(24) => "raise the limit of open files (ulimit -n), or lower connections_max",
        Some(23) => "the machine has as many files open as it can: close some",
        Some(_) | None => "it is tried again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_rest_of_the_process() {
        assert_eq!(within(1_000, 1_024), 960);
        assert_eq!(within(1_000, 20_000), 1_000);
        assert_eq!(within(1_000, 32), CONNECTIONS_LEAST);
        assert_eq!(within(1, 32), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_of_this_process_is_read() {
        assert!(open_files_max().is_some_and(|files| files > 0));
    }
}

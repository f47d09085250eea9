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

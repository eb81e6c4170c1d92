//! Addresses that refuse connections, as long as this process lives: a port that is merely free soon belongs to another
//! test.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpSocket;

/// Sockets that are bound and do not listen: their ports are taken, and whoever connects is refused.
static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// Such an address, another one each time.
///
/// # Panics
/// When there is no port left.
#[must_use]
pub fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("bound");
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_refused_and_the_port_is_taken() {
        for _ in 0..50 {
            let address = nobody();
            let refused = std::net::TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            std::net::TcpListener::bind(address).expect_err("taken");
        }
    }
}

//! Where connections come from: a Unix socket, or a TCP address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// What the kernel keeps of what the peer has not read yet, in bytes; it takes twice as much. A
/// writer that has more room is woken less often.
const SOCKET_BUFFER: usize = 208 << 10;

/// A connection of either kind.
pub(super) type Stream = Either<UnixStream, TcpStream>;

/// The address of this machine that a connection over TCP has reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached(pub(super) IpAddr);

impl Reached {
    pub(super) fn by(stream: &Stream) -> Option<Self> {
        match stream {
            Either::Left(_) => None,
            Either::Right(stream) => Some(Self(stream.local_addr().ok()?.ip())),
        }
    }
}

/// A bound socket of either kind.
#[derive(Debug)]
pub(crate) enum Accepting {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Accepting {
    /// A bound Unix socket.
    pub(crate) fn unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        asynchronous(listener).map(Self::Unix)
    }

    /// Binds a TCP address, and tells which port it got.
    pub(crate) fn tcp(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok((Self::Tcp(TcpListener::from_std(listener)?), address))
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        // With the usual room, and with packets held back, it works as well.
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
                Ok(Either::Left(stream))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Either::Right(stream))
            }
        }
    }
}

/// Hands a bound Unix socket to the runtime.
pub(crate) fn asynchronous(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

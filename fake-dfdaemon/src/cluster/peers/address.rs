//! Where a host of another process serves its peers.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The upload service of a host that another process runs: another fake, or a dfdaemon.
///
/// ```
/// use fake_dfdaemon::PeerAddress;
///
/// let address: PeerAddress = "127.0.0.1:4000".parse()?;
/// assert_eq!(address.to_string(), "127.0.0.1:4000");
/// let socket: PeerAddress = "/run/fake/host-0.upload.sock".parse()?;
/// assert!(matches!(socket, PeerAddress::Socket(_)));
/// # Ok::<(), fake_dfdaemon::ParsePeerAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// A name or address, and a port.
    Tcp(String),
    /// A Unix socket.
    Socket(PathBuf),
}

/// The text is no address of a peer.
///
/// ```
/// use fake_dfdaemon::{ParsePeerAddressError, PeerAddress};
///
/// let error: ParsePeerAddressError = "host-1".parse::<PeerAddress>().unwrap_err();
/// assert!(error.to_string().contains("HOST:PORT"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no peer's address: give HOST:PORT, such as 127.0.0.1:4000, or a path")]
pub struct ParsePeerAddressError(String);

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = ParsePeerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(ParsePeerAddressError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_a_path_makes_an_address() {
        for text in ["a:1", "[::1]:65535", "/run/a.sock", "./a.sock"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        for text in ["", "a", "a:", ":1", "a:0", "a:65536", "a:b"] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
    }
}

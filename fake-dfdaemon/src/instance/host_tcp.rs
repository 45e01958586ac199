//! The TCP addresses of one host.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::error::StartError;
use crate::dfdaemon::HostNumber;
use crate::grpc::accepting::Accepting;

/// What a host serves, each on sockets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// For programs on the host.
    Download,
    /// For other hosts and the scheduler.
    Upload,
    /// For other hosts of 1.5, which take pieces by packets.
    Pieces,
}

/// The TCP addresses of one host, if it has any.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    download: Address,
    upload: Address,
    pieces: Address,
}

#[derive(Debug, Default)]
struct Address {
    wanted: Option<SocketAddr>,
    /// Since the first time that it was bound: a host that starts again has the same one.
    bound: Arc<OnceLock<SocketAddr>>,
}

impl Tcp {
    /// Those of a host by its number: two ports in a row for each, or any if the port is 0, and any
    /// for pieces by packets.
    pub(crate) fn of_host(
        address: SocketAddr,
        number: HostNumber,
        has_packets: bool,
    ) -> Option<Self> {
        let port = |offset: usize| match address.port() {
            0 => Some(0),
            first => u16::try_from(usize::from(first) + 2 * number.index() + offset).ok(),
        };
        let at = |port: u16| Address {
            wanted: Some(SocketAddr::new(address.ip(), port)),
            ..Address::default()
        };
        Some(Self {
            download: at(port(0)?),
            upload: at(port(1)?),
            pieces: match has_packets {
                true => at(0),
                false => Address::default(),
            },
        })
    }

    /// Where pieces are to be had by packets, once that was bound.
    pub(super) fn pieces(&self) -> Arc<OnceLock<SocketAddr>> {
        Arc::clone(&self.pieces.bound)
    }

    /// The address of one service, once it was bound.
    pub(super) fn address(&self, service: Service) -> Option<SocketAddr> {
        self.of(service).bound.get().copied()
    }

    fn of(&self, service: Service) -> &Address {
        match service {
            Service::Download => &self.download,
            Service::Upload => &self.upload,
            Service::Pieces => &self.pieces,
        }
    }

    /// Binds the address of one service, if it is to have one.
    pub(super) fn bind(&self, service: Service) -> Result<Option<Accepting>, StartError> {
        let Address { wanted, bound } = self.of(service);
        let Some(address) = bound.get().copied().or(*wanted) else {
            return Ok(None);
        };
        let (accepting, address) =
            Accepting::tcp(address).map_err(|source| StartError::HostTcp { address, source })?;
        bound.get_or_init(|| address);
        Ok(Some(accepting))
    }
}

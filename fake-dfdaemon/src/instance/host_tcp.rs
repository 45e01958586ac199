//! The TCP addresses of one host.

use std::net::SocketAddr;
use std::sync::OnceLock;

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
}

/// The TCP addresses of one host, if it has any: of its download and of its upload service.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    wanted: Option<[SocketAddr; 2]>,
    /// Since the first time that they were bound: a host that starts again has the same ones.
    bound: [OnceLock<SocketAddr>; 2],
}

impl Tcp {
    /// Those of a host by its number: two ports in a row for each, or any two if the port is 0.
    pub(crate) fn of_host(address: SocketAddr, number: HostNumber) -> Option<Self> {
        let port = |offset: usize| match address.port() {
            0 => Some(0),
            first => u16::try_from(usize::from(first) + 2 * number.index() + offset).ok(),
        };
        let at = |offset| Some(SocketAddr::new(address.ip(), port(offset)?));
        let wanted = Some([at(0)?, at(1)?]);
        Some(Self {
            wanted,
            ..Self::default()
        })
    }

    /// The address of one service, once it was bound.
    pub(super) fn address(&self, service: Service) -> Option<SocketAddr> {
        self.bound(service).get().copied()
    }

    fn bound(&self, service: Service) -> &OnceLock<SocketAddr> {
        let [download, upload] = &self.bound;
        match service {
            Service::Download => download,
            Service::Upload => upload,
        }
    }

    /// Binds the address of one service, if it is to have one.
    pub(super) fn bind(&self, service: Service) -> Result<Option<Accepting>, StartError> {
        let wanted = self.wanted.map(|[download, upload]| match service {
            Service::Download => download,
            Service::Upload => upload,
        });
        let Some(address) = self.address(service).or(wanted) else {
            return Ok(None);
        };
        let (accepting, bound) =
            Accepting::tcp(address).map_err(|source| StartError::HostTcp { address, source })?;
        self.bound(service).get_or_init(|| bound);
        Ok(Some(accepting))
    }
}

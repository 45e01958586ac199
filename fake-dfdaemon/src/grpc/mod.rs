//! What a host says over gRPC: its listeners, one file for each service, and one for each longer
//! answer.
//!
//! A service translates between messages and the cluster; it decides nothing about tasks.

pub(crate) mod accepting;
mod chunk;
mod connect_faults;
pub(crate) mod connection_limit;
mod content_body;
mod export;
pub(crate) mod framing;
mod health;
mod import;
pub(crate) mod lingering;
pub(crate) mod listener;
mod local;
pub(crate) mod message;
mod peer;
mod piece;
mod piece_packets;
mod pieces;
mod reflection;
pub(crate) mod request_head;
mod router;
mod sending_socket;
mod service;
mod services;
pub(crate) mod socket;
mod stat;
mod unserved;

use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Error as ReflectionError;

use self::health::HealthOf;
use self::listener::Protocol;
use self::router::{Download, Upload};
pub(crate) use self::service::{Admission, ServedHost};
pub(crate) use self::services::Services;
use self::services::named;

/// The services on a host's download socket.
pub(crate) fn download_services(host: &ServedHost) -> Result<Services, &'static ReflectionError> {
    let download = named(Download(host.clone()));
    with_health_and_reflection(download, host)
}

/// The services on a host's upload socket.
pub(crate) fn upload_services(host: &ServedHost) -> Result<Services, &'static ReflectionError> {
    let host = for_peers(host);
    with_health_and_reflection(named(Upload(host.clone())), &host)
}

/// What is spoken where other hosts of 1.5 take pieces.
pub(crate) fn piece_packets(host: &ServedHost) -> Protocol {
    Protocol::Pieces(for_peers(host))
}

fn for_peers(host: &ServedHost) -> ServedHost {
    let mut host = host.clone();
    // What other hosts ask for is not blocked.
    host.admission.is_blocking = false;
    host.admission.rate = host.admission.rate_of_peers.clone();
    host.is_for_peers = true;
    host
}

/// The health of what a host serves on its download socket.
#[cfg(test)]
pub(crate) fn download_health(host: &ServedHost) -> impl tonic_health::pb::health_server::Health {
    HealthOf {
        host: host.clone(),
        service: <Download as tonic::server::NamedService>::NAME,
    }
}

fn with_health_and_reflection(
    service: (&'static str, services::Call),
    host: &ServedHost,
) -> Result<Services, &'static ReflectionError> {
    let health = HealthServer::new(HealthOf {
        host: host.clone(),
        service: service.0,
    });
    let [v1, v1alpha] = reflection::services()?;
    let all = [service, named(health), v1, v1alpha];
    Ok(Services::new(host.clone(), all))
}

//! What a host says over gRPC: its listeners, one file a service, and one for each answer that takes
//! some telling.
//!
//! A service translates between messages and the cluster; it decides nothing about tasks.

pub(crate) mod connection_limit;
mod export;
mod export_body;
pub(crate) mod framing;
mod health;
mod import;
pub(crate) mod listener;
mod local;
mod message;
mod peer;
mod piece_faults;
mod router;
mod service;
pub(crate) mod socket;
mod stat;

use dfdaemon_api::FILE_DESCRIPTOR_SET;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Error as ReflectionError;

use self::health::HealthOf;
use self::router::{Download, Upload};
pub(crate) use self::service::{Admission, ServedHost};

/// The services on a host's download socket.
pub(crate) fn download_routes(host: &ServedHost) -> Result<Routes, ReflectionError> {
    let routes = Routes::new(Download(host.clone()));
    with_health_and_reflection(routes, host, Download::NAME)
}

/// The services on a host's upload socket.
pub(crate) fn upload_routes(host: &ServedHost) -> Result<Routes, ReflectionError> {
    let routes = Routes::new(Upload(host.clone()));
    with_health_and_reflection(routes, host, Upload::NAME)
}

fn with_health_and_reflection(
    routes: Routes,
    host: &ServedHost,
    service: &'static str,
) -> Result<Routes, ReflectionError> {
    let health = HealthServer::new(HealthOf {
        host: host.clone(),
        service,
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(routes.add_service(health).add_service(reflection).prepare())
}

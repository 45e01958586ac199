//! What a host says over gRPC: one file a service, and one for each answer that takes some telling.
//!
//! A service translates between messages and the cluster; it decides nothing about tasks.

mod download;
mod export_stream;
mod health;
mod host;
mod import;
mod message;
mod piece_faults;
mod stat;
mod upload;

use dfdaemon_api::FILE_DESCRIPTOR_SET;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::{
    DfdaemonDownloadServer, SERVICE_NAME as DOWNLOAD,
};
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_server::{
    DfdaemonUploadServer, SERVICE_NAME as UPLOAD,
};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Error as ReflectionError;

use self::download::Download;
use self::health::HealthOf;
pub(crate) use self::host::{Admission, ServedHost};
use self::upload::Upload;

/// The services on a host's download socket.
pub(crate) fn download_routes(host: &ServedHost) -> Result<Routes, ReflectionError> {
    let download = DfdaemonDownloadServer::new(Download(host.clone()))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    with_health_and_reflection(Routes::new(download), host, DOWNLOAD)
}

/// The services on a host's upload socket.
pub(crate) fn upload_routes(host: &ServedHost) -> Result<Routes, ReflectionError> {
    let upload = DfdaemonUploadServer::new(Upload(host.clone()))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    with_health_and_reflection(Routes::new(upload), host, UPLOAD)
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

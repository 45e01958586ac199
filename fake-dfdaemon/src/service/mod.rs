//! What a host says over gRPC: one file a service, and the statuses that errors become.
//!
//! A service translates between messages and the cluster; it decides nothing about tasks.

mod download;
mod export_stream;
mod message;
mod status;

use std::sync::Arc;

use dfdaemon_api::FILE_DESCRIPTOR_SET;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::{DfdaemonDownloadServer, SERVICE_NAME};
use tonic::service::Routes;
use tonic_health::ServingStatus;

use self::download::Download;
use crate::cluster::Cluster;
use crate::limits::{Block, RequestLimit};

/// What the daemon refuses before it looks at a task.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) blocks: Arc<[Block]>,
    pub(crate) requests: RequestLimit,
}

/// The services on a host's download socket.
pub(crate) async fn download_routes(
    cluster: &Arc<Cluster>,
    host: usize,
    admission: Admission,
) -> Result<Routes, tonic_reflection::server::Error> {
    let download = Download::new(Arc::clone(cluster), host, admission);
    let download = DfdaemonDownloadServer::new(download)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    // The reporter knows the empty name, which stands for the whole server, by itself.
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(SERVICE_NAME, ServingStatus::Serving)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Routes::new(download)
        .add_service(health)
        .add_service(reflection)
        .prepare())
}

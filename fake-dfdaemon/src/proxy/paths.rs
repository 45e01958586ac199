//! The paths that requests name, for a daemon that shares the file system.

use std::path::PathBuf;

use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, UploadPersistentCacheTaskRequest,
};
use prost::Message as _;

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// What a request names.
#[derive(Debug, Default)]
pub(super) struct RequestPaths {
    pub(super) source: Option<PathBuf>,
    pub(super) output: Option<PathBuf>,
    /// Whether the output may replace what is there.
    pub(super) overwrite: bool,
}

pub(super) fn is_import(method: &str) -> bool {
    method == "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask"
}

pub(super) fn is_export(method: &str) -> bool {
    matches!(
        method,
        "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask"
            | "/dfdaemon.v2.DfdaemonUpload/DownloadPersistentCacheTask"
    )
}

impl RequestPaths {
    /// Of a request with its prefix; `None` as long as it is not whole. Nothing that is no request names
    /// anything.
    pub(super) fn of(method: &str, request: &[u8]) -> Option<Self> {
        let (prefix, message) = request.split_at_checked(PREFIX)?;
        let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
        let message = message.get(..usize::try_from(length).ok()?)?;
        let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        if is_import(method) {
            let request = UploadPersistentCacheTaskRequest::decode(message).unwrap_or_default();
            return Some(Self {
                source: absolute(request.path),
                ..Self::default()
            });
        }
        if is_export(method) {
            let request = DownloadPersistentCacheTaskRequest::decode(message).unwrap_or_default();
            return Some(Self {
                source: None,
                output: request.output_path.and_then(absolute),
                overwrite: request.overwrite,
            });
        }
        Some(Self::default())
    }
}

//! What one host knows of a task that it has.

use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::StatLocalPersistentCacheTaskResponse;
use jiff::Timestamp;
use serde::Serialize;

use super::task::{duration, expiry, timestamp, whole_seconds};
use super::task_id::TaskId;

/// A task as the daemon's own host has it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # let copy = directory.path().join("copy.bin");
/// # std::fs::write(&model, "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// # let imported = client.import(&model).await?;
/// let tasks = client.list().await?;
/// assert_eq!(tasks[0].task_id, imported.task.task_id);
/// assert!(tasks[0].persistent && tasks[0].finished_at.is_some());
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LocalTask {
    /// Its id.
    pub task_id: TaskId,
    /// Whether the host keeps it until it expires.
    pub persistent: bool,
    /// Length of every piece but the last, in bytes.
    pub piece_length: Option<u64>,
    /// Length of the whole content, in bytes.
    pub content_length: Option<u64>,
    /// How long it lives after it was created.
    #[serde(rename = "ttl_seconds", serialize_with = "whole_seconds")]
    pub ttl: Option<Duration>,
    /// When this host began to receive it.
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When it was complete.
    pub finished_at: Option<Timestamp>,
    /// When its transfer failed.
    pub failed_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// How many hosts receive pieces of it now.
    pub uploading_count: u64,
    /// How often it was sent to other hosts.
    pub uploaded_count: u64,
}

impl From<StatLocalPersistentCacheTaskResponse> for LocalTask {
    fn from(task: StatLocalPersistentCacheTaskResponse) -> Self {
        let ttl = task.ttl.as_ref().and_then(duration);
        let created_at = task.created_at.as_ref().and_then(timestamp);
        Self {
            task_id: TaskId::unchecked(task.task_id),
            persistent: task.persistent,
            piece_length: task.piece_length,
            content_length: task.content_length,
            ttl,
            created_at,
            updated_at: task.updated_at.as_ref().and_then(timestamp),
            finished_at: task.finished_at.as_ref().and_then(timestamp),
            failed_at: task.failed_at.as_ref().and_then(timestamp),
            expires_at: expiry(created_at, ttl),
            uploading_count: task.uploading_count,
            uploaded_count: task.uploaded_count,
        }
    }
}

//! What is known of a task, in terms of this crate rather than of the wire.
//!
//! Serialized, these are the results in JSON: times are RFC 3339 in UTC, durations are in
//! seconds, and what is unknown is null.

use std::time::Duration;

use dfdaemon_api::common::v2::PersistentCacheTask;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::task_id::TaskId;
use super::task_state::TaskState;

/// A task as the scheduler sees it.
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
/// let task = client.stat(&imported.task.task_id).await?;
/// assert_eq!(task.content_length, 7);
/// assert_eq!(task.persistent_replica_count, 2);
/// assert!(task.expires_at > task.created_at);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Task {
    /// Its id.
    pub task_id: TaskId,
    /// How far its import is.
    pub state: TaskState,
    /// How many persistent replicas were asked for.
    pub persistent_replica_count: u64,
    /// How many persistent replicas exist.
    pub current_persistent_replica_count: u64,
    /// How many replicas exist, persistent or not.
    pub current_replica_count: u64,
    /// The tag it was imported with.
    pub tag: Option<String>,
    /// The application it was imported with.
    pub application: Option<String>,
    /// Length of every piece but the last, in bytes.
    pub piece_length: u64,
    /// Length of the whole content, in bytes.
    pub content_length: u64,
    /// How many pieces there are.
    pub piece_count: u32,
    /// How long it lives after it was created.
    #[serde(rename = "ttl_seconds", serialize_with = "whole_seconds")]
    pub ttl: Option<Duration>,
    /// When its import started.
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl From<PersistentCacheTask> for Task {
    fn from(task: PersistentCacheTask) -> Self {
        let ttl = task.ttl.as_ref().and_then(duration);
        let created_at = task.created_at.as_ref().and_then(timestamp);
        Self {
            task_id: TaskId::unchecked(task.id),
            state: task.state.into(),
            persistent_replica_count: task.persistent_replica_count,
            current_persistent_replica_count: task.current_persistent_replica_count,
            current_replica_count: task.current_replica_count,
            tag: given(task.tag),
            application: given(task.application),
            piece_length: task.piece_length,
            content_length: task.content_length,
            piece_count: task.piece_count,
            ttl,
            created_at,
            updated_at: task.updated_at.as_ref().and_then(timestamp),
            expires_at: expiry(created_at, ttl),
        }
    }
}

/// An empty tag or application is none: daemons send one for what was not given, and some would tell
/// the two apart in a request.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn duration(wire: &prost_types::Duration) -> Option<Duration> {
    Duration::try_from(*wire).ok()
}

pub(super) fn timestamp(wire: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(wire.seconds, wire.nanos).ok()
}

pub(super) fn expiry(created_at: Option<Timestamp>, ttl: Option<Duration>) -> Option<Timestamp> {
    let ttl = SignedDuration::try_from(ttl?).ok()?;
    created_at?.checked_add(ttl).ok()
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
pub(super) fn whole_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs())
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> PersistentCacheTask {
        PersistentCacheTask {
            id: "7".into(),
            state: "Succeeded".into(),
            tag: Some(String::new()),
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            created_at: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            ..PersistentCacheTask::default()
        }
    }

    #[test]
    fn a_task_expires_when_its_ttl_is_over() {
        let json = serde_json::to_value(Task::from(wire())).unwrap();
        assert_eq!(json["expires_at"], "1970-01-01T01:00:00Z");
        assert_eq!(json["ttl_seconds"], 3600);
        assert_eq!(json["tag"], serde_json::Value::Null);
        assert_eq!(json["updated_at"], serde_json::Value::Null);
    }

    #[test]
    fn times_that_cannot_be_are_unknown() {
        let task = Task::from(PersistentCacheTask {
            ttl: Some(prost_types::Duration {
                seconds: i64::MAX,
                nanos: 0,
            }),
            updated_at: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: -1,
            }),
            ..wire()
        });
        assert_eq!((task.updated_at, task.expires_at), (None, None));
        let negative = Task::from(PersistentCacheTask {
            ttl: Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            }),
            ..wire()
        });
        assert_eq!(negative.ttl, None);
    }
}

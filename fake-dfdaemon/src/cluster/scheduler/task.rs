//! A task as it looks from outside the cluster.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::state::TaskView;
use crate::call::clock::later;
use crate::store::TaskState;

/// A task of the cluster and its replicas, at one moment:
/// [`FakeDfdaemon::tasks`](crate::FakeDfdaemon::tasks) lists them.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder().preload(models.path()).start_blocking()?;
/// block_on(daemon.settle()); // The second replica has been made.
/// let [task] = &daemon.tasks()[..] else { panic!("there is one file") };
/// assert_eq!(task.current_persistent_replica_count, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id, as `dfcache import` prints it.
    pub id: String,
    /// Whether it is being imported, has succeeded or has failed.
    pub state: TaskState,
    /// The number of persistent replicas that the importer asked for.
    pub persistent_replica_count: u64,
    /// The number of persistent replicas that exist.
    pub current_persistent_replica_count: u64,
    /// The number of all replicas that exist.
    pub current_replica_count: u64,
    /// The tag that the importer gave.
    pub tag: Option<String>,
    /// The application that the importer gave.
    pub application: Option<String>,
    /// The length of a piece, in bytes; the last one may be shorter.
    pub piece_length: u64,
    /// The length of the content, in bytes.
    pub content_length: u64,
    /// How many pieces the content has.
    pub piece_count: u64,
    /// How long the task lives.
    pub ttl: Duration,
    /// When its import began, by the daemon's clock.
    pub created_at: Timestamp,
    /// When its state changed last.
    pub updated_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The hosts that have a replica, complete or not.
    pub replicas: Vec<Replica>,
}

/// A host's replica of a task.
///
/// ```
/// use fake_dfdaemon::{Replica, Task};
///
/// /// The hosts that can serve a task.
/// fn sources(task: &Task) -> Vec<&str> {
///     let whole = task.replicas.iter().filter(|replica| replica.complete);
///     whole.map(|replica: &Replica| replica.host.as_str()).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// The host's name.
    pub host: String,
    /// Whether the replica is kept until the task expires.
    pub persistent: bool,
    /// Whether all of the content is there.
    pub complete: bool,
}

impl Task {
    pub(super) fn new(view: TaskView, replicas: Vec<Replica>) -> Self {
        let task = view.task;
        let given = |text: Option<Box<str>>| text.filter(|text| !text.is_empty()).map(Into::into);
        Self {
            state: task.state,
            persistent_replica_count: task.persistent_replica_count,
            current_persistent_replica_count: view.persistent_replicas,
            current_replica_count: view.replicas,
            tag: given(task.tag),
            application: given(task.application),
            piece_length: task.piece_length,
            content_length: task.content_length,
            piece_count: task.content_length.div_ceil(task.piece_length.max(1)),
            ttl: task.ttl,
            created_at: task.created_at,
            updated_at: task.updated_at,
            expires_at: later(task.created_at, task.ttl),
            id: task.task_id.to_string(),
            replicas,
        }
    }
}

//! The jobs that a scheduler schedules.

use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

/// A job in the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cluster) enum Job {
    /// Makes the persistent replicas of a task that are missing.
    Replicate(TaskId),
    /// Removes what has expired.
    Collect,
    /// Makes room on a host.
    Evict(HostNumber),
    /// Removes the files of states that were replaced.
    EmptyTrash,
}

/// In words, for those who settle.
pub(in crate::cluster) fn describe(job: &Job) -> String {
    match job {
        Job::Replicate(id) => format!("replicate task {id}"),
        Job::Collect => "collect expired tasks".to_owned(),
        Job::Evict(host) => format!("evict from {}", host.name()),
        Job::EmptyTrash => "remove what was replaced".to_owned(),
    }
}

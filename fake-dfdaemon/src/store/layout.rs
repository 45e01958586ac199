//! Where everything lies below a state directory. Nothing else knows a name in it.
//!
//! ```text
//! state.json                          format, release and hosts
//! .fake-dfdaemon-temporary            marks a temporary directory, which may be swept; before all else
//! kept                                marks a temporary directory that is to stay
//! journal.jsonl                       the journal, one call a line
//! control.sock                        the control API
//! host-N.sock, host-N.upload.sock     the sockets of a host
//! scheduler/tasks/<prefix>/<id>.json  the record of a task: it decides that the task is there
//! hosts/host-N/content/persistent-cache-tasks/<prefix>/<id>       content
//! hosts/host-N/content/persistent-cache-tasks/<prefix>/<id>.json  its record, which comes after it
//! scheduler/tmp, hosts/host-N/tmp     records and content that are not whole yet
//! scheduler/index, hosts/host-N/index records of a <prefix> in one file each, which are only a cache
//! snapshots/<name>                    snapshots; what is not one begins with a dot
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

/// What made the directory.
pub(super) const FORMAT: &str = "state.json";

/// The same until it is whole.
pub(super) const NEW_FORMAT: &str = "state.new";

/// The file that a temporary directory alone has, before anything else.
pub(super) const MARK: &str = ".fake-dfdaemon-temporary";

/// The file that marks a temporary directory that is to stay.
pub(super) const KEPT: &str = "kept";

/// What the name of a record ends with, and that of content does not.
pub(super) const RECORD_SUFFIX: &[u8] = b".json";

const HOSTS: &str = "hosts";
const SCHEDULER: &str = "scheduler";
const SNAPSHOTS: &str = "snapshots";

/// What the daemon keeps in the directory, but for sockets and the journal.
pub(super) const OWN: [&str; 7] = [FORMAT, NEW_FORMAT, KEPT, MARK, HOSTS, SCHEDULER, SNAPSHOTS];

/// The extension of sockets.
pub(super) const SOCKET: &str = "sock";

/// The journal, unless it was given another place.
pub(crate) fn journal(state: &Path) -> PathBuf {
    state.join("journal.jsonl")
}

/// The control API's socket, unless it was given another place.
pub(crate) fn control_socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// The socket that programs on a host call, unless it was given another place.
pub(crate) fn host_socket(state: &Path, number: HostNumber) -> PathBuf {
    state.join(format!("{}.{SOCKET}", number.name()))
}

/// The socket that other hosts and the scheduler call.
pub(crate) fn upload_socket(state: &Path, number: HostNumber) -> PathBuf {
    state.join(format!("{}.upload.{SOCKET}", number.name()))
}

/// The scheduler's files.
pub(crate) fn scheduler(state: &Path) -> PathBuf {
    state.join(SCHEDULER)
}

/// A host's files.
pub(crate) fn host(state: &Path, number: HostNumber) -> PathBuf {
    state.join(HOSTS).join(number.name())
}

/// The directories that hold all that a snapshot has to: the scheduler's and each host's.
pub(crate) fn roots(state: &Path, hosts: usize) -> Vec<PathBuf> {
    let host = |number| contents(&host(state, number));
    std::iter::once(tasks(&scheduler(state)))
        .chain(HostNumber::all(hosts).map(host))
        .collect()
}

/// The snapshots, and directories that wait to be removed or exchanged.
pub(crate) fn snapshots(state: &Path) -> PathBuf {
    state.join(SNAPSHOTS)
}

/// The records of tasks, among the scheduler's files: they and nothing else.
pub(super) fn tasks(scheduler: &Path) -> PathBuf {
    scheduler.join("tasks")
}

/// Content and its records, among a host's files, and nothing else; named as in the real daemon.
pub(super) fn contents(host: &Path) -> PathBuf {
    host.join("content/persistent-cache-tasks")
}

/// What is not whole yet, among the files of the scheduler or of a host.
pub(super) fn scratch(dir: &Path) -> PathBuf {
    dir.join("tmp")
}

/// The index of the records, among the files of the scheduler or of a host.
pub(super) fn index(dir: &Path) -> PathBuf {
    dir.join("index")
}

/// The content of a task, in a directory of them.
pub(super) fn content(root: &Path, id: &TaskId) -> PathBuf {
    root.join(prefix(id)).join(&**id)
}

/// The record of a task or of its content, in a directory of them.
pub(super) fn record(root: &Path, id: &TaskId) -> PathBuf {
    root.join(prefix(id)).join(format!("{id}.json"))
}

/// The task that a record of this name is of, if it is one of ours.
pub(super) fn recorded(name: &OsStr) -> Option<TaskId> {
    let id = name.as_bytes().strip_suffix(RECORD_SUFFIX)?;
    TaskId::parse(str::from_utf8(id).ok()?)
}

/// The directory of a task: its first three characters, as with the real daemon.
pub(super) fn prefix(id: &str) -> &str {
    id.get(..3).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_lies_below_the_first_three_characters_of_its_id() {
        assert_eq!((prefix("12345"), prefix("12")), ("123", "12"));
        let root = Path::new("/root");
        assert_eq!(
            content(root, &TaskId::of("12345")),
            Path::new("/root/123/12345")
        );
        assert_eq!(
            record(root, &TaskId::of("12345")),
            Path::new("/root/123/12345.json")
        );
    }
}

//! What was attempted, as the first line of an error says it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::types::mutex::Mutex;
use crate::types::options::TaskId;

#[derive(Clone, Debug)]
pub(crate) enum Attempt {
    Import(PathBuf),
    Export(TaskId),
    Stat(TaskId),
    /// Waiting until the task has this many persistent replicas.
    WaitForReplicas(TaskId, u64, ReplicasSeen),
    Verify(TaskId),
    List,
    CalculateId(PathBuf),
    #[cfg(feature = "cli")]
    Diagnose,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(path) => write!(f, "cannot import {}", path.display()),
            Self::Export(id) => write!(f, "cannot export task {id}"),
            Self::Stat(id) | Self::WaitForReplicas(id, ..) => write!(f, "cannot stat task {id}"),
            Self::Verify(id) => write!(f, "cannot verify task {id}"),
            Self::List => f.write_str("cannot list the tasks of this host"),
            #[cfg(feature = "cli")]
            Self::Diagnose => f.write_str("cannot find out what is wrong"),
            Self::CalculateId(path) => write!(f, "cannot calculate the id of {}", path.display()),
        }
    }
}

impl Attempt {
    /// How far it had come when its time was over.
    pub(crate) fn state(&self) -> Option<String> {
        let Self::WaitForReplicas(_, wanted, seen) = self else {
            return None;
        };
        let seen = match seen.get()? {
            1 => "1 persistent replica".to_owned(),
            count => format!("{count} persistent replicas"),
        };
        Some(format!("the task had {seen}, and {wanted} were asked for"))
    }
}

/// How many persistent replicas the last answer counted, if there was one. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplicasSeen(Arc<Mutex<Option<u64>>>);

impl ReplicasSeen {
    pub(crate) fn note(&self, count: u64) {
        *self.0.lock() = Some(count);
    }

    fn get(&self) -> Option<u64> {
        *self.0.lock()
    }
}

impl From<Attempt> for String {
    fn from(attempt: Attempt) -> Self {
        attempt.to_string()
    }
}

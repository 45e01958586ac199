//! What lies on disk: the state directory, the files of each host, and the scheduler's records.
//!
//! The store moves bytes and records into place and finds them again; which task may be imported,
//! where its replicas go and when they are removed is the cluster's business.

pub(crate) mod aside;
mod cancel;
mod disk;
mod host;
mod index;
mod ingest;
pub(crate) mod layout;
pub(crate) mod own_form;
mod parallel_read;
pub(crate) mod private_files;
mod record;
pub(crate) mod state_dir;
mod tasks;
pub(crate) mod trash;

pub(crate) use cancel::{CancelFlag, CancelOnDrop};
pub(crate) use disk::{Disk, DiskFault, FailureInjector, FoundData, Waiting, with_path};
#[cfg(test)]
pub(crate) use disk::{DiskFailure, DiskOp};
pub(crate) use host::{Content, HostStore};
pub(crate) use ingest::{crc32_of, for_each_chunk, id_of, ingest};
pub use record::TaskState;
pub(crate) use record::{ReplicaRecord, TaskRecord};
pub(crate) use tasks::TaskStore;

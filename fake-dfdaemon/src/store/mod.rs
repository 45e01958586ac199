//! What lies on disk: the files of each host, and the scheduler's records.
//!
//! The store moves bytes and records into place and finds them again; which task may be imported,
//! where its replicas go and when they are removed is the cluster's business.

mod directory;
mod disk;
mod host;
mod ingest;
mod litter;
mod mishap;
mod prefixes;
mod record;
mod tasks;

pub(crate) use disk::{Disk, about};
pub(crate) use host::{Content, HostStore};
pub(crate) use ingest::{CancelFlag, crc32_of, for_each_chunk, id_of, ingest};
pub(crate) use mishap::{DiskFault, Mishaps};
#[cfg(test)]
pub(crate) use mishap::{Mishap, Step};
pub(crate) use record::{ReplicaRecord, TaskRecord, TaskState};
pub(crate) use tasks::TaskStore;

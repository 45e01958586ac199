//! The hosts and the scheduler together: what is imported and exported, where replicas are made,
//! when they are removed.
//!
//! A [`Cluster`] is made of parts that keep their fields to themselves: the [`Scheduler`], a
//! [`Node`](node::Node) for each host, and the [`Workers`](threads::Workers). The work that needs
//! several parts is in `import`, `export`, `transfer`, `jobs` and `replica_ops`.
//!
//! The cluster decides and keeps the books; bytes and records are moved by [`crate::store`], and
//! [`crate::grpc`] words the answers to clients. Methods that touch the disk block and say so.

mod error;
mod export;
mod failed_exports;
mod import;
mod jobs;
mod node;
mod parts;
mod replica_ops;
mod scheduler;
mod settings;
mod status;
mod threads;
mod transfer;
mod turns;

pub(crate) use self::error::Error;
use self::error::not_found;
pub(crate) use self::export::{Export, ExportRequest, OutputRequest};
pub(crate) use self::import::{ImportRequest, RequestedTtl};
pub use self::jobs::Waiting;
pub(crate) use self::parts::Cluster;
pub(crate) use self::scheduler::{Generation, ReplicaState, ServedPiece, TaskView};
pub use self::scheduler::{HostStatus, Replica, Task};
use self::scheduler::{Lease, Reservation, Scheduler};
pub(crate) use self::settings::Settings;
pub(crate) use self::transfer::Arrival;

//! The cache client of Dragonfly: imports files into the P2P cache, exports them again, and shows
//! their state, by talking to the host's dfdaemon over a Unix socket.
//!
//! [`Client`] is where to begin. A call takes a request, which is built of what it needs:
//! [`ImportRequest`] and [`ExportRequest`], or a path and a [`TaskId`] for one with defaults.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
//! # let socket = daemon.endpoint();
//! # let directory = tempfile::tempdir()?;
//! # let model = directory.path().join("model.bin");
//! # let copy = directory.path().join("copy.bin");
//! # std::fs::write(&model, "content")?;
//! use dfcache::{Client, ErrorKind, ExportMode, ExportRequest, ImportRequest, Remedy, Ttl};
//!
//! let client = Client::connect(socket).await?;
//! let request = ImportRequest::new(&model).ttl(Ttl::from_hours(2)).tag("nightly");
//! let imported = client.import(request).await?;
//! client.wait_for_replicas(&imported.task.task_id, 2).await?;
//!
//! // To a file of its own, with progress.
//! let request = ExportRequest::new(&imported.task.task_id)
//!     .mode(ExportMode::ByTransfer)
//!     .on_progress(|progress| println!("{} bytes", progress.received));
//! let exported = client.export_to_path(&request, &copy).await?;
//! assert_eq!(exported.content_length, imported.task.content_length);
//!
//! // Again: the file exists, and stays as it is.
//! let error = client.export_to_path(&request, &copy).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::LocalFile);
//! assert_eq!(error.remedy(), Some(&Remedy::Overwrite));
//! client.export_to_path(request.overwrite(true), &copy).await?;
//!
//! // To anything that can be written to.
//! let mut content = Vec::new();
//! client.export_to_writer(&imported.task.task_id, &mut content).await?;
//! assert_eq!(content, std::fs::read(&model)?);
//!
//! // What the daemon's own host has.
//! for task in client.list().await? {
//!     println!("{}: {:?} bytes", task.task_id, task.content_length);
//! }
//! # daemon.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! A directory is a tree of tasks: [`Client::import_tree`], [`Client::export_tree`] and
//! [`Client::verify_tree`]. A file that the daemon cannot see is imported as a copy, and a stream as a
//! file: [`Client::import_staged`], [`Client::import_reader`].
//!
//! [`blocking`] is the same for programs without a runtime.
//!
//! An [`Error`] has a kind, sources and a [`Remedy`], and says whether the same call
//! [may succeed later](Error::is_retryable).
//!
//! The default feature `cli` is the program `dfcache`, a user of the library. Other programs do not
//! need it: `default-features = false`.

pub mod blocking;
#[cfg(feature = "cli")]
mod cli;
mod client;
mod content;
mod export;
mod import;
mod output;
mod tree;
mod types;
mod wire;

#[cfg(feature = "cli")]
pub use cli::{check_command_line, exit_code, run};
pub use client::Client;
pub use client::doctor::{Check, diagnose};
pub use client::retry::retry;
pub use export::{ExportMode, ExportRequest, Exported, Progress, Verified};
pub use import::{ImportRequest, Imported, TaskIdScheme, task_id};
pub use tree::{
    ExpiresEarly, ExportTree, ExportedTree, ImportTree, ImportedTree, TreeFile, TreeProgress,
    TreeSummary, VerifiedTree, VerifyTree,
};
pub use types::endpoint::{DEFAULT_ENDPOINT, Endpoint};
pub use types::error::{Error, ErrorKind, Interruption, Result};
pub use types::local_task::LocalTask;
pub use types::options::{
    Digest, PieceLength, ReplicaCount, StallTimeout, Timeout, Ttl, ValueError,
};
pub use types::remedy::Remedy;
pub use types::task::Task;
pub use types::task_id::TaskId;
pub use types::task_state::TaskState;

/// A point in time, of [`Task`] and [`LocalTask`].
pub use jiff::Timestamp;

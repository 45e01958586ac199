//! The cache client of Dragonfly: imports files into the P2P cache, exports them again, and shows
//! their state, by talking to the host's dfdaemon over a Unix socket.
//!
//! [`Client`] is the library; [`run`] is the program `dfcache`, a user of it.
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
//! use dfcache::options::Endpoint;
//! use dfcache::{Client, ErrorKind, ExportMode, ExportRequest, ImportRequest, Progress};
//! use tokio::sync::watch;
//!
//! // What can be checked on this side is checked before there is a connection.
//! let import = ImportRequest::new(&model).check()?;
//! let client = Client::connect(&Endpoint::new(socket)?).await?;
//! let imported = client.import(&import).await?;
//!
//! // To a file of one's own, with progress.
//! let (sender, progress) = watch::channel(Progress::default());
//! let mut request = ExportRequest::new(imported.task.task_id.parse()?);
//! request.progress = Some(sender);
//! let exported = client
//!     .export_to_path(&request, &copy, ExportMode::ByTransfer, false)
//!     .await?;
//! assert_eq!(exported.content_length, imported.task.content_length);
//! assert_eq!(progress.borrow().received, exported.content_length);
//!
//! // Again: the file is there, and stays as it is.
//! let again = client.export_to_path(&request, &copy, ExportMode::ByTransfer, false).await;
//! assert_eq!(again.unwrap_err().kind(), ErrorKind::LocalFile);
//!
//! // To anything that can be written to.
//! let mut content = Vec::new();
//! client.export_to_writer(&request, &mut content).await?;
//! assert_eq!(content, std::fs::read(&model)?);
//! # daemon.stop().await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "cli")]
mod cli;
mod client;
mod content;
mod export;
mod import;
mod output;
mod types;
mod wire;

#[cfg(feature = "cli")]
pub use cli::{check_command_line, exit_code, run};
pub use client::Client;
pub use export::{ExportMode, ExportRequest, Exported, Progress, Verified};
pub use import::{CheckedImport, ImportRequest, Imported};
pub use types::error::{Error, ErrorKind, Interruption, Result};
pub use types::options;
pub use types::remedy::Remedy;
pub use types::task::{LocalTask, Task};

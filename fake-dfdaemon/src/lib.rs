//! A dfdaemon with its scheduler and its peers in one small process: hermetic, on disk, scriptable.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use fake_dfdaemon::FakeDfdaemon;
//!
//! let daemon = FakeDfdaemon::builder().hosts(3).manual_clock().start().await?;
//! assert!(daemon.endpoint().exists()); // ready when it returns
//! daemon.clock().advance(Duration::from_secs(3600))?;
//! daemon.settle().await;
//! daemon.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each instance is its own world: many run side by side in one process. What a real dfdaemon does
//! is in [`cluster`] (tasks, replicas, expiry), what it says in [`service`]; [`release`] holds what
//! differs between releases.

mod cli;
pub mod clock;
mod cluster;
mod daemon;
mod limits;
pub mod program;
mod release;
mod server;
mod service;
mod socket;
mod state_dir;
mod store;

pub use cluster::{HostStatus, Waiting};
pub use daemon::{
    Builder, DEFAULT_GC_INTERVAL, DEFAULT_HOSTS, FakeDfdaemon, Host, MAX_HOSTS, Ready, StartError,
};
pub use limits::{Block, Blocked, MAX_TTL, MIN_TTL, ParseBlockError};
pub use release::{Release, UnknownRelease};
pub use socket::SocketError;
pub use state_dir::StateDirError;

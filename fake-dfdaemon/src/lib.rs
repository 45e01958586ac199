//! A dfdaemon with its scheduler and its peers in one small process: hermetic, on disk, scriptable.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use fake_dfdaemon::{Code, FakeDfdaemon, Fault, Rpc};
//!
//! let daemon = FakeDfdaemon::builder().hosts(3).manual_clock().start().await?;
//! assert!(daemon.endpoint().exists()); // ready when it returns
//! let gone = daemon.fault(Fault::on(Rpc::Stat).error(Code::Unavailable)); // until it is dropped
//! // Here runs what is tested, with `daemon.endpoint()` for its socket.
//! assert_eq!(gone.fired(), 0);
//! daemon.clock().advance(Duration::from_secs(3600))?;
//! daemon.settle().await; // what was due by then is done
//! daemon.journal().expect(Rpc::Stat, 0..=0); // this many stats have ended
//! # Ok(())
//! # }
//! ```
//!
//! What goes wrong is a [`Fault`]; a test [waits until it has fired](FaultGuard::wait_until_fired) before it
//! moves the [clock](clock::Clock) on, and [waits for calls](Journal::wait_for) in the [`Journal`].
//!
//! Each instance is its own world, on a thread and a runtime of its own. Many run side by side in one
//! process. A test may block its thread, for example while a program runs that it tests, and needs no
//! runtime at all: see [`FakeDfdaemon::start_blocking`].
//!
//! # Features
//!
//! All are there by default. Without them (`default-features = false`) the crate is this library alone,
//! and takes 90 crates to build in place of 128; gRPC, reflection and health are served as before.
//!
//! | | |
//! |---|---|
//! | `control` | the HTTP control API of each fake, with its page, events and metrics: [`FakeDfdaemon::control`](FakeDfdaemon#method.control) |
//! | `proxy` | what stands before any dfdaemon, or in the place of one: `Proxy`, `Recorder`, `Replay`; with `control` |
//! | `program` | the binary `fake-dfdaemon` and what only it does: the command line and `diff`; with both |

// What a real dfdaemon does is in the module `cluster` (tasks, replicas, expiry), what it says in
// `grpc`; `dfdaemon` holds what differs between releases.

// What only the control API and the program ask for is compiled all the same: it is small, and most of
// it is a method among others.
#![cfg_attr(not(feature = "program"), allow(dead_code))]

mod call;
mod cluster;
#[cfg(feature = "control")]
mod control;
mod dfdaemon;
mod fake;
mod grpc;
mod instance;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "proxy")]
mod proxy;
mod store;

pub use call::clock;
pub use call::faults::{Action, ErrorAction, Fault, FaultBuilder, FaultError, FaultGuard};
pub use call::journal::{Journal, Query, WaitError, WaitFor};
pub use call::record::{Call, CallFault, CallStatus};
pub use call::rpc::{Rpc, UnknownRpc};
pub use cluster::{DEFAULT_HOSTS, DEFAULT_PARENT_TIMEOUT, HostStatus, Replica, Task, Waiting};
pub use cluster::{ParsePeerAddressError, PeerAddress};
pub use dfdaemon::adjustable::{AdjustableSettings, DEFAULT_GC_INTERVAL, SettingsError};
pub use dfdaemon::blocklist::{Block, Blocked, ParseBlockError};
pub use dfdaemon::limits::{MAX_TTL, MIN_TTL};
pub use dfdaemon::quirks::{Quirk, Quirks, UnknownQuirk};
pub use dfdaemon::release::{Release, UnknownRelease};
pub use fake::{Builder, FakeDfdaemon, Ready};
#[cfg(feature = "proxy")]
pub use fake::{Proxy, ProxyBuilder, Recorder, RecorderBuilder, Replay, ReplayBuilder};
pub use grpc::socket::SocketError;
pub use instance::error::StartError;
pub use instance::host::Host;
pub use instance::own_thread::block_on;
pub use instance::preload::Preloaded;
pub use instance::settings::MAX_HOSTS;
pub use instance::snapshot::SnapshotError;
pub use jiff::Timestamp;
pub use store::TaskState;
pub use store::state_dir::StateDirError;
pub use tonic::Code;

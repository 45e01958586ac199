//! What the tests are written in: worlds, commands and what they came to.

pub mod command;
pub mod files;
pub mod hung;
pub mod namespace;
pub mod process;
pub mod terminal;
pub mod users;
pub mod world;

pub use command::{Dfcache, Run};
pub use files::seeded;
pub use process::DaemonProcess;
pub use testkit::program::skipped;
pub use testkit::{ScriptedDaemon, Step};
pub use world::World;

//! What the tests are written in: worlds, commands and what they came to.

pub mod command;
pub mod files;
pub mod process;
pub mod scripted;
pub mod terminal;
pub mod users;
pub mod world;

pub use command::{Dfcache, Run};
pub use files::seeded;
pub use process::DaemonProcess;
pub use scripted::{ScriptedDaemon, Step};
pub use world::World;

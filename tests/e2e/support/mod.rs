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

/// Says that a test, or part of it, cannot run here; past the harness, which would swallow it.
pub fn skipped(why: &str) {
    use std::io::Write as _;

    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

//! What the tests are written in: worlds, commands and what they came to.

pub mod command;
pub mod files;
pub mod hung;
pub mod process;
pub mod terminal;
pub mod users;
pub mod world;

pub use command::{Dfcache, Run};
pub use files::seeded;
pub use process::DaemonProcess;
pub use testkit::{ScriptedDaemon, Step};
pub use world::World;

/// Set where CI runs on a machine that cannot do all that tests need.
const MAY_SKIP: &str = "DFCACHE_TEST_MAY_SKIP";

/// Says that a test, or part of it, cannot run here; past the harness, which would swallow it.
/// In CI nobody reads that, so there it is a failure unless it was allowed.
pub fn skipped(why: &str) {
    use std::io::Write as _;

    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    assert!(
        !is_set("CI") || is_set(MAY_SKIP),
        "skipped in CI: {why}; {MAY_SKIP}=1 lets tests be skipped"
    );
}

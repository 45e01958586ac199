//! `run`: a command with a fake around it.
//!
//! The command does not outlive the fake, not even one that is killed; signals are passed on.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::signals::{SIGNALLED, Signals};
use crate::fake::FakeDfdaemon;

/// dfcache's variables for the endpoint: for every command, and for each.
const ENDPOINT_VARIABLES: [&str; 5] = [
    "DFCACHE_ENDPOINT",
    "DFCACHE_IMPORT_DFDAEMON_ENDPOINT",
    "DFCACHE_EXPORT_DFDAEMON_ENDPOINT",
    "DFCACHE_STAT_DFDAEMON_ENDPOINT",
    "DFCACHE_LS_DFDAEMON_ENDPOINT",
];

/// dfcache's variables for where it logs, for each command: by default below `/var/log`, which tests
/// leave alone.
const LOG_VARIABLES: [&str; 4] = [
    "DFCACHE_IMPORT_LOG_DIR",
    "DFCACHE_EXPORT_LOG_DIR",
    "DFCACHE_STAT_LOG_DIR",
    "DFCACHE_LS_LOG_DIR",
];

/// dfcache's variable for the release whose task ids `dfcache id` tells.
const SCHEME_VARIABLE: &str = "DFCACHE_ID_DFDAEMON_VERSION";

/// Where it logs, below the state directory.
const LOGS: &str = "logs";

/// Runs the command to its end and returns its exit code, as a shell would.
///
/// # Errors
///
/// If the command cannot be started.
pub(crate) async fn run(
    daemon: &FakeDfdaemon,
    command: &[OsString],
    signals: &mut Signals,
) -> io::Result<u8> {
    let endpoints: Vec<_> = daemon.endpoints().collect();
    let mut child = prepare(command, &endpoints, daemon.state_dir())?;
    child.env("FAKE_DFDAEMON_CONTROL", daemon.control());
    child.env(SCHEME_VARIABLE, daemon.release().to_string());
    wait_for(child, signals).await
}

/// The command with the variables for the daemons at `endpoints`, of which the first is the one to
/// ask.
///
/// # Errors
///
/// If there is no command.
pub(crate) fn prepare(
    command: &[OsString],
    endpoints: &[&Path],
    state: &Path,
) -> io::Result<Command> {
    let [program, arguments @ ..] = command else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut child = Command::new(program);
    child.args(arguments);
    for variable in ENDPOINT_VARIABLES {
        child.env(
            variable,
            endpoints.first().copied().unwrap_or(Path::new("")),
        );
    }
    let is_unset = |variable: &&str| std::env::var_os(variable).is_none();
    for variable in LOG_VARIABLES.into_iter().filter(is_unset) {
        child.env(variable, state.join(LOGS));
    }
    let endpoints: Vec<_> = endpoints.iter().map(|path| path.as_os_str()).collect();
    child.env("FAKE_DFDAEMON_STATE_DIR", state).env(
        "FAKE_DFDAEMON_ENDPOINTS",
        endpoints.join(std::ffi::OsStr::new(":")),
    );
    Ok(child)
}

/// Runs a prepared command to its end and returns its exit code, as a shell would.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) async fn wait_for(mut child: Command, signals: &mut Signals) -> io::Result<u8> {
    die_with_parent(&mut child);
    let mut child = tokio::process::Command::from(child)
        .kill_on_drop(true)
        .spawn()?;
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            signal = signals.next_to_pass_on() => {
                if let Some(pid) = pid {
                    // It may have ended at this moment.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

/// Has the kernel kill the command when this process dies. It watches the thread that starts the
/// command: the main one, which lives as long as the process.
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only two system calls are made; nothing is allocated or locked.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let signalled = || SIGNALLED + status.signal().unwrap_or_default();
    u8::try_from(status.code().unwrap_or_else(signalled)).unwrap_or(u8::MAX)
}

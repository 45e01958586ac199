//! `run`: a command with a fake around it.
//!
//! The command does not outlive the fake, not even one that is killed; signals are passed on.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group,
    set_parent_process_death_signal, waitid,
};
use tokio::signal::unix::{SignalKind, signal};

use super::environment::AROUND;
use super::signals::{SIGNALLED, Signals};
use crate::fake::FakeDfdaemon;

/// dfcache's commands that ask a dfdaemon, as their variables name them.
const ASKING: [&str; 6] = ["IMPORT", "EXPORT", "STAT", "LS", "VERIFY", "DOCTOR"];

/// dfcache's variable for the endpoint of all commands.
const ENDPOINT_VARIABLE: &str = "DFCACHE_ENDPOINT";

/// dfcache's variable for where all commands log.
const LOG_VARIABLE: &str = "DFCACHE_LOG_DIR";

/// dfcache's variable for the release whose task ids `dfcache id` tells.
const SCHEME_VARIABLE: &str = "DFCACHE_ID_DFDAEMON_VERSION";

/// Where it logs, below the state directory.
const LOGS: &str = "logs";

/// How long what a command leaves behind is given to end.
const GROUP_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);

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
    wait_for(prepare_for(daemon, command)?, signals).await
}

fn prepare_for(daemon: &FakeDfdaemon, command: &[OsString]) -> io::Result<Command> {
    let endpoints: Vec<_> = daemon.endpoints().collect();
    let mut child = prepare(command, &endpoints, daemon.state_dir())?;
    child.env("FAKE_DFDAEMON_CONTROL", daemon.control());
    child.env(SCHEME_VARIABLE, daemon.release().to_string());
    Ok(child)
}

/// How a script of variables begins.
const SCRIPT: &str = "# The variables of a fake-dfdaemon, for a shell.\n";

/// The variables that a command of `run` finds, as a script that a shell reads.
pub(crate) fn script(daemon: &FakeDfdaemon) -> io::Result<Vec<u8>> {
    let mut script = SCRIPT.as_bytes().to_vec();
    let command = prepare_for(daemon, &["sh".into()])?;
    for (name, value) in command.get_envs() {
        let Some(value) = value else { continue };
        let mut quoted = Vec::new();
        for byte in value.as_bytes() {
            match byte {
                b'\'' => quoted.extend_from_slice(br"'\''"),
                byte => quoted.push(*byte),
            }
        }
        let line = [b"export ", name.as_bytes(), b"='", &quoted, b"'\n"];
        script.extend(line.concat());
    }
    Ok(script)
}

/// Whether this is such a script.
pub(crate) fn is_script(text: &[u8]) -> bool {
    text.starts_with(SCRIPT.as_bytes())
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
    let first = endpoints.first().copied().unwrap_or(Path::new(""));
    child.env(ENDPOINT_VARIABLE, first);
    for command in ASKING {
        child.env(format!("DFCACHE_{command}_DFDAEMON_ENDPOINT"), first);
    }
    // Each command's own, which released clients know too; by default they log below `/var/log`, which tests
    // leave alone.
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set(LOG_VARIABLE) {
        let names = ASKING.map(|command| format!("DFCACHE_{command}_LOG_DIR"));
        for name in names.iter().filter(|name| !is_set(name)) {
            child.env(name, state.join(LOGS));
        }
    }
    let endpoints: Vec<_> = endpoints.iter().map(|path| path.as_os_str()).collect();
    // The options of this daemon are not those of a daemon that the command starts.
    for name in super::environment::variables(&super::grammar()) {
        child.env_remove(name);
    }
    child.env(AROUND, "1");
    child.env("FAKE_DFDAEMON_STATE_DIR", state).env(
        "FAKE_DFDAEMON_ENDPOINTS",
        endpoints.join(std::ffi::OsStr::new(":")),
    );
    Ok(child)
}

/// Runs a prepared command to its end and returns its exit code, as a shell would. What it started,
/// and is still in its process group, ends with it.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) async fn wait_for(mut command: Command, signals: &mut Signals) -> io::Result<u8> {
    die_with_parent(&mut command);
    // A terminal reads from, and sends its signals to, the group that this process is in.
    let has_group = !io::stdin().is_terminal();
    if has_group {
        command.process_group(0);
    }
    // Before the command: its end is not to be missed.
    let mut ended = signal(SignalKind::child())?;
    let child = Killed(command.spawn()?);
    let pid = i32::try_from(child.0.id()).ok().and_then(Pid::from_raw);
    let pid =
        pid.ok_or_else(|| io::Error::other("the process id of the command cannot be read"))?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), look)?.is_none() {
        tokio::select! {
            _ = ended.recv() => {}
            signal = signals.next_to_pass_on() => {
                // It may have ended at this moment.
                let _ = if has_group {
                    kill_process_group(pid, signal)
                } else {
                    kill_process(pid, signal)
                };
            }
        }
    }
    if has_group {
        // As long as it was not waited for, nobody else gets its number.
        end_group(pid).await;
    }
    let mut child = child;
    Ok(exit_code(child.0.wait()?))
}

/// A child that is killed when nobody waits for it any more.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both do nothing to one that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends what is left of a process group whose leader has ended: SIGTERM, and SIGKILL to what minds.
async fn end_group(leader: Pid) {
    if !has_others(leader) {
        return;
    }
    let _ = kill_process_group(leader, Signal::TERM);
    let until = Instant::now() + GROUP_ENDS_WITHIN;
    while has_others(leader) {
        if Instant::now() >= until {
            let _ = kill_process_group(leader, Signal::KILL);
            return;
        }
        tokio::time::sleep(LOOKED_AT_EVERY).await;
    }
}

/// Whether a process group has a process that has not ended. True where the system does not tell.
fn has_others(leader: Pid) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return true;
    };
    let group = leader.as_raw_pid().to_string();
    processes.flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // Its name may hold anything, in brackets. State, parent and group follow.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace();
        let is_alive = !matches!(fields.next(), None | Some("Z" | "X"));
        is_alive && fields.nth(1) == Some(group.as_str())
    })
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

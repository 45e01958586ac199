//! `run` as process 1 of a container.
//!
//! What a command leaves behind when it ends becomes a child of process 1, and stays a zombie until
//! that waits for it. Process 1 therefore only waits, for whatever ends, and passes signals on; the
//! fake and its command are a child.

use std::io;
use std::process::Command;

use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use super::signals::{SIGNALLED, Signals};

/// Whether this process is the one that orphans come to.
pub(crate) fn is_first() -> bool {
    getpid().is_init()
}

/// Runs this program once more, as a child, with the same arguments; returns what it exits as.
pub(crate) async fn supervise() -> io::Result<u8> {
    // Before the child: its end is not to be missed.
    let mut signals = Signals::listen()?;
    let mut ended = signal(SignalKind::child())?;
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Without /proc the name will do.
    let program = std::env::current_exe().unwrap_or_else(|_| name.into());
    let child = Command::new(program).args(arguments).spawn()?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    loop {
        tokio::select! {
            _ = ended.recv() => {
                // One signal can stand for many ends.
                while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                    if Some(pid) == child {
                        return Ok(exit_code(status));
                    }
                }
            }
            signal = signals.next_to_pass_on() => {
                if let Some(child) = child {
                    // It may have ended at this moment.
                    let _ = kill_process(child, signal);
                }
            }
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let signalled = status.terminating_signal().map(|signal| SIGNALLED + signal);
    let code = status.exit_status().or(signalled);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

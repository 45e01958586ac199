//! What has to go when the suite goes, however it goes: the processes that it started and the
//! directories that it made.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Result;

static LEFT: Mutex<Left> = Mutex::new(Left {
    groups: BTreeSet::new(),
    directories: Vec::new(),
});

struct Left {
    groups: BTreeSet<u32>,
    directories: Vec<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, the signals that end this process take along what it has made.
pub(crate) fn clean_up_on_signals() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let (mut listener, tell) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal, tell)?;
        std::thread::spawn(move || {
            if listener.read_exact(&mut [0]).is_ok() {
                clean_up();
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
    }
    Ok(())
}

fn clean_up() {
    let left = left();
    left.groups.iter().copied().for_each(kill_group);
    // What is killed has still to end.
    for leader in left.groups.iter().copied().filter_map(pid) {
        let _ = waitpid(Some(leader), WaitOptions::empty());
    }
    for directory in &left.directories {
        remove(directory);
    }
    // Never given back, so that nothing new is started.
    std::mem::forget(left);
}

/// Files may still be made in it by what is only just being killed.
fn remove(directory: &Path) {
    for _ in 0..100 {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

fn kill_group(leader: u32) {
    if let Some(leader) = pid(leader) {
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// A process and those that it starts; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    ended: bool,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut left = left();
        let child = command.process_group(0).spawn();
        let child =
            child.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        left.groups.insert(child.id());
        Ok(Self {
            child,
            ended: false,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        self.ended = true;
        left().groups.remove(&self.child.id());
        Ok(status)
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        if !self.ended && self.child.try_wait()?.is_some() {
            self.ended = true;
            left().groups.remove(&self.child.id());
        }
        Ok(!self.ended)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            kill_group(self.child.id());
            let _ = self.wait();
        }
    }
}

/// A directory that goes when dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new one. Those of suites that were killed are removed.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        const PREFIX: &str = "dfcache-bench-";
        for entry in
            fs::read_dir(parent).map_err(|error| format!("{}: {error}", parent.display()))?
        {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                fs::remove_dir_all(parent.join(name))?;
            }
        }
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        let mut left = left();
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        left.directories.push(path.clone());
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

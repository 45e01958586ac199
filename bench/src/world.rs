//! The files, programs and daemons that jobs are done with.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Files are compared and written in parts of this length, in bytes.
const PART: usize = 1 << 20;

/// Files in a directory that goes with it, and a daemon that holds the large and the small one.
pub(crate) struct World {
    programs: PathBuf,
    directory: PathBuf,
    /// None while the world is made, and when it goes.
    daemon: Option<Daemon>,
    pub(crate) large_task: String,
    pub(crate) small_task: String,
}

impl World {
    pub(crate) fn create(programs: PathBuf, length: u64) -> Result<Self> {
        let shared_memory = Path::new("/dev/shm");
        let parent = match std::env::var_os("BENCH_DIR") {
            Some(directory) => PathBuf::from(directory),
            None if shared_memory.is_dir() => shared_memory.to_owned(),
            None => std::env::temp_dir(),
        };
        let directory = parent.join(format!("dfcache-bench-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let mut world = Self {
            programs,
            directory,
            daemon: None,
            large_task: String::new(),
            small_task: String::new(),
        };
        fill(&world.large(), length)?;
        fill(&world.small(), 1 << 10)?;
        let daemon = world.daemon("state")?;
        world.large_task = world.import(&daemon, &world.large())?;
        world.small_task = world.import(&daemon, &world.small())?;
        world.daemon = Some(daemon);
        Ok(world)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn large(&self) -> PathBuf {
        self.directory.join("large")
    }

    pub(crate) fn small(&self) -> PathBuf {
        self.directory.join("small")
    }

    /// Where jobs write; they remove what they wrote.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.join("output")
    }

    /// dfcache, told of the daemon that holds the files.
    pub(crate) fn dfcache(&self) -> Command {
        let socket = self.daemon.as_ref().map(|daemon| daemon.socket.clone());
        self.dfcache_at(&socket.unwrap_or_default())
    }

    pub(crate) fn dfcache_at(&self, socket: &Path) -> Command {
        let mut command = Command::new(self.programs.join("dfcache"));
        command.env("DFCACHE_ENDPOINT", socket);
        command
    }

    fn import(&self, daemon: &Daemon, path: &Path) -> Result<String> {
        let output = self
            .dfcache_at(&daemon.socket)
            .args(["import", "--piece-length", "4mib"])
            .arg(path)
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr)?.into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A daemon of three hosts that holds nothing.
    pub(crate) fn daemon(&self, name: &str) -> Result<Daemon> {
        let state = self.directory.join(name);
        let socket = state.join("host-0.sock");
        let process = Command::new(self.programs.join("fake-dfdaemon"))
            .args(["serve", "--state-dir"])
            .arg(&state)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut daemon = Daemon {
            process,
            state,
            socket,
        };
        let mut ready = String::new();
        if let Some(stdout) = daemon.process.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if ready.is_empty() {
            return Err("fake-dfdaemon did not start".into());
        }
        Ok(daemon)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.daemon.take());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A daemon that ends when dropped, and its state with it.
pub(crate) struct Daemon {
    process: Child,
    state: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// How long a process takes, which must succeed.
pub(crate) fn time(command: &mut Command) -> Result<Duration> {
    command.stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let taken = start.elapsed();
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(taken)
}

/// Fails if the bytes of two files differ; then removes the second.
pub(crate) fn check_and_remove(original: &Path, copy: &Path) -> Result<()> {
    let (mut left, mut right) = (File::open(original)?, File::open(copy)?);
    let length = left.metadata()?.len();
    if right.metadata()?.len() != length {
        return Err(format!("{} has another length", copy.display()).into());
    }
    let (mut ours, mut theirs) = (vec![0; PART], vec![0; PART]);
    let mut rest = length;
    while rest > 0 {
        let part = usize::try_from(rest).unwrap_or(PART).min(PART);
        left.read_exact(&mut ours[..part])?;
        right.read_exact(&mut theirs[..part])?;
        if ours[..part] != theirs[..part] {
            return Err(format!("{} has other bytes", copy.display()).into());
        }
        rest -= part as u64;
    }
    fs::remove_file(copy)?;
    Ok(())
}

/// Bytes without holes or repeats, the same in every run.
fn fill(path: &Path, length: u64) -> Result<()> {
    let mut file = File::create_new(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut part = Vec::with_capacity(PART);
    let mut rest = length;
    while rest > 0 {
        part.clear();
        while part.len() < PART {
            // xorshift
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            part.extend_from_slice(&state.to_le_bytes());
        }
        let wanted = usize::try_from(rest).unwrap_or(PART).min(PART);
        file.write_all(&part[..wanted])?;
        rest -= wanted as u64;
    }
    Ok(())
}

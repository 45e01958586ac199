//! The file of `--ready-file`: it exists from when the daemon is ready until it stops. The file of another daemon,
//! or of anybody else, is never replaced or removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::store::aside::{aside, aside_of_drop};

/// How long a device or a pipe is given before the daemon goes on: a reader may come later.
const PATIENCE: Duration = Duration::from_millis(100);

/// The most links that lead from one to the next, as the system has it.
const MOST_LINKS: usize = 40;

/// No ready line is longer.
const LONGEST: u64 = 1 << 20;

/// The path of a ready file that no daemon has.
#[derive(Debug)]
pub(crate) struct ReadyFile {
    path: PathBuf,
    /// It is a device, a pipe, or a link to such.
    is_special: bool,
    /// Whether something is what an earlier daemon wrote there.
    is_stale: IsStale,
    written: Option<Written>,
}

/// What is looked at in a ready line of an earlier daemon.
#[derive(Deserialize)]
struct Line {
    event: String,
}

/// Tells what a daemon wrote from anything else.
type IsStale = fn(&[u8]) -> bool;

/// Whether this is a ready line.
pub(crate) fn is_ready_line(text: &[u8]) -> bool {
    serde_json::from_slice(text).is_ok_and(|line: Line| line.event == "ready")
}

impl ReadyFile {
    /// Removes the file of a daemon that is gone.
    pub(crate) async fn claim(path: &Path, is_stale: IsStale) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        aside(move || Self::claim_here(path, is_stale)).await?
    }

    fn claim_here(path: PathBuf, is_stale: IsStale) -> io::Result<Self> {
        let is_special = is_special(&path);
        if !is_special {
            remove_stale(&path, is_stale)?;
        }
        Ok(Self {
            path,
            is_special,
            is_stale,
            written: None,
        })
    }

    /// Writes the line, so that it is there whole or not at all.
    pub(crate) async fn write(&mut self, line: Vec<u8>) -> io::Result<()> {
        if self.is_special {
            return write_into(self.path.clone(), line).await;
        }
        let (path, is_stale) = (self.path.clone(), self.is_stale);
        let written = aside(move || Written::place(path, &line, is_stale));
        self.written = Some(written.await??);
        Ok(())
    }
}

/// What was written, locked as long as this lives. Dropped, it is removed.
#[derive(Debug)]
struct Written(Option<(PathBuf, File)>);

impl Written {
    fn place(path: PathBuf, line: &[u8], is_stale: IsStale) -> io::Result<Self> {
        let mut beside = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
        beside.write_all(line)?;
        // Where files cannot be locked, a second daemon takes this for stale.
        let _ = beside.as_file().lock();
        let placed = beside.persist_noclobber(&path).or_else(|error| {
            if error.error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error.error);
            }
            // Another process has put one there since the start.
            remove_stale(&path, is_stale)?;
            let placed = error.file.persist_noclobber(&path);
            placed.map_err(|error| error.error)
        });
        Ok(Self(Some((path, placed?))))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some((path, file)) = self.0.take() {
            aside_of_drop(move || remove_own(&path, &file));
        }
    }
}

/// Removes a file that is still the one that was written: nobody is to take it for a daemon that
/// lives.
fn remove_own(path: &Path, written: &File) {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let there = fs::symlink_metadata(path).map(identity).ok();
    if there.is_some() && there == written.metadata().map(identity).ok() {
        let _ = fs::remove_file(path);
    }
}

/// Whether this is written into, not replaced: a device, a pipe, or a link to such, also one of the
/// system's own to whatever a process has open, such as `/dev/stdout`.
fn is_special(path: &Path) -> bool {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(metadata) = fs::symlink_metadata(&at) else {
            return false;
        };
        if !metadata.is_symlink() {
            return !metadata.is_file() && !metadata.is_dir();
        }
        let above = at.parent().and_then(|above| fs::canonicalize(above).ok());
        let (Some(above), Ok(target)) = (above, fs::read_link(&at)) else {
            return false;
        };
        if above == Path::new("/dev") || above.starts_with("/proc") {
            return true;
        }
        at = above.join(target);
    }
    false
}

fn remove_stale(path: &Path, is_stale: IsStale) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.is_symlink() {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(io::Error::other("it is a running daemon's"));
        }
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        if !text.is_empty() && !is_stale(&text) {
            return Err(io::Error::other("its content is not that of a ready file"));
        }
    }
    fs::remove_file(path)
}

/// Writes a line into what is there, on a thread of its own: a pipe has no reader perhaps.
async fn write_into(path: PathBuf, line: Vec<u8>) -> io::Result<()> {
    let (done, written) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        let file = OpenOptions::new()
            .append(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(&path);
        // Nobody waits any more for a reader that comes late.
        let _ = done.send(file.and_then(|mut file| file.write_all(&line)));
    })?;
    match tokio::time::timeout(PATIENCE, written).await {
        Ok(written) => written.unwrap_or_else(|error| Err(io::Error::other(error))),
        Err(_) => Ok(()),
    }
}

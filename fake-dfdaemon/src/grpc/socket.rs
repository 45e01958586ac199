//! Binds Unix sockets that only their user can connect to, and never replaces the socket of a daemon that runs.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::store::aside::{aside, aside_of_drop};
use crate::store::state_dir::{Lock, lock_open};

/// The longest path that a socket's address can hold, in bytes.
pub(crate) const MAX_PATH: usize = 107;

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 1024;

/// Why a socket was not bound.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, SocketError, StartError};
///
/// let too_long = format!("/tmp/{}.sock", "x".repeat(200));
/// let error = FakeDfdaemon::builder().socket(too_long).start_blocking().unwrap_err();
/// assert!(matches!(error, StartError::Socket(SocketError::TooLong { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// An address holds 107 bytes.
    #[error("the socket path {} has {} bytes, {MAX_PATH} are the most; choose a shorter one with --state-dir, --socket or --control", path.display(), path.as_os_str().len())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another daemon answers there.
    #[error("the socket {} is in use by a running process", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else lies there, which is not ours to remove.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot bind the socket {}", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How often and how long another daemon is waited for that binds or removes a socket in the same
/// directory. A directory that stays locked is a state directory.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// A bound socket's name. Dropped, the name is removed, unless another process has taken it: as long as
/// the file is open, no other one has its inode. The name may outlive the socket.
#[derive(Debug)]
pub(crate) struct SocketFile(Option<Name>);

#[derive(Debug)]
struct Name {
    path: PathBuf,
    /// Open without any right to use it.
    file: File,
    is_in_state: bool,
}

impl SocketFile {
    /// Removes the name. One in a file system that hangs stays.
    pub(crate) async fn remove(mut self) {
        if let Some(name) = self.0.take() {
            let _ = aside(|| name.remove()).await;
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(name) = self.0.take() {
            aside_of_drop(|| name.remove());
        }
    }
}

impl Name {
    fn remove(self) {
        let _alone = alone_in(&self.path, self.is_in_state);
        let (at, ours) = (std::fs::symlink_metadata(&self.path), self.file.metadata());
        let is_ours = matches!((at, ours), (Ok(at), Ok(ours)) if (at.dev(), at.ino()) == (ours.dev(), ours.ino()));
        if is_ours {
            // A socket that is gone by now is removed too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Locks the directory of `path`, so that no other daemon looks at the sockets in it: a socket that
/// is bound and does not listen yet looks like that of a daemon that is gone. The state directory is
/// its daemon's alone already.
fn alone_in(path: &Path, is_in_state: bool) -> Option<Lock> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    for _ in 0..if is_in_state { 0 } else { TRIES } {
        let parent = rustix::fs::open(path.parent()?, flags, Mode::empty()).ok()?;
        // Where directories cannot be locked, it goes without.
        if let Some(lock) = lock_open(File::from(parent)).ok()? {
            return Some(lock);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Binds a socket that accepts from now on, with `mode` from the first moment. The path is an
/// absolute one; `state` is the state directory, which this process has locked.
pub(crate) async fn listen_at(
    path: &Path,
    mode: u32,
    state: &Path,
) -> Result<(UnixListener, SocketFile), SocketError> {
    let (at, state) = (path.to_owned(), state.to_owned());
    let listening = aside(move || listen_here(&at, mode, &state));
    listening.await.unwrap_or_else(|source| {
        let path = path.to_owned();
        Err(SocketError::Bind { path, source })
    })
}

/// [`listen_at`] on this thread. Blocks on the disk.
fn listen_here(
    path: &Path,
    mode: u32,
    state: &Path,
) -> Result<(UnixListener, SocketFile), SocketError> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(SocketError::TooLong {
            path: path.to_owned(),
        });
    }
    let is_in_state = path.parent() == Some(state);
    let _alone = alone_in(path, is_in_state);
    sweep(path)?;
    let bound = bind_with_mode(path, Mode::from_raw_mode(mode));
    let (listener, file) = bound.map_err(|source| SocketError::Bind {
        path: path.to_owned(),
        source,
    })?;
    let name = Name {
        path: path.to_owned(),
        file,
        is_in_state,
    };
    Ok((listener, SocketFile(Some(name))))
}

/// The listener, and the file that its name stands for.
fn bind_with_mode(path: &Path, mode: Mode) -> io::Result<(UnixListener, File)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the name the mode of the socket, less the umask, which may only narrow it.
    rustix::fs::fchmod(&socket, mode)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = File::from(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    let bound = file.metadata()?;
    if !bound.file_type().is_socket() {
        return Err(io::Error::other("somebody replaced it at once"));
    }
    if bound.mode() & 0o777 != mode.as_raw_mode() {
        // By the open name: where others may rename, the path can be something else by now. It takes
        // /proc, which a bare root lacks; what the umask left alone does without.
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(opened, Permissions::from_mode(mode.as_raw_mode()))?;
    }
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), file))
}

/// Removes the socket of a daemon that is gone.
fn sweep(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let path = path.to_owned();
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket { path });
    }
    match knock(&path) {
        Err(Errno::CONNREFUSED) => {
            std::fs::remove_file(&path).map_err(|source| SocketError::Bind { path, source })
        }
        Err(Errno::NOENT) => Ok(()),
        // It accepted, or is alive and too busy to: it is not ours to replace.
        _ => Err(SocketError::InUse { path }),
    }
}

/// Connects, but does not wait for room among the connections that wait.
fn knock(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o666] {
            let path = dir.path().join("socket");
            let (_listener, file) = listen_here(&path, mode, Path::new("/state")).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                mode
            );
            UnixStream::connect(&path).unwrap();
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_name_that_has_become_somebody_elses_stays() {
        for is_closed in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("socket");
            let (listener, file) = listen_here(&path, 0o600, Path::new("/state")).unwrap();
            let listener = (!is_closed).then_some(listener);
            fs::remove_file(&path).unwrap();
            // Its inode would be that of the name that went, if nobody held that one open.
            let _theirs = UnixListener::bind(&path).unwrap();
            drop(file);
            UnixStream::connect(&path).unwrap();
            drop(listener);
        }
    }

    #[test]
    fn a_name_may_outlive_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (listener, file) = listen_here(&path, 0o600, Path::new("/state")).unwrap();
        drop(listener);
        assert_eq!(knock(&path), Err(Errno::CONNREFUSED));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_swept_and_a_live_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, _file) = listen_here(&path, 0o600, Path::new("/state")).unwrap();
        let error = listen_here(&path, 0o600, Path::new("/state")).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "precious").unwrap();
        let error = listen_here(&path, 0o600, Path::new("/state")).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_a_hint() {
        let path = PathBuf::from(format!("/tmp/{}", "a".repeat(MAX_PATH)));
        let error = listen_here(&path, 0o600, Path::new("/state"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("112 bytes") && error.contains("--socket"),
            "{error}"
        );
    }

    #[test]
    fn of_several_daemons_on_a_stale_socket_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        for _ in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let listen = || listen_here(&path, 0o600, Path::new("/state")).ok();
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(listen)).collect();
                let ended = threads.into_iter().map(|thread| thread.join().unwrap());
                ended.flatten().collect()
            });
            assert_eq!(bound.len(), 1, "they removed each other's");
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_socket_with_a_full_backlog_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let kind = SocketType::STREAM;
        let busy = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        bind(&busy, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&busy, 0).unwrap();
        // Linux takes one connection more than the backlog.
        let _waiting = UnixStream::connect(&path).unwrap();
        assert_eq!(knock(&path), Err(Errno::AGAIN));
        let error = listen_here(&path, 0o600, Path::new("/state")).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    }
}

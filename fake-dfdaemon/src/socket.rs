//! Unix sockets that are bound so that nobody else gets in, and never over a daemon that lives.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// The longest path that a socket's address can hold, in bytes.
pub(crate) const MAX_PATH: usize = 107;

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 1024;

/// Why a socket was not bound.
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

/// A bound socket's name. Dropped, the name is removed, unless it has become somebody else's.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|at| (at.dev(), at.ino()) == self.identity);
        if is_ours {
            // One that is gone by now is as good.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket that accepts from now on, with `mode` from the first moment.
pub(crate) fn listen_at(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), SocketError> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(SocketError::TooLong {
            path: path.to_owned(),
        });
    }
    sweep(path)?;
    let bound = bind_with_mode(path, Mode::from_raw_mode(mode));
    let (listener, identity) = bound.map_err(|source| SocketError::Bind {
        path: path.to_owned(),
        source,
    })?;
    let path = path.to_owned();
    Ok((listener, SocketFile { path, identity }))
}

/// The listener, and device and inode of its name.
fn bind_with_mode(path: &Path, mode: Mode) -> io::Result<(UnixListener, (u64, u64))> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the name the mode of the socket, less the umask, which may only narrow it.
    rustix::fs::fchmod(&socket, mode)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let name = File::from(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    let bound = name.metadata()?;
    if !bound.file_type().is_socket() {
        return Err(io::Error::other("somebody replaced it at once"));
    }
    // By the open name: where others may rename, the path can be something else by now.
    let name = format!("/proc/self/fd/{}", name.as_raw_fd());
    std::fs::set_permissions(name, Permissions::from_mode(mode.as_raw_mode()))?;
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), (bound.dev(), bound.ino())))
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
    match UnixStream::connect(&path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&path).map_err(|source| SocketError::Bind { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Accepted, or alive and too busy to: whoever it is, it is not ours to replace.
        _ => Err(SocketError::InUse { path }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o666] {
            let path = dir.path().join("socket");
            let (_listener, file) = listen_at(&path, mode).unwrap();
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
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (_listener, file) = listen_at(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_stale_socket_is_swept_and_a_live_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, _file) = listen_at(&path, 0o600).unwrap();
        let error = listen_at(&path, 0o600).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "precious").unwrap();
        let error = listen_at(&path, 0o600).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_a_hint() {
        let path = PathBuf::from(format!("/tmp/{}", "a".repeat(MAX_PATH)));
        let error = listen_at(&path, 0o600).unwrap_err().to_string();
        assert!(
            error.contains("112 bytes") && error.contains("--socket"),
            "{error}"
        );
    }
}

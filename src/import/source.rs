//! The file of an import as both sides see it: which path dfdaemon gets, and whether that path
//! and the file's length mean the same there as here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use crate::types::error::{Error, Result};

/// How many symbolic links are followed, as in Linux.
const MAX_LINKS: usize = 40;

/// Resolves a path that ends in a symbolic link; any other path stays as it is.
///
/// dfdaemon 1.5 would hard-link the link itself into its store, and deliver nothing or zeros later.
pub(super) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        // What cannot be looked at is reported by the check of the file.
        _ => Ok(path.to_owned()),
    }
}

/// The part of a path that means another file to another process, if there is one: `/dev/stdin`,
/// `/dev/fd/N`, `/proc/self/…`, and links that lead there.
///
/// `path` must be absolute.
pub(super) fn private_part(path: &Path) -> Option<PathBuf> {
    let mut ahead: VecDeque<OsString> = components(path).collect();
    let mut place = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            place.pop();
            continue;
        }
        let next = place.join(&name);
        if is_private(&place, &name) {
            return Some(next);
        }
        match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    place = PathBuf::from("/");
                }
                for name in components(&target).rev() {
                    ahead.push_front(name);
                }
            }
            _ => place = next,
        }
    }
    None
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether `name` in the directory `place` is of one process alone.
fn is_private(place: &Path, name: &OsString) -> bool {
    let name = name.as_encoded_bytes();
    if place == Path::new("/dev") {
        return matches!(name, b"stdin" | b"stdout" | b"stderr" | b"fd");
    }
    let of_a_process = matches!(name, b"self" | b"thread-self")
        || (!name.is_empty() && name.iter().all(u8::is_ascii_digit));
    of_a_process && is_proc(place)
}

#[cfg(target_os = "linux")]
fn is_proc(place: &Path) -> bool {
    rustix::fs::statfs(place).is_ok_and(|found| found.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_proc(place: &Path) -> bool {
    place == Path::new("/proc")
}

/// Checks that a file ends where its length says.
///
/// Files that the kernel makes up as they are read, such as `/proc/version`, say that they are empty.
/// dfdaemon believes them, and imports nothing.
pub(super) fn check_length(path: &Path, length: u64) -> Result<()> {
    let opened = OpenOptions::new()
        .read(true)
        // A FIFO that has taken the file's place meanwhile must not block.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        // Not for this user to read, but the daemon may be another one.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(cannot_read(path).because(error)),
    };
    let rest = rest(&file, length).map_err(|error| cannot_read(path).because(error))?;
    if rest == length.min(1) {
        return Ok(());
    }
    let how = if rest > length.min(1) { "more" } else { "less" };
    let why = format!("its length is given as {length} bytes, but it has {how}");
    Err(cannot_read(path).because(why).hint(
        "if it is a file of the kernel, or if it is still being written, import a copy of it",
    ))
}

/// An error of the system as the reason of a failed import, in the system's words.
pub(super) fn failed(source: io::Error) -> Error {
    let errno = source.raw_os_error();
    Error::local_file(source.to_string()).with_errno(errno)
}

fn cannot_read(path: &Path) -> Error {
    Error::local_file(format!("cannot read {}", path.display()))
}

/// How many bytes there are from the last byte that a file of this length has, two at most.
fn rest(file: &File, length: u64) -> io::Result<u64> {
    let mut bytes = [0; 2];
    loop {
        match file.read_at(&mut bytes, length.saturating_sub(1)) {
            // The last byte of an empty file is none: what is there is one too many.
            Ok(read) => return Ok(read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_of_one_process_is_found_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        symlink("/dev/stdin", place("input")).unwrap();
        symlink("input", place("twice")).unwrap();
        symlink("/proc/self/cwd", place("here")).unwrap();
        symlink("round", place("round")).unwrap();
        let pid = std::process::id();
        for path in [
            "/dev/stdin".into(),
            "/dev//./fd/0".into(),
            "/tmp/../dev/stdout".into(),
            "/proc/self/cwd/file".into(),
            "/proc/thread-self/cwd/file".into(),
            format!("/proc/{pid}/cwd/file"),
            format!("{}/file", place("here").display()),
            place("input").display().to_string(),
            place("twice").display().to_string(),
        ] {
            assert!(private_part(Path::new(&path)).is_some(), "{path}");
        }
        for path in [
            "/dev/null".into(),
            "/proc/version".into(),
            "/dev/shm/fd/7".into(),
            place("self/7").display().to_string(),
            place("round").display().to_string(),
        ] {
            assert_eq!(private_part(Path::new(&path)), None, "{path}");
        }
    }

    #[test]
    fn only_the_last_link_of_a_path_is_resolved() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let place = |name: &str| root.join(name);
        fs::create_dir(place("blobs")).unwrap();
        fs::write(place("blobs/b"), "content").unwrap();
        symlink("blobs", place("also")).unwrap();
        symlink("../blobs/b", place("blobs/link")).unwrap();
        symlink("blobs/link", place("link")).unwrap();
        assert_eq!(resolved(&place("link")).unwrap(), place("blobs/b"));
        assert_eq!(resolved(&place("also/link")).unwrap(), place("blobs/b"));
        assert_eq!(resolved(&place("also/b")).unwrap(), place("also/b"));
        assert_eq!(resolved(&place("missing")).unwrap(), place("missing"));
    }

    #[test]
    fn a_file_with_more_or_less_than_it_says_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in ["", "1", "12", "12345"] {
            fs::write(&path, content).unwrap();
            let length = content.len() as u64;
            check_length(&path, length).unwrap();
            assert!(check_length(&path, length + 1).is_err(), "{content:?}");
            if length > 0 {
                assert!(check_length(&path, length - 1).is_err(), "{content:?}");
            }
        }
        let error = check_length(Path::new("/proc/version"), 0).unwrap_err();
        assert_eq!(
            error.causes(),
            ["its length is given as 0 bytes, but it has more"]
        );
    }
}

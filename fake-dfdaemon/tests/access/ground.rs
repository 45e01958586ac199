//! The files that a fake meets: a directory with a victim, links, FIFOs and sockets.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use testkit::program::skipped;
pub(crate) use testkit::wait::HANGS;

/// A user who is not root.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) struct Ground(TempDir);

impl Ground {
    /// A directory with a victim in it.
    pub(crate) fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.path("victim"), "precious").unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn link(&self, name: &str, target: &str) -> PathBuf {
        symlink(self.path(target), self.path(name)).unwrap();
        self.path(name)
    }

    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, self.path(name), FileType::Fifo, mode, 0).unwrap();
        self.path(name)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        drop(UnixListener::bind(self.path(name)).unwrap());
        self.path(name)
    }

    #[track_caller]
    pub(crate) fn victim_is_unharmed(&self) {
        assert_eq!(fs::read_to_string(self.path("victim")).unwrap(), "precious");
    }
}

/// Everything below a directory, one a line: path, kind, mode, length.
pub(crate) fn tree(dir: &Path) -> String {
    let mut lines = String::new();
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.path()).collect();
    names.sort();
    for path in names {
        let Ok(at) = fs::symlink_metadata(&path) else {
            // What a restore replaced is removed while nobody waits.
            continue;
        };
        let kind = if at.is_dir() {
            "directory"
        } else if at.is_symlink() {
            "link"
        } else if at.file_type().is_socket() {
            "socket"
        } else {
            "file"
        };
        let mode = at.mode() & 0o7777;
        // The journal alone grows by being asked.
        let length = if at.is_file() && !path.ends_with("journal.jsonl") {
            at.len()
        } else {
            0
        };
        writeln!(lines, "{} {kind} {mode:04o} {length}", path.display()).unwrap();
        if at.is_dir() {
            lines += &tree(&path);
        }
    }
    lines
}

/// Whether files of another user can be made; says so if not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("only root can give files away");
    }
    root
}

//! A file system whose server has stopped answering.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::skipped;
use super::users::is_root;
use super::world::Directory;

/// What FUSE's INIT is answered with, after the header: version 7.31, and the shortest writes.
const VERSION: [u32; 2] = [7, 31];
const MAX_WRITE: u32 = 4096;
const INIT_ANSWER_LENGTH: usize = 64;
const HEADER_LENGTH: usize = 16;

/// Mounted; unmounted when dropped. Its server takes no request after the first.
pub struct HungFileSystem {
    path: PathBuf,
    /// Open as long as the server lives.
    server: File,
}

impl HungFileSystem {
    /// Only root can mount one, and not in every container.
    pub fn mount(directory: &Directory) -> Option<Self> {
        let path = directory.beside("hung");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "below").unwrap();
        let mounted = is_root().then(|| Self::try_mount(path)).flatten();
        if mounted.is_none() {
            skipped("no FUSE can be mounted here");
        }
        mounted
    }

    fn try_mount(path: PathBuf) -> Option<Self> {
        let mut options = File::options();
        let mut server = options.read(true).write(true).open("/dev/fuse").ok()?;
        let mut mount = Command::new("mount");
        let mount = mount
            .args(["-i", "-t", "fuse", "-o"])
            .arg("fd=0,rootmode=40000,user_id=0,group_id=0,allow_other")
            .args(["hung"])
            .arg(&path)
            .stdin(Stdio::from(server.try_clone().unwrap()));
        if !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let mut request = vec![0; 1 << 17];
        let length = server.read(&mut request).unwrap();
        assert!(length > HEADER_LENGTH);
        let unique = &request[8..16];
        let mut answer = Vec::new();
        let whole = u32::try_from(HEADER_LENGTH + INIT_ANSWER_LENGTH).unwrap();
        answer.extend(whole.to_ne_bytes());
        answer.extend(0_u32.to_ne_bytes());
        answer.extend(unique);
        // Version, read-ahead, flags, two short limits, the longest write; the rest is nothing.
        for word in [VERSION[0], VERSION[1], 0, 0, 0, MAX_WRITE] {
            answer.extend(word.to_ne_bytes());
        }
        answer.resize(HEADER_LENGTH + INIT_ANSWER_LENGTH, 0);
        server.write_all(&answer).unwrap();
        Some(Self { path, server })
    }

    /// Whether somebody waits for an answer, or does so within this time.
    pub fn is_asked(&self, within: Duration) -> bool {
        let mut server = [PollFd::new(&self.server, PollFlags::IN)];
        let within = Timespec::try_from(within).unwrap();
        poll(&mut server, Some(&within)).unwrap() > 0
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HungFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

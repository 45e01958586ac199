//! A file system with one file or socket, whose server answers until a test stops it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testkit::program::skipped;

const ROOT: u64 = 1;
const FILE: u64 = 2;

/// Requests of FUSE, by their numbers.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const MKNOD: u32 = 8;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const INIT: u32 = 26;
const CREATE: u32 = 35;
const INTERRUPT: u32 = 36;

const REGULAR: u32 = 0o100_600;

const IN_HEADER: usize = 40;
const WRITE_HEADER: usize = 40;
const MAX_WRITE: u32 = 1 << 16;
/// Set in what SETATTR changes.
const SIZE: u32 = 1 << 3;
/// Reads and writes come to the server, whatever the kernel knows of the file.
const DIRECT_IO: u32 = 1;

/// Mounted; unmounted when dropped.
pub(crate) struct StallingFileSystem {
    path: PathBuf,
    stalls: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    /// Open as long as requests may hang; closed, they fail.
    _device: File,
}

impl StallingFileSystem {
    /// Only root can mount one, and not in every container.
    pub(crate) fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let mounted = Self::try_mount(path);
        if mounted.is_none() {
            skipped("no FUSE can be mounted here");
        }
        mounted
    }

    fn try_mount(path: &Path) -> Option<Self> {
        let mut options = File::options();
        let device = options.read(true).write(true).open("/dev/fuse").ok()?;
        let mount = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o"])
            .arg("fd=0,rootmode=40000,user_id=0,group_id=0,allow_other")
            .arg("stalling")
            .arg(path)
            .stdin(Stdio::from(device.try_clone().unwrap()))
            .status();
        if !mount.is_ok_and(|status| status.success()) {
            return None;
        }
        let stalls = Arc::<AtomicBool>::default();
        let mut server = Server {
            device: device.try_clone().unwrap(),
            content: None,
            mode: REGULAR,
        };
        let until = Arc::clone(&stalls);
        let server = move || {
            while !until.load(Ordering::Relaxed) {
                // A process cannot even be killed while a request of it was taken and not answered.
                if server.is_asked() && !server.serve() {
                    break;
                }
            }
        };
        Some(Self {
            path: path.to_owned(),
            stalls,
            server: Some(std::thread::spawn(server)),
            _device: device,
        })
    }

    /// From now on it answers nothing.
    pub(crate) fn stall(&mut self) {
        self.stalls.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

impl Drop for StallingFileSystem {
    fn drop(&mut self) {
        self.stall();
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

struct Server {
    device: File,
    content: Option<Vec<u8>>,
    /// Of what the content is of.
    mode: u32,
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn size(bytes: &[u8], at: usize) -> usize {
    usize::try_from(number64(bytes, at)).unwrap()
}

impl Server {
    /// Waits for a request for a moment.
    fn is_asked(&self) -> bool {
        let mut device = [PollFd::new(&self.device, PollFlags::IN)];
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        poll(&mut device, Some(&moment)).unwrap() > 0
    }

    /// Serves a request. False when there are no more.
    fn serve(&mut self) -> bool {
        let mut request = vec![0; 1 << 18];
        let Ok(length) = self.device.read(&mut request) else {
            return false;
        };
        let request = &request[..length];
        let kind = number32(request, 4);
        if kind == FORGET || kind == INTERRUPT {
            return true;
        }
        let answer = self.answer(kind, number64(request, 16), &request[IN_HEADER..]);
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(error.to_ne_bytes());
        bytes.extend(&request[8..16]);
        bytes.extend(body);
        // A request that was interrupted wants no answer.
        let _ = self.device.write(&bytes);
        true
    }

    fn answer(&mut self, kind: u32, node: u64, asked: &[u8]) -> Result<Vec<u8>, rustix::io::Errno> {
        use rustix::io::Errno;

        match kind {
            INIT => {
                let words = [7, 31, 0, 0, 0, MAX_WRITE];
                let mut init: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                init.resize(64, 0);
                Ok(init)
            }
            LOOKUP if self.content.is_some() => Ok(self.entry()),
            LOOKUP => Err(Errno::NOENT),
            GETATTR => Ok(self.attributes_of(node)),
            SETATTR => {
                let wanted = size(asked, 16);
                if let Some(content) = self.content.as_mut()
                    && number32(asked, 0) & SIZE != 0
                {
                    content.resize(wanted, 0);
                }
                Ok(self.attributes_of(node))
            }
            MKNOD => {
                self.content = Some(Vec::new());
                self.mode = number32(asked, 0);
                Ok(self.entry())
            }
            CREATE => {
                self.content = Some(Vec::new());
                Ok([self.entry(), opened()].concat())
            }
            OPEN => Ok(opened()),
            READ => {
                let content = self.content.as_deref().unwrap_or_default();
                let from = size(asked, 8).min(content.len());
                let until = from + number32(asked, 16) as usize;
                Ok(content[from..until.min(content.len())].to_vec())
            }
            WRITE => {
                let (at, length) = (size(asked, 8), number32(asked, 16));
                let content = self.content.get_or_insert_default();
                let end = at + length as usize;
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(&asked[WRITE_HEADER..][..length as usize]);
                Ok([length, 0]
                    .iter()
                    .flat_map(|word| word.to_ne_bytes())
                    .collect())
            }
            RELEASE => Ok(Vec::new()),
            // Among them FLUSH: a process that ends does not ask again.
            _ => Err(Errno::NOSYS),
        }
    }

    fn entry(&self) -> Vec<u8> {
        // Node, generation, and for how long this and the attributes may be kept: not at all.
        let words = [FILE, 0, 0, 0, 0];
        let entry = words.iter().flat_map(|word| word.to_ne_bytes());
        entry.chain(self.attributes(FILE)).collect()
    }

    fn attributes_of(&self, node: u64) -> Vec<u8> {
        [0_u8; 16]
            .into_iter()
            .chain(self.attributes(node))
            .collect()
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (mode, length) = match node {
            ROOT => (0o040_755_u32, 0),
            _ => (self.mode, self.content.as_ref().map_or(0, Vec::len)),
        };
        let long = [node, length as u64, length.div_ceil(512) as u64, 0, 0, 0];
        let short = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
        let long = long.iter().flat_map(|word| word.to_ne_bytes());
        let short = short.iter().flat_map(|word: &u32| word.to_ne_bytes());
        long.chain(short).collect()
    }
}

fn opened() -> Vec<u8> {
    let words = [0, 0, DIRECT_IO, 0];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

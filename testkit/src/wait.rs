//! Waits for what the system announces: changes at a path, a reader of a FIFO, and the end of a process.
//!
//! Nothing here looks again after a time, but for [`before_asking_again`]. What hangs fails after [`HANGS`]. No other
//! test sleeps, and few may take [`real_time`]: `tests/rooms/sleeps.rs` lists them.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ExitStatus, Output};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

/// Longer than anything takes that a test waits for. No test claims that something is quicker: this is there so that a test
/// of what hangs fails, and every guard of this kind takes its time from here.
pub const HANGS: Duration = Duration::from_secs(60);

/// What tells of something else in a directory, or in a file. Not that it is looked at: a test that looks would
/// wake itself.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY);

/// Tells of what happens to some files, and to what lies directly in some directories.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// From now on, at this path.
    pub fn at(path: &Path) -> Self {
        Self::which(path, CHANGES)
    }

    /// From now on, those of one kind at this path.
    pub fn which(path: &Path, kind: WatchFlags) -> Self {
        let changes = Self(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap());
        inotify::add_watch(&changes.0, path, kind).unwrap();
        changes
    }

    /// From now on, in this directory and in all that are below it now.
    pub fn below(directory: &Path) -> Self {
        let changes = Self::at(directory);
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            // A directory that was removed has no more changes.
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let _ = inotify::add_watch(&changes.0, entry.path(), CHANGES);
                open.push(entry.path());
            }
        }
        changes
    }

    /// Blocks until this holds, which is asked at once and after each change.
    pub fn block_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        while !holds() {
            self.block_next(what);
        }
    }

    /// Waits until this holds, which is asked at once and after each change.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        while !holds() {
            self.next(what).await;
        }
    }

    /// Blocks until the next change.
    pub fn block_next(&self, what: &str) {
        assert!(comes(&self.0), "it never came to be that {what}");
        self.drain();
    }

    /// Waits for the next change.
    pub async fn next(&self, what: &str) {
        // No pipe, and to be read as one.
        let readable = Receiver::from_owned_fd_unchecked(self.0.try_clone().unwrap()).unwrap();
        let came = tokio::time::timeout(HANGS, readable.readable()).await;
        assert!(came.is_ok(), "it never came to be that {what}");
        self.drain();
    }

    /// Takes what has come.
    fn drain(&self) {
        while rustix::io::read(&self.0, &mut [0; 4096]).is_ok() {}
    }
}

/// Blocks until a process has ended, a child of this one or not. Its parent may not have noticed yet.
pub fn until_process_ends(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => assert!(comes(&process), "process {pid:?} does not end"),
        // It has ended, and its parent knows.
        Err(error) => assert_eq!(error, Errno::SRCH, "process {pid:?} cannot be waited for"),
    }
}

/// Waits for the end of a child. One that hangs fails the test.
pub fn end_of(child: &mut Child) -> ExitStatus {
    until_process_ends(child.id());
    child.wait().unwrap()
}

/// Waits for the end of a child and reads what it writes. One that hangs is killed, and fails the test.
pub fn output_of(child: Child, what: &str) -> Output {
    output_within(HANGS, child, what)
}

/// The same, and hangs after this time.
pub fn output_within(time: Duration, child: Child, what: &str) -> Output {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let guard = std::thread::spawn(move || {
        let ends = comes_within(time, &process);
        if !ends {
            // It may have ended just now.
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
        ends
    });
    let output = child.wait_with_output().unwrap();
    assert!(guard.join().unwrap(), "it hangs: {what}");
    output
}

/// How long a test asks again for what must come at last.
#[derive(Debug)]
pub struct Patience(Instant);

impl Patience {
    /// From now on.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Fails the test when what it asks for has not come by now.
    pub fn lasts(&self, what: &str) {
        assert!(self.0.elapsed() < HANGS, "{what}");
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until somebody reads a FIFO, and returns its other end. Where nobody comes to read, a thread stays behind.
pub async fn opened_by_reader(fifo: &Path) -> File {
    let (sender, opened) = oneshot::channel();
    let fifo = fifo.to_owned();
    // Not on a runtime's thread, which its end would wait for.
    std::thread::spawn(move || sender.send(File::options().write(true).open(fifo)));
    let opened = tokio::time::timeout(HANGS, opened).await;
    assert!(opened.is_ok(), "nobody reads it");
    opened.unwrap().unwrap().unwrap()
}

/// Lets time of the machine pass, where that is what is tried: a limit of the machine's clock, or a moment that is
/// drawn at random. Whatever else a test waits for tells of itself, and is waited for.
pub async fn real_time(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A pause before a test asks again for what announces nothing; it has asked so many times already. Without a pause, test
/// and daemon would take all the CPU, and the daemon would be slower. The pause grows: most answers come at once.
pub async fn before_asking_again(times: u32) {
    let pause = Duration::from_millis(1 << times.min(5));
    tokio::time::sleep(pause).await;
}

/// The same as [`real_time`], and blocks.
pub fn block_for(time: Duration) {
    std::thread::sleep(time);
}

/// Blocks until there is something to read, or it is clear that nothing comes.
fn comes(descriptor: &OwnedFd) -> bool {
    comes_within(HANGS, descriptor)
}

fn comes_within(time: Duration, descriptor: &OwnedFd) -> bool {
    let mut descriptor = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut descriptor, Some(&Timespec::try_from(time).unwrap())).unwrap() > 0
}

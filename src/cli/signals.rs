//! The signals that end a process, read by a thread that waits for nothing that can hang.
//!
//! All threads block these signals, so that they stay pending until they are read. To install a handler for
//! each of the forty signals would take a third of the CPU time of a short command.

use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::waiting::Waiting;

/// Signals that are not heard: they do not end a process, cannot be blocked, or only a fault of the
/// process itself raises them.
const UNHEARD: [Signal; 18] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGKILL,
    Signal::SIGSEGV,
    Signal::SIGPIPE,
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGSTOP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGURG,
    Signal::SIGXFSZ,
    Signal::SIGWINCH,
    Signal::SIGSYS,
];

/// Tells of signals from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    waiting: Waiting,
    bell: PipeReader,
}

/// What a wait has heard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    Signal(i32),
    /// Nobody reads any more what is written to stdout.
    ReaderGone,
    /// The bell.
    Ended,
}

/// Ends every wait for signals once it is dropped: its other end tells so for ever.
#[derive(Debug)]
pub(crate) struct Bell {
    _end: PipeWriter,
}

impl Signals {
    /// Listens for the rest of the process. To be called before there are threads: they block what
    /// the one that starts them blocks.
    pub(crate) fn listen() -> io::Result<(Self, Bell)> {
        let mut heard = SigSet::all();
        for signal in UNHEARD {
            heard.remove(signal);
        }
        let mut blocked = heard;
        // A file that may not grow longer fails the write, which takes back what was begun; unblocked,
        // the signal would end the process before.
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block()?;
        let waiting = Waiting::new(heard)?;
        let (bell, end) = io::pipe()?;
        Ok((Self { waiting, bell }, Bell { _end: end }))
    }

    /// Waits for a signal, for the bell, or until a point in time; with `for_reader` until the reader of
    /// stdout is gone, too.
    pub(crate) fn wait(&mut self, until: Option<Instant>, for_reader: bool) -> Option<Heard> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Rounded up, so that it does not wake too early and wait again.
        let left = left.map(|left| left.saturating_add(Duration::from_micros(1)));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let stdout = io::stdout();
        let mut polled = [
            PollFd::new(&self.waiting, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
            // A pipe whose reader is gone tells that unasked.
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        let count = if for_reader { 3 } else { 2 };
        // Interrupted, as by a debugger, it has nothing to tell.
        let _ = poll(&mut polled[..count], left.as_ref());
        let [waits, bell, reader] = polled.map(|polled| polled.revents());
        if !bell.is_empty() {
            return Some(Heard::Ended);
        }
        let signal = if waits.is_empty() {
            None
        } else {
            self.waiting.take()
        };
        // One that the process was started with as ignored waits as well, as SIGHUP with `nohup`.
        let signal = signal.filter(|signal| !is_ignored(*signal));
        let is_gone = reader.intersects(PollFlags::ERR | PollFlags::HUP);
        let is_gone = is_gone.then_some(Heard::ReaderGone);
        signal.map(Heard::Signal).or(is_gone)
    }
}

/// Whether this process ignores a signal. Not where the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap_or_default();
    // The lowest bit is that of signal 1.
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0) >> (signal - 1) & 1 == 1
}

/// What a signal is called.
pub(crate) fn name(signal: i32) -> Option<&'static str> {
    Signal::try_from(signal).ok().map(Signal::as_str)
}

#[cfg(target_os = "linux")]
mod waiting {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::sys::signal::SigSet;
    use nix::sys::signalfd::{SfdFlags, SignalFd};

    /// The blocked signals that have come. There is something to read where one has.
    #[derive(Debug)]
    pub(super) struct Waiting(SignalFd);

    impl Waiting {
        pub(super) fn new(heard: SigSet) -> io::Result<Self> {
            let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
            Ok(Self(SignalFd::with_flags(&heard, flags)?))
        }

        pub(super) fn take(&mut self) -> Option<i32> {
            let taken = self.0.read_signal().ok().flatten()?;
            i32::try_from(taken.ssi_signo).ok()
        }
    }

    impl AsFd for Waiting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod waiting {
    use std::io::{self, PipeReader, Read as _, Write as _};
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::sys::signal::SigSet;

    /// The blocked signals that have come, by a thread that takes them. There is something to read where
    /// one has.
    #[derive(Debug)]
    pub(super) struct Waiting(PipeReader);

    impl Waiting {
        pub(super) fn new(heard: SigSet) -> io::Result<Self> {
            let (taken, mut takes) = io::pipe()?;
            let take = move || {
                while let Ok(signal) = heard.wait() {
                    let number = u8::try_from(signal as i32).unwrap_or_default();
                    if takes.write_all(&[number]).is_err() {
                        break;
                    }
                }
            };
            let thread = std::thread::Builder::new().name("signals".to_owned());
            thread.spawn(take)?;
            Ok(Self(taken))
        }

        pub(super) fn take(&mut self) -> Option<i32> {
            let mut number = [0];
            self.0.read_exact(&mut number).ok()?;
            Some(i32::from(number[0]))
        }
    }

    impl AsFd for Waiting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn every_signal_that_ends_a_process_unheard_is_heard() {
        // A thread of its own: what it blocks it goes on blocking.
        let listens = || {
            let (_signals, _bell) = Signals::listen().unwrap();
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        };
        let status = std::thread::spawn(listens).join().unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
        let named = [1, 2, 3, 10, 12, 14, 15, 16, 24, 25, 26, 27, 29, 30];
        // The C library keeps those between for itself.
        let blocks = named.into_iter().chain(35..=64);
        assert_eq!(
            blocked & !(1 << 33),
            blocks.map(|signal| 1_u64 << (signal - 1)).sum::<u64>()
        );
    }

    #[test]
    fn a_bell_that_was_dropped_ends_every_wait() {
        let listens = || {
            let (mut signals, bell) = Signals::listen().unwrap();
            drop(bell);
            (0..3).map(|_| signals.wait(None, false)).collect()
        };
        let heard: Vec<_> = std::thread::spawn(listens).join().unwrap();
        let ended = |heard: &Option<_>| matches!(heard, Some(Heard::Ended));
        assert!(heard.iter().all(ended), "{heard:?}");
    }
}

//! The signals that end a process, heard by a thread that waits for nothing else that can hang.

use std::fs;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Those that end a process unless it hears them, but for those that only a fault of the process
/// itself raises.
const ENDING: &[Signal] = &[
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::XCPU,
    Signal::IO,
    #[cfg(target_os = "linux")]
    Signal::STKFLT,
    #[cfg(target_os = "linux")]
    Signal::POWER,
];

/// Real-time signals end a process too. glibc keeps those below for itself.
#[cfg(target_os = "linux")]
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
#[cfg(not(target_os = "linux"))]
const REAL_TIME: std::ops::Range<i32> = 0..0;

/// Tells of signals from now on. Never dropped: to forget forty signals one by one takes as long as all
/// that a short command calculates, and the process ends anyway.
#[derive(Debug)]
pub(crate) struct Signals(ManuallyDrop<SignalDelivery<UnixStream, SignalOnly>>);

/// What a wait has heard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    Signal(i32),
    /// Nobody reads any more what is written to stdout.
    ReaderGone,
}

/// Wakes the thread that waits for signals when it is dropped.
#[derive(Debug)]
pub(crate) struct Bell(UnixStream);

impl Drop for Bell {
    fn drop(&mut self) {
        // It is full only of calls that wake as well.
        let _ = self.0.write(&[0]);
    }
}

impl Signals {
    /// Listens for the rest of the process. Signals that it was started with as ignored, as `nohup` does
    /// with SIGHUP, stay so.
    pub(crate) fn listen() -> io::Result<(Self, Bell)> {
        // A file that may not grow longer fails the write, which takes back what was begun;
        // unheard, the signal would end the process before.
        signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default())?;
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let bell = Bell(write.try_clone()?);
        let ignored = ignored();
        let ending = ENDING.iter().map(|signal| signal.as_raw());
        let ending = ending
            .chain(REAL_TIME)
            .filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, ending)?;
        Ok((Self(ManuallyDrop::new(delivery)), bell))
    }

    /// Waits for a signal, for the bell, or until a point in time; with `for_reader` until the reader of
    /// stdout is gone, too.
    pub(crate) fn wait(&mut self, until: Option<Instant>, for_reader: bool) -> Option<Heard> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Rounded up, lest it be woken too early and go round.
        let left = left.map(|left| left.saturating_add(Duration::from_micros(1)));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let stdout = io::stdout();
        let told = PollFd::new(self.0.get_read(), PollFlags::IN);
        // A pipe whose reader is gone tells that unasked.
        let reader = PollFd::new(&stdout, PollFlags::empty());
        let mut both = [told, reader];
        let polled = if for_reader {
            &mut both[..]
        } else {
            &mut both[..1]
        };
        // Interrupted by a signal, it has something to tell.
        let _ = poll(polled, left.as_ref());
        let is_gone = both[1]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP);
        let signal = self.0.pending().next().map(Heard::Signal);
        signal.or(is_gone.then_some(Heard::ReaderGone))
    }
}

/// The signals that this process ignores: the lowest bit is that of signal 1. None where the
/// system does not tell.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}

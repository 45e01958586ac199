//! The signals that end the program, from when it starts to listen.

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// Added to a signal's number where a shell gives the exit code of a command that died by it.
pub(crate) const SIGNALLED: i32 = 128;

/// All whose default is to end the process and that are no error of its own, the usual ones first.
const HEARD: [Signal; 11] = [
    Signal::TERM,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::XCPU,
];

/// Those that come while nobody listens wait.
pub(crate) struct Signals {
    heard: Vec<(Signal, unix::Signal)>,
    /// A terminal sends its own signals to the command of `run` too.
    from_terminal: bool,
}

impl Signals {
    /// Listens for the rest of the process. What it was started to ignore, as `nohup` has it ignore
    /// SIGHUP, it ignores, and so does its command.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let is_heard = |kind: &Signal| ignored >> (kind.as_raw() - 1) & 1 == 0;
        let listen = |kind: Signal| signal(SignalKind::from_raw(kind.as_raw()));
        // A file that may not grow longer fails the write; unheard, the signal would end the process.
        // It is heard for ever, also without the stream.
        if is_heard(&Signal::XFSZ) {
            drop(listen(Signal::XFSZ)?);
        }
        let heard = HEARD.into_iter().filter(is_heard);
        Ok(Self {
            heard: heard
                .map(|kind| Ok((kind, listen(kind)?)))
                .collect::<io::Result<_>>()?,
            from_terminal: io::stdin().is_terminal(),
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (kind, signal) in &mut self.heard {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next one that a command of `run` does not get by itself.
    pub(crate) async fn next_to_pass_on(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            let is_terminals = matches!(signal, Signal::INT | Signal::QUIT);
            if !(self.from_terminal && is_terminals) {
                return signal;
            }
        }
    }
}

/// The signals that this process ignores: the lowest bit is that of signal 1. None where the
/// system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}

//! The signals that end the program, from when it starts to listen.

use std::future::pending;
use std::io::{self, IsTerminal};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// Added to a signal's number where a shell gives the exit code of a command that died by it.
pub(crate) const SIGNALLED: i32 = 128;

/// Those that come while nobody listens wait.
pub(crate) struct Signals {
    terminate: Heard,
    interrupt: Heard,
    hangup: Heard,
    quit: Heard,
    /// A terminal sends its own signals to the command of `run` too.
    from_terminal: bool,
}

impl Signals {
    /// Listens for the rest of the process. What it was started to ignore, as `nohup` has it ignore
    /// SIGHUP, it ignores, and so does its command.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        // A file that may not grow longer fails the write; unheard, the signal would end the process.
        // It is heard for ever, also without the stream.
        Heard::new(Signal::XFSZ, ignored)?;
        Ok(Self {
            terminate: Heard::new(Signal::TERM, ignored)?,
            interrupt: Heard::new(Signal::INT, ignored)?,
            hangup: Heard::new(Signal::HUP, ignored)?,
            quit: Heard::new(Signal::QUIT, ignored)?,
            from_terminal: io::stdin().is_terminal(),
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            () = self.terminate.next() => Signal::TERM,
            () = self.hangup.next() => Signal::HUP,
            () = self.interrupt.next() => Signal::INT,
            () = self.quit.next() => Signal::QUIT,
        }
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

/// A signal, unless it is ignored.
struct Heard(Option<unix::Signal>);

impl Heard {
    fn new(kind: Signal, ignored: u64) -> io::Result<Self> {
        let number = kind.as_raw();
        if ignored >> (number - 1) & 1 == 1 {
            return Ok(Self(None));
        }
        Ok(Self(Some(signal(SignalKind::from_raw(number))?)))
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => pending().await,
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

//! What the program says on stderr. A log fails nothing and blocks nothing: one thread writes it,
//! and what its reader does not take in time is counted and dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::dfdaemon::mutex::{Mutex, unpoisoned};
use crate::proxy::printable;

/// The most bytes that wait to be written.
const MOST: usize = 1 << 20;

/// Until a stderr that does not block is tried again.
const AGAIN: Duration = Duration::from_millis(5);

static LOG: Log = Log::new();

/// Logs to stderr from now on.
pub(crate) fn start(level: LevelFilter) -> io::Result<()> {
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(|| LOG.write_to(io::stderr()))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Line)
        // A macro would print it, and panic when stderr is closed.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_filter(level);
    let refused = (level >= LevelFilter::WARN)
        .then(|| RefusedAuthorities.with_filter(FilterFn::new(is_of_requests)));
    tracing_subscriber::registry()
        .with(lines)
        .with(refused)
        .init();
    Ok(())
}

/// Whether h2 says this of the head of a request.
fn is_of_requests(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() == Level::DEBUG && metadata.target() == "h2::server"
}

/// Tells of requests that h2 resets for their `:authority`, before anything else sees them. h2 says
/// so at a level that hardly anybody reads, and the client gets no reason at all.
#[derive(Debug)]
struct RefusedAuthorities;

/// What h2 says of such a request, before the authority.
const MALFORMED: &str = "malformed headers: malformed authority ";

impl<S: Subscriber> Layer<S> for RefusedAuthorities {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if let Some(authority) = said.0.strip_prefix(MALFORMED) {
            // Not by a macro of tracing: an event inside of another one confuses its filters.
            let line = format!(
                "{}  WARN fake_dfdaemon: a request was refused for its :authority {authority}; give the \
                 client's channel a valid one, such as localhost (in gRPC the option \
                 grpc.default_authority)\n",
                jiff::Timestamp::now()
            );
            LOG.push(one_line(line.as_bytes()).as_bytes());
        }
    }
}

/// The message of an event.
#[derive(Debug, Default)]
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Says a text as it is, whatever the level is.
pub(crate) fn say(text: &str) {
    LOG.push(text.as_bytes());
}

/// Waits until all is written, or its reader is not worth waiting for.
pub(crate) fn flush(patience: Duration) {
    LOG.flush(patience);
}

/// Takes what is logged, a whole line at a time.
#[derive(Debug)]
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.push(one_line(line).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged as one line, whatever clients put into it.
fn one_line(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let text = line.strip_suffix('\n').unwrap_or(&line);
    format!("{}\n", printable(text))
}

#[derive(Debug)]
struct Log {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    dropped: u64,
    /// A line has been taken from here and is not out yet.
    writing: bool,
}

impl Log {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                lines: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                writing: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes + line.len() > MOST {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.changed.notify_all();
    }

    /// Writes what comes, for ever.
    fn write_to(&self, mut out: impl Write) {
        loop {
            let line = self.next();
            // Nobody is left to tell when its reader has gone.
            let _ = write_all(&mut out, &line);
            self.waiting().writing = false;
            self.changed.notify_all();
        }
    }

    /// The next text to write: the lines that waited, then the number of lines that were dropped.
    fn next(&self) -> Box<[u8]> {
        let mut waiting = self.waiting();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.writing = true;
                return line;
            }
            if waiting.dropped > 0 {
                let text = format!(
                    "{} lines of the log were dropped: nobody read them in time\n",
                    waiting.dropped
                );
                waiting.dropped = 0;
                waiting.writing = true;
                return text.into_bytes().into();
            }
            waiting = unpoisoned(self.changed.wait(waiting));
        }
    }

    fn flush(&self, patience: Duration) {
        let is_behind = |waiting: &mut Waiting| {
            waiting.writing || waiting.dropped > 0 || !waiting.lines.is_empty()
        };
        // Lines that are not written by then are lost.
        let _ = self
            .changed
            .wait_timeout_while(self.waiting(), patience, is_behind);
    }
}

/// As [`Write::write_all`], also where others have made the open file one that does not block.
fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::*;

    fn started() -> (Arc<Log>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let log = Arc::new(Log::new());
        let writing = Arc::clone(&log);
        // It ends with the process.
        std::thread::spawn(move || writing.write_to(theirs));
        (log, ours)
    }

    #[test]
    fn what_nobody_reads_blocks_nobody_and_is_counted() {
        let (log, mut reader) = started();
        let line = [b'a'; 1 << 10];
        for _ in 0..4096 {
            log.push(&line);
        }
        assert!(log.waiting().bytes <= MOST);
        log.flush(Duration::from_millis(1));
        let mut read = Vec::new();
        let mut buffer = [0; 1 << 16];
        while !read.ends_with(b"in time\n") {
            let length = reader.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..length]);
        }
        let lines = read.iter().filter(|byte| **byte == b'a').count() >> 10;
        let said = String::from_utf8(read).unwrap();
        let expected = format!("{} lines of the log were dropped", 4096 - lines);
        assert!(said.contains(&expected), "{expected} is not what was said");
    }

    #[test]
    fn a_text_of_a_client_makes_no_line_of_its_own() {
        assert_eq!(one_line(b"a line\n"), "a line\n");
        let forged = "why: a\n2026-01-01  WARN another\u{202e}\u{1b}[2J\n";
        let shown = "why: a\u{fffd}2026-01-01  WARN another\u{fffd}\u{fffd}[2J\n";
        assert_eq!(one_line(forged.as_bytes()), shown);
    }

    #[test]
    fn a_reader_that_has_gone_is_not_waited_for() {
        let (log, reader) = started();
        drop(reader);
        log.push(b"a line\n");
        log.flush(Duration::MAX);
        log.push(b"another\n");
        log.flush(Duration::MAX);
    }
}

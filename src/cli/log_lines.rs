//! The lines of the log: one for each event of this crate, written at once.
//!
//! The layers of `tracing-subscriber` are for spans, of which this crate has none, and would take a tenth of the
//! pages of memory that a short command does.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::types::escape::printable;

/// Where the log goes, and how much of it.
#[derive(Debug)]
pub(super) struct LogLines {
    pub(super) level: LevelFilter,
    pub(super) file: Option<File>,
    pub(super) on_stderr: bool,
}

impl Subscriber for LogLines {
    /// Ours only: what the libraries below have to say interests nobody.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let of_crate = metadata.target().split("::").next();
        metadata.is_event()
            && *metadata.level() <= self.level
            && of_crate == Some(env!("CARGO_PKG_NAME"))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let line = line(event, Timestamp::now());
        // A log never fails a command.
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(line.as_bytes());
        }
        if self.on_stderr {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // None is enabled.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn line(event: &Event<'_>, at: Timestamp) -> String {
    let metadata = event.metadata();
    let mut said = Said::default();
    event.record(&mut said);
    let (level, target) = (metadata.level(), metadata.target());
    let said = printable(&format!("{}{}", said.message, said.fields));
    format!("{at:.6} {level:>5} {target}: {said}\n")
}

/// What an event says: its message, and its fields behind that.
#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing::{debug, info, info_span, warn};

    use super::*;

    /// The lines of what is logged meanwhile, without their times.
    fn logged(level: LevelFilter, log: impl FnOnce()) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = LogLines {
            level,
            file: Some(file.reopen().unwrap()),
            on_stderr: false,
        };
        with_default(lines, log);
        let log = std::fs::read_to_string(file.path()).unwrap();
        let without_time = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap();
            assert_eq!(time.len(), "2026-11-30T07:35:41.969048Z".len(), "{line}");
            time.parse::<Timestamp>().unwrap();
            format!("{rest}\n")
        };
        log.lines().map(without_time).collect()
    }

    #[test]
    fn a_line_has_level_place_message_and_fields() {
        let log = || {
            let (path, id) = ("/a \"b\"", 7);
            info!(path, %id, maybe = ?Some(path), "exported");
            warn!("twice");
        };
        let lines = " INFO dfcache::cli::log_lines::tests: exported path=\"/a \\\"b\\\"\" id=7 \
                     maybe=Some(\"/a \\\"b\\\"\")\n WARN dfcache::cli::log_lines::tests: twice\n";
        assert_eq!(logged(LevelFilter::INFO, log), lines);
    }

    #[test]
    fn a_line_is_one_line_and_no_command_of_a_terminal() {
        let log = || info!(id = %"7\n\x1b[31m", "a\nb");
        let line = " INFO dfcache::cli::log_lines::tests: a\\nb id=7\\n\\u{1b}[31m\n";
        assert_eq!(logged(LevelFilter::INFO, log), line);
    }

    #[test]
    fn what_is_not_asked_for_and_what_others_say_is_not_logged() {
        let log = || {
            debug!("less");
            info!(target: "h2", "theirs");
            info!(target: "dfcache_else", "theirs");
            info_span!("span").in_scope(|| warn!(target: "dfcache", "ours"));
        };
        assert_eq!(logged(LevelFilter::INFO, log), " WARN dfcache: ours\n");
        assert_eq!(logged(LevelFilter::ERROR, || warn!("less")), "");
    }
}

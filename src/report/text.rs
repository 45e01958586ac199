//! Results and errors for people.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

use super::Outcome;
use crate::error::Error;
use crate::task::Task;

/// What stdout gets; bytes, since a path need not be text.
pub(super) fn outcome(outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Imported { imported, .. } => format!("{}\n", imported.task.task_id).into_bytes(),
        Outcome::Exported { exported, .. } => match &exported.path {
            Some(path) => [path.as_os_str().as_bytes(), b"\n"].concat(),
            None => Vec::new(),
        },
        Outcome::Stat(task) => stat(task, Timestamp::now()).into_bytes(),
    }
}

pub(super) fn stat(task: &Task, now: Timestamp) -> String {
    let replicas = format!(
        "{} of {} persistent, {} in all",
        task.current_persistent_replica_count,
        task.persistent_replica_count,
        task.current_replica_count
    );
    rows(&[
        ("ID", task.task_id.clone()),
        ("STATE", task.state.clone()),
        ("REPLICAS", replicas),
        ("TAG", or_none(task.tag.as_deref())),
        ("APPLICATION", or_none(task.application.as_deref())),
        ("CONTENT LENGTH", bytes(task.content_length)),
        ("PIECE LENGTH", bytes(task.piece_length)),
        ("PIECES", task.piece_count.to_string()),
        ("TTL", task.ttl.map_or_else(none, duration)),
        ("CREATED", task.created_at.map_or_else(none, time)),
        ("UPDATED", task.updated_at.map_or_else(none, time)),
        (
            "EXPIRES",
            task.expires_at.map_or_else(none, |at| expiry(at, now)),
        ),
    ])
}

fn rows(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(key, _)| key.len())
        .max()
        .unwrap_or_default();
    rows.iter().fold(String::new(), |mut table, (key, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{key:width$}  {}", printable(value));
        table
    })
}

fn none() -> String {
    "-".to_owned()
}

fn or_none(text: Option<&str>) -> String {
    text.map_or_else(none, str::to_owned)
}

fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    format!("{} ({count} B)", ByteSize::b(count).display().iec())
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

fn expiry(at: Timestamp, now: Timestamp) -> String {
    let left = at.as_second().saturating_sub(now.as_second());
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("{at} (in {})", duration(Duration::from_secs(left))),
        _ => format!("{at} (expired)"),
    }
}

/// An error: what failed, why, what to do.
pub(super) fn error(error: &Error, coloured: bool) -> String {
    let mut lines = String::new();
    let mut line = |label: &str, colour: &str, text: &str| {
        let text = printable(text);
        let _ = if coloured {
            writeln!(lines, "\x1b[1;{colour}m{label}:\x1b[0m {text}")
        } else {
            writeln!(lines, "{label}: {text}")
        };
    };
    line("error", "31", &error.to_string());
    for cause in error.causes() {
        line("caused by", "33", &cause);
    }
    if let Some(hint) = error.advice() {
        line("hint", "36", hint);
    }
    lines
}

/// Text from elsewhere on one line, and without what a terminal would take for a command.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .fold(String::new(), |mut printable, character| {
            if character.is_control() {
                printable.extend(character.escape_default());
            } else {
                printable.push(character);
            }
            printable
        })
}

//! Results and errors for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

use super::Outcome;
use super::table::{left, list, none};
use crate::cli::remedy::hint;
use crate::cli::{COMFORTABLE_WIDTH, terminal_width};
use crate::client::doctor::Check;
use crate::types::error::Error;
use crate::types::escape::printable;
use crate::types::task::Task;

/// What stdout gets; bytes, since a path need not be text.
pub(super) fn outcome(outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Imported { imported, .. } => format!("{}\n", imported.task.task_id).into_bytes(),
        Outcome::Exported { exported, .. } => match &exported.path {
            Some(path) => [path.as_os_str().as_bytes(), b"\n"].concat(),
            None => Vec::new(),
        },
        Outcome::ImportedTree { tree, .. } => format!("{}\n", tree.task.task_id).into_bytes(),
        Outcome::ExportedTree { tree, .. } => [tree.path.as_os_str().as_bytes(), b"\n"].concat(),
        Outcome::Diagnosed(checks) => checks.iter().map(check).collect::<String>().into_bytes(),
        Outcome::Verified(verified) => [verified.path.as_os_str().as_bytes(), b": OK\n"].concat(),
        Outcome::VerifiedTree { tree, .. } => {
            [tree.path.as_os_str().as_bytes(), b": OK\n"].concat()
        }
        Outcome::Stat(task) => stat(task, Timestamp::now()).into_bytes(),
        Outcome::Listed(tasks) => {
            let width = || terminal_width().unwrap_or(COMFORTABLE_WIDTH);
            let terminal = io::stdout().is_terminal().then(width);
            list(tasks, Timestamp::now(), terminal).into_bytes()
        }
        Outcome::Id { task_id, .. } => format!("{task_id}\n").into_bytes(),
        Outcome::Document(text) => text.clone(),
    }
}

pub(super) fn stat(task: &Task, now: Timestamp) -> String {
    let replicas = format!(
        "{} of {} replicas, {} wanted",
        task.current_persistent_replica_count,
        task.current_replica_count,
        task.persistent_replica_count
    );
    rows(&[
        ("ID", task.task_id.to_string()),
        ("STATE", task.state.to_string()),
        ("PERSISTENT", replicas),
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

fn check(check: &Check) -> String {
    match &check.result {
        Ok(found) => format!("✓ {}\n", printable(found)),
        Err(error) => {
            let why = std::iter::once(error.to_string()).chain(error.causes());
            let why = printable(&why.collect::<Vec<_>>().join(": "));
            let hint = error.remedy().map(|remedy| printable(&hint(remedy)));
            let hint = hint.map_or(String::new(), |hint| format!("  hint: {hint}\n"));
            format!("✗ {why}\n{hint}")
        }
    }
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
    format!("{at} ({})", left(at, now))
}

/// An error: what failed, why, what to do.
pub(super) fn error(error: &Error, coloured: bool) -> String {
    let mut lines = labelled("error", "31", &error.to_string(), coloured);
    for cause in error.causes() {
        lines += &labelled("caused by", "33", &cause, coloured);
    }
    if let Some(remedy) = error.remedy() {
        lines += &labelled("hint", "36", &hint(remedy), coloured);
    }
    lines
}

/// What a success leaves to be said.
pub(super) fn warning(text: &str, coloured: bool) -> String {
    labelled("warning", "33", text, coloured)
}

fn labelled(label: &str, colour: &str, text: &str, coloured: bool) -> String {
    let text = printable(text);
    if coloured {
        format!("\x1b[1;{colour}m{label}:\x1b[0m {text}\n")
    } else {
        format!("{label}: {text}\n")
    }
}

//! Results and errors for people.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

use super::Outcome;
use crate::cli::remedy::hint;
use crate::client::doctor::Check;
use crate::types::error::Error;
use crate::types::escape::printable;
use crate::types::task::{LocalTask, Task};

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
        Outcome::Stat(task) => stat(task, Timestamp::now()).into_bytes(),
        Outcome::Listed(tasks) => list(tasks, Timestamp::now()).into_bytes(),
        Outcome::Id { task_id, .. } => format!("{task_id}\n").into_bytes(),
        Outcome::Document(text) => text.clone(),
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
        ("ID", task.task_id.to_string()),
        ("STATE", task.state.to_string()),
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

/// One line a task, the id first; the last column may be of any width.
pub(super) fn list(tasks: &[LocalTask], now: Timestamp) -> String {
    let header = ["ID", "SIZE", "KIND", "STATE", "EXPIRES"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(header)
        .chain(tasks.iter().map(|task| line(task, now)))
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let (id_width, size_width, kind_width, state_width) = (width(0), width(1), width(2), width(3));
    lines.iter().fold(String::new(), |mut table, line| {
        let [id, size, kind, state, expires] = line;
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{id:id_width$}  {size:>size_width$}  {kind:kind_width$}  {state:state_width$}  {expires}"
        );
        table
    })
}

fn line(task: &LocalTask, now: Timestamp) -> [String; 5] {
    let size = |length: u64| ByteSize::b(length).display().iec().to_string();
    let kind = if task.persistent {
        "persistent"
    } else {
        "cached"
    };
    let state = match (task.finished_at, task.failed_at) {
        (Some(_), _) => "complete",
        (None, Some(_)) => "failed",
        (None, None) => "partial",
    };
    [
        printable(task.task_id.as_str()),
        task.content_length.map_or_else(none, size),
        kind.to_owned(),
        state.to_owned(),
        task.expires_at.map_or_else(none, |at| left(at, now)),
    ]
}

fn left(at: Timestamp, now: Timestamp) -> String {
    let left = at.as_second().saturating_sub(now.as_second());
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("in {}", duration(Duration::from_secs(left))),
        _ => "expired".to_owned(),
    }
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

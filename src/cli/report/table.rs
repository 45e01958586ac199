//! The tasks of a host as a table, in as many columns as fit.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use jiff::Timestamp;

use crate::types::escape::printable;
use crate::types::local_task::LocalTask;

/// What further lines of a task begin with.
const INDENT: &str = "  ";

type Row = [String; 5];

/// One line a task, the id first; the last column may be of any width. On a terminal that is too narrow
/// for that, the id has a line of its own, since it is copied; and a terminal gets the total.
pub(super) fn list(tasks: &[LocalTask], now: Timestamp, terminal: Option<usize>) -> String {
    let header = ["ID", "SIZE", "KIND", "STATE", "EXPIRES"].map(str::to_owned);
    let rows: Vec<Row> = std::iter::once(header)
        .chain(tasks.iter().map(|task| row(task, now)))
        .collect();
    let table = columns(&rows);
    let Some(width) = terminal else {
        return table;
    };
    let fits = table.lines().all(|line| line.chars().count() <= width);
    let table = if fits { table } else { stacked(&rows, width) };
    table + &total(tasks)
}

fn columns(rows: &[Row]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let (id_width, size_width, kind_width, state_width) = (width(0), width(1), width(2), width(3));
    rows.iter().fold(String::new(), |mut table, row| {
        let [id, size, kind, state, expires] = row;
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{id:id_width$}  {size:>size_width$}  {kind:kind_width$}  {state:state_width$}  {expires}"
        );
        table
    })
}

/// The id, and below it the rest in as many lines as it takes.
fn stacked(rows: &[Row], width: usize) -> String {
    rows.iter().fold(String::new(), |mut table, row| {
        let [id, rest @ ..] = row;
        table += id;
        table.push('\n');
        let mut line = String::new();
        for cell in rest {
            let length = line.chars().count() + INDENT.len() + cell.chars().count();
            if !line.is_empty() && length > width {
                table += &line;
                table.push('\n');
                line.clear();
            }
            line += INDENT;
            line += cell;
        }
        table + &line + "\n"
    })
}

fn total(tasks: &[LocalTask]) -> String {
    let lengths = tasks.iter().filter_map(|task| task.content_length);
    let length = lengths.fold(0, u64::saturating_add);
    let tasks = match tasks.len() {
        1 => "1 task".to_owned(),
        count => format!("{count} tasks"),
    };
    format!("{tasks}, {}\n", size(length))
}

fn size(length: u64) -> String {
    ByteSize::b(length).display().iec().to_string()
}

fn row(task: &LocalTask, now: Timestamp) -> Row {
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

pub(super) fn left(at: Timestamp, now: Timestamp) -> String {
    let left = at.as_second().saturating_sub(now.as_second());
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("in {}", format_duration(Duration::from_secs(left))),
        _ => "expired".to_owned(),
    }
}

pub(super) fn none() -> String {
    "-".to_owned()
}

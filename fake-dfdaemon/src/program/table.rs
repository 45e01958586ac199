//! An answer of the control API as lines to read.

use serde_json::{Map, Value};

use crate::proxy::printable;

/// The longest cell that a table shows, in characters, unless it is the last of its line.
const MAX_CELL: usize = 60;

/// A column with the persistent replicas that a task has, of those that were asked for.
const PERSISTENT: &str = "persistent";

/// A column with what a call's status says.
const MESSAGE: &str = "message";

/// The fields of long lists that are worth a column; `--format json` has them all.
const COLUMNS: [(&str, &[&str]); 3] = [
    (
        "hosts",
        &[
            "name",
            "state",
            "tasks",
            "used_bytes",
            "capacity_bytes",
            "endpoint",
        ],
    ),
    (
        "tasks",
        &[
            "task_id",
            "state",
            "content_length",
            "expires_at",
            PERSISTENT,
            "replicas",
        ],
    ),
    (
        "calls",
        &[
            "call",
            "at",
            "rpc",
            "host",
            "status",
            "pieces",
            "bytes",
            "fault",
            "client_gone",
            MESSAGE,
        ],
    ),
];

/// An answer as lines to read: a list as a table, an object as a line a field.
pub(crate) fn text(answer: &Value) -> String {
    let Some(object) = answer.as_object() else {
        return format!("{answer}\n");
    };
    if object.is_empty() {
        return "done\n".to_owned();
    }
    if let Some(calls) = object.get("calls").and_then(Value::as_array) {
        let mut lines = table("calls", calls);
        if let Some(next) = object.get("next") {
            lines.push_str(&format!("there are more: --after {next}\n"));
        }
        if let Some(lost) = object.get("lost") {
            let missing = "calls are missing: the journal is full, or could not be written";
            lines.push_str(&format!("{lost} {missing}\n"));
        }
        return lines;
    }
    let mut lists = object
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_array()?)));
    match lists.next() {
        Some((name, list)) if object.len() == 1 => table(name, list),
        _ => object
            .iter()
            .map(|(name, value)| format!("{name:<34} {}\n", cell(value)))
            .collect(),
    }
}

/// A call on a line, where others follow that nobody knows yet.
pub(crate) fn line_of_call(call: &Value) -> String {
    let known = COLUMNS.iter().find(|(list, _)| *list == "calls");
    let columns = known.map_or(&[][..], |(_, columns)| columns);
    let cells = columns.iter().map(|column| match *column {
        MESSAGE => column_cell(call, column),
        _ => cut(column_cell(call, column)),
    });
    format!("{}\n", cells.collect::<Vec<_>>().join("  "))
}

fn table(name: &str, rows: &[Value]) -> String {
    if rows.is_empty() {
        return format!("no {name}\n");
    }
    let known = COLUMNS.iter().find(|(list, _)| *list == name);
    let mut columns: Vec<&str> = known.map_or_else(Vec::new, |(_, columns)| columns.to_vec());
    for row in rows
        .iter()
        .filter_map(Value::as_object)
        .filter(|_| known.is_none())
    {
        columns.extend(
            row.keys()
                .map(String::as_str)
                .filter(|key| !columns.contains(key))
                .collect::<Vec<_>>(),
        );
    }
    let header = columns.iter().map(|column| column.to_uppercase()).collect();
    let body = rows.iter().map(|row| {
        let cells = columns.iter().enumerate().map(|(number, column)| {
            let cell = column_cell(row, column);
            // Nothing stands behind the last one that would be pushed aside.
            if number + 1 == columns.len() {
                cell
            } else {
                cut(cell)
            }
        });
        cells.collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(body).collect();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let padded = |line: &Vec<String>| {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let line: Vec<_> = cells.collect();
        format!("{}\n", line.join("  ").trim_end())
    };
    lines.iter().map(padded).collect()
}

fn column_cell(row: &Value, column: &str) -> String {
    let field = |name| cell(row.get(name).unwrap_or(&Value::Null));
    match column {
        PERSISTENT => {
            let counts = [
                "current_persistent_replica_count",
                "persistent_replica_count",
            ];
            counts.map(field).join("/")
        }
        MESSAGE => {
            let message = row.pointer("/status/message").and_then(Value::as_str);
            let message = message.filter(|message| !message.is_empty());
            message.map_or_else(|| "-".to_owned(), printable)
        }
        _ => field(column),
    }
}

/// A value on one line, without what a terminal would take for a command.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(object) => object_cell(object).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    };
    printable(&text)
}

fn cut(cell: String) -> String {
    if cell.chars().count() <= MAX_CELL {
        return cell;
    }
    cell.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// The gist of an object that stands in lists: a status, a fault that hit, a replica.
fn object_cell(object: &Map<String, Value>) -> Option<String> {
    if let Some(code) = object.get("code") {
        return Some(cell(code));
    }
    if let Some(action) = object.get("do") {
        return Some(action.as_object()?.keys().cloned().collect());
    }
    let host = object.get("host")?.as_str()?;
    let persistent = object.get("persistent") == Some(&Value::Bool(true));
    Some(if persistent {
        host.to_owned()
    } else {
        format!("({host})")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_and_an_object_a_line_a_field() {
        let list = json!({"waiting": [{"what": "a", "due": 1}, {"what": "bcdef", "due": null}]});
        assert_eq!(text(&list), "WHAT   DUE\na      1\nbcdef  -\n");
        let list = json!({"tasks": [{"task_id": "7", "piece_count": 1, "persistent_replica_count": 2,
            "current_persistent_replica_count": 1, "replicas": [
            {"host": "host-0", "persistent": true}, {"host": "host-1", "persistent": false}]}]});
        assert_eq!(
            text(&list),
            "TASK_ID  STATE  CONTENT_LENGTH  EXPIRES_AT  PERSISTENT  REPLICAS\n\
             7        -      -               -           1/2         host-0 (host-1)\n"
        );
        assert_eq!(text(&json!({"hosts": []})), "no hosts\n");
        assert_eq!(
            text(&json!({"calls": [], "lost": 3})),
            "no calls\n3 calls are missing: the journal is full, or could not be written\n"
        );
        assert_eq!(
            text(&json!({"calls": [], "next": 7})),
            "no calls\nthere are more: --after 7\n"
        );
        assert_eq!(text(&json!({})), "done\n");
        assert!(text(&json!({"mode": "manual", "now": "x"})).starts_with("mode  "));
        assert_eq!(text(&json!("x")), "\"x\"\n");
        let call = json!({"call": 7, "rpc": "stat\n", "status": {"code": "OK", "message": ""}});
        assert_eq!(
            line_of_call(&call),
            "7  -  stat\u{fffd}  -  OK  -  -  -  -  -\n"
        );
        let why = "gone\n".repeat(20);
        let call = json!({"call": 7, "status": {"code": "ABORTED", "message": why}});
        let line = line_of_call(&call);
        assert!(
            line.ends_with(&format!("  {}\n", why.replace('\n', "\u{fffd}"))),
            "{line}"
        );
        assert_eq!(cell(&json!([])), "-");
    }

    #[test]
    fn a_list_beside_other_fields_is_one_of_the_lines() {
        let fields = json!({"settled": true, "waiting": ["a", "b"]});
        let line = |name: &str, value| format!("{name:<34} {value}\n");
        let lines = [line("settled", "true"), line("waiting", "a b")];
        assert_eq!(text(&fields), lines.concat());
    }

    #[test]
    fn an_object_in_a_cell_is_its_gist() {
        for (object, gist) in [
            (json!({"code": "NOT_FOUND", "message": "x"}), "NOT_FOUND"),
            (json!({"on": "stat", "do": {"stall": true}}), "stall"),
            (json!({"host": "host-0", "persistent": true}), "host-0"),
            (json!({"host": "host-0", "persistent": false}), "(host-0)"),
            (json!({"other": 1}), "{\"other\":1}"),
        ] {
            assert_eq!(cell(&object), gist);
        }
    }

    /// A path is there to be copied.
    #[test]
    fn a_long_cell_is_cut_where_another_one_follows() {
        let long = "x".repeat(99);
        let hosts = text(&json!({"hosts": [{"name": long, "endpoint": long}]}));
        let row: Vec<_> = hosts.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[0], format!("{}…", "x".repeat(MAX_CELL - 1)));
        assert_eq!(*row.last().unwrap(), long);
        let host = text(&json!({"endpoint": long, "name": "host-0"}));
        assert!(host.contains(&format!("{long}\n")), "{host}");
    }

    #[test]
    fn cells_hold_no_control_characters() {
        assert_eq!(cell(&json!("a\u{1b}[31m\n")), "a\u{fffd}[31m\u{fffd}");
        assert_eq!(cell(&json!({"x": "\u{202e}"})), "{\"x\":\"\u{fffd}\"}");
        let longest = "x".repeat(MAX_CELL);
        assert_eq!(cut(longest.clone()), longest);
        assert_eq!(cut(longest.clone() + "x"), format!("{}…", &longest[1..]));
    }
}

//! The exit codes that are expected: a row a fault, a column a command.

use fake_dfdaemon::{Action, Fault};
use serde_json::{Value, json};

/// The exit code of each command under each fault; `-` where there is no such fault in its call,
/// `.` where the fault never fires, since the call does nothing that it could spoil.
///
/// Pieces are looked at in transfer mode only: by path, dfdaemon writes the file, and what it
/// says of the pieces' content is nothing that anybody uses. A full disk is the store's under an
/// import, and under an export by path the output's, which lies on this side.
const TABLE: &str = "
    fault                 import  export  hard-link  transfer  stdout  stat  ls  verify
    error                 5       5       5          5         5       5     5   5
    delay                 8       8       8          8         8       8     8   8
    stall                 8       8       8          8         8       8     8   8
    reset                 5       5       5          5         5       5     5   5
    no_host               5       5       5          5         5       5     5   5
    no_scheduler          5       5       5          5         5       5     5   5
    overloaded            5       5       5          5         5       5     5   5
    bandwidth             -       8       8          8         8       -     -   -
    end                   -       7       7          7         7       -     -   -
    skip_piece            -       7       7          7         7       -     -   -
    repeat_piece          -       0       0          0         0       -     -   -
    shuffle_pieces        -       0       0          0         0       -     -   -
    corrupt_piece         -       .       .          7         7       -     -   -
    corrupt_digest        -       0       0          7         7       -     -   -
    empty_digest          -       0       0          0         0       -     -   -
    no_content            -       .       .          7         7       -     -   -
    wrong_length          -       7       7          7         7       -     -   -
    wrong_content_length  -       7       7          7         7       -     -   -
    no_space              6       4       4          .         .       -     -   -
    disk_error            1       1       1          .         .       -     -   -
    torn_write            1       1       1          .         .       -     -   -
";

/// A command that asks a daemon.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The call that it makes.
    pub(super) on: &'static str,
    /// FILE is one that was not imported yet, ID a task, `old` a file that is there.
    pub(super) line: &'static str,
    /// What it is once the fault is gone.
    pub(super) again: &'static str,
}

pub(super) const COLUMNS: [Column; 8] = [
    Column {
        name: "import",
        on: "import",
        line: "import --format json FILE",
        again: "import --skip-existing FILE",
    },
    Column {
        name: "export",
        on: "export",
        line: "export --format json --overwrite -O old ID",
        again: "export --overwrite -O old ID",
    },
    Column {
        name: "hard-link",
        on: "export",
        line: "export --format json --force-hard-link -O new ID",
        again: "export --force-hard-link -O new ID",
    },
    Column {
        name: "transfer",
        on: "export",
        line: "export --format json --overwrite --transfer-from-dfdaemon -O old ID",
        again: "export --overwrite --transfer-from-dfdaemon -O old ID",
    },
    Column {
        name: "stdout",
        on: "export",
        line: "export -O - ID",
        again: "export -O - ID",
    },
    Column {
        name: "stat",
        on: "stat",
        line: "stat --format json ID",
        again: "stat ID",
    },
    Column {
        name: "ls",
        on: "list",
        line: "ls --format json",
        again: "ls",
    },
    Column {
        name: "verify",
        on: "stat",
        line: "verify --format json ID file",
        again: "verify ID file",
    },
];

/// The table's expectation for an existing fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Exit(i32),
    NeverFires,
}

pub(super) fn rows() -> Vec<Vec<&'static str>> {
    let rows = TABLE.lines().map(|line| line.split_whitespace().collect());
    rows.filter(|row: &Vec<_>| !row.is_empty()).collect()
}

/// What each action is tried with: a time that no command waits for, else an example.
pub(crate) fn argument(name: &str) -> Value {
    match name {
        "error" => json!({"code": "UNAVAILABLE", "message": "gone", "details": "/wCA"}),
        "delay" => json!("1h"),
        "bandwidth" => json!("1B"),
        _ => {
            let mut examples = Action::examples();
            let example = examples.find(|action| action.name() == name).unwrap();
            let fault = Fault::on_any().action(example).to_json();
            serde_json::from_str::<Value>(&fault).unwrap()["do"][name].clone()
        }
    }
}

pub(super) fn fault(on: &str, name: &str, place: &str) -> Option<Fault> {
    let mut fault: Value = serde_json::from_str(place).unwrap();
    fault["on"] = on.into();
    fault["do"] = json!({name: argument(name)});
    fault.to_string().parse().ok()
}

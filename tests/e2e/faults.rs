//! What dfcache makes of every fault that the fake can have, command by command.

use std::fs;
use std::time::{Duration, Instant};

use fake_dfdaemon::{Action, Fault};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::files::PIECE;

/// The exit code of each command under each fault; `-` where there is no such fault in its call.
///
/// Pieces are looked at in transfer mode only: by path, dfdaemon writes the file, and what it
/// says of the pieces' content is nothing that anybody uses. A full disk is the store's under an
/// import, and under an export by path the output's, which lies on this side.
const TABLE: &str = "
    fault                 import  export  transfer  stdout  stat  ls
    error                 5       5       5         5       5     5
    delay                 8       8       8         8       8     8
    stall                 8       8       8         8       8     8
    reset                 5       5       5         5       5     5
    bandwidth             -       8       8         8       -     -
    end                   -       7       7         7       -     -
    skip_piece            -       7       7         7       -     -
    repeat_piece          -       0       0         0       -     -
    shuffle_pieces        -       0       0         0       -     -
    corrupt_piece         -       0       7         7       -     -
    corrupt_digest        -       0       7         7       -     -
    empty_digest          -       0       0         0       -     -
    no_content            -       0       7         7       -     -
    wrong_length          -       7       7         7       -     -
    wrong_content_length  -       7       7         7       -     -
    no_space              6       4       0         0       -     -
    disk_error            1       1       0         0       -     -
    torn_write            1       1       0         0       -     -
";

/// Beyond this a command hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn rows() -> Vec<Vec<&'static str>> {
    let rows = TABLE.lines().map(|line| line.split_whitespace().collect());
    rows.filter(|row: &Vec<_>| !row.is_empty()).collect()
}

/// The faults of a command's column, with the exit code.
fn column(command: &str) -> Vec<(&'static str, Option<i32>)> {
    let rows = rows();
    let position = rows[0].iter().position(|name| *name == command).unwrap();
    let cells = rows[1..]
        .iter()
        .map(|row| (row[0], row[position].parse().ok()));
    cells.collect()
}

fn fault(on: &str, name: &str) -> Option<Fault> {
    let argument = match name {
        "error" => json!({"code": "UNAVAILABLE", "message": "gone", "details": "/wCA"}),
        "delay" => json!("1h"),
        "bandwidth" => json!("1KiB"),
        _ => json!(true),
    };
    Fault::from_json(&json!({"on": on, "do": {name: argument}})).ok()
}

fn kind(code: i32) -> &'static str {
    match code {
        1 => "failure",
        4 => "local_file",
        5 => "unavailable",
        6 => "refused",
        7 => "integrity",
        8 => "timeout",
        other => panic!("no row has exit code {other}"),
    }
}

#[test]
fn the_table_has_a_row_for_every_fault() {
    let mut named: Vec<_> = rows()[1..].iter().map(|row| row[0]).collect();
    let mut known: Vec<_> = Action::names().collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

/// Runs a command under each fault of its column. `line` gets the id of a task of three pieces.
fn check(column_name: &str, on: &str, line: impl Fn(&str) -> Vec<String>) {
    for (name, expected) in column(column_name) {
        let case = format!("{name} in {column_name}");
        let Some(fault) = fault(on, name) else {
            assert_eq!(expected, None, "{case}: there is no such fault");
            continue;
        };
        let expected = expected.unwrap_or_else(|| panic!("{case}: the table lacks it"));
        let world = World::new();
        let file = world.file("file", 2 * PIECE + 1);
        let id = world.import(&file);
        world.file("other", 100);
        fs::write(world.path("old"), "old").unwrap();
        let _guard = world.daemon().fault(fault);
        let mut words = line(&id);
        if ["delay", "stall", "bandwidth"].contains(&name) {
            // The world's time stands still: only the client's own can end this.
            words.splice(1..1, ["--timeout".to_owned(), "700ms".to_owned()]);
        }
        let began = Instant::now();
        let run = world.dfcache().args(&words).run();
        let took = began.elapsed();
        assert!(took < PATIENCE, "{case}: {took:?}\n{run}");
        assert_eq!(run.code(), Some(expected), "{case}\n{run}");
        if expected != 0 && words.iter().any(|word| word == "json") {
            assert_eq!(run.json_error()["kind"], kind(expected), "{case}\n{run}");
            assert_eq!(run.stdout(), "", "{case}");
        }
        world.holds_only(&["file", "old", "other"]);
        if expected != 0 || column_name == "stdout" {
            assert_eq!(fs::read(world.path("old")).unwrap(), b"old", "{case}");
        } else if words.iter().any(|word| word == "export") {
            world.assert_same(&file, "old");
        }
        if expected == 0 && column_name == "stdout" {
            assert!(run.stdout_bytes() == fs::read(&file).unwrap(), "{case}");
        }
        if ["error", "reset", "no_space", "disk_error", "torn_write"].contains(&name)
            && expected != 0
        {
            let calls = world.daemon().journal();
            let calls = calls.query(&fake_dfdaemon::Query::default()).unwrap();
            let hit = calls.iter().filter_map(|call| call.fault.as_ref());
            let hit: Vec<&Value> = hit.map(|fault| &fault.action).collect();
            assert_eq!(hit.len(), 1, "{case}: {hit:?}");
        }
    }
}

fn words(line: &str, id: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| word.replace("ID", id))
        .collect()
}

#[test]
fn an_import_under_every_fault() {
    check("import", "import", |id| {
        words("import --format json other", id)
    });
}

#[test]
fn an_export_by_path_under_every_fault() {
    check("export", "export", |id| {
        words("export --format json --overwrite -O old ID", id)
    });
}

#[test]
fn an_export_in_transfer_mode_under_every_fault() {
    let line = "export --format json --overwrite --transfer-from-dfdaemon -O old ID";
    check("transfer", "export", |id| words(line, id));
}

#[test]
fn an_export_to_stdout_under_every_fault() {
    check("stdout", "export", |id| words("export -O - ID", id));
}

#[test]
fn a_stat_under_every_fault() {
    check("stat", "stat", |id| words("stat --format json ID", id));
}

#[test]
fn a_list_under_every_fault() {
    check("ls", "list", |id| words("ls --format json", id));
}

/// The example of a CI job, with both programs in its path.
#[test]
fn the_example_of_a_ci_job_runs() {
    let world = World::new();
    let fake = crate::support::process::fake_dfdaemon();
    let programs = fake.parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/ci.sh");
    let ran = std::process::Command::new(&fake)
        .args(["run", "--keep-on-failure", "--", "sh", script])
        .env("PATH", path)
        .env("TMPDIR", world.beside(""))
        .env("HOME", world.home())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {said}", ran.status);
}

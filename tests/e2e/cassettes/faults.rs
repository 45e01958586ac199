//! Every fault of a fake, recorded and replayed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use fake_dfdaemon::{Action, Fault, Release};
use serde_json::json;

use super::{Came, Recorded, TWO_PIECES};
use crate::faults::table::argument;
use crate::support::world::timeouts;

/// The calls that faults are on, and what is run then.
const CALLS: [(&str, &[&str]); 4] = [
    ("import", &["import --tag t file", "stat 1"]),
    ("stat", &["import --tag t file", "stat ID --format json"]),
    (
        "export",
        &[
            "import --tag t file",
            "export ID -O transferred --transfer-from-dfdaemon",
            "export ID -O by-path",
            "export ID -O -",
        ],
    ),
    ("list", &["import --tag t file", "ls --format json"]),
];

/// Besides what each action does by itself.
const MORE: [(&str, &str); 9] = [
    (
        "import",
        r#"{"do":{"error":{"code":"RESOURCE_EXHAUSTED","message":"é%","details":"/wAB"}}}"#,
    ),
    (
        "stat",
        r#"{"do":{"error":{"code":"PERMISSION_DENIED","message":"no"}}}"#,
    ),
    (
        "stat",
        r#"{"do":{"error":{"code":"INTERNAL","message":"odd"}}}"#,
    ),
    ("stat", r#"{"phase":"after","do":{"reset":true}}"#),
    ("export", r#"{"phase":"after","do":{"error":"ABORTED"}}"#),
    ("export", r#"{"piece":1,"do":{"error":"DATA_LOSS"}}"#),
    ("export", r#"{"piece":1,"do":{"reset":true}}"#),
    ("export", r#"{"piece":1,"do":{"stall":true}}"#),
    ("list", r#"{"do":{"error":"UNIMPLEMENTED"}}"#),
];

/// The exit codes that faults come to.
pub(super) const CODES: [i32; 8] = [0, 1, 3, 4, 5, 6, 7, 8];

/// Those of one call, if the action makes sense in it.
fn faults(on: &str) -> Vec<(String, Fault)> {
    let of_actions = Action::names().map(|name| json!({ "do": { name: argument(name) } }));
    let more = MORE.iter().filter(|(call, _)| *call == on);
    let more = more.map(|(_, fault)| serde_json::from_str(fault).unwrap());
    let all = of_actions.chain(more).filter_map(|mut fault| {
        let action = fault["do"].as_object()?.keys().next()?.clone();
        fault["on"] = on.into();
        Some((action, fault.to_string().parse().ok()?))
    });
    all.collect()
}

/// How long `file` is: of two pieces where the fault is about pieces. What an import can have too is
/// on the call as a whole.
fn length(on: &str, action: &str, fault: &Fault) -> usize {
    let is_of_imports = faults("import").iter().any(|(other, _)| other == action);
    let is_of_the_call = is_of_imports && !fault.to_json().contains("\"piece\"");
    match on == "export" && !is_of_the_call {
        true => TWO_PIECES,
        false => 100,
    }
}

/// Records and replays a session under a fault. Where that holds up calls forever, their commands have a timeout, which is
/// longer until each has met the fault; whatever came by then, the timeout ends it with nothing but its exit code.
fn comes_to_the_same(on: &str, action: &str, fault: &Fault, lines: &[&str]) -> Vec<Came> {
    let (case, length) = (fault.to_json(), length(on, action, fault));
    let (release, fault) = (Release::V0_2, Some(fault));
    if !["delay", "stall", "bandwidth"].contains(&action) {
        return Recorded::new(length, lines, release, fault).assert_replayed(&case);
    }
    let command = if on == "list" { "ls" } else { on };
    let is_held_up = |line: &&&str| line.starts_with(command);
    let held_up = lines.iter().filter(is_held_up).count() as u64;
    for timeout in timeouts() {
        let in_time = |line: &&str| match is_held_up(&line) {
            true => format!("--timeout {timeout} {line}"),
            false => (*line).to_owned(),
        };
        let lines: Vec<_> = lines.iter().map(in_time).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let recorded = Recorded::new(length, &lines, release, fault);
        if recorded.fired >= held_up {
            return recorded.assert_replayed(&case);
        }
    }
    panic!("{case} never holds up all of them");
}

#[test]
fn every_fault_comes_to_the_same() {
    let (codes, names) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for (on, lines) in CALLS {
            let (codes, names) = (&codes, &names);
            scope.spawn(move || {
                for (action, fault) in faults(on) {
                    let came = comes_to_the_same(on, &action, &fault, lines);
                    let came = came.iter().filter_map(|came| came.code);
                    codes.lock().unwrap().extend(came);
                    names.lock().unwrap().insert(action);
                }
            });
        }
    });
    let all: BTreeSet<_> = Action::names().map(str::to_owned).collect();
    let names = names.into_inner().unwrap();
    assert_eq!(names, all);
    assert_eq!(codes.into_inner().unwrap(), BTreeSet::from(CODES));
}

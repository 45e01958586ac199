//! Every fault of a fake, recorded and replayed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use fake_dfdaemon::{Action, Fault, Release};
use serde_json::json;

use super::{TWO_PIECES, cannot_tell_of};
use crate::faults::table::argument;

/// The calls that faults are on, and what is run then. What never ends gets a timeout.
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

#[test]
fn every_fault_comes_to_the_same() {
    let (codes, names) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for (on, lines) in CALLS {
            let (codes, names) = (&codes, &names);
            scope.spawn(move || {
                for (action, fault) in faults(on) {
                    let stands = ["delay", "stall", "bandwidth"].contains(&action.as_str());
                    let lines: Vec<_> = lines
                        .iter()
                        .map(|line| match stands {
                            true => format!("{line} --timeout 1s"),
                            false => (*line).to_owned(),
                        })
                        .collect();
                    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                    let (length, fault) = (length(on, &action, &fault), fault.to_json());
                    let came = cannot_tell_of(length, &lines, Release::V0_2, Some(&fault));
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

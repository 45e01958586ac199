//! What `--format json` prints is what the JSON Schema that ships with the project says.

use std::collections::BTreeSet;
use std::fs;

use fake_dfdaemon::Release;
use serde_json::{Value, json};
use tonic::Status;

use crate::support::command::words;
use crate::support::files::PIECE;
use crate::support::{Run, ScriptedDaemon, Step, World, seeded};
use testkit::schema::{assert_is_schema, errors};
use testkit::{piece, whole};

const SCHEMA: &str = include_str!("../../packaging/dfcache-output.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// What is wrong with the output of one command.
fn errors_of(name: &str, value: &Value) -> Vec<String> {
    let schema = schema();
    errors(&schema, &schema["$defs"][name], value)
}

/// It is valid, and the schema knows every field.
#[track_caller]
pub fn assert_is(name: &str, value: &Value) {
    let errors = errors_of(name, value);
    assert!(errors.is_empty(), "{name}: {value}\n{errors:#?}");
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let definition = &schema()["$defs"][name];
    assert_eq!(keys(value), keys(&definition["properties"]), "{name}");
}

#[track_caller]
fn assert_fails_as(kind: &str, run: Run) {
    let error = run.json_error();
    assert_eq!(error["kind"], kind, "{run}");
    assert_eq!(error["exit_code"], run.code().unwrap(), "{run}");
    assert_is("error", &json!({ "error": error }));
}

#[test]
fn it_is_a_schema() {
    assert_is_schema(&schema(), &schema());
}

#[test]
fn results_of_every_command_are_valid() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        world.file("file", PIECE + 1);
        world.file("empty", 0);
        let result = |line: &str| {
            let command = world.dfcache().args(words(line));
            command.args(["--format", "json"]).run().succeeds().json()
        };
        let import = result("import file");
        assert_is("import", &import);
        assert_eq!(import["path"], world.path("file").to_str().unwrap());
        assert_eq!(import["existed"], false);
        assert_is("import", &result("import --skip-existing file"));
        let options = "--tag t --application a --ttl 90m --piece-length 8mib";
        let labelled = result(&format!("import {options} file"));
        assert_is("import", &labelled);
        let empty = result("import empty");
        assert_is("import", &empty);
        let file = import["task_id"].as_str().unwrap().to_owned();
        for imported in [import, labelled, empty] {
            let id = imported["task_id"].as_str().unwrap();
            assert_is("stat", &result(&format!("stat {id}")));
            let stat = result(&format!("stat --wait-for-replicas 2 {id}"));
            assert_is("stat", &stat);
            for options in ["", "--overwrite", "--overwrite --transfer-from-dfdaemon"] {
                let export = result(&format!("export {options} -O out {id}"));
                assert_is("export", &export);
                assert_eq!(export["path"], world.path("out").to_str().unwrap());
                assert_eq!(export["transferred"], options.contains("transfer"));
            }
            fs::remove_file(world.path("out")).unwrap();
        }
        let digest = format!("crc32:{}", dfdaemon_api::digest::crc32(b""));
        let empty = result("id empty")["task_id"].clone();
        if release == Release::V0_2 {
            let id = empty.as_str().unwrap();
            let line = format!("export --digest {digest} -O digested {id}");
            assert_is("export", &result(&line));
        }
        assert_is("verify", &result(&format!("verify {file} file")));
        assert_is("id", &result("id file"));
        assert_is("id", &result("id --dfdaemon-version 1.5 --tag t file"));
        let list = world.dfcache().args(words("ls --format json")).run();
        let list = list.succeeds().stdout();
        assert_eq!(list.lines().count(), 3);
        for line in list.lines() {
            assert_is("ls", &serde_json::from_str(line).unwrap());
        }
    }
}

/// A daemon that leaves out what it may.
#[test]
fn results_without_times_are_valid() {
    let world = World::new();
    world.file("file", 7);
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    for command in ["stat", "import"] {
        let line = if command == "stat" {
            "stat 7"
        } else {
            "import file"
        };
        let run = world.at(&daemon.endpoint).args(words(line));
        let result = run.args(["--format", "json"]).run().succeeds().json();
        assert_eq!(result["expires_at"], Value::Null);
        assert_is(command, &result);
    }
}

#[test]
fn failures_of_every_kind_are_valid() {
    let world = World::with(|builder| builder.block("import:tag=t".parse().unwrap()));
    let id = world.import(&world.file("file", 10));
    for (kind, line) in [
        ("usage", "stat".to_owned()),
        ("usage", "stat --timeout soon 7".to_owned()),
        (
            "usage",
            "export -O x --overwrite --force-hard-link 7".to_owned(),
        ),
        ("not_found", "stat 7".to_owned()),
        ("not_found", "export -O out 7".to_owned()),
        ("local_file", "import missing".to_owned()),
        ("local_file", format!("export -O file {id}")),
        ("local_file", "id missing".to_owned()),
        ("unavailable", "ls -e missing.sock".to_owned()),
        ("refused", "import --tag t file".to_owned()),
        ("integrity", format!("export --digest crc32:1 -O out {id}")),
        (
            "timeout",
            format!("stat --wait-for-replicas 9 --timeout 100ms {id}"),
        ),
        ("already_exists", "import file".to_owned()),
    ] {
        let command = world.dfcache().args(words(&line));
        assert_fails_as(kind, command.args(["--format", "json"]).run());
    }
}

#[test]
fn failures_that_only_an_odd_daemon_causes_are_valid() {
    for (kind, steps) in [
        ("failure", vec![Step::Fail(Status::internal("odd"))]),
        ("integrity", vec![Step::Started(10)]),
        (
            "unavailable",
            vec![Step::Started(10), Step::Fail(Status::unavailable(""))],
        ),
    ] {
        let world = World::new();
        let daemon = ScriptedDaemon::answering(steps);
        for mode in ["", "--transfer-from-dfdaemon"] {
            let line = format!("export --format json {mode} -O out 7");
            let command = world.at(&daemon.endpoint).args(words(&line));
            assert_fails_as(kind, command.run());
        }
    }
}

#[test]
fn interruptions_are_valid_failures() {
    let content = seeded(1, PIECE);
    let world = World::new();
    let steps = vec![
        Step::Started(2 * PIECE as u64),
        Step::Piece(piece(0, 0, &content)),
        Step::Reached,
        Step::Hang,
    ];
    let daemon = ScriptedDaemon::answering(steps);
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let line = "export --format json -O out 7";
        let running = world.at(&daemon.endpoint).args(words(line)).start();
        daemon.wait_until_reached();
        running.signal(signal);
        assert_fails_as("interrupted", running.wait());
    }
}

#[test]
fn what_is_not_as_the_schema_says_is_not_valid() {
    let is = |name: &str, value: Value| errors_of(name, &value).is_empty();
    let failure = |kind: &str, exit_code: u8| {
        json!({"error": {
            "kind": kind, "exit_code": exit_code, "message": "", "causes": [], "hint": null
        }})
    };
    assert!(is("error", failure("usage", 2)));
    assert!(!is("error", failure("usage", 3)));
    assert!(!is("error", failure("trouble", 1)));
    assert!(is("id", json!({"task_id": "7", "path": "/x", "more": 1})));
    assert!(!is("id", json!({"task_id": "7"})));
    assert!(!is("id", json!({"task_id": 7, "path": "/x"})));
    assert!(is("time", json!("2026-01-01T00:00:00Z")));
    assert!(!is("time", json!("2026-01-01T00:00:00+00:00")));
    assert!(!is("time", json!("yesterdayZ")));
}

/// What holds JSON to a schema here, and in the tests of the control API: each keyword says yes, and says no.
#[test]
fn every_keyword_of_a_schema_is_known() {
    let all_of_them = [
        (json!({"type": "integer"}), json!(1), json!(1.5)),
        (json!({"type": "number"}), json!(1.5), json!("1")),
        (json!({"type": "boolean"}), json!(true), json!(null)),
        (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        (json!({"type": "object"}), json!({}), json!([])),
        (json!({"type": "array"}), json!([]), json!({})),
        (json!({"const": "a"}), json!("a"), json!("b")),
        (json!({"enum": [1, null]}), json!(null), json!(2)),
        (json!({"required": ["a"]}), json!({"a": 1}), json!({"b": 1})),
        (json!({"minProperties": 1}), json!({"a": 1}), json!({})),
        (json!({"maxProperties": 0}), json!({}), json!({"a": 1})),
        (json!({"minLength": 2}), json!("éé"), json!("é")),
        (json!({"maxLength": 1}), json!("é"), json!("éé")),
        (json!({"minimum": 0}), json!(0), json!(-1)),
        (json!({"minimum": 0.5}), json!(1), json!(0)),
        (
            json!({"maximum": u64::MAX - 1}),
            json!(u64::MAX - 1),
            json!(u64::MAX),
        ),
        (json!({"pattern": "^a+$"}), json!("aa"), json!("ab")),
        (json!({"pattern": "a"}), json!("bab"), json!("b")),
        (
            json!({"format": "date-time"}),
            json!("2026-01-01T00:00:00.5+01:00"),
            json!("2026-13-01T00:00:00Z"),
        ),
        (
            json!({"format": "date-time"}),
            json!("2026-01-01t00:00:00z"),
            json!("2026-01-01 00:00:00Z"),
        ),
        (
            json!({"properties": {"a": {"type": "null"}}}),
            json!({"b": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            json!({"additionalProperties": {"type": "null"}}),
            json!({"a": null}),
            json!({"a": 1}),
        ),
        (
            json!({"items": {"type": "null"}}),
            json!([null]),
            json!([null, 1]),
        ),
        (
            json!({"anyOf": [{"const": 1}, {"type": "integer"}]}),
            json!(1),
            json!("a"),
        ),
        (
            json!({"oneOf": [{"const": 1}, {"type": "integer"}]}),
            json!(2),
            json!(1),
        ),
        (
            json!({"oneOf": [{"const": 1}, {"const": 2}]}),
            json!(2),
            json!(3),
        ),
        (json!({"not": {"const": 1}}), json!(2), json!(1)),
        (
            json!({"$ref": "#/$defs/one", "$defs": {"one": {"const": 1}}}),
            json!(1),
            json!(2),
        ),
    ];
    for (schema, valid, invalid) in all_of_them {
        assert_is_schema(&schema, &schema);
        assert_eq!(errors(&schema, &schema, &valid), [""; 0], "{schema}");
        let found = errors(&schema, &schema, &invalid);
        assert!(!found.is_empty(), "{schema}: {invalid}");
        // A keyword says nothing of what it is not about.
        let names = schema.as_object().unwrap().keys();
        let of_some = |name: &&String| {
            !["type", "const", "enum", "anyOf", "oneOf", "$ref"].contains(&name.as_str())
        };
        if names.clone().all(|name| of_some(&name)) {
            assert_eq!(errors(&schema, &schema, &json!(true)), [""; 0], "{schema}");
        }
    }
    let nested = json!({"properties": {"a": {"items": {"type": "null"}}}});
    let found = errors(&nested, &nested, &json!({"a": [null, 1]}));
    assert_eq!(found, ["/a/1: type \"null\": 1"]);
}

#[test]
fn what_is_no_schema_is_not_taken_for_one() {
    for schema in [
        json!({"requird": ["a"]}),
        json!({"type": "text"}),
        json!({"required": "a"}),
        json!({"format": "date"}),
        json!({"pattern": "("}),
        json!({"minimum": "1"}),
        json!({"minLength": -1}),
        json!({"$ref": "#/$defs/none"}),
        json!({"anyOf": [{"propertys": {}}]}),
        json!({"properties": {"a": {"enum": []}}}),
        json!({"items": 1}),
    ] {
        let assertion = std::panic::catch_unwind(|| assert_is_schema(&schema, &schema));
        assertion.expect_err(&schema.to_string());
    }
}

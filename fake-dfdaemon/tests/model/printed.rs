//! The scripts that cases are shown as, run by a shell against the built programs: they do what
//! the case did to the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_dfdaemon::Release;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use testkit::program::skipped;

use crate::model::lockstep::{Lockstep, Outcome};
use crate::model::ops::{Case, Op, cases_of};
use crate::model::script;
use crate::support::control::Address;

/// Cases of each release.
const CASES: usize = 1;

/// The client, which cargo puts beside the fake.
fn dfcache() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_fake-dfdaemon")).with_file_name("dfcache")
}

/// Cases that commands can do all of; the same in every run.
fn some_cases(release: Release) -> Vec<Case> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = cases_of(release);
    let cases = std::iter::repeat_with(|| strategy.new_tree(&mut runner).unwrap().current());
    let said = |case: &Case| {
        let persistent = |op: &Op| {
            matches!(
                op,
                Op::Export {
                    persistent: true,
                    ..
                }
            )
        };
        case.ops.len() > 15 && !case.ops.iter().any(persistent)
    };
    cases.filter(said).take(CASES).collect()
}

/// What a case comes to in the library: how its steps end, and what there is then.
fn in_the_library(case: &Case) -> (Vec<Outcome>, [Value; 2]) {
    let runtime = crate::support::runtime();
    runtime.block_on(async {
        let mut pair = Lockstep::new(case.release).await;
        let outcomes = pair.run(&case.ops).await;
        let api = Address::socket(pair.daemon().control());
        let tasks = api.send("GET", "/tasks", "").await.body;
        let hosts = api.send("GET", "/hosts", "").await.body;
        pair.stop().await;
        (outcomes, [tasks, hosts])
    })
}

/// Runs a script; its lines.
fn in_a_shell(case: &Case) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, script::of(case)).unwrap();
    let programs = dfcache().parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let ran = Command::new("sh")
        .arg(&script)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{case:?}\n{said}");
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "the script left something");
    let lines = String::from_utf8(ran.stdout).unwrap();
    lines.lines().map(ToOwned::to_owned).collect()
}

fn matches(line: &str, number: usize, outcome: Outcome) -> bool {
    let exit = |code: i32, more: &str| line == format!("step {number}: exit {code}{more}");
    match outcome {
        Outcome::Done => exit(0, ""),
        Outcome::Exported(file) => exit(0, &format!(" {}", crate::model::files::name(file))),
        Outcome::Failed(codes) => codes.iter().any(|code| exit(*code, "")),
    }
}

/// Hosts without their paths, which differ.
fn without_paths(mut hosts: Value) -> Value {
    for host in hosts["hosts"].as_array_mut().unwrap() {
        let host = host.as_object_mut().unwrap();
        host.retain(|field, _| !field.ends_with("endpoint"));
    }
    hosts
}

#[test]
fn a_printed_script_does_what_its_case_did() {
    if !dfcache().exists() {
        let program = dfcache();
        skipped(&format!(
            "{} is not built; `make test` builds it",
            program.display()
        ));
        return;
    }
    for release in [Release::V0_2, Release::V1_5] {
        for case in some_cases(release) {
            let (outcomes, [tasks, hosts]) = in_the_library(&case);
            let lines = in_a_shell(&case);
            let (steps, state) = lines.split_at(lines.len() - 2);
            assert_eq!(steps.len(), outcomes.len(), "{case:?}\n{lines:#?}");
            for (number, (line, outcome)) in steps.iter().zip(outcomes).enumerate() {
                assert!(
                    matches(line, number, outcome),
                    "{line}, not {outcome:?}\n{case:?}"
                );
            }
            let [in_shell, hosts_in_shell] =
                [0, 1].map(|line: usize| serde_json::from_str::<Value>(&state[line]).unwrap());
            assert_eq!(in_shell, tasks, "{case:?}");
            assert_eq!(
                without_paths(hosts_in_shell),
                without_paths(hosts),
                "{case:?}"
            );
        }
    }
}

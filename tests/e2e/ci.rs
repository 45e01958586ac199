//! docs/ci.md, typed: the commands of its examples, and the steps of the action.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::command::DFCACHE;

const PAGE: &str = include_str!("../../docs/ci.md");
const ACTION: &str = include_str!("../../packaging/ci/action.yml");

/// A CI's work directory: this repository in `dfcache`, as if make had built it, and the user's tests.
struct Job {
    directory: TempDir,
}

impl Job {
    fn new(tests: &str) -> Self {
        let job = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(job.path("dfcache/target")).unwrap();
        symlink(root.join("packaging"), job.path("dfcache/packaging")).unwrap();
        let binaries = Path::new(DFCACHE).parent().unwrap();
        symlink(binaries, job.path("dfcache/target/release")).unwrap();
        job.script("your-tests.sh", tests);
        fs::create_dir(job.path("bin")).unwrap();
        job.script("bin/make", "echo \"make $*\" >>\"$WORK/make.log\"");
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn script(&self, name: &str, lines: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\nset -eu\n{lines}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// As a CI runs lines: by bash, which ends at the first that fails.
    fn bash(&self, lines: &str, variables: &HashMap<String, String>) -> Output {
        let path = std::env::var("PATH").unwrap();
        let added = self.read("added-to-path");
        let added: Vec<_> = added.lines().collect();
        let bin = self.path("bin");
        let path = [&[bin.to_str().unwrap()][..], &added, &[&path]].concat();
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", lines])
            .env_remove("CARGO_TARGET_DIR")
            .env("PATH", path.join(":"))
            .env("WORK", self.directory.path())
            .env("HOME", self.directory.path())
            .envs(variables)
            .current_dir(&self.directory)
            .output()
            .unwrap()
    }

    /// The steps of the action, with the inputs given.
    fn action(&self, given: &HashMap<String, String>) -> Output {
        let action = &YamlLoader::load_from_str(ACTION).unwrap()[0];
        assert_eq!(action["runs"]["using"].as_str(), Some("composite"));
        let inputs = action["inputs"].as_hash().unwrap();
        for name in given.keys() {
            assert!(inputs.contains_key(&Yaml::String(name.clone())), "{name}");
        }
        let value = |expression: &str| {
            let name = expression.strip_prefix("${{ inputs.").unwrap();
            let name = name.strip_suffix(" }}").unwrap();
            let default = action["inputs"][name]["default"].as_str().unwrap_or("");
            given.get(name).cloned().unwrap_or(default.to_owned())
        };
        let mut last = None;
        for step in action["runs"]["steps"].as_vec().unwrap() {
            assert_eq!(step["shell"].as_str(), Some("bash"));
            let mut variables: HashMap<_, _> = step["env"]
                .as_hash()
                .unwrap()
                .iter()
                .map(|(name, of)| (name.as_str().unwrap().into(), value(of.as_str().unwrap())))
                .collect();
            let mut set = |name: &str, path: &str| {
                let path = self.path(path).to_str().unwrap().to_owned();
                variables.insert(name.to_owned(), path);
            };
            set("GITHUB_ACTION_PATH", "dfcache/packaging/ci");
            set("GITHUB_PATH", "added-to-path");
            let output = self.bash(step["run"].as_str().unwrap(), &variables);
            let ended = !output.status.success();
            last = Some(output);
            if ended {
                break;
            }
        }
        last.unwrap()
    }
}

/// The fenced blocks of a language below a heading.
fn block(heading: &str, language: &str) -> String {
    let section = PAGE.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let block = section.split(&format!("\n```{language}\n")).nth(1).unwrap();
    block.split("\n```").next().unwrap().to_owned()
}

const PASSES: &str = "
    echo content >file
    dfcache export -O copy $(dfcache import file)
    cmp file copy
    fake-dfdaemon ctl hosts >hosts
    echo 'it says <a & b>'";
const FAILS: &str = "dfcache stat 7; echo not reached";

fn assert_passed(job: &Job, output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert!(!job.path("artifacts/state").exists());
    let report = job.read("artifacts/junit.xml");
    assert!(report.contains("failures=\"0\""), "{report}");
    assert!(report.contains("it says &lt;a &amp; b&gt;"), "{report}");
    assert!(job.read("hosts").contains("host-0"));
}

fn assert_failed(job: &Job, output: &Output) {
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = job.read("artifacts/junit.xml");
    assert!(report.contains("<failure message=\"exit 3\"/>"), "{report}");
    assert!(!report.contains("not reached"), "{report}");
    let journal = job.read("artifacts/state/journal.jsonl");
    assert!(journal.contains("\"rpc\":\"stat\""), "{journal}");
}

#[test]
fn the_lines_for_any_ci_run_a_command_and_keep_what_a_failure_leaves() {
    let lines = block("Any CI", "sh");
    for (tests, check) in [
        (PASSES, assert_passed as fn(&Job, &Output)),
        (FAILS, assert_failed),
    ] {
        let job = Job::new(tests);
        check(&job, &job.bash(&lines, &HashMap::new()));
    }
}

#[test]
fn what_lies_among_the_artifacts_stays() {
    let job = Job::new(FAILS);
    let run = || job.bash(&block("Any CI", "sh"), &HashMap::new());
    assert_failed(&job, &run());
    fs::write(job.path("artifacts/state/mine"), "mine").unwrap();
    fs::write(job.path("artifacts/state/journal.jsonl"), "mine").unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(job.read("artifacts/state/mine"), "mine");
    assert_eq!(job.read("artifacts/state/journal.jsonl"), "mine");
    let said = String::from_utf8_lossy(&output.stderr);
    let journal = said
        .lines()
        .find_map(|line| line.split_once("the journal is "));
    let journal = job.read(journal.unwrap().1);
    assert!(journal.contains("\"rpc\":\"stat\""), "{journal}");
}

#[test]
fn the_workflow_for_github_runs_the_action() {
    let workflow = &YamlLoader::load_from_str(&block("GitHub Actions", "yaml")).unwrap()[0];
    let steps = workflow["jobs"]["test"]["steps"].as_vec().unwrap();
    let is_ours = |step: &&Yaml| step["uses"].as_str() == Some("./dfcache/packaging/ci");
    let ours = steps.iter().find(is_ours).unwrap();
    let given: HashMap<_, _> = ours["with"]
        .as_hash()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let text = |yaml: &Yaml| yaml.as_str().unwrap().to_owned();
            (text(name), text(value))
        })
        .collect();
    for (tests, check) in [
        (PASSES, assert_passed as fn(&Job, &Output)),
        (FAILS, assert_failed),
    ] {
        let job = Job::new(tests);
        check(&job, &job.action(&given));
        let built = job.read("make.log");
        assert!(built.ends_with("dfcache release\n"), "{built}");
    }
}

#[test]
fn the_action_takes_binaries_that_are_there() {
    let job = Job::new("dfcache ls");
    let given = HashMap::from([
        ("run".to_owned(), "./your-tests.sh".to_owned()),
        ("binaries".to_owned(), "dfcache/target/release".to_owned()),
    ]);
    let output = job.action(&given);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(job.read("make.log"), "");
}

#[test]
fn the_job_for_gitlab_runs_a_command_and_keeps_what_a_failure_leaves() {
    let job = &YamlLoader::load_from_str(&block("GitLab", "yaml")).unwrap()[0]["test"];
    let lines = job["script"].as_vec().unwrap().iter();
    let lines: Vec<_> = lines.map(|line| line.as_str().unwrap()).collect();
    let report = job["artifacts"]["reports"]["junit"].as_str();
    assert_eq!(report, Some("artifacts/junit.xml"));
    for (tests, check) in [
        (PASSES, assert_passed as fn(&Job, &Output)),
        (FAILS, assert_failed),
    ] {
        let job = Job::new(tests);
        check(&job, &job.bash(&lines.join("\n"), &HashMap::new()));
    }
}

#[test]
fn a_mistake_in_the_words_of_the_script_is_named() {
    let job = Job::new(PASSES);
    for (words, said) in [
        ("--hosts 2 -- true", "there is no option --hosts"),
        ("--junit report.xml", "a command are missing"),
        ("--", "a command are missing"),
        ("--junit", "--junit takes a value"),
    ] {
        let line = format!("dfcache/packaging/ci/run.sh {words}");
        let output = job.bash(&line, &HashMap::new());
        assert_eq!(output.status.code(), Some(2), "{words}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{words}: {stderr}");
    }
}

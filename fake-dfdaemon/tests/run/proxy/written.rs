//! Cassettes that are written by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::raw::program;
use crate::support::process::{Process, names, refused};

pub(super) const DOWNLOAD: &str = "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask";
pub(super) const IMPORT: &str = "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask";
pub(super) const STAT: &str = "/dfdaemon.v2.DfdaemonDownload/StatPersistentCacheTask";

/// The SHA-256 of `content`.
pub(super) const HASH: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

/// A cassette that was written by hand.
pub(super) struct Written {
    pub(super) dir: TempDir,
}

impl Written {
    pub(super) fn new(calls: &[Value]) -> Self {
        let lines: Vec<_> = calls.iter().map(|call| format!("{call}\n")).collect();
        Self::of_lines(&lines.concat())
    }

    /// Whatever stands where the calls are.
    pub(super) fn of_lines(lines: &str) -> Self {
        let w = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(w.cassette().join("content")).unwrap();
        fs::write(w.cassette().join("content").join(HASH), "content").unwrap();
        w.write_head("keep");
        fs::write(w.cassette().join("calls.jsonl"), lines).unwrap();
        w
    }

    pub(super) fn write_head(&self, content: &str) {
        self.write_any_head(&json!({"format": "fake-dfdaemon.cassette/1", "recorded_at": "2030-01-01T00:00:00Z", "upstream": "/up", "release": null, "content": content}));
    }

    pub(super) fn write_any_head(&self, head: &Value) {
        fs::write(self.cassette().join("cassette.json"), head.to_string()).unwrap();
    }

    /// It is refused, by both that read it, and what is said has all of these.
    #[track_caller]
    pub(super) fn is_refused(&self, named: &[&str]) {
        for mut command in [self.replay(&[]), self.diff(Path::new("/no/such/socket"))] {
            let (code, said) = refused(&mut command);
            assert_eq!(code, Some(4), "{said}");
            for named in named {
                assert!(said.contains(named), "no {named:?} in {said}");
            }
            assert!(said.lines().count() < 4 && said.len() < 2000, "{said}");
        }
        assert_eq!(names(self.dir.path()), ["cassette"]);
    }

    pub(super) fn diff(&self, against: &Path) -> Command {
        let mut command = program();
        command.arg("diff").arg("--cassette").arg(self.cassette());
        command.arg("--against").arg(against);
        command
    }

    pub(super) fn cassette(&self) -> PathBuf {
        self.dir.path().join("cassette")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    pub(super) fn replay(&self, options: &[&str]) -> Command {
        let mut command = program();
        command.arg("replay").arg("--cassette").arg(self.cassette());
        command.arg("--socket").arg(self.socket()).args(options);
        command
    }

    pub(super) fn start(&self, options: &[&str]) -> Process {
        Process::start(&mut self.replay(options))
    }
}

pub(super) fn call(number: u64, method: &str, request: &Value, answer: &Value) -> Value {
    json!({"call": number, "at": "2030-01-01T00:00:00Z", "method": method,
        "requests": [{"message": request}], "answer": answer})
}

pub(super) fn status(code: &str, message: &str) -> Value {
    json!({"opened": false, "messages": [], "end": {"status": {"code": code, "message": message}}})
}

pub(super) fn stat(number: u64, id: &str, state: &str) -> Value {
    let answer = json!({"opened": true, "messages": [{"message": {"id": id, "state": state}}], "end": {"status": {"code": "OK"}}});
    call(number, STAT, &json!({"task_id": id}), &answer)
}

pub(super) fn exported(output: &Value) -> Value {
    let answer = json!({"opened": true, "messages": [{"message": {"task_id": "7"}}], "end": {"status": {"code": "OK"}}});
    let mut call = call(
        1,
        DOWNLOAD,
        &json!({"task_id": "7", "output_path": "/recorded/there"}),
        &answer,
    );
    call["output"] = output.clone();
    call
}

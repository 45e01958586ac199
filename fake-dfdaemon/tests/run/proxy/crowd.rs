//! Many clients at a time through one recorder, and from its cassette.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fake_dfdaemon::FakeDfdaemon;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;

use super::raw::{program, record};
use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::process::{Process, names};
use crate::support::requests;

const CLIENTS: usize = 64;

/// Fewer than clients: several ask for the same at the same time.
const TASKS: usize = 13;

/// Whether a client leaves in the middle of an export. All of these ask for the last task, and no
/// other client does: a cassette cannot tell who stays.
fn leaves(client: usize) -> bool {
    client % 8 == 7
}

/// Of another length for each: several frames, and parts of the recorder.
fn content(task: usize) -> Vec<u8> {
    bytes(task as u64, (300 << 10) + 1000 * task + 1)
}

struct Crowd {
    dir: tempfile::TempDir,
    ids: Vec<String>,
}

impl Crowd {
    fn output(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("output{number}"))
    }

    /// What one client does: it asks every question about its task.
    async fn client(&self, number: usize, socket: &Path) {
        let task = if leaves(number) {
            TASKS
        } else {
            number % TASKS
        };
        let id = &self.ids[task];
        let client = Client::connect(socket).await;
        assert_eq!(client.stat(id).await.unwrap().id, *id);
        let missing = client.stat(&format!("no-{number}")).await.unwrap_err();
        assert!(
            missing.message().contains(&format!("no-{number}")),
            "{missing:?}"
        );
        if leaves(number) {
            let mut messages = client.begin_export(requests::transfer(id)).await.unwrap();
            assert_eq!(messages.message().await.unwrap().unwrap().task_id, *id);
            return;
        }
        let exported = client.export(requests::transfer(id)).await.ok();
        assert!(
            exported.content() == content(task),
            "{number} got other bytes"
        );
        let output = self.output(number);
        client.export(requests::export_to(id, &output)).await.ok();
        assert!(
            fs::read(&output).unwrap() == content(task),
            "{number} got another file"
        );
        fs::remove_file(output).unwrap();
    }

    async fn all(&self, socket: &Path) {
        join_all((0..CLIENTS).map(|number| self.client(number, socket))).await;
    }
}

/// What a recorded export has brought, with its task.
fn brought(call: &Value, cassette: &Path) -> (String, Vec<u8>) {
    let id = call["requests"][0]["message"]["task_id"].as_str().unwrap();
    let messages = call["answer"]["messages"].as_array().unwrap();
    let pieces = messages.iter().filter_map(|message| {
        let piece = &message["message"]["download_piece_finished_response"]["piece"];
        let offset = piece["offset"].as_u64().unwrap_or(0);
        let name = message["content"]["sha256"].as_str()?;
        Some((
            offset,
            fs::read(cassette.join("content").join(name)).unwrap(),
        ))
    });
    let pieces: BTreeMap<_, _> = pieces.collect();
    (id.to_owned(), pieces.into_values().flatten().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_recorded_and_played_and_nothing_is_mixed_up() {
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let direct = Client::connect(daemon.endpoint()).await;
    let mut ids = Vec::new();
    for task in 0..=TASKS {
        let file = dir.path().join(format!("file{task}"));
        fs::write(&file, content(task)).unwrap();
        let imported = direct.import(requests::import(&file, 1, 3600)).await;
        ids.push(imported.unwrap().id);
    }
    drop(direct);
    let crowd = Crowd { dir, ids };
    let (socket, cassette) = (
        crowd.dir.path().join("in"),
        crowd.dir.path().join("cassette"),
    );
    let mut command = record(daemon.endpoint(), &cassette);
    let recorder = Process::start(command.arg("--socket").arg(&socket));
    crowd.all(&socket).await;
    assert!(recorder.end(Signal::TERM).success());
    daemon.stop().await;

    // Each call once, of each client what it asked for.
    let lines = fs::read_to_string(cassette.join("calls.jsonl")).unwrap();
    let calls: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let quitters = (0..CLIENTS).filter(|number| leaves(*number)).count();
    let count = 4 * CLIENTS - quitters;
    let numbers: BTreeSet<_> = calls
        .iter()
        .map(|call| call["call"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=count as u64).collect());
    let mut whole = 0;
    for call in &calls {
        if call["answer"]["end"]["status"]["code"] != "OK" || call["output"].is_object() {
            continue;
        }
        if !call["method"]
            .as_str()
            .unwrap()
            .ends_with("/DownloadPersistentCacheTask")
        {
            continue;
        }
        let (id, content_of_it) = brought(call, &cassette);
        let task = crowd.ids.iter().position(|known| *known == id).unwrap();
        assert!(content_of_it == content(task), "call {}", call["call"]);
        whole += 1;
    }
    assert_eq!(whole, CLIENTS - quitters);
    let is_part = |name: &String| name.len() != 64;
    assert!(!names(&cassette.join("content")).iter().any(is_part));

    let mut command = program();
    command
        .args(["replay", "--order", "any", "--cassette"])
        .arg(&cassette);
    command.arg("--socket").arg(&socket);
    let replay = Process::start(&mut command);
    assert_eq!(replay.ready["calls"], count);
    crowd.all(&socket).await;
    assert!(replay.end(Signal::TERM).success());
}

//! Faults before a daemon: a client sees what a fake with the same fault says, and so does the journal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{Action, Call, FakeDfdaemon, Fault, Query, Rpc};
use serde_json::Value;
use tempfile::TempDir;
use testkit::wait::{Changes, HANGS};

use super::raw::{program, proxy};
use crate::support::client::{Client, Exported};
use crate::support::content::bytes;
use crate::support::process::{Process, refused};
use crate::support::requests;
use crate::support::world::ended;

/// A piece of the smallest length that there is.
const PIECE: usize = 4 << 20;

/// How long a client waits for calls that a fault stalls, in milliseconds: longer where a machine is so busy that before a
/// proxy something else was given up than before a fake.
const STALLED: [u64; 4] = [300, 1500, 7000, 30_000];

/// What a client sees of one call of each kind. Ids of peers, times and costs are left out.
async fn seen(
    endpoint: &Path,
    file: &Path,
    id: &str,
    (round, fault, stalled): (usize, &str, u64),
) -> Vec<String> {
    // Only what stalls is given up.
    let patience = |rpc: &str| {
        let is_on = fault.starts_with(rpc) || fault.contains(&format!("\"on\":\"{rpc}\""));
        match is_on && fault.contains("stall") {
            true => Duration::from_millis(stalled),
            false => HANGS,
        }
    };
    let client = Client::connect(endpoint).await;
    let mut seen = Vec::new();
    let short = |error: tonic::Status| {
        // How a connection breaks depends on where in a frame it does.
        let is_said =
            error.metadata().contains_key("content-type") || !error.message().contains("error");
        format!(
            "{:?} {}",
            error.code(),
            if is_said { error.message() } else { "broke" }
        )
    };
    let import = requests::import_as(file, &round.to_string(), 1, 3600);
    let imported = tokio::time::timeout(patience("import"), client.import(import)).await;
    seen.push(match imported {
        Ok(Ok(task)) => format!("{} {}", task.id, task.content_length),
        Ok(Err(error)) => short(error),
        Err(_) => "stalled".to_owned(),
    });
    let client = Client::connect(endpoint).await;
    let stat = tokio::time::timeout(patience("stat"), client.stat(id)).await;
    seen.push(match stat {
        Ok(Ok(task)) => format!("{} {}", task.id, task.state),
        Ok(Err(error)) => short(error),
        Err(_) => "stalled".to_owned(),
    });
    for wants_content in [true, false] {
        let client = Client::connect(endpoint).await;
        let request = match wants_content {
            true => requests::transfer(id),
            false => requests::cache(id),
        };
        let mut exported = Exported::default();
        let reading = async {
            match client.begin_export(request).await {
                Ok(mut messages) => {
                    exported.opened = true;
                    loop {
                        match messages.message().await {
                            Ok(Some(message)) => exported.take(message),
                            Ok(None) => break,
                            Err(status) => {
                                exported.status = status;
                                break;
                            }
                        }
                    }
                }
                Err(status) => exported.status = status,
            }
        };
        let is_over = tokio::time::timeout(patience("export"), reading)
            .await
            .is_ok();
        if short(exported.status.clone()).ends_with("broke") {
            // How much of it comes before that depends on what was written yet.
            exported = Exported {
                status: exported.status,
                ..Exported::default()
            };
        }
        let pieces = exported.pieces.iter().map(|piece| {
            let content = piece.content.as_ref();
            let content = content.map(|content| dfdaemon_api::digest::crc32(content));
            format!(
                "{} {} {} {} {content:?}",
                piece.number, piece.offset, piece.length, piece.digest
            )
        });
        let pieces: Vec<_> = pieces.collect();
        seen.push(format!(
            "{} {:?} {pieces:?} {} {is_over}",
            exported.opened,
            exported.started,
            short(exported.status)
        ));
    }
    seen
}

/// What a journal tells of calls, but for numbers, times, and who answered.
fn noted(mut calls: Vec<Call>) -> Vec<Value> {
    calls.sort_by_key(|call| call.call);
    let noted = calls.iter().map(|call| {
        let mut noted = serde_json::to_value(call).unwrap();
        let fields = noted.as_object_mut().unwrap();
        for field in ["call", "at", "host", "duration_ms"] {
            fields.remove(field);
        }
        // A proxy knows it when the daemon has said it.
        if fields["rpc"] == "import" && fields["status"]["code"] != "OK" {
            fields["request"].as_object_mut().unwrap().remove("task_id");
        }
        if let Some(fault) = fields["fault"].as_object_mut() {
            fault.remove("id");
        }
        noted
    });
    noted.collect()
}

/// The calls of a journal.
fn read(path: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    whole.collect()
}

/// Besides each action by itself.
const CALL_FAULTS: [&str; 12] = [
    "*:delay=1ms..3ms",
    "import:error=UNAVAILABLE",
    "import@phase=after:error=ABORTED",
    "import@tag=other:error=ABORTED",
    "import:reset",
    "import:stall",
    "import@call=2:stall",
    r#"{"on":"*","times":2,"do":{"error":{"code":"RESOURCE_EXHAUSTED","message":"é%","details":"/wAB"}}}"#,
    "stat@phase=after:error=DATA_LOSS",
    "stat@phase=after:delay=1ms",
    "stat@phase=after:reset",
    "*:delay=1ms",
];

const STREAM_FAULTS: [&str; 15] = [
    "export:error=UNAVAILABLE",
    "export@phase=after:error=ABORTED",
    "export@phase=after:reset",
    "export@piece=1:error=DATA_LOSS",
    "export@piece=1:reset",
    "export@piece=1:stall",
    "export@bytes=1:error=INTERNAL",
    "export@bytes=4194304:delay=1ms",
    "export@piece=1:end",
    "export@piece=2:skip_piece",
    "export@piece=1,probability=0.5:repeat_piece",
    "export@piece=2:corrupt_digest",
    "export@piece=1:no_content",
    "export@piece=2:wrong_length=-3",
    "export@piece=2:bandwidth=1KiB",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_calls_before_a_daemon_does_what_it_does_in_a_fake() {
    // None of them is about pieces.
    does_the_same(by_themselves(Rpc::Stat), &CALL_FAULTS, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_streams_before_a_daemon_does_what_it_does_in_a_fake() {
    does_the_same(by_themselves(Rpc::Export), &STREAM_FAULTS, 2 * PIECE + 1).await;
}

/// Each action that a proxy can have on calls of that kind, and on none of those before it.
fn by_themselves(on: Rpc) -> Vec<String> {
    let fault = |on: Rpc, action: &Action| Fault::on(on).action(action.clone()).to_json();
    let first = |action: &Action| {
        let mut calls = [Rpc::Stat, Rpc::Import, Rpc::Export].into_iter();
        calls.find(|on| fault(*on, action).parse::<Fault>().is_ok())
    };
    // The answer of this one names the daemon's host, which a proxy does not know.
    let actions = Action::examples().filter(|action| action.name() != "no_host");
    let actions = actions.filter(|action| first(action) == Some(on));
    actions.map(|action| fault(on, &action)).collect()
}

/// The seed decides which calls are hit and what a shuffle comes to, here and there.
async fn does_the_same(mut faults: Vec<String>, more: &[&str], length: usize) {
    faults.extend(more.iter().map(ToString::to_string));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, bytes(3, length)).unwrap();
    // No fault here is about how long it is.
    let other = dir.path().join("other");
    std::fs::write(&other, bytes(4, 100)).unwrap();
    let start = || FakeDfdaemon::builder().hosts(1).fault_seed(7).start();
    let w = TwoFakes {
        faulty: start().await.unwrap(),
        sound: start().await.unwrap(),
        dir,
        file,
        other,
    };
    for (round, fault) in faults.iter().enumerate() {
        for stalled in STALLED {
            let [there, here] = w.under((round, fault, stalled)).await;
            let is_last = !fault.contains("stall") || Some(&stalled) == STALLED.last();
            if is_last || here == there {
                assert_eq!(here, there, "{fault}");
                break;
            }
        }
    }
}

/// A fake that can have a fault, and one with a proxy before it that has it instead.
struct TwoFakes {
    faulty: FakeDfdaemon,
    sound: FakeDfdaemon,
    dir: TempDir,
    /// What is imported before, and under the fault.
    file: PathBuf,
    other: PathBuf,
}

impl TwoFakes {
    /// What a client sees under a fault, and what is noted of it: of the fake, and of the proxy.
    async fn under(&self, turn: (usize, &str, u64)) -> [(Vec<String>, Vec<Value>); 2] {
        let mut id = String::new();
        for daemon in [&self.faulty, &self.sound] {
            daemon.reset().await.unwrap();
            let first = Client::connect(daemon.endpoint()).await;
            let first = first.import(requests::import_as(&self.file, "first", 1, 3600));
            id = first.await.unwrap().id;
            daemon.journal().clear().unwrap();
        }
        let (round, fault, stalled) = turn;
        let guard = self.faulty.fault(fault.parse::<Fault>().unwrap());
        let expected = seen(self.faulty.endpoint(), &self.other, &id, turn).await;
        let direct = ended(&self.faulty, Query::default(), expected.len()).await;
        assert_eq!(direct.len(), expected.len());
        drop(guard);

        let socket = self.dir.path().join("in");
        let journal = self.dir.path().join(format!("{round}-{stalled}.jsonl"));
        let mut command = proxy(self.sound.endpoint(), &socket);
        command
            .args(["--fault", fault, "--fault-seed", "7", "--journal"])
            .arg(&journal);
        let process = Process::start(&mut command);
        assert_eq!(process.ready["fault_seed"], 7);
        let found = seen(&socket, &self.other, &id, turn).await;
        let written = || read(&journal).len() == found.len();
        let what = "every call is in the proxy's journal";
        Changes::at(self.dir.path()).until(what, written).await;
        let calls = read(&journal);
        assert!(calls.iter().all(|call| call.host == "upstream"));
        [(expected, noted(direct)), (found, noted(calls))]
    }
}

/// What only a fake can do is refused, at once and by name. What that is, is tested beside the registry of faults.
#[test]
fn what_needs_a_store_or_a_cluster_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (fault, why) in [
        ("import:no_space", "no_space: a proxy has no store"),
        ("nonsense", "is not of the form"),
    ] {
        let mut command = proxy(&dir.path().join("up"), &dir.path().join("in"));
        let (code, stderr) = refused(command.args(["--fault", fault]));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    assert!(!dir.path().join("in").exists());
}

/// It says as much as a proxy knows: neither the daemon's release nor its id.
#[tokio::test]
async fn a_host_that_is_not_known_has_an_id_that_names_the_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("in");
    let mut command = proxy(&dir.path().join("up"), &socket);
    let _process = Process::start(command.args(["--fault", "stat:no_host"]));
    let refused = Client::connect(&socket).await.stat("7").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Internal);
    let expected = "NotFound, message: \"host 127.0.0.1-upstream not found\"";
    assert!(refused.message().contains(expected), "{refused:?}");
}

/// What a cassette answers can be spoiled too, and a cassette keeps what the daemon has said.
#[tokio::test]
async fn faults_act_on_calls_that_are_recorded_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let content = bytes(3, PIECE + 1);
    std::fs::write(&file, &content).unwrap();
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let first = Client::connect(daemon.endpoint()).await;
    let task = first
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    let (socket, cassette) = (dir.path().join("in"), dir.path().join("cassette"));
    let faulty = |command: &mut std::process::Command| {
        command
            .arg("--cassette")
            .arg(&cassette)
            .arg("--socket")
            .arg(&socket);
        command.args(["--fault", "stat@call=1:error=ABORTED"]);
        command.args(["--fault", "export@piece=1:skip_piece"]);
        Process::start(command)
    };
    let mut record = program();
    record
        .arg("record")
        .arg("--upstream")
        .arg(daemon.endpoint());
    let mut replay = program();
    replay.args(["replay", "--order", "any"]);
    for command in [&mut record, &mut replay] {
        let process = faulty(command);
        let client = Client::connect(&socket).await;
        let hit = client.stat(&task.id).await.unwrap_err();
        assert_eq!(hit.code(), tonic::Code::Aborted);
        assert_eq!(client.stat(&task.id).await.unwrap().id, task.id);
        let exported = client.export(requests::transfer(&task.id)).await.ok();
        assert_eq!(exported.numbers(), [0]);
        drop(client);
        assert!(process.end(rustix::process::Signal::TERM).success());
    }
    // The call that was hit never came to the daemon; the other two are whole.
    let mut sound = program();
    sound.args(["replay", "--cassette"]).arg(&cassette);
    let _sound = Process::start(sound.arg("--socket").arg(&socket));
    let client = Client::connect(&socket).await;
    assert_eq!(client.stat(&task.id).await.unwrap().id, task.id);
    let exported = client.export(requests::transfer(&task.id)).await.ok();
    assert!(exported.content() == content, "other bytes came");
}

/// A daemon that dies is no client that went away.
#[tokio::test]
async fn the_journal_tells_a_dead_daemon_from_a_client_that_went_away() {
    let between = super::raw::Between::with_journal();
    let journal = between.dir.path().join("journal");
    for answers in [false, true] {
        for dies in [false, true] {
            let before = read(&journal).len();
            let (mut client, mut daemon) = between.pair().await;
            let (answer, mut send) = client
                .send_request(super::raw::request("/a/b"), true)
                .unwrap();
            let (_seen, mut respond) = daemon.call().await.unwrap();
            let mut opened = None;
            let answer = if answers {
                opened = Some(respond.send_response(super::raw::opened(), false).unwrap());
                let answer = tokio::select! {
                    answer = answer => answer.unwrap(),
                    _ = daemon.call() => unreachable!("there is one call"),
                };
                Ok(answer)
            } else {
                Err(answer)
            };
            if dies {
                drop((daemon, opened));
            } else {
                daemon.go_on();
                send.send_reset(h2::Reason::CANCEL);
            }
            let written = || read(&journal).len() > before;
            let changes = Changes::at(between.dir.path());
            changes.until("it is in the journal", written).await;
            let call = read(&journal).pop().unwrap();
            assert_eq!(call.client_gone, !dies);
            assert_eq!(
                call.status.code,
                if dies { "UNAVAILABLE" } else { "CANCELLED" }
            );
            drop((answer, client, send));
        }
    }
}

/// `record` without a cassette is a proxy, and runs a command.
#[test]
fn a_recorder_without_a_cassette_is_there_for_the_faults_alone() {
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path().join("up");
    let mut command = program();
    command.arg("record").arg("--upstream").arg(&up);
    command.args(["--fault", "*:delay=1ms", "--", "true"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for options in [
        ["--redact", "x"],
        ["--content", "hash"],
        ["--keep-metadata", "x"],
    ] {
        let mut command = program();
        command
            .arg("record")
            .arg("--upstream")
            .arg(&up)
            .args(options);
        let (code, stderr) = refused(&mut command);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("--cassette"), "{stderr}");
    }
}

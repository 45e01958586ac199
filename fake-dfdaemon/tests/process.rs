//! The program as a process: its ready line, its signals, its sockets, its memory.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use rustix::process::Signal;
use testkit::wait::Changes;
use tonic::Code;

use crate::support::client::{Client, Export, Exported, Import};
use crate::support::process::{Process, names, refused, serve};
use crate::support::requests;
use testkit::wait::HANGS;

fn import(path: &std::path::Path) -> Import {
    requests::import(path, 1, 3600)
}

#[test]
fn every_socket_accepts_when_the_ready_line_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready.json");
    let process = Process::start(serve().args(["--hosts", "3", "--ready-file"]).arg(&file));
    let written: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, process.ready);
    assert_eq!(process.ready.get("event").unwrap(), "ready");
    assert_eq!(process.ready.get("pid").unwrap(), process.id());
    assert_eq!(process.path("endpoint"), process.endpoint(0));
    for host in 0..3 {
        UnixStream::connect(process.endpoint(host)).unwrap();
    }
    assert_eq!(
        names(dir.path()),
        ["ready.json"],
        "something is left beside it"
    );
}

/// An address or a path of the first host in the ready line.
fn of_first_host(process: &Process, field: &str) -> String {
    let hosts = process.ready.get("hosts").unwrap();
    let found = hosts.get(0).unwrap().get(field).unwrap();
    found.as_str().unwrap().to_owned()
}

#[test]
fn a_task_is_exported_from_a_host_of_another_process() {
    for version in ["0.2", "1.5"] {
        for field in ["upload_tcp", "upload_endpoint"] {
            let serve = || {
                let mut command = serve();
                command.args(["--hosts", "1", "--dfdaemon-version", version]);
                command
            };
            let far = Process::start(serve().args(["--tcp", "127.0.0.1:0"]));
            let near = Process::start(serve().args(["--parent", &of_first_host(&far, field)]));
            let dir = tempfile::tempdir().unwrap();
            let (path, out) = (dir.path().join("file"), dir.path().join("out"));
            fs::write(&path, "content").unwrap();
            crate::support::runtime().block_on(async {
                let client = Client::connect(&far.endpoint(0)).await;
                let id = client.import(import(&path)).await.unwrap().id;
                let client = Client::connect(&near.endpoint(0)).await;
                client.export(requests::export_to(&id, &out)).await.ok();
            });
            assert_eq!(fs::read(&out).unwrap(), b"content");
            // A parent that hangs, and one that is killed while it sends.
            let hangs = "transfer:stall";
            let far = Process::start(serve().args(["--tcp", "127.0.0.1:0", "--fault", hangs]));
            let parent = of_first_host(&far, field);
            let near = Process::start(serve().args(["--parent", &parent]));
            crate::support::runtime().block_on(async {
                let client = Client::connect(&far.endpoint(0)).await;
                let id = client.import(import(&path)).await.unwrap().id;
                let client = Client::connect(&near.endpoint(0)).await;
                let stream = client.begin_export(requests::transfer(&id)).await.unwrap();
                far.kill();
                let status = Exported::default().read(stream).await.status;
                let text = "no candidate parents found";
                assert!(status.message().contains(text), "{status:?}");
            });
        }
    }
}

#[test]
fn a_bad_address_of_a_parent_is_refused() {
    let (code, said) = refused(serve().args(["--parent", "host-1"]));
    assert_eq!(code, Some(2));
    assert!(said.contains("HOST:PORT"), "{said}");
}

#[test]
fn a_signal_ends_it_well_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let dir = tempfile::tempdir().unwrap();
        let (file, socket) = (dir.path().join("ready.json"), dir.path().join("a.sock"));
        let mut command = serve();
        command
            .arg("--ready-file")
            .arg(&file)
            .arg("--socket")
            .arg(&socket);
        let process = Process::start(&mut command);
        let state = process.path("state_dir");
        assert!(state.exists() && socket.exists());
        assert_eq!(process.end(signal).code(), Some(0));
        assert!(!state.exists(), "its temporary directory is left");
        assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    }
}

#[test]
fn a_stop_complains_of_no_replica_that_it_breaks_off() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("file"), "content").unwrap();
    let log = dir.path().join("log");
    let mut command = serve();
    command
        .args(["--fault", "replicate:stall", "--preload"])
        .arg(&files);
    command.stderr(fs::File::create(&log).unwrap());
    let process = Process::start(&mut command);
    assert!(process.end(Signal::TERM).success());
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

#[test]
fn a_signal_leaves_a_given_state_without_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let process = Process::start(serve().arg("--state-dir").arg(&state));
    assert!(names(&state).contains(&"host-2.sock".to_owned()));
    assert_eq!(process.end(Signal::TERM).code(), Some(0));
    assert!(!names(&state).iter().any(|name| name.ends_with(".sock")));
    assert!(names(&state).contains(&"state.json".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_breaks_off_what_is_running() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, crate::support::content::bytes(1, 24 << 20)).unwrap();
    let process = Process::start(serve().args(["--hosts", "1"]));
    let client = Client::connect(&process.endpoint(0)).await;
    let task = client.import(import(&file)).await.unwrap();
    let output = dir.path().join("output");
    let request = Export {
        need_piece_content: true,
        ..requests::export_to(&task.id, &output)
    };
    let mut running = client.begin_export(request).await.unwrap();
    let mut exported = Exported::default();
    exported.take(running.message().await.unwrap().unwrap());
    let ended = tokio::task::spawn_blocking(|| process.end(Signal::TERM));
    let exported = exported.read(running).await;
    assert_ne!(exported.status.code(), Code::Ok);
    assert_eq!(ended.await.unwrap().code(), Some(0));
    assert!(!output.exists(), "half an output is left");
}

#[test]
fn a_stale_socket_is_swept_and_a_live_one_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("a.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let process = Process::start(serve().arg("--socket").arg(&socket));
    let (code, said) = refused(serve().arg("--socket").arg(&socket));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(socket.to_str().unwrap()), "{said}");
    UnixStream::connect(&socket).unwrap();
    process.kill();
    assert!(socket.exists(), "a killed daemon removes nothing");
    Process::start(serve().arg("--socket").arg(&socket));
}

#[test]
fn a_state_directory_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let process = Process::start(serve().arg("--state-dir").arg(&state));
    let (code, said) = refused(serve().arg("--state-dir").arg(&state));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(state.to_str().unwrap()), "{said}");
    process.kill();
    Process::start(serve().arg("--state-dir").arg(&state));
}

#[test]
fn what_cannot_be_is_refused_with_the_right_code() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("a".repeat(107));
    for option in ["--state-dir", "--socket", "--control"] {
        let (code, said) = refused(serve().arg(option).arg(&long));
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("107") && said.contains(option), "{said}");
        assert!(said.contains(long.to_str().unwrap()), "{said}");
    }
    for options in [
        &["--hosts", "0"][..],
        &["--min-ttl", "2h", "--max-ttl", "1h"],
        &["--fast"],
    ] {
        let (code, said) = refused(serve().args(options));
        assert_eq!(code, Some(2), "{options:?}: {said}");
    }
}

#[tokio::test]
async fn the_directory_of_a_killed_daemon_is_swept_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Process::start(serve().env("TMPDIR", dir.path()).stderr(Stdio::inherit()));
    let process = start();
    let state = process.path("state_dir");
    process.kill();
    assert!(state.exists());
    let next = start();
    let changes = Changes::at(dir.path());
    changes.until("it is swept", || !state.exists()).await;
    assert_eq!(next.end(Signal::TERM).code(), Some(0));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_costs_a_few_pieces_of_memory() {
    const LENGTH: u64 = 256 << 20;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::File::create(&file).unwrap().set_len(LENGTH).unwrap();
    // Release 1.5 links the file: it is long and costs nothing.
    let options = ["--hosts", "1", "--dfdaemon-version", "1.5"];
    let process = Process::start(serve().args(options));
    let client = Client::connect(&process.endpoint(0)).await;
    let request = Import {
        content_for_calculating_task_id: Some("long".to_owned()),
        ..import(&file)
    };
    let task = client.import(request).await.unwrap();
    let before = process.peak_memory();
    let request = requests::transfer(&task.id);
    let stalled = client.begin_export(request.clone()).await.unwrap();
    // One that is read to its end: by then the other would have had all the time it needs.
    let other = Client::connect(&process.endpoint(0)).await;
    let mut read = other.begin_export(request).await.unwrap();
    let mut length = 0;
    while let Some(message) = read.message().await.unwrap() {
        if let Some(Event::DownloadPieceFinishedResponse(finished)) = message.response {
            length += finished.piece.unwrap().length;
        }
    }
    assert_eq!(length, LENGTH);
    let grown = process.peak_memory().saturating_sub(before);
    drop(stalled);
    // Each of the two holds up to five pieces of 4 MiB, and the copies that a send makes.
    assert!(grown < 80 << 20, "{} MiB for two exports", grown >> 20);
}

/// More clients than the soft limit of open files has room for are served all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_beyond_the_soft_limit_of_open_files() {
    let mut command = Command::new("sh");
    let script = "ulimit -Sn 64; exec \"$0\" serve";
    command.args(["-c", script, env!("CARGO_BIN_EXE_fake-dfdaemon")]);
    let process = Process::start(&mut command);
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let client = Client::connect(&process.endpoint(0)).await;
        let answered = tokio::time::timeout(HANGS, client.stat("404")).await;
        let status = answered.expect("a client waits for ever").unwrap_err();
        assert!(status.message().contains("not found"), "{status:?}");
        crowd.push(client);
    }
    assert!(process.end(Signal::TERM).success());
}

/// Closed, as `2>&1 | head` does, or open and never read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_fails_and_blocks_nothing() {
    for is_closed in [true, false] {
        let mut command = serve();
        command.args(["--hosts", "1", "--log-level", "trace"]);
        let mut process = Process::start(command.stderr(Stdio::piped()));
        let unread = process.take_stderr();
        let unread = (!is_closed).then_some(unread);
        // More than a pipe holds.
        for _ in 0..50 {
            let client = Client::connect(&process.endpoint(0)).await;
            let answered = tokio::time::timeout(HANGS, client.stat("404")).await;
            let status = answered.expect("a call waits for ever").unwrap_err();
            assert!(status.message().contains("not found"), "{status:?}");
        }
        assert!(process.end(Signal::TERM).success());
        drop(unread);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_the_length_of_files_fails_an_import_and_not_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, vec![1; 1 << 20]).unwrap();
    let mut command = Command::new("sh");
    // In units of 512 or of 1024 bytes.
    let script = "ulimit -f 128; exec \"$0\" serve --hosts 1";
    command.args(["-c", script, env!("CARGO_BIN_EXE_fake-dfdaemon")]);
    let process = Process::start(&mut command);
    let client = Client::connect(&process.endpoint(0)).await;
    client.import(import(&file)).await.unwrap_err();
    let status = client.stat("404").await.unwrap_err();
    assert!(status.message().contains("not found"), "{status:?}");
    assert!(process.end(Signal::TERM).success());
}

//! The program: its ready line, its sockets, its end.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use tonic::Code;

use super::raw::{program, proxy};
use crate::support::client::Client;
use crate::support::process::{Process, names, refused};

#[test]
fn it_is_ready_when_it_says_so_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready.json");
        let mut command = program();
        command.env("TMPDIR", dir.path());
        command.args(["proxy", "--upstream", "none", "--ready-file"]);
        command.arg(&ready).current_dir(dir.path());
        let process = Process::start(&mut command);
        UnixStream::connect(process.path("endpoint")).unwrap();
        assert_eq!(process.path("upstream"), dir.path().join("none"));
        assert_eq!(process.ready.get("event").unwrap(), "ready");
        assert_eq!(process.ready.get("role").unwrap(), "proxy");
        assert_eq!(process.ready.get("pid").unwrap(), process.id());
        let written = std::fs::read(&ready).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(written, process.ready);
        assert_eq!(process.end(signal).code(), Some(0));
        assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    }
}

#[test]
fn a_live_socket_is_refused_a_stale_one_swept_and_a_file_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let (code, said) = refused(&mut proxy(Path::new("none"), &socket));
    assert_eq!(code, Some(4));
    assert!(said.contains("in use by a running process"), "{said}");
    drop(listener);
    let process = Process::start(&mut proxy(Path::new("none"), &socket));
    UnixStream::connect(&socket).unwrap();
    assert_eq!(process.end(Signal::TERM).code(), Some(0));
    std::fs::write(&socket, "precious").unwrap();
    let (code, said) = refused(&mut proxy(Path::new("none"), &socket));
    assert_eq!(code, Some(4));
    assert!(said.contains("is not a socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
}

#[test]
fn options_are_checked() {
    let (code, said) = refused(program().arg("proxy").stdin(Stdio::null()));
    assert_eq!(code, Some(2));
    assert!(said.contains("--upstream"), "{said}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named_and_may_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, socket) = (dir.path().join("later"), dir.path().join("in"));
    let process = Process::start(&mut proxy(&upstream, &socket));
    let client = Client::connect(&socket).await;
    let refused = client.stat("7").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let named = upstream.to_str().unwrap();
    assert!(refused.message().contains(named), "{}", refused.message());
    let builder = fake_dfdaemon::FakeDfdaemon::builder().socket(&upstream);
    let daemon = builder.start().await.unwrap();
    let client = Client::connect(&socket).await;
    let missing = client.stat("7").await.unwrap_err();
    assert_eq!(missing.code(), Code::Internal);
    // Stopped with a call under way, it does not wait for ever.
    drop(client);
    assert_eq!(process.end(Signal::TERM).code(), Some(0));
    daemon.stop().await;
}

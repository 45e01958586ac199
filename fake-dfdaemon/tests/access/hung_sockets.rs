//! Sockets, and files that say that a daemon is ready, in a file system that stops answering.

use std::process::Command;

use rustix::process::Signal;
use tokio::time::timeout;

use crate::access::ground::{Ground, HANGS};
use crate::access::stalling::StallingFileSystem;
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::eventually;
use crate::support::process::{Process, refused, serve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_socket_is_in_a_file_system_that_hangs_stops_alone() {
    let world = Ground::new();
    let Some(mut files) = StallingFileSystem::mount(&world.path("stalling")) else {
        return;
    };
    let mut command = serve();
    command
        .args(["--hosts", "2", "--socket"])
        .arg(world.path("stalling/socket"));
    let process = Process::start(&mut command);
    let control = Address::socket(&process.path("control"));
    Client::connect(&process.endpoint(0))
        .await
        .stat("7")
        .await
        .unwrap_err();

    files.stall();
    let stopping = control.clone();
    let stopping =
        tokio::spawn(async move { stopping.send("POST", "/hosts/host-0/stop", "").await });
    let other = Client::connect(&process.endpoint(1)).await;
    eventually("the host has stopped", || async {
        let answer = timeout(HANGS, other.stat("7")).await;
        answer.expect("it hangs").unwrap_err();
        stopping.is_finished()
    })
    .await;
    assert_eq!(stopping.await.unwrap().status, 200);

    let ended = tokio::task::spawn_blocking(move || process.end(Signal::TERM));
    let ended = timeout(HANGS, ended).await.expect("it hangs").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_socket_in_a_file_system_that_hangs_is_left_and_told() {
    let world = Ground::new();
    let Some(mut files) = StallingFileSystem::mount(&world.path("stalling")) else {
        return;
    };
    let mut command = serve();
    command
        .args(["--hosts", "2", "--fault", "connect@host=host-0:stale"])
        .arg("--socket")
        .arg(world.path("stalling/socket"));
    let process = Process::start(&mut command);
    let control = Address::socket(&process.path("control"));

    files.stall();
    let opening = tokio::spawn(async move { control.send("DELETE", "/faults", "").await });
    let other = Client::connect(&process.endpoint(1)).await;
    eventually("the call has ended", || async {
        let answer = timeout(HANGS, other.stat("7")).await;
        answer.expect("it hangs").unwrap_err();
        opening.is_finished()
    })
    .await;
    let answer = opening.await.unwrap();
    assert_eq!(answer.status, 409);
    let said = answer.body.to_string();
    assert!(said.contains("stalling/socket"), "{said}");

    let ended = tokio::task::spawn_blocking(move || process.end(Signal::TERM));
    let ended = timeout(HANGS, ended).await.expect("it hangs").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_start_in_a_file_system_that_hangs_fails_and_names_it() {
    let world = Ground::new();
    let Some(mut files) = StallingFileSystem::mount(&world.path("stalling")) else {
        return;
    };
    files.stall();
    let there = world.path("stalling/there");
    let proxy = |option: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
        command.args(["proxy", "--upstream", "/nowhere", option]);
        command
    };
    let commands = ["--socket", "--control", "--ready-file", "--env-file"].map(|option| {
        let mut command = serve();
        command.arg(option);
        command
    });
    let proxies = ["--socket", "--control", "--ready-file"].map(proxy);
    // All at once, since each waits for seconds.
    std::thread::scope(|scope| {
        for mut command in commands.into_iter().chain(proxies) {
            let there = &there;
            scope.spawn(move || {
                let (code, said) = refused(command.arg(there));
                assert_eq!(code, Some(4), "{command:?}: {said}");
                let is_said = said.contains("its file system does not answer")
                    && said.contains("stalling/there");
                assert!(is_said, "{command:?}: {said}");
            });
        }
    });
}

/// The sweep of what killed daemons left waits for it, and nothing waits for the sweep.
#[test]
fn a_temporary_directory_in_a_file_system_that_hangs_holds_up_neither_start_nor_stop() {
    let world = Ground::new();
    std::fs::create_dir(world.path("tmp")).unwrap();
    let left = world.path("tmp/fake-dfdaemon-left");
    let Some(mut files) = StallingFileSystem::mount(&left) else {
        return;
    };
    files.stall();
    let process = Process::start(serve().env("TMPDIR", world.path("tmp")));
    let state = process.path("state_dir");
    assert_eq!(process.end(Signal::TERM).code(), Some(0));
    assert!(!state.exists());
}

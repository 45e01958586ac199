//! Sockets that nobody serves while a fault lasts.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use fake_dfdaemon::{Fault, Host, Rpc};

use crate::faults::world::World;
use crate::support::client::Client;

fn stale(host: usize) -> Fault {
    Fault::on(Rpc::Connect).host(format!("host-{host}")).stale()
}

/// What becomes of a connection to each socket and port of a host.
fn knocks(host: Host<'_>) -> Vec<io::Result<()>> {
    let sockets = [host.endpoint(), host.upload_endpoint()];
    let ports = [host.tcp(), host.upload_tcp()].into_iter().flatten();
    let on_sockets = sockets.map(|path| UnixStream::connect(path).map(drop));
    let on_ports = ports.map(|address| TcpStream::connect(address).map(drop));
    on_sockets.into_iter().chain(on_ports).collect()
}

fn is_open(host: Host<'_>) -> bool {
    knocks(host).iter().all(io::Result::is_ok)
}

fn is_stale(host: Host<'_>) -> bool {
    let refused = |knock: &io::Result<()>| {
        let refused = knock.as_ref().err().map(io::Error::kind);
        refused == Some(ErrorKind::ConnectionRefused)
    };
    knocks(host).iter().all(refused)
}

/// The mode of a socket's name.
fn mode_of(path: &Path) -> u32 {
    let found = std::fs::symlink_metadata(path).unwrap();
    assert!(found.file_type().is_socket());
    found.permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sockets_of_one_host_are_closed_and_bound_again_and_connections_go_on() {
    let w = World::with(|builder| {
        let address = "127.0.0.1:0".parse().unwrap();
        builder.tcp(address).socket_mode(0o640)
    })
    .await;
    let (first, second) = (w.daemon.host(0).unwrap(), w.daemon.host(1).unwrap());
    let before = w.client().await;
    before.health("").await.unwrap();
    let address = first.tcp();
    for _ in 0..3 {
        let guard = w.daemon.fault(stale(0));
        assert!(is_stale(first));
        assert!(is_open(second));
        for path in [first.endpoint(), first.upload_endpoint()] {
            assert_eq!(mode_of(path), 0o640);
        }
        before.health("").await.unwrap();
        assert_eq!(guard.fired(), 1);
        drop(guard);
        assert!(is_open(first));
        assert_eq!((mode_of(first.endpoint()), first.tcp()), (0o640, address));
    }
    w.client().await.health("").await.unwrap();
    before.health("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_stale_for_as_long_as_one_of_its_faults_lasts() {
    let w = World::new().await;
    let (first, second) = (w.daemon.host(0).unwrap(), w.daemon.host(1).unwrap());
    let one = w.daemon.fault(stale(0));
    let both = w.daemon.fault(Fault::on(Rpc::Connect).stale());
    assert_eq!((one.fired(), both.fired()), (1, 2));
    drop(one);
    assert!(is_stale(first) && is_stale(second));
    drop(both);
    assert!(is_open(first) && is_open(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_the_start_and_hosts_that_stop_and_start_under_it() {
    let w = World::with(|builder| builder.fault(stale(0))).await;
    let host = w.daemon.host(0).unwrap();
    assert!(is_stale(host));
    host.stop().await;
    assert!(!host.endpoint().exists() && !host.upload_endpoint().exists());
    host.start().await.unwrap();
    assert!(is_stale(host));
    // It is armed again.
    w.daemon.reset().await.unwrap();
    assert!(is_stale(host));
    let endpoint = host.endpoint().to_owned();
    w.daemon.stop().await;
    assert!(!endpoint.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_opens_what_a_fault_has_closed_since_the_start() {
    let w = World::new().await;
    w.daemon.fault(stale(1)).keep();
    let host = w.daemon.host(1).unwrap();
    assert!(is_stale(host));
    w.daemon.reset().await.unwrap();
    assert!(is_open(host));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_taken_the_place_of_a_stale_socket_is_left_and_named() {
    let w = World::new().await;
    let host = w.daemon.host(0).unwrap();
    let guard = w.daemon.fault(stale(0));
    std::fs::remove_file(host.endpoint()).unwrap();
    let theirs = UnixListener::bind(host.endpoint()).unwrap();
    std::fs::remove_file(host.upload_endpoint()).unwrap();
    std::fs::write(host.upload_endpoint(), "precious").unwrap();
    drop(guard);
    UnixStream::connect(host.endpoint()).unwrap();
    theirs.accept().unwrap();
    let error = host.start().await.unwrap_err().to_string();
    let path = host.endpoint().to_str().unwrap();
    assert!(error.contains(path) && error.contains("in use"), "{error}");
    // Another daemon that is gone leaves a stale socket, which is replaced as at every start.
    drop(theirs);
    let error = host.start().await.unwrap_err().to_string();
    assert!(error.contains("exists and is not a socket"), "{error}");
    UnixStream::connect(host.endpoint()).unwrap();
    let kept = std::fs::read_to_string(host.upload_endpoint()).unwrap();
    assert_eq!(kept, "precious");
    std::fs::remove_file(host.upload_endpoint()).unwrap();
    host.start().await.unwrap();
    assert!(is_open(host));
    Client::connect(host.endpoint())
        .await
        .health("")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_says_whose_sockets_were_closed() {
    let w = World::new().await;
    let _guard = w.daemon.fault(Fault::on(Rpc::Connect).stale());
    let calls = w.daemon.journal().wait_for(Rpc::Connect).count(2).await;
    let calls = calls.unwrap();
    let hosts: Vec<_> = calls.iter().map(|call| call.host.as_str()).collect();
    assert_eq!(hosts, ["host-0", "host-1"]);
    for call in &calls {
        assert_eq!(call.status.code, "UNAVAILABLE");
        assert_eq!(call.fault.as_ref().unwrap().action(), "stale");
    }
}

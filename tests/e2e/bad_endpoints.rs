//! Endpoints that are no dfdaemon's: no socket, nobody there, or somebody else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::bad_input::COMMANDS;
use crate::support::command::words;
use crate::support::world::Directory;

#[track_caller]
fn assert_unavailable(directory: &Directory, endpoint: &Path, why: &str) {
    for line in COMMANDS {
        let run = directory.at(endpoint).args(words(line)).run();
        let run = run.fails_with(5).says(why);
        let names_it = run.stderr().contains(endpoint.to_str().unwrap());
        // Once connected, the error names what was to be done.
        let names_what = run.stderr().contains("cannot ");
        assert!(names_it || names_what, "{run}");
        assert!(run.stderr().contains("hint: "), "{run}");
    }
    directory.holds_only(&["file"]);
}

#[test]
fn an_endpoint_that_is_no_listening_socket_is_unavailable() {
    let directory = Directory::new();
    directory.file("file", 10);
    let plain = directory.beside("plain");
    fs::write(&plain, "").unwrap();
    let stale = directory.beside("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let datagram = directory.beside("datagram.sock");
    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    let dangling = directory.beside("dangling.sock");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    for (endpoint, why) in [
        (plain.clone(), "not a socket"),
        (plain.join("below"), "not a socket"),
        (directory.work(), "not a socket"),
        (PathBuf::from("/dev/null"), "not a socket"),
        (directory.beside("missing.sock"), "no socket is there"),
        (dangling, "no socket is there"),
        (
            directory.beside("missing").join("x.sock"),
            "no socket is there",
        ),
        (stale, "nobody listens there"),
        (datagram, "hint: "),
    ] {
        assert_unavailable(&directory, &endpoint, why);
    }
}

#[test]
fn an_endpoint_that_cannot_be_one_is_usage() {
    let directory = Directory::new();
    let long = format!("/{}", "x".repeat(107));
    for endpoint in ["tcp://127.0.0.1:65000", "http://localhost", "unix:", &long] {
        let run = directory
            .dfcache()
            .args(["stat", "-e", endpoint, "7"])
            .run();
        run.fails_with(2).says("--endpoint");
    }
}

/// The first words of a client: HTTP/2's preface, and an empty SETTINGS frame of a server.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A server that treats each connection in its own odd way. It ends with the test binary.
fn odd_server(
    directory: &Directory,
    name: &str,
    treat: fn(UnixStream),
) -> (PathBuf, JoinHandle<()>) {
    let endpoint = directory.beside(name);
    let listener = UnixListener::bind(&endpoint).unwrap();
    let thread = std::thread::spawn(move || {
        for connection in listener.incoming().take(COMMANDS.len()) {
            treat(connection.unwrap());
        }
    });
    (endpoint, thread)
}

fn read_preface(connection: &mut UnixStream) {
    let mut preface = [0; PREFACE.len()];
    connection.read_exact(&mut preface).unwrap();
    assert_eq!(preface, PREFACE);
}

/// Reads until the client goes: a server that closes with bytes unread resets the connection.
fn drain(mut connection: UnixStream) {
    let _ = std::io::copy(&mut connection, &mut std::io::sink());
}

#[test]
fn a_server_that_is_no_dfdaemon_is_unavailable() {
    type Treatment = (&'static str, fn(UnixStream));
    let treatments: [Treatment; 7] = [
        ("hangs up at once", drop),
        ("hangs up after the preface", |mut connection| {
            read_preface(&mut connection);
        }),
        ("hangs up after its settings", |mut connection| {
            connection.write_all(SETTINGS).unwrap();
            read_preface(&mut connection);
        }),
        ("speaks HTTP/1", |mut connection| {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("greets as a mail server", |mut connection| {
            let _ = connection.write_all(b"220 mail.example.org ESMTP\r\n");
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("sends noise after the settings", |mut connection| {
            let _ = connection.write_all(&[SETTINGS, &[0xa5; 4096]].concat());
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("echoes", |mut connection| {
            let mut copy = connection.try_clone().unwrap();
            let _ = std::io::copy(&mut connection, &mut copy);
        }),
    ];
    for (number, (what, treat)) in treatments.into_iter().enumerate() {
        let directory = Directory::new();
        directory.file("file", 10);
        let name = format!("odd-{number}.sock");
        let (endpoint, thread) = odd_server(&directory, &name, treat);
        eprintln!("a server that {what}");
        assert_unavailable(&directory, &endpoint, "cannot ");
        thread.join().unwrap();
    }
}

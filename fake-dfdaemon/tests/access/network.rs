//! The control API and the network: not there unless asked for, said when it is, and not for pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use crate::access::ground::Ground;
use crate::support::process::{Process, serve};

fn one_host(world: &Ground, control_tcp: Option<&str>) -> Command {
    let mut command = serve();
    command.args(["--hosts", "1", "--state-dir", &world.text("state")]);
    if let Some(address) = control_tcp {
        command.args(["--control-tcp", address]);
    }
    command
}

/// Sockets of a process that speak IP.
#[cfg(target_os = "linux")]
fn network_sockets(process: &Process) -> usize {
    let proc = format!("/proc/{}", process.id());
    let own: BTreeSet<String> = fs::read_dir(format!("{proc}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            link.strip_suffix(']').map(ToOwned::to_owned)
        })
        .collect();
    let tables = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"];
    let tables = tables.map(|table| fs::read_to_string(format!("{proc}/net/{table}")));
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    lines
        .filter_map(|line| line.split_whitespace().nth(9))
        .filter(|inode| own.contains(*inode))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_on_the_network_unless_it_was_asked_for() {
    let world = Ground::new();
    let process = Process::start(&mut one_host(&world, None));
    assert!(process.ready["control_tcp"].is_null());
    assert_eq!(network_sockets(&process), 0);
    drop(process);
    let process = Process::start(&mut one_host(&world, Some("127.0.0.1:0")));
    assert_eq!(network_sockets(&process), 1);
}

#[test]
fn an_address_that_the_network_reaches_is_said_at_every_log_level() {
    for (address, warned) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
        for level in ["error", "warn"] {
            for word in ["serve", "run"] {
                let (bound, said) = announced(word, address, level);
                let says = said.contains("reachable from the network") && said.contains(&bound);
                assert_eq!(says, warned, "{word} {address} {level}: {said:?}");
                assert_eq!(said.lines().count(), usize::from(warned), "{said:?}");
            }
        }
    }
}

/// The address that the ready line names, and what was said on stderr.
fn announced(word: &str, address: &str, level: &str) -> (String, String) {
    let world = Ground::new();
    let ready = world.text("ready");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
    command.args([word, "--hosts", "1", "--state-dir", &world.text("state")]);
    command.args(["--control-tcp", address, "--log-level", level]);
    command.args(["--ready-file", &ready]);
    if word == "run" {
        command.args(["--", "cat", &ready]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    child.kill().unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    (ready["control_tcp"].as_str().unwrap().to_owned(), said)
}

/// Status and body of what is answered to a request with these headers.
fn ask(address: SocketAddr, request: &str, headers: &[&str]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers = headers.join("\r\n");
    write!(
        stream,
        "{request} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    (status, body.to_owned())
}

#[test]
fn web_pages_are_refused_and_programs_are_not() {
    let world = Ground::new();
    let process = Process::start(&mut one_host(&world, Some("127.0.0.1:0")));
    let address: SocketAddr = process.ready["control_tcp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let own = format!("Host: {address}");
    for request in ["GET /health", "POST /reset"] {
        for host in [own.as_str(), "Host: localhost"] {
            assert_eq!(ask(address, request, &[host]).0, 200, "{request} {host}");
        }
        for page in [
            &[own.as_str(), "Origin: http://evil.example"][..],
            &[own.as_str(), "Origin: null"],
            &["Host: evil.example"],
        ] {
            let (status, body) = ask(address, request, page);
            assert_eq!(status, 400, "{request} {page:?}");
            let error: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"]["message"].is_string(), "{body}");
        }
    }
}

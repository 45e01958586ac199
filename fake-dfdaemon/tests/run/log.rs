//! What the program says on stderr of what it does.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::process::{Process, serve};

#[tokio::test]
async fn a_call_is_one_line_whatever_its_client_sent() {
    let mut command = serve();
    command.args(["--hosts", "1", "--log-level", "info"]);
    let mut process = Process::start(command.stderr(Stdio::piped()));
    let stderr = process.take_stderr();
    let client = Client::connect(&process.endpoint(0)).await;
    client.list().await.unwrap();
    let forged = "7\n2026-01-01T00:00:00Z  WARN forged\u{1b}[2J\u{202e}";
    client.stat(forged).await.unwrap_err();
    assert_eq!(process.end(Signal::TERM).code(), Some(0));
    let said = std::io::read_to_string(stderr).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("rpc=")).collect();
    assert_eq!(lines.len(), 2, "{said}");
    let fields = "call call=1 rpc=list host=host-0 task=\"\" status=OK bytes=0 client_gone=false";
    assert!(lines[0].contains(fields), "{said}");
    for part in [
        "call=2 rpc=stat host=host-0",
        "status=INTERNAL error=\"",
        "not found",
    ] {
        assert!(lines[1].contains(part), "{said}");
    }
    assert!(
        said.lines().all(|line| !line.starts_with("2026-01-01")),
        "{said}"
    );
    let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(moves), "{said:?}");
}

//! A client that sends an `:authority` which HTTP/2 does not allow, as grpc-python does by default.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::support::process::{Process, serve};

/// Sends the head of a request, and returns the type of the frame that answers it.
fn request_to(authority: &str, endpoint: &std::path::Path) -> u8 {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    let mut stream = UnixStream::connect(endpoint).unwrap();
    // `:method POST`, `:scheme http`, `:path /x`, `:authority` as HPACK writes them.
    let length = u8::try_from(authority.len()).unwrap();
    let mut block = vec![0x83, 0x86, 0x04, 2, b'/', b'x', 0x01, length];
    block.extend_from_slice(authority.as_bytes());
    let block_length = u8::try_from(block.len()).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let end_of_all = 0x5;
    stream
        .write_all(&[0, 0, block_length, HEADERS, end_of_all, 0, 0, 0, 1])
        .unwrap();
    stream.write_all(&block).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).unwrap();
        if [HEADERS, RST_STREAM].contains(&head[3]) {
            return head[3];
        }
    }
}

#[test]
fn a_refused_authority_is_a_warning_that_names_the_option() {
    let mut process = Process::start(serve().args(["--hosts", "1"]).stderr(Stdio::piped()));
    let mut log = BufReader::new(process.take_stderr());
    assert_eq!(request_to("localhost", &process.endpoint(0)), 1);
    assert_eq!(request_to("%2Ftmp%2Fa.sock", &process.endpoint(0)), 3);
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    for part in ["WARN", "%2Ftmp%2Fa.sock", "grpc.default_authority"] {
        assert!(line.contains(part), "{line}");
    }
}

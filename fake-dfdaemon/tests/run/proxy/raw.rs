//! A daemon and a client that speak bare HTTP/2, so that a test sees every byte and every reset.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::support::process::Process;

/// A proxy in front of a daemon that does what a test says.
pub(super) struct Between {
    pub(super) dir: TempDir,
    proxy: Process,
    listener: UnixListener,
}

/// A call as the daemon sees it.
pub(super) type Seen = (Request<RecvStream>, SendResponse<Bytes>);

/// A client's connection that the daemon has accepted.
pub(super) struct Accepted(server::Connection<UnixStream, Bytes>);

impl Accepted {
    /// The next call; `None` if the connection has ended, however it did.
    pub(super) async fn call(&mut self) -> Option<Seen> {
        self.0.accept().await?.ok()
    }

    /// Keeps the connection going beside the test.
    pub(super) fn go_on(mut self) -> JoinHandle<()> {
        tokio::spawn(async move { while let Some(Ok(_)) = self.0.accept().await {} })
    }
}

pub(super) fn program() -> Command {
    testkit::signals::as_in_a_terminal();
    Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"))
}

/// `record` in front of a socket, of its own unless another one is named.
pub(super) fn record(upstream: &Path, cassette: &Path) -> Command {
    let mut command = program();
    command.arg("record").arg("--upstream").arg(upstream);
    command.arg("--cassette").arg(cassette);
    command
}

/// `proxy` between two sockets.
pub(super) fn proxy(upstream: &Path, socket: &Path) -> Command {
    let mut command = program();
    command.arg("proxy").arg("--upstream").arg(upstream);
    command.arg("--socket").arg(socket);
    command
}

impl Between {
    pub(super) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// With a proxy that looks into each call.
    pub(super) fn with_journal() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        Self::start_in(dir, &["--journal", journal.to_str().unwrap()])
    }

    pub(super) fn start_in(dir: TempDir, options: &[&str]) -> Self {
        let upstream = dir.path().join("up");
        let listener = UnixListener::bind(&upstream).unwrap();
        let mut proxy = proxy(&upstream, &dir.path().join("in"));
        let proxy = Process::start(proxy.args(options));
        Self {
            dir,
            proxy,
            listener,
        }
    }

    /// With a recorder as the proxy.
    pub(super) fn recording(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = dir.path().join("up");
        let listener = UnixListener::bind(&upstream).unwrap();
        let mut command = record(&upstream, &dir.path().join("cassette"));
        command.arg("--socket").arg(dir.path().join("in"));
        Self {
            proxy: Process::start(command.args(options)),
            dir,
            listener,
        }
    }

    /// The most memory that the proxy ever had, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        self.proxy.peak_memory()
    }

    /// Sends the proxy a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.proxy.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    /// A client of the proxy, and its connection at the daemon.
    pub(super) async fn pair(&self) -> (SendRequest<Bytes>, Accepted) {
        let accepted = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            server::handshake(stream).await.unwrap()
        };
        let socket = self.socket();
        let (client, accepted) = tokio::join!(connect(&socket), accepted);
        (client, Accepted(accepted))
    }
}

/// A client of a socket.
pub(super) async fn connect(socket: &Path) -> SendRequest<Bytes> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (client, connection) = client::Builder::new()
        .max_header_list_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A call as gRPC makes it, without its message.
pub(super) fn request(path: &str) -> Request<()> {
    Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

pub(super) fn opened() -> Response<()> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(()).unwrap()
}

/// Lets a server take a few connections, and answer each: what had come before it has taken, too.
pub(super) async fn turns(socket: &Path) {
    const SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for _ in 0..3 {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all(SETTINGS).await.unwrap();
        stream.read_u8().await.unwrap();
    }
}

/// All data of a stream, and its trailers.
pub(super) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok((all, body.trailers().await?))
}

/// Sends data until so many bytes are taken, and notes after each part how many are.
pub(super) async fn fill(send: &mut SendStream<Bytes>, enough: usize, sent: &mut usize) {
    while *sent < enough {
        send.reserve_capacity(64 << 10);
        let room = std::future::poll_fn(|context| send.poll_capacity(context)).await;
        let room = room.unwrap().unwrap();
        send.send_data(vec![7; room].into(), false).unwrap();
        *sent += room;
    }
}

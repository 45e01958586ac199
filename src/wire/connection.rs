//! One HTTP/2 connection over a Unix socket, whose failure is reported apart from what a daemon answers.
//! `client` makes another one when it is lost.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::MapFrame;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use super::grpc::BoxError;
use super::spinning_socket::Socket;
use crate::types::error::{Error, ErrorKind};
use crate::types::mutex::Mutex;
use crate::types::options::Endpoint;
use crate::types::remedy::Remedy;

/// How many bytes a daemon may send ahead of what was read, in a stream and in all. The default
/// of HTTP/2, 64 KiB, would make it wait for us after each fraction of a piece, and so would 4 MiB,
/// which no message with a piece fits in. They bound the memory that a slow disk costs.
const STREAM_WINDOW: u32 = 6 << 20;
const CONNECTION_WINDOW: u32 = 12 << 20;

/// The longest frame we take, in bytes: a transfer from dfdaemon takes a tenth longer with 256 KiB. Short
/// enough that writing one overlaps with receiving the next.
const MAX_FRAME: u32 = 2 << 20;

/// The longest headers we take, in bytes. A status travels in them, and may name a long path
/// several times over, escaped.
const MAX_HEADERS: u32 = 1 << 20;

/// How long to wait before asking again at a socket whose queue of connections is full.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A connection to a daemon. Clones share it, and with the last it closes.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    sender: Arc<Mutex<Sender>>,
}

/// One message, whose length is not known before: hyper would tell it in a header, and clients of gRPC send none.
pub(super) type RequestBody = MapFrame<Full<Bytes>, fn(Frame<Bytes>) -> Frame<Bytes>>;

/// None once the connection has ended. A request that is handed over at that very moment stays in
/// hyper's queue, and its call waits, for as long as there is a sender.
type Sender = Option<SendRequest<RequestBody>>;

/// A connection, and the user that the daemon runs as, if the system tells.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<(Connection, Option<u32>), Error> {
    let stream = open(endpoint)
        .await
        .map_err(|source| cannot_connect(endpoint, source))?;
    let daemon_user = stream.peer_cred().ok().map(|credentials| credentials.uid());
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADERS)
        .handshake(TokioIo::new(Socket::new(stream)))
        .await
        .map_err(|source| {
            let message = format!("cannot speak to the server at {endpoint}");
            Error::new(ErrorKind::Unavailable, message)
                .because(source)
                .hint("check that it is dfdaemon that listens there, and that it is still running")
        })?;
    let sender = Arc::new(Mutex::new(Some(sender)));
    let of_clients = Arc::downgrade(&sender);
    tokio::spawn(async move {
        // Its error reaches every call that is under way.
        let _ = connection.await;
        if let Some(sender) = of_clients.upgrade() {
            *sender.lock() = None;
        }
    });
    Ok((Connection { sender }, daemon_user))
}

/// Connecting to a Unix socket does not wait when the server's queue is full, it fails.
async fn open(endpoint: &Endpoint) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(endpoint.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(FULL_QUEUE_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn cannot_connect(endpoint: &Endpoint, source: io::Error) -> Error {
    let is_socket = std::fs::metadata(endpoint.path()).is_ok_and(|metadata| {
        use std::os::unix::fs::FileTypeExt as _;
        metadata.file_type().is_socket()
    });
    let failed = |source| {
        let message = format!("cannot connect to dfdaemon at {endpoint}");
        Error::new(ErrorKind::Unavailable, message).because(source)
    };
    let hint = match source.kind() {
        io::ErrorKind::NotFound => return failed(source).with_remedy(Remedy::NameEndpoint),
        io::ErrorKind::ConnectionRefused if is_socket => {
            "nobody listens there: dfdaemon is not running. In a container, mount the directory of the socket rather than the socket, which goes stale when dfdaemon restarts"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not open the socket: change its mode, or run as dfdaemon's user"
        }
        _ if !is_socket => return failed(source).with_remedy(Remedy::NameSocket),
        _ => "check that dfdaemon is running",
    };
    failed(source).hint(hint)
}

impl Connection {
    /// Whether calls can only fail.
    pub(crate) fn is_closed(&self) -> bool {
        let sender = self.sender.lock();
        sender.as_ref().is_none_or(SendRequest::is_closed)
    }
    /// Sends a request and waits for the head of the answer. A closed connection fails it.
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, BoxError> {
        let response = self
            .sender
            .lock()
            .as_mut()
            .map(|sender| sender.send_request(request));
        Ok(response.ok_or("connection closed")?.await?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::Receiver;
    use std::time::Instant;

    use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
    use http::{HeaderMap, HeaderValue};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::wire::service::Service;
    use crate::wire::status::{self, Operation};

    /// Answers every call with a status whose details are not base64: with the head alone if the
    /// call is a stat, else behind a body.
    async fn odd_server(listener: tokio::net::UnixListener) {
        let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
            let mut status = HeaderMap::new();
            status.insert("grpc-status", HeaderValue::from_static("13"));
            status.insert("grpc-message", HeaderValue::from_static("odd"));
            status.insert("grpc-status-details-bin", HeaderValue::from_static("?"));
            let alone = request.uri().path().ends_with("StatPersistentCacheTask");
            let trailers = (!alone).then(|| Ok(status.clone()));
            let body = Full::<Bytes>::default().with_trailers(async move { trailers });
            let mut response = Response::new(body);
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", grpc);
            if alone {
                response.headers_mut().extend(status);
            }
            hyper::Result::Ok(response)
        });
        // A transfer has a connection of its own.
        while let Ok((stream, _)) = listener.accept().await {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
        }
    }

    #[tokio::test]
    async fn unreadable_details_leave_the_rest_of_a_status() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        tokio::spawn(odd_server(tokio::net::UnixListener::bind(&path).unwrap()));
        let endpoint = Endpoint::new(&path).unwrap();
        let client = crate::Client::connect(&endpoint).await.unwrap();
        let id: crate::types::options::TaskId = "7".parse().unwrap();
        let stat = client.stat(&id).await.unwrap_err();
        let export = crate::ExportRequest::new(id);
        let export = client
            .export_to_writer(&export, Vec::new())
            .await
            .unwrap_err();
        for error in [stat, export] {
            assert!(
                error.causes().iter().any(|cause| cause.contains("odd")),
                "{error:?}"
            );
        }
    }

    /// Ends every answer after these bytes, without a status.
    async fn abrupt_server(listener: tokio::net::UnixListener, bytes: &'static [u8]) {
        let service = hyper::service::service_fn(move |_: Request<Incoming>| async move {
            let mut response = Response::new(Full::new(Bytes::from_static(bytes)));
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", grpc);
            hyper::Result::Ok(response)
        });
        // A transfer has a connection of its own.
        while let Ok((stream, _)) = listener.accept().await {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
        }
    }

    /// A stream that is reset without an error code reads the same.
    #[tokio::test]
    async fn an_answer_without_a_status_is_a_lost_daemon() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let id: crate::types::options::TaskId = "7".parse().unwrap();
        let import = dir.path().join("file");
        let export = crate::ExportRequest::new(&id);
        // Nothing, within the prefix of a message, and within a message.
        for (number, bytes) in [&b""[..], b"\0\0", b"\0\0\0\0\x09\x0a"]
            .into_iter()
            .enumerate()
        {
            let path = dir.path().join(number.to_string());
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            tokio::spawn(abrupt_server(listener, bytes));
            let endpoint = Endpoint::new(&path).unwrap();
            let client = crate::Client::connect(&endpoint).await.unwrap();
            for error in [
                client.stat(&id).await.unwrap_err(),
                client.list().await.unwrap_err(),
                client.import(&import).await.unwrap_err(),
                client
                    .export_to_writer(&export, Vec::new())
                    .await
                    .unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{number}: {error:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_not_what_was_promised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        // A field that is longer than its message.
        tokio::spawn(abrupt_server(listener, b"\0\0\0\0\x02\x0a\x09"));
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let client = crate::Client::connect(&Endpoint::new(&path).unwrap())
            .await
            .unwrap();
        let id: crate::types::options::TaskId = "7".parse().unwrap();
        let import = dir.path().join("file");
        for error in [
            client.stat(&id).await.unwrap_err(),
            client.list().await.unwrap_err(),
            client.import(&import).await.unwrap_err(),
            client
                .export_to_writer(&crate::ExportRequest::new(id), Vec::new())
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
        }
    }

    /// Accepts a connection for each time that it receives: how soon to close it.
    fn closing_server(path: &Path, ready: Receiver<Duration>) {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for after in ready {
                let accepted = listener.accept().unwrap();
                wait_busily(after);
                drop(accepted);
            }
        });
    }

    fn wait_busily(duration: Duration) {
        let began = Instant::now();
        while began.elapsed() < duration {
            std::hint::spin_loop();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_call_ends_with_the_connection_whenever_that_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (sender, ready) = std::sync::mpsc::channel();
        closing_server(&path, ready);
        let endpoint = Endpoint::new(&path).unwrap();
        // Every pair of delays from 0 to 50 µs, in steps of 1 µs, several times.
        for round in 0..3 * 51 * 51 {
            let (connection, _) = connect(&endpoint).await.unwrap();
            let service = Service(connection);
            sender.send(Duration::from_micros(round / 51 % 51)).unwrap();
            wait_busily(Duration::from_micros(round % 51));
            let request = StatPersistentCacheTaskRequest::default();
            let stat = service.stat(&request);
            let stat = tokio::time::timeout(testkit::wait::HANGS, stat).await;
            let status = stat.unwrap_or_else(|_| panic!("round {round} hangs"));
            let error = status::cause(&status.unwrap_err(), Operation::Query);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let causes = error.to_string();
            assert!(
                causes.starts_with("the connection to dfdaemon was lost"),
                "{causes}"
            );
        }
    }
}

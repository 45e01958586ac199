//! A connection to the upload service of a host that another process runs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_client::DfdaemonUploadClient;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;

use super::PeerAddress;

/// What a connection carries ahead of its reader, in bytes.
const WINDOW: u32 = 4 << 20;

/// What a message is longer than the content in it, at most.
const AROUND_CONTENT: usize = 64 << 10;

pub(in crate::cluster) type PeerClient = DfdaemonUploadClient<Connection>;

/// Connects. No answer may be longer than `longest` bytes of content, and what stands around it.
pub(in crate::cluster) async fn connect(
    address: &PeerAddress,
    longest: u64,
) -> io::Result<PeerClient> {
    let connection = match address {
        PeerAddress::Socket(path) => open(UnixStream::connect(path).await?).await?,
        PeerAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            open(stream).await?
        }
    };
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    let client =
        DfdaemonUploadClient::with_origin(connection, Uri::from_static("http://localhost"));
    Ok(client.max_decoding_message_size(longest.saturating_add(AROUND_CONTENT)))
}

async fn open<S>(stream: S) -> io::Result<Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    TokioIo<S>: Read + Write,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Its error reaches the call that is under way. It ends with its last sender.
        let _ = connection.await;
    });
    Ok(Connection(sender))
}

/// What requests are sent by.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Connection(SendRequest<Body>);

impl tower_service::Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

//! A connection to the upload service of a host that another process runs.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_client::DfdaemonUploadClient;
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::{Request, Response, Uri};
use hyper::body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;

use super::PeerAddress;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a connection carries ahead of its reader, in bytes.
const WINDOW: u32 = 4 << 20;

/// What a message is longer than the content in it, at most.
const AROUND_CONTENT: usize = 64 << 10;

pub(in crate::cluster) type PeerClient = DfdaemonUploadClient<Connection>;

/// Connects, and tells which address was reached if that was over TCP. No answer may be longer than
/// `longest` bytes of content, and what stands around it.
pub(in crate::cluster) async fn connect(
    address: &PeerAddress,
    longest: u64,
) -> io::Result<(PeerClient, Option<IpAddr>)> {
    let (connection, reached) = match address {
        PeerAddress::Socket(path) => (open(UnixStream::connect(path).await?).await?, None),
        PeerAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let reached = stream.peer_addr()?.ip();
            (open(stream).await?, Some(reached))
        }
    };
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    let client =
        DfdaemonUploadClient::with_origin(connection, Uri::from_static("http://localhost"));
    let client = client.max_decoding_message_size(longest.saturating_add(AROUND_CONTENT));
    Ok((client, reached))
}

async fn open<S>(stream: S) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Its error reaches the call that is under way. It ends with its last sender.
        let _ = connection.await;
    });
    Ok(Connection(sender))
}

/// What requests are sent by. hyper's client would take two crates more.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Connection(SendRequest<Bytes>);

impl Connection {
    async fn send(self, request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        let (head, body) = request.into_parts();
        let whole = collected(body).await?;
        let mut sender = self.0.ready().await?;
        let (answer, mut stream) = sender.send_request(Request::from_parts(head, ()), false)?;
        stream.send_data(whole, true)?;
        Ok(answer.await?.map(Answer))
    }
}

/// A request's message, which is short.
async fn collected(mut body: Body) -> Result<Bytes, BoxError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

impl tower_service::Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(in crate::cluster) struct Answer(RecvStream);

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(context)) {
            Some(Ok(data)) => {
                // Taken: the parent may send as much again.
                self.0.flow_control().release_capacity(data.len())?;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = ready!(self.0.poll_trailers(context));
                Poll::Ready(
                    trailers
                        .transpose()
                        .map(|fields| fields.map(Frame::trailers)),
                )
            }
        }
    }
}

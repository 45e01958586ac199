//! gRPC as bytes, on either side: messages that a test frames itself, cut where it likes.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

/// A message with what stands before it on the wire.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// The messages in the bytes of a body, the last of which may be cut short.
pub(crate) fn messages(mut body: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length).unwrap().min(rest.len());
        messages.push(&rest[..length]);
        body = &rest[length..];
    }
    messages
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// Code and message of the status.
    pub(crate) status: (i32, String),
}

/// A connection to a daemon.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

pub(crate) async fn connect(socket: &Path) -> Connection {
    let stream = UnixStream::connect(socket).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Makes a call whose request is these bytes; whatever they are, it has to end with a status.
pub(crate) async fn call(connection: &mut Connection, method: &str, request: Vec<u8>) -> Answer {
    let request = Request::post(format!("http://localhost/{method}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Full::from(request))
        .unwrap();
    connection.ready().await.unwrap();
    let response = connection.send_request(request).await;
    let (head, body) = response.expect("no answer").into_parts();
    let body = body.collect().await.expect("the answer broke off");
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = status(&head.headers).or_else(|| status(&trailers));
    Answer {
        status: status.expect("an answer without a status"),
        body: body.to_bytes(),
    }
}

fn status(headers: &HeaderMap) -> Option<(i32, String)> {
    let text = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
    let code = text("grpc-status")?.parse().unwrap();
    Some((code, text("grpc-message").unwrap_or_default()))
}

/// Answers the calls of one connection until the client is gone.
pub(crate) async fn serve<B>(
    connection: UnixStream,
    answer: impl Fn(Bytes) -> Response<B> + Clone + Send + 'static,
) where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let request = request.into_body().collect().await;
            request.map(|request| answer(request.to_bytes()))
        }
    });
    // A client may go whenever it likes.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// How long a stream may say nothing before it is taken for one that says no more.
const SILENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// Makes a call and reads what comes, however it ends.
pub(crate) async fn read_some(
    connection: &mut Connection,
    method: &str,
    request: Vec<u8>,
) -> Vec<u8> {
    let request = Request::post(format!("http://localhost/{method}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Full::from(request))
        .unwrap();
    let mut read = Vec::new();
    let reading = async {
        let Ok(mut response) = connection.send_request(request).await else {
            return;
        };
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, response.frame()).await {
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    let _ = tokio::time::timeout(10 * SILENCE, reading).await;
    read
}

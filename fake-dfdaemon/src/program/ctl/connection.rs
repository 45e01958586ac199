//! A request on its way to the control socket, and the answer.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::request::Request;

/// Why nothing came back.
type Broken = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn send(
    socket: &Path,
    request: Request,
) -> Result<(http::StatusCode, Bytes), Broken> {
    let response = begin(socket, request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// Sends a request, and leaves the answer's body to be read.
pub(super) async fn begin(
    socket: &Path,
    request: Request,
) -> Result<http::Response<Incoming>, Broken> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = if request.body.is_null() {
        Bytes::new()
    } else {
        request.body.to_string().into()
    };
    let http = http::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(http::header::HOST, "localhost")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(http);
    // A request that comes as the connection ends waits, with hyper, as long as there is a sender.
    drop(sender);
    Ok(response.await?)
}

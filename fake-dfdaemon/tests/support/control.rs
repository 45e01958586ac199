//! The control API, asked as any program would: HTTP/1 over its socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

/// Where a control API answers.
#[derive(Clone, Debug)]
pub enum Address {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// An answer: status and body.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Address {
    pub fn socket(path: &Path) -> Self {
        Self::Socket(path.to_owned())
    }

    /// Sends a request with a body as it is.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let response = self.begin(method, path, body).await;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").cloned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body);
        let body = body.unwrap_or_else(|error| panic!("{status} without a JSON body: {error}"));
        assert_eq!(kind.unwrap(), "application/json");
        Answer { status, body }
    }

    /// The same, and leaves the answer's body to be read.
    pub async fn begin(&self, method: &str, path: &str, body: &str) -> Response<Incoming> {
        self.begin_with(method, path, &[("host", "localhost")], body)
            .await
    }

    /// The same with other headers.
    pub async fn begin_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        match self {
            Self::Socket(path) => exchange(UnixStream::connect(path).await.unwrap(), request).await,
            Self::Tcp(address) => {
                exchange(TcpStream::connect(address).await.unwrap(), request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request);
    // A request that comes as the connection ends waits, with hyper, as long as there is a sender.
    drop(sender);
    response.await.unwrap()
}

//! The answer to a method that is not served: it names the method, and is in the journal.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde_json::json;
use tonic::Status;
use tonic::body::Body;

use super::service::{Asked, ServedHost};
use crate::call::rpc::Rpc;

pub(super) async fn answer(host: ServedHost, request: http::Request<Body>) -> http::Response<Body> {
    let method = request.uri().path().trim_start_matches('/');
    let asked = Asked {
        request: json!({"method": method}),
        ..Asked::default()
    };
    let mut call = host.begin(Rpc::Unserved, asked, request.extensions()).await;
    let refused = match call.pass(crate::call::faults::Phase::Before).await {
        Ok(()) => Status::unimplemented(format!("{method} is not served")),
        Err(fault) => fault,
    };
    call.answered(Some(&refused)).wait().await;
    refused.into_http()
}

/// Answers calls of services that a host does not have.
#[derive(Clone, Debug)]
pub(super) struct Unserved(pub(super) ServedHost);

impl<B> tower::Service<http::Request<B>> for Unserved
where
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let host = self.0.clone();
        Box::pin(async move { Ok(answer(host, request.map(Body::new)).await) })
    }
}

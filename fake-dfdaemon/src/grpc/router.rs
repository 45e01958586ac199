//! From an HTTP request to the answer of the method that it names, for both services of a host.
//!
//! Calls with one answer are left to tonic. The stream of an export is written here as bytes:
//! through a message type, every piece would be copied twice and held as a whole.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};

use dfdaemon_api::dfdaemon::v2::{dfdaemon_download_server, dfdaemon_upload_server};
use futures_util::stream::BoxStream;
use http::header::CONTENT_TYPE;
use prost::Message;
use tonic::body::Body;
use tonic::codec::{Codec as _, Streaming};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::content_body::{ContentBody, ServedBody};
use super::service::ServedHost;
use super::services::Answering;
use crate::dfdaemon::statuses::{compressed, no_message};

/// The longest request that a dfdaemon takes, in bytes.
const MAX_REQUEST: usize = 4 << 20;

/// Declares a service of a host: its name, and what answers each method with one answer. Exports
/// are answered by both.
macro_rules! service {
    ($service:ident = $name:path, $($method:literal => $answer:path,)*
     $(parts $parted:literal => $parts:path,)*
     $(stream $streamed:literal => $stream:path,)*) => {
        #[doc = concat!("The service ", stringify!($service), " of one host.")]
        #[derive(Clone, Debug)]
        pub(super) struct $service(pub(super) ServedHost);

        impl NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl tower_service::Service<http::Request<Body>> for $service {
            type Response = http::Response<ServedBody>;
            type Error = Infallible;
            type Future = Answering;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Answering {
                let host = self.0.clone();
                Box::pin(async move {
                    let method = request.uri().path().rsplit('/').next().unwrap_or_default();
                    Ok(match method {
                        "DownloadPersistentCacheTask" => {
                            in_parts(host, request, super::export::answer).await
                        }
                        $($parted => in_parts(host, request, $parts).await,)*
                        $($method => unary(host, request, $answer).await.map(Into::into),)*
                        $($streamed => streaming(host, request, $stream).await.map(Into::into),)*
                        _ => super::unserved::answer(host, request).await.map(Into::into),
                    })
                })
            }
        }
    };
}

service!(Download = dfdaemon_download_server::SERVICE_NAME,
    "UploadPersistentCacheTask" => super::import::answer,
    "StatPersistentCacheTask" => super::stat::answer,
    "StatLocalPersistentCacheTask" => super::local::stat,
    "ListLocalPersistentCacheTasks" => super::local::list,
);

service!(Upload = dfdaemon_upload_server::SERVICE_NAME,
    "StatPersistentCacheTask" => super::stat::answer,
    "UpdatePersistentCacheTask" => super::peer::update,
    "DeletePersistentCacheTask" => super::peer::delete,
    parts "DownloadPersistentCachePiece" => super::piece::answer,
    stream "SyncPersistentCachePieces" => super::pieces::sync,
);

/// A call with one request and one answer.
async fn unary<Q, A, F>(
    host: ServedHost,
    request: http::Request<Body>,
    answer: fn(ServedHost, Request<Q>) -> F,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Response<A>, Status>> + Send,
{
    let method = Method { host, answer };
    Grpc::new(ProstCodec::default())
        .apply_max_message_size_config(Some(MAX_REQUEST), Some(usize::MAX))
        .unary(method, request)
        .await
}

/// A call with one request and a stream of small answers.
async fn streaming<Q, A, F>(
    host: ServedHost,
    request: http::Request<Body>,
    answer: fn(ServedHost, Request<Q>) -> F,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Response<Answers<A>>, Status>> + Send,
{
    let method = Method { host, answer };
    Grpc::new(ProstCodec::default())
        .apply_max_message_size_config(Some(MAX_REQUEST), Some(usize::MAX))
        .server_streaming(method, request)
        .await
}

type Answers<A> = BoxStream<'static, Result<A, Status>>;

impl<Q, A, F> ServerStreamingService<Q> for Method<Q, F>
where
    F: Future<Output = Result<Response<Answers<A>>, Status>>,
{
    type Response = A;
    type ResponseStream = Answers<A>;
    type Future = F;

    fn call(&mut self, request: Request<Q>) -> F {
        (self.answer)(self.host.clone(), request)
    }
}

/// A method with one answer, as tonic takes it.
struct Method<Q, F> {
    host: ServedHost,
    answer: fn(ServedHost, Request<Q>) -> F,
}

impl<Q, A, F> UnaryService<Q> for Method<Q, F>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    type Response = A;
    type Future = F;

    fn call(&mut self, request: Request<Q>) -> F {
        (self.answer)(self.host.clone(), request)
    }
}

/// A call with one request, and an answer whose content is sent part by part.
async fn in_parts<Q, F>(
    host: ServedHost,
    request: http::Request<Body>,
    answer: fn(ServedHost, Request<Q>) -> F,
) -> http::Response<ServedBody>
where
    Q: Message + Default + Send + 'static,
    F: Future<Output = Result<ContentBody, Status>> + Send,
{
    let answered = async {
        let (parts, body) = request.into_parts();
        check_encoding(&parts.headers)?;
        let decoder = ProstCodec::<(), Q>::default().decoder();
        let mut messages = Streaming::new_request(decoder, body, None, Some(MAX_REQUEST));
        let message = messages.message().await?;
        let message = message.ok_or_else(no_message)?;
        let mut request = Request::new(message);
        *request.extensions_mut() = parts.extensions;
        answer(host, request).await
    };
    let refused = |status: Status| status.into_http::<Body>().map(Into::into);
    answered.await.map_or_else(refused, streamed)
}

/// Refuses a request that is compressed, as tonic does where it decodes the request itself.
fn check_encoding(headers: &http::HeaderMap) -> Result<(), Status> {
    let encoding = headers
        .get("grpc-encoding")
        .map(http::HeaderValue::as_bytes);
    let Some(encoding) = encoding.filter(|encoding| *encoding != b"identity") else {
        return Ok(());
    };
    let encoding = String::from_utf8_lossy(encoding);
    Err(compressed(&encoding))
}

fn streamed(body: ContentBody) -> http::Response<ServedBody> {
    let mut response = http::Response::new(ServedBody::Content(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

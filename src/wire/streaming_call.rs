//! A call whose answer is read as it comes: raw bytes of messages, then a status.
//!
//! What ends a call is worded as by tonic's generated clients.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service as _;

use super::connection::{Connection, ReceivedBody};

/// Before each message: a byte that tells compression, and the length.
const PREFIX_LENGTH: usize = 5;

/// Sends one message and waits for the head of the answer.
pub(crate) async fn call(
    mut connection: Connection,
    method: &'static str,
    message: &impl prost::Message,
) -> Result<Answer, Status> {
    let request = request(method, message).map_err(|source| Status::from_error(source.into()))?;
    let response = connection.call(request).await;
    let (head, body) = response.map_err(Status::from_error)?.into_parts();
    // A call that fails at once is answered with a head alone.
    let status = Status::from_header_map(&head.headers);
    if let Some(failed) = status.as_ref().filter(|status| status.code() != Code::Ok) {
        return Err(failed.clone());
    }
    Ok(Answer {
        body,
        http_status: head.status,
        ended: status.is_some(),
    })
}

fn request(method: &'static str, message: &impl prost::Message) -> http::Result<Request<Body>> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_LENGTH + length);
    bytes.put_u8(0);
    // Paths and tags: no request is anywhere near 4 GiB.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put(&*message.encode_to_vec());
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://localhost{method}"))
        .version(Version::HTTP_2)
        .header(header::TE, "trailers")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Body::new(Full::new(bytes.freeze())))
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Answer {
    body: ReceivedBody,
    http_status: StatusCode,
    /// Whether the status has come.
    ended: bool,
}

impl Answer {
    /// The next bytes, as they were received; none after a good end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let Some(frame) = self.body.frame().await else {
                return self.end(&HeaderMap::new());
            };
            let frame = frame.map_err(|source| Status::from_error(source.into()))?;
            match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return self.end(&trailers);
                    }
                }
            }
        }
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<Option<Bytes>, Status> {
        match Status::from_header_map(trailers) {
            Some(status) if status.code() != Code::Ok => return Err(status),
            Some(_) => self.ended = true,
            None if self.ended => {}
            None => return Err(without_status(self.http_status)),
        }
        Ok(None)
    }
}

/// What an end without a status means, by gRPC's table.
fn without_status(http_status: StatusCode) -> Status {
    let code = match http_status {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        // The daemon answered and then went away: gRPC's table has no row for it.
        | StatusCode::OK => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(
        code,
        format!("the answer, with HTTP status {http_status}, ended without a gRPC status"),
    )
}

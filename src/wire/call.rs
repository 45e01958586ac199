//! A call: one message is sent, and the answer read as it comes, raw bytes of messages and then a status.

use std::convert::identity;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::connection::{Connection, RequestBody};
use super::grpc::{Code, Status};

/// Before each message: a byte that tells compression, and the length.
const PREFIX_LENGTH: usize = 5;

/// Sends one encoded message and waits for the head of the answer.
pub(super) async fn call(
    connection: &Connection,
    method: &str,
    message: &[u8],
) -> Result<Answer, Status> {
    let request = request(method, message).map_err(Status::broken)?;
    let response = connection.send(request).await.map_err(Status::broken)?;
    let (head, body) = response.into_parts();
    // A call that fails at once is answered with a head alone.
    let status = Status::from_headers(&head.headers);
    let ended = status.is_some();
    if let Some(failed) = status.filter(|status| !status.is_ok()) {
        return Err(failed);
    }
    Ok(Answer {
        body,
        http_status: head.status,
        ended,
    })
}

fn request(method: &str, message: &[u8]) -> http::Result<Request<RequestBody>> {
    let mut bytes = BytesMut::with_capacity(PREFIX_LENGTH + message.len());
    bytes.put_u8(0);
    // Paths and tags: no request is anywhere near 4 GiB.
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put(message);
    Request::builder()
        .method(Method::POST)
        // A call over a Unix socket needs a host too.
        .uri(format!("http://localhost{method}"))
        .version(Version::HTTP_2)
        .header(header::TE, "trailers")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Full::new(bytes.freeze()).map_frame(identity as fn(_) -> _))
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Incoming,
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
            let frame = frame.map_err(Status::broken)?;
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

    /// What `decode` makes of the only message of an answer, which may have up to `longest` bytes. The errors are
    /// worded as by tonic, which daemons speak through.
    pub(super) async fn message<T>(
        mut self,
        longest: usize,
        decode: impl FnOnce(Bytes) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut received = BytesMut::new();
        let message = loop {
            if let Some(message) = first_message(&mut received, longest)? {
                break decode(message)?;
            }
            let Some(bytes) = self.next().await? else {
                let text = match received.is_empty() {
                    true => "Missing response message.",
                    false => "Unexpected EOF decoding stream.",
                };
                return Err(Status::new(Code::Internal, text));
            };
            received.put(bytes);
        };
        // Whether the call has failed after all.
        while self.next().await?.is_some() {}
        Ok(message)
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<Option<Bytes>, Status> {
        match Status::from_headers(trailers) {
            Some(status) if !status.is_ok() => return Err(status),
            Some(_) => self.ended = true,
            None if self.ended => {}
            None => return Err(without_status(self.http_status)),
        }
        Ok(None)
    }
}

/// The first message of an answer, once it is whole.
fn first_message(received: &mut BytesMut, longest: usize) -> Result<Option<Bytes>, Status> {
    let Some((mut prefix, content)) = received.split_at_checked(PREFIX_LENGTH) else {
        return Ok(None);
    };
    if prefix.get_u8() != 0 {
        let text = "a message is compressed, although no compression was offered";
        return Err(Status::new(Code::Internal, text));
    }
    let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
    if length > longest {
        let text = format!(
            "Error, decoded message length too large: found {length} bytes, the limit is: {longest} bytes"
        );
        return Err(Status::new(Code::OutOfRange, text));
    }
    if let Some(missing @ 1..) = length.checked_sub(content.len()) {
        received.reserve(missing);
        return Ok(None);
    }
    received.advance(PREFIX_LENGTH);
    Ok(Some(received.split_to(length).freeze()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_no_header_of_its_length() {
        let request = request("/a", b"message").unwrap();
        assert_eq!(hyper::body::Body::size_hint(request.body()).exact(), None);
    }

    #[test]
    fn a_message_is_read_once_it_is_whole() {
        let whole = b"\0\0\0\0\x03abc";
        for end in 0..whole.len() {
            let mut received = BytesMut::from(&whole[..end]);
            assert_eq!(first_message(&mut received, 3).unwrap(), None, "{end}");
            received.put(&whole[end..]);
            received.put(&b"more"[..]);
            let message = first_message(&mut received, 3).unwrap();
            assert_eq!(message.as_deref(), Some(&b"abc"[..]));
        }
    }

    #[test]
    fn what_is_too_long_or_compressed_is_refused_before_it_comes() {
        for (prefix, code) in [
            (b"\0\0\0\0\x04", Code::OutOfRange),
            (b"\0\xff\xff\xff\xff", Code::OutOfRange),
            (b"\x01\0\0\0\x03", Code::Internal),
        ] {
            let status = first_message(&mut BytesMut::from(&prefix[..]), 3).unwrap_err();
            assert_eq!(status.code, code, "{prefix:?}");
        }
    }
}

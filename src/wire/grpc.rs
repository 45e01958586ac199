//! The status that a call ends with, as gRPC sends it in headers or trailers.
//!
//! What it means for a user, `status` decides.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::percent_decode;

/// Base64 as gRPC takes it: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// As hyper's bounds have it.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The codes of gRPC, which count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

/// In the order of their numbers, each as tonic describes it: daemons of release 1.5 write that instead of the name.
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "The operation completed successfully"),
    (Code::Cancelled, "The operation was cancelled"),
    (Code::Unknown, "Unknown error"),
    (
        Code::InvalidArgument,
        "Client specified an invalid argument",
    ),
    (
        Code::DeadlineExceeded,
        "Deadline expired before operation could complete",
    ),
    (Code::NotFound, "Some requested entity was not found"),
    (
        Code::AlreadyExists,
        "Some entity that we attempted to create already exists",
    ),
    (
        Code::PermissionDenied,
        "The caller does not have permission to execute the specified operation",
    ),
    (Code::ResourceExhausted, "Some resource has been exhausted"),
    (
        Code::FailedPrecondition,
        "The system is not in a state required for the operation's execution",
    ),
    (Code::Aborted, "The operation was aborted"),
    (
        Code::OutOfRange,
        "Operation was attempted past the valid range",
    ),
    (
        Code::Unimplemented,
        "Operation is not implemented or not supported",
    ),
    (Code::Internal, "Internal error"),
    (Code::Unavailable, "The service is currently unavailable"),
    (Code::DataLoss, "Unrecoverable data loss or corruption"),
    (
        Code::Unauthenticated,
        "The request does not have valid authentication credentials",
    ),
];

impl Code {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CODES.into_iter().map(|(code, _)| code)
    }

    pub(crate) fn description(self) -> &'static str {
        CODES[self as usize].1
    }

    /// Numbers that gRPC may add one day are unknown errors.
    fn from_text(number: &[u8]) -> Self {
        let number = std::str::from_utf8(number).ok();
        let number = number.and_then(|number| number.parse::<usize>().ok());
        number
            .and_then(|number| CODES.get(number))
            .map_or(Self::Unknown, |(code, _)| *code)
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Bytes,
    /// What broke the connection, if that is what ended it.
    pub(crate) source: Option<BoxError>,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Bytes::new(),
            source: None,
        }
    }

    /// The end of a call whose connection broke.
    pub(crate) fn broken(source: impl Into<BoxError>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(Code::Unavailable, "")
        }
    }

    /// The status in headers or trailers, if there is one. Details that are not base64 are left out.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = Code::from_text(headers.get("grpc-status")?.as_bytes());
        let message = headers
            .get("grpc-message")
            .map_or(&b""[..], |text| text.as_bytes());
        let details = headers.get("grpc-status-details-bin");
        let details = details.and_then(|details| BASE64.decode(details.as_bytes()).ok());
        Some(Self {
            details: details.unwrap_or_default().into(),
            ..Self::new(code, percent_decode(message).decode_utf8_lossy())
        })
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.code == Code::Ok
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &[u8])]) -> HeaderMap {
        let value = |value: &[u8]| HeaderValue::from_bytes(value).unwrap();
        all.iter()
            .map(|(name, content)| (http::HeaderName::from_static(name), value(content)))
            .collect()
    }

    #[test]
    fn statuses_read_as_tonic_writes_them() {
        for code in Code::all() {
            let number = code as i32;
            let theirs = tonic::Code::from(number);
            assert_eq!(format!("{code:?}"), format!("{theirs:?}"));
            assert_eq!(code.description(), theirs.description());
            let text = "no \u{e4}\n 100 % of it";
            let details = Bytes::from_static(&[8, 0xff, 0]);
            let sent = tonic::Status::with_details(theirs, text, details.clone());
            let mut headers = HeaderMap::new();
            sent.add_header(&mut headers).unwrap();
            let read = Status::from_headers(&headers).unwrap();
            assert_eq!((read.code, read.message.as_str()), (code, text));
            assert_eq!(read.details, details);
        }
    }

    #[test]
    fn odd_statuses_are_read_as_far_as_possible() {
        assert!(Status::from_headers(&HeaderMap::new()).is_none());
        for number in [&b"17"[..], b"-1", b"x", b"", b"\xff"] {
            let read = Status::from_headers(&headers(&[("grpc-status", number)])).unwrap();
            assert_eq!((read.code, read.message.as_str()), (Code::Unknown, ""));
        }
        for (details, read) in [
            (&b"CAUSBWhlbGxv"[..], &b"\x08\x05\x12\x05hello"[..]),
            (b"CAUSBWhlbGw=", b"\x08\x05\x12\x05hell"),
            (b"CAUSBWhlbGw", b"\x08\x05\x12\x05hell"),
            (b"", b""),
            (b"?", b""),
            (b"\xe9", b""),
        ] {
            let headers = headers(&[
                ("grpc-status", b"13"),
                ("grpc-message", b"odd %ff"),
                ("grpc-status-details-bin", details),
            ]);
            let status = Status::from_headers(&headers).unwrap();
            assert_eq!(
                (status.code, status.message.as_str()),
                (Code::Internal, "odd \u{fffd}")
            );
            assert_eq!(status.details, read, "{details:?}");
        }
    }
}

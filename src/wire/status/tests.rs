use proptest::prelude::*;
use rustix::io::Errno;

use super::meaning::HINT_RETRY;
use super::*;
use crate::types::error::ErrorKind::{
    AlreadyExists, Failure, Integrity, LocalFile, NotFound, Refused, Timeout, Unavailable,
};

const BY_PATH: Operation = Operation::ExportByPath {
    force_hard_link: false,
};
const BY_LINK: Operation = Operation::ExportByPath {
    force_hard_link: true,
};

fn kind(code: Code, text: &str, operation: Operation) -> ErrorKind {
    classify(&Status::new(code, text), operation).kind
}

/// As a daemon of release 0.2 writes the status of its scheduler.
fn wrapped_by_old(code: Code, text: &str) -> String {
    format!(
        "status: {code:?}, message: {text:?}, details: [], metadata: MetadataMap {{ headers: {{\"content-type\": \"application/grpc\"}} }}"
    )
}

/// As a daemon of release 1.5 writes it.
fn wrapped_by_new(code: Code, text: &str) -> String {
    if text.is_empty() {
        return format!("code: '{}'", code.description());
    }
    format!("code: '{}', message: {text:?}", code.description())
}

#[test]
fn wrapped_texts_mean_what_is_inside() {
    let table = [
        (
            Code::NotFound,
            "persistent cache task 7 not found",
            Operation::Query,
            NotFound,
        ),
        (
            Code::NotFound,
            "persistent cache task ../../etc/passwd not found",
            BY_PATH,
            NotFound,
        ),
        (
            Code::NotFound,
            "peer 10.0.0.1-host-uuid not found",
            BY_PATH,
            Unavailable,
        ),
        (
            Code::FailedPrecondition,
            "no candidate parents found",
            BY_PATH,
            Unavailable,
        ),
        (
            Code::FailedPrecondition,
            "no candidate parents found",
            Operation::ExportByTransfer,
            Unavailable,
        ),
        (
            Code::NotFound,
            "persistent cache peer 10.0.0.1-host-uuid not found",
            Operation::Import,
            Unavailable,
        ),
        (
            Code::NotFound,
            "host 10.0.0.1-host not found",
            Operation::Import,
            Unavailable,
        ),
        (
            Code::AlreadyExists,
            "persistent cache task 7 is Succeeded cannot upload",
            Operation::Import,
            AlreadyExists,
        ),
        (
            Code::InvalidArgument,
            "invalid UploadPersistentCacheTaskStartedRequest.PersistentReplicaCount: value must be greater than or equal to 1",
            Operation::Import,
            Refused,
        ),
        (
            Code::InvalidArgument,
            "invalid UploadPersistentCacheTaskStartedRequest.Ttl: value must be inside range [5m0s, 168h0m0s]",
            Operation::Import,
            Refused,
        ),
        (
            Code::Internal,
            "output path /a/\"b\"\n\u{1b} is already exists",
            BY_PATH,
            LocalFile,
        ),
        (
            Code::InvalidArgument,
            "invalid digest(md5:1): invalid digest algorithm: md5",
            BY_PATH,
            Refused,
        ),
        (Code::Unavailable, "", Operation::Query, Unavailable),
        (Code::NotFound, "", Operation::Query, NotFound),
        (
            Code::FailedPrecondition,
            "not now",
            Operation::Query,
            Refused,
        ),
    ];
    for (code, text, operation, expected) in table {
        for wrapping in [wrapped_by_old, wrapped_by_new] {
            let once = wrapping(code, text);
            let twice = wrapping(Code::Internal, &once);
            for message in [&once, &twice] {
                assert_eq!(
                    kind(Code::Internal, message, operation),
                    expected,
                    "{message}"
                );
                let unwrapped = unwrap(Code::Internal, message);
                assert_eq!(unwrapped, (code, text.to_owned()));
            }
        }
    }
}

/// As a proxy says it whose daemon is gone, and a dfdaemon whose scheduler is.
#[test]
fn what_is_unavailable_is_no_path_of_ours() {
    let texts = [
        "the proxy cannot reach the dfdaemon at /a: No such file or directory (os error 2)",
        "tcp connect error: Connection refused (os error 111)",
        "Permission denied (os error 13)",
    ];
    for text in texts {
        for operation in [Operation::Import, Operation::Query, BY_PATH, BY_LINK] {
            assert_eq!(
                kind(Code::Unavailable, text, operation),
                Unavailable,
                "{text}"
            );
        }
    }
}

#[test]
fn plain_texts_mean_what_they_say() {
    let table = [
        ("task 7 not found", Operation::Query, NotFound),
        (
            "no space left on device: not enough space to store the persistent cache task: content_length=9",
            Operation::Import,
            Refused,
        ),
        (
            "digest mismatch expected: sha256:a, actual: sha256:b",
            BY_PATH,
            Integrity,
        ),
        (
            "No such file or directory (os error 2)",
            Operation::Import,
            LocalFile,
        ),
        ("No such file or directory (os error 2)", BY_PATH, LocalFile),
        (
            "No such file or directory (os error 2)",
            Operation::ExportByTransfer,
            Failure,
        ),
        (
            "unexpected end of file",
            Operation::ExportByTransfer,
            Integrity,
        ),
        (
            "read piece: early eof",
            Operation::ExportByTransfer,
            Integrity,
        ),
        ("failed to fill whole buffer", BY_PATH, Integrity),
        ("unexpected end of file", Operation::Import, Failure),
        ("Permission denied (os error 13)", BY_PATH, LocalFile),
        (
            "Invalid cross-device link (os error 18)",
            BY_LINK,
            LocalFile,
        ),
        ("No space left on device (os error 28)", BY_PATH, LocalFile),
        (
            "No space left on device (os error 28)",
            Operation::ExportByTransfer,
            Refused,
        ),
        (
            "No space left on device (os error 28)",
            Operation::Import,
            Refused,
        ),
        (
            "Input/output error (os error 5)",
            Operation::Import,
            Failure,
        ),
        (
            "Too many open files (os error 24)",
            Operation::Import,
            Unavailable,
        ),
        ("Input/output error (os error 5)", BY_PATH, Failure),
        ("unexpected response", Operation::Import, Failure),
        (
            "available schedulers not found",
            Operation::Query,
            Unavailable,
        ),
        // Half of what means something means nothing.
        ("persistent cache task 7 was found", BY_PATH, Failure),
        ("task 7 was found", BY_PATH, Failure),
        ("peer 7 was found", BY_PATH, Failure),
        ("host 7 was found", BY_PATH, Failure),
        ("output path /a is odd", BY_PATH, Failure),
        ("path /a is already exists", BY_PATH, Failure),
    ];
    for (text, operation, expected) in table {
        assert_eq!(
            kind(Code::Internal, text, operation),
            expected,
            "{text}, {operation:?}"
        );
    }
}

#[test]
fn the_remedy_for_a_system_error_fits_the_operation() {
    let says = |sentence: &str| Some(Remedy::Other(sentence.to_owned()));
    let table = [
        (Errno::NOENT, Operation::Import, Some(Remedy::Stage)),
        (Errno::NOENT, BY_PATH, Some(Remedy::TransferElsewhere)),
        (Errno::NOENT, BY_LINK, Some(Remedy::TransferElsewhere)),
        (Errno::NOENT, Operation::ExportByTransfer, None),
        (Errno::XDEV, BY_PATH, Some(Remedy::TransferElsewhere)),
        (Errno::XDEV, BY_LINK, Some(Remedy::AllowCopy)),
        (
            Errno::NOSPC,
            BY_PATH,
            says("free some space where the output goes"),
        ),
        (
            Errno::NOSPC,
            Operation::Import,
            says("dfdaemon's own disk is full"),
        ),
        (Errno::MFILE, BY_PATH, says(HINT_RETRY)),
        (Errno::IO, BY_PATH, None),
    ];
    for (error, operation, expected) in table {
        let text = format!("failed (os error {})", error.raw_os_error());
        let verdict = classify(&Status::new(Code::Internal, text), operation);
        assert_eq!(verdict.remedy, expected, "{error:?}, {operation:?}");
        assert_eq!(verdict.errno, Some(error.raw_os_error()));
    }
}

#[test]
fn every_code_has_a_kind() {
    let table = [
        (Code::Ok, Failure),
        (Code::Cancelled, Unavailable),
        (Code::Unknown, Failure),
        (Code::InvalidArgument, Refused),
        (Code::DeadlineExceeded, Timeout),
        (Code::NotFound, NotFound),
        (Code::AlreadyExists, AlreadyExists),
        (Code::PermissionDenied, Refused),
        (Code::ResourceExhausted, Unavailable),
        (Code::FailedPrecondition, Refused),
        (Code::Aborted, Failure),
        (Code::OutOfRange, Refused),
        (Code::Unimplemented, Refused),
        (Code::Internal, Failure),
        (Code::Unavailable, Unavailable),
        (Code::DataLoss, Integrity),
        (Code::Unauthenticated, Refused),
    ];
    for (code, expected) in table {
        assert_eq!(kind(code, "text", Operation::Query), expected, "{code:?}");
    }
    assert_eq!(
        kind(Code::Aborted, "/x changed", Operation::Import),
        LocalFile
    );
    let missing = "No such file or directory (os error 2)";
    assert_eq!(
        kind(Code::InvalidArgument, missing, Operation::Import),
        LocalFile
    );
    assert_eq!(kind(Code::Cancelled, "Timeout expired", BY_PATH), Timeout);
}

#[test]
fn a_refused_ttl_names_the_limits_of_the_daemon() {
    let text = "invalid UploadPersistentCacheTaskStartedRequest.Ttl: value must be inside range [5m0s, 168h0m0s]";
    let status = Status::new(Code::Internal, wrapped_by_old(Code::InvalidArgument, text));
    let remedy = classify(&status, Operation::Import).remedy;
    let (minimum, maximum) = ("5m0s".to_owned(), "168h0m0s".to_owned());
    assert_eq!(remedy, Some(Remedy::TtlWithin { minimum, maximum }));
}

#[test]
fn a_lost_connection_is_told_from_what_a_daemon_says() {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    for status in [Status::broken(broken), Status::broken("connection closed")] {
        assert_eq!(classify(&status, BY_PATH).kind, Unavailable);
    }
}

#[test]
fn backend_details_are_shown_and_binary_ones_do_no_harm() {
    let json = br#"{"message":"gone","header":{"a":"b"},"status_code":404}"#;
    let with_details = |details: Vec<u8>| Status {
        details: details.into(),
        ..Status::new(Code::Internal, "failed")
    };
    let status = with_details(json.to_vec());
    let reason = classify(&status, BY_PATH).reason;
    assert_eq!(reason, "failed; the backend answered 404: gone");

    for opaque in [&b"\xff\0\xc3"[..], b"{\"message\":", b"{}", &[0; 3000]] {
        let status = with_details(opaque.to_vec());
        assert_eq!(classify(&status, BY_PATH).reason, "failed");
    }
}

#[test]
fn broken_wrappings_are_shown_as_they_are() {
    for text in [
        "status: NotFound, message: \"no end",
        "status: Nonsense, message: \"x\"",
        "code: 'no such code', message: \"x\"",
        "status: NotFound, message: \"\\u{zz}\"",
        "status: ",
    ] {
        assert_eq!(
            unwrap(Code::Internal, text),
            (Code::Internal, text.to_owned())
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_unwrapped_as_it_was_wrapped(code in prop::sample::select(Code::all().collect::<Vec<_>>()), text in "(?s).{0,20}") {
        for wrapping in [wrapped_by_old, wrapped_by_new] {
            let message = wrapping(code, &text);
            prop_assert_eq!(unwrap(Code::Internal, &message), (code, text.clone()));
        }
    }
}

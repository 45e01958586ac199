//! Statuses as a dfdaemon words them.

use fake_dfdaemon::Release;
use tonic::{Code, Status};

/// A code and its text.
pub(crate) type Refusal = (Code, String);

/// What a dfdaemon says of a status of its scheduler.
pub(crate) fn by_scheduler(release: Release, code: Code, text: &str) -> Refusal {
    wrapped(
        release,
        code,
        text,
        r#"{"content-type": "application/grpc"}"#,
    )
}

/// What it says of a status that it made itself.
pub(crate) fn by_dfdaemon(release: Release, code: Code, text: &str) -> Refusal {
    wrapped(release, code, text, "{}")
}

fn wrapped(release: Release, code: Code, text: &str, headers: &str) -> Refusal {
    let text = match release {
        Release::V0_2 => format!(
            "status: {code:?}, message: {text:?}, details: [], \
             metadata: MetadataMap {{ headers: {headers} }}"
        ),
        _ => format!("code: '{}', message: {text:?}", code.description()),
    };
    (Code::Internal, text)
}

pub(crate) fn internal(text: impl Into<String>) -> Refusal {
    (Code::Internal, text.into())
}

pub(crate) const NO_FILE: &str = "No such file or directory (os error 2)";
pub(crate) const EXISTS: &str = "File exists (os error 17)";
pub(crate) const IS_DIRECTORY: &str = "Is a directory (os error 21)";

/// That a call was refused just so.
#[track_caller]
pub(crate) fn assert_refused(status: &Status, (code, text): &Refusal) {
    assert_eq!((status.code(), status.message()), (*code, text.as_str()));
}

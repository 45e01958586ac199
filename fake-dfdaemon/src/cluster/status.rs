//! The status and the text that a client gets for each error of the cluster: the one place where
//! they are decided.

use std::io;

use rustix::io::Errno;
use tonic::{Code, Status};

use super::Error;
use crate::dfdaemon::release::{Origin, Release};
use crate::dfdaemon::statuses::{overloaded, stopping};

impl Error {
    /// The status that a client of that release gets.
    pub(crate) fn status(&self, release: Release) -> Status {
        let text = self.to_string();
        let wrapped = |origin, code| release.wrapped(origin, code, &text);
        match self {
            Self::TaskNotFound { .. }
            | Self::PeerNotFound { .. }
            | Self::ImporterForgotten { .. } => wrapped(Origin::Scheduler, Code::NotFound),
            Self::NoCandidateParents => wrapped(Origin::Scheduler, Code::FailedPrecondition),
            Self::TaskExists { .. } => wrapped(Origin::Scheduler, Code::AlreadyExists),
            Self::InvalidField(_) | Self::EmptyTaskId => {
                wrapped(Origin::Scheduler, Code::InvalidArgument)
            }
            Self::OutputExists { .. } => wrapped(Origin::Dfdaemon, Code::Internal),
            Self::InvalidDigest { .. } => wrapped(Origin::Dfdaemon, Code::InvalidArgument),
            Self::SourceUnreadable(error) | Self::Io(error) if is_overload(error) => {
                overloaded(&text)
            }
            Self::SourceUnreadable(_)
            | Self::SourceNotRegular { .. }
            | Self::OutputPlace { .. } => Status::invalid_argument(text),
            Self::SourceChanged { .. } => Status::aborted(text),
            Self::ClientFilesBusy => overloaded(&text),
            Self::Cancelled => Status::cancelled(text),
            Self::Stopping => stopping(),
            Self::HostGone { .. } => Status::unavailable(text),
            Self::Fault(status) => Status::clone(status),
            Self::LocalTaskNotFound { .. }
            | Self::NegativeTtl(_)
            | Self::TransferFault(_)
            | Self::NoTtl
            | Self::NoSpace { .. }
            | Self::NoSuchHost { .. }
            | Self::Layout(_)
            | Self::ContentLength { .. }
            | Self::EarlyEof
            | Self::DigestMismatch { .. }
            | Self::Io(_) => Status::internal(text),
        }
    }
}

/// Whether there were no file descriptors left, in the process or in the system.
pub(super) fn is_overload(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::dfdaemon::HostNumber;
    use crate::dfdaemon::limits::{TtlLimits, check_fields};
    use crate::store::TaskState;

    fn answered(release: Release, error: &Error) -> (Code, String) {
        let status = error.status(release);
        (status.code(), status.message().to_owned())
    }

    #[test]
    fn plain_errors_are_told_in_their_own_words() {
        let os = Arc::new(io::Error::from_raw_os_error(2));
        let enoent = "No such file or directory (os error 2)";
        let path = PathBuf::from("/a/b");
        for (error, code, text) in [
            (
                Error::SourceUnreadable(Arc::clone(&os)),
                Code::InvalidArgument,
                enoent,
            ),
            (Error::Io(os), Code::Internal, enoent),
            (
                Error::SourceNotRegular { path: path.clone() },
                Code::InvalidArgument,
                "/a/b is not a regular file",
            ),
            (
                Error::SourceChanged { path },
                Code::Aborted,
                "/a/b changed while it was read",
            ),
            (
                Error::LocalTaskNotFound { id: "7".into() },
                Code::Internal,
                "task 7 not found",
            ),
            (Error::NoTtl, Code::Internal, "unexpected response"),
            (
                Error::NoSuchHost {
                    host: crate::dfdaemon::HostNumber::of(9),
                },
                Code::Internal,
                "there is no host host-9",
            ),
            (
                Error::NoSpace { content_length: 9 },
                Code::Internal,
                "no space left on device: not enough space to store the persistent cache task: content_length=9",
            ),
            (
                Error::ContentLength {
                    id: "7".into(),
                    expected: 2,
                    found: 3,
                },
                Code::Internal,
                "content of task 7 has 3 bytes instead of 2",
            ),
            (
                Error::DigestMismatch {
                    expected: "crc32:1".into(),
                    actual: "crc32:2".into(),
                },
                Code::Internal,
                "digest mismatch expected: crc32:1, actual: crc32:2",
            ),
            (
                Error::ClientFilesBusy,
                Code::ResourceExhausted,
                "server is overloaded: too many imports and exports are busy with files of clients, please retry later",
            ),
            (Error::Stopping, Code::Unavailable, "the daemon is stopping"),
            (
                Error::HostGone {
                    host: HostNumber::of(1),
                    left: true,
                },
                Code::Unavailable,
                "host-1 has left",
            ),
            (
                Error::HostGone {
                    host: HostNumber::of(1),
                    left: false,
                },
                Code::Unavailable,
                "host-1 was stopped",
            ),
            (Error::Cancelled, Code::Cancelled, "the call was cancelled"),
        ] {
            for release in [Release::V0_2, Release::V1_5] {
                assert_eq!(answered(release, &error), (code, text.to_owned()));
            }
        }
    }

    #[test]
    fn who_finds_no_descriptor_left_is_one_too_many() {
        for errno in [Errno::MFILE, Errno::NFILE] {
            let os = Arc::new(io::Error::from(errno));
            let text = format!("server is overloaded: {os}, please retry later");
            for error in [Error::SourceUnreadable(Arc::clone(&os)), Error::Io(os)] {
                let expected = (Code::ResourceExhausted, text.clone());
                assert_eq!(answered(Release::V0_2, &error), expected);
                assert_eq!(answered(Release::V1_5, &error), expected);
            }
        }
    }

    #[test]
    fn wrapped_errors_are_internal_and_carry_the_inner_status() {
        let invalid = check_fields(0, 0, Duration::ZERO, TtlLimits::default()).unwrap_err();
        for (error, inner, text, by_scheduler) in [
            (
                Error::TaskNotFound { id: "7".into() },
                "NotFound",
                "persistent cache task 7 not found",
                true,
            ),
            (
                Error::PeerNotFound {
                    peer_id: "p".into(),
                },
                "NotFound",
                "peer p not found",
                true,
            ),
            (
                Error::NoCandidateParents,
                "FailedPrecondition",
                "no candidate parents found",
                true,
            ),
            (
                Error::TaskExists {
                    id: "7".into(),
                    state: TaskState::Uploading,
                },
                "AlreadyExists",
                "persistent cache task 7 is Uploading cannot upload",
                true,
            ),
            (
                Error::InvalidField(invalid),
                "InvalidArgument",
                "invalid UploadPersistentCacheTaskStartedRequest.PersistentReplicaCount: value must be greater than or equal to 1",
                true,
            ),
            (
                Error::EmptyTaskId,
                "InvalidArgument",
                "invalid StatPersistentCacheTaskRequest.TaskId: value length must be at least 1 runes",
                true,
            ),
            (
                Error::OutputExists { path: "/a".into() },
                "Internal",
                "output path /a is already exists",
                false,
            ),
            (
                Error::InvalidDigest {
                    raw: "md5:1".into(),
                    why: "md5:1".parse::<dfdaemon_api::digest::Digest>().unwrap_err(),
                },
                "InvalidArgument",
                "invalid digest(md5:1): invalid digest algorithm: md5",
                false,
            ),
        ] {
            let headers = if by_scheduler {
                r#"{"content-type": "application/grpc"}"#
            } else {
                "{}"
            };
            let expected = format!(
                "status: {inner}, message: \"{text}\", details: [], metadata: MetadataMap {{ headers: {headers} }}"
            );
            assert_eq!(answered(Release::V0_2, &error), (Code::Internal, expected));
            let (code, message) = answered(Release::V1_5, &error);
            assert_eq!(code, Code::Internal);
            assert!(
                message.ends_with(&format!("', message: \"{text}\"")),
                "{message}"
            );
        }
    }
}

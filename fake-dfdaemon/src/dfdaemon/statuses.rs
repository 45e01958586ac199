//! The statuses that a dfdaemon answers with by itself: their codes and their words. What it passes on
//! of its scheduler or of its store is [`Release::wrapped`](super::release::Release::wrapped), and
//! which of them an error of the cluster is stands in `cluster/status.rs`.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::blocklist::Blocked;
use super::host_id;
use super::release::{Origin, Release};

/// A dfdaemon that has too much to do. A retry may help.
pub(crate) fn overloaded(what: &str) -> Status {
    Status::resource_exhausted(format!("server is overloaded: {what}, please retry later"))
}

/// A dfdaemon whose machine is out of CPU or memory.
pub(crate) fn overloaded_machine() -> Status {
    overloaded("CPU/memory thresholds are exceeded")
}

/// A call whose deadline has passed, in the words of tonic.
pub(crate) fn timed_out() -> Status {
    Status::cancelled("Timeout expired")
}

/// A call that is broken off because the daemon stops or its state is replaced.
pub(crate) fn stopping() -> Status {
    Status::unavailable("the daemon is stopping")
}

/// A fault that closes the connection. The client gets no status; the journal does.
pub(crate) fn connection_reset() -> Status {
    Status::unavailable("the connection was reset")
}

/// A fault that closes the sockets of a host. Nobody gets it; the journal does.
pub(crate) fn sockets_closed() -> Status {
    Status::unavailable("the sockets of the host were closed")
}

/// A dfdaemon that reaches no scheduler.
pub(crate) fn no_scheduler() -> Status {
    Status::internal("available schedulers not found")
}

/// A dfdaemon whose host, of that name, the scheduler does not know.
pub(crate) fn host_not_found(name: &str, release: Release) -> Status {
    let text = format!("host {} not found", host_id(name));
    release.wrapped(Origin::Scheduler, Code::NotFound, &text)
}

/// The health of a service that is not there, or not yet.
pub(crate) fn not_registered() -> Status {
    Status::not_found("service not registered")
}

/// A request without a message, in the words of tonic.
pub(crate) fn no_message() -> Status {
    Status::internal("Missing request message.")
}

/// A request that is compressed, in the words of tonic.
pub(crate) fn compressed(encoding: &str) -> Status {
    let text = format!("Content is compressed with `{encoding}` which isn't supported");
    let mut refused = Status::unimplemented(text);
    let accepted = MetadataValue::from_static("identity");
    refused
        .metadata_mut()
        .insert("grpc-accept-encoding", accepted);
    refused
}

/// A method or a service that is not served.
pub(crate) fn not_served(method: &str) -> Status {
    Status::unimplemented(format!("{method} is not served"))
}

/// A method that the release does not know: a real one says nothing.
pub(crate) fn unknown_method() -> Status {
    Status::unimplemented("")
}

/// An import or an export that the blocklist refuses.
pub(crate) fn blocked(blocked: Blocked) -> Status {
    Status::permission_denied(match blocked {
        Blocked::Import => "upload rejected by blocklist policy",
        Blocked::Export => "download blocked by block list",
    })
}

/// A piece that a host does not have for a peer.
pub(crate) fn no_piece() -> Status {
    Status::not_found("persistent cache piece metadata not found")
}

/// A message that its length prefix cannot announce.
pub(crate) fn too_long(what: &str) -> Status {
    Status::out_of_range(format!("{what} is longer than a message can be"))
}

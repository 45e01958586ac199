//! The traits of what sees the calls that pass, which the recorder implements. Faults and journal are in `calls`.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, request, response};

/// Work that a call waits for before it goes on.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sees calls begin.
pub(crate) trait Tap: Debug + Send + Sync {
    /// A call whose request head is `head`; `None` if nobody looks at it.
    fn begin(&self, head: &request::Parts) -> Option<Box<dyn CallTap>>;
}

/// Sees one call pass. Dropped before [`ended`](CallTap::ended), the client went away.
pub(crate) trait CallTap: Send {
    /// Whether there is room for more data: a call waits as long as there is not.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Bytes from the client, before the daemon gets them.
    fn request_data(&mut self, data: &Bytes) -> Option<Waiting>;

    /// The client has sent all, and the daemon has it.
    fn request_ended(&mut self);

    /// The head of the answer. With `is_whole` no stream was opened: the head is all there is.
    fn response_head(&mut self, head: &response::Parts, is_whole: bool) -> Option<Waiting>;

    /// Bytes from the daemon.
    fn response_data(&mut self, data: &Bytes);

    /// The trailers, before the client gets them.
    fn response_trailers(&mut self, trailers: &HeaderMap) -> Option<Waiting>;

    /// The call is over, and the client has all.
    fn ended(&mut self, how: Ended);
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The answer is complete.
    Complete,
    /// The daemon reset the stream with this HTTP/2 error code.
    Reset(u32),
    /// The daemon's connection broke.
    Broken,
}

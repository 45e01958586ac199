//! The messages from the taps to the thread that writes the cassette.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;

use super::files::Found;
use crate::proxy::cassette::{ContentRef, FileSeen};
use crate::proxy::tap::Ended;

/// A message to the thread that writes.
pub(crate) enum Event {
    Of {
        call: u64,
        /// Since the call began.
        at: Duration,
        what: What,
    },
    /// All calls have ended.
    Finish,
}

/// What happens in a call.
pub(crate) enum What {
    Begin(Box<Begin>),
    RequestData(Bytes),
    /// HTTP status, headers, and whether they are all.
    Head(u16, HeaderMap, bool),
    ResponseData(Bytes),
    Trailers(HeaderMap),
    /// The daemon has all of the request.
    RequestEnded,
    /// `None` if the client went away.
    Ended(Option<Ended>),
    /// A file is looked at: the call is complete when it was read.
    FileBegins,
    /// `None` if nobody can tell, or it is no output of this call.
    File(FileRole, Option<Found>),
    FileRead(FileRole, io::Result<Option<FileSeen>>),
    /// The content of a message has its hash.
    Hashed(Slot, io::Result<ContentRef>),
}

/// A message of a call, by its place among those of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Request(usize),
    Answer(usize),
}

/// The start of a call.
pub(crate) struct Begin {
    pub(crate) at: Timestamp,
    pub(crate) method: String,
    pub(crate) headers: HeaderMap,
}

/// What a file is to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRole {
    Source,
    Output,
}

//! What the stream of an export consists of, message by message.

use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskResponse;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use prost::Message as _;

use super::spool::Place;
use crate::proxy::frames::{Frame as Message, Part, Splitter, without_content};

/// What a stream is, in parts of its own.
pub(super) enum Owned {
    Begin(Message, u64, usize),
    Content(Bytes),
    Message(Message),
}

/// A message that waits.
pub(super) struct Waiting {
    pub(super) message: Message,
    pub(super) content: Place,
    /// What it says of a piece, and around it.
    pub(super) piece: Piece,
    pub(super) envelope: DownloadPersistentCacheTaskResponse,
}

/// The parts of a stream that come with `data`.
pub(super) fn parts(splitter: &mut Splitter, data: &Bytes) -> Vec<Owned> {
    let mut parts = Vec::new();
    // Nothing in here fails.
    let _ = splitter.push(data, &mut |part| {
        parts.push(match part {
            Part::Begin {
                frame,
                length,
                tail,
            } => Owned::Begin(frame.clone(), length as u64, tail),
            Part::Content(content) => Owned::Content(Bytes::copy_from_slice(content)),
            Part::Frame(message) => Owned::Message(message),
        });
        Ok(())
    });
    parts
}

/// What a message tells, without content, and the message around it. `None` if it is nothing known.
pub(super) fn envelope(message: &Message) -> Option<(DownloadPersistentCacheTaskResponse, Event)> {
    if message.is_compressed() || message.is_long {
        return None;
    }
    let bytes = match message.content {
        Some(length) => without_content(&message.head, length, &message.tail)?,
        None => message.head.clone(),
    };
    let decoded = DownloadPersistentCacheTaskResponse::decode(bytes.as_slice());
    let mut envelope = decoded.ok()?;
    let event = envelope.response.take()?;
    Some((envelope, event))
}

//! The bytes around the content of a piece, from the JSON of its message.

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskResponse;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use prost::Message as _;
use serde_json::Value;

use super::messages::{Side, from_json, message_type};
use crate::grpc::framing::piece_message;

/// Any method whose answers have pieces.
const EXPORT: &str = "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask";

/// The length of gRPC's prefix.
const PREFIX: usize = 5;

/// Head and tail of the message, without gRPC's prefix, around a content of `length`.
pub(super) fn framed(json: &Value, length: u64) -> Result<(Vec<u8>, Vec<u8>), String> {
    let descriptor = message_type(EXPORT, Side::Response).ok_or("the type is unknown")?;
    let bytes = from_json(&descriptor, json)?;
    let message = DownloadPersistentCacheTaskResponse::decode(bytes.as_slice());
    let mut message = message.map_err(|error| error.to_string())?;
    let Some(Event::DownloadPieceFinishedResponse(finished)) = message.response.take() else {
        return Err("only a piece has content".to_owned());
    };
    let piece = finished.piece.ok_or("only a piece has content")?;
    let framed = piece_message(&message, &piece, length);
    let framed = framed.map_err(|status| status.message().to_owned())?;
    let head = framed.head.get(PREFIX..).unwrap_or_default();
    Ok((head.to_vec(), framed.tail.to_vec()))
}

//! The messages of an export as bytes, so that content goes from the store to the connection as it
//! is, and never as a whole piece.
//!
//! A gRPC message is a flag (not compressed), its length in 4 bytes, and its fields. The content of
//! a piece is one of them: what stands before it is its head, what stands behind it its tail. The
//! fields stand in the order of their numbers, as other daemons write them.

use bytes::{BufMut, Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskResponse;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;

/// `DownloadPersistentCacheTaskResponse.download_piece_finished_response`.
const FINISHED: u32 = 5;
/// `DownloadPieceFinishedResponse.piece`.
const PIECE: u32 = 1;
/// `Piece.content`.
const CONTENT: u32 = 6;

/// What stands around the content of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) head: Bytes,
    pub(crate) tail: Bytes,
}

/// A message that carries no content.
pub(crate) fn message(message: &DownloadPersistentCacheTaskResponse) -> Result<Bytes, Status> {
    let mut bytes = start(message.encoded_len())?;
    bytes.put_slice(&message.encode_to_vec());
    Ok(bytes.freeze())
}

/// A message that says that `piece` has come, with `length` bytes of content to stand between head
/// and tail. `envelope` is the message without its event.
pub(crate) fn piece_message(
    envelope: &DownloadPersistentCacheTaskResponse,
    piece: &Piece,
    length: u64,
) -> Result<Framed, Status> {
    let tail = Piece {
        traffic_type: piece.traffic_type,
        cost: piece.cost,
        created_at: piece.created_at,
        ..Piece::default()
    };
    let front = Piece {
        content: None,
        traffic_type: None,
        cost: None,
        created_at: None,
        ..piece.clone()
    };
    let (front, tail) = (front.encode_to_vec(), tail.encode_to_vec());
    let piece_length = field_length(CONTENT, length) + front.len() as u64 + tail.len() as u64;
    let finished_length = field_length(PIECE, piece_length);
    let envelope = envelope.encode_to_vec();
    let whole = field_length(FINISHED, finished_length) + envelope.len() as u64;
    let mut head = start(usize::try_from(whole).unwrap_or(usize::MAX))?;
    head.put_slice(&envelope);
    put_field(&mut head, FINISHED, finished_length);
    put_field(&mut head, PIECE, piece_length);
    head.put_slice(&front);
    put_field(&mut head, CONTENT, length);
    Ok(Framed {
        head: head.freeze(),
        tail: tail.into(),
    })
}

/// The start of a gRPC message of `length` bytes.
fn start(length: usize) -> Result<BytesMut, Status> {
    let length = u32::try_from(length)
        .map_err(|_| Status::out_of_range("a piece is longer than a message can be"))?;
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(length);
    Ok(bytes)
}

/// How many bytes a field takes whose value has `length`.
fn field_length(number: u32, length: u64) -> u64 {
    key_len(number) as u64 + encoded_len_varint(length) as u64 + length
}

fn put_field(bytes: &mut BytesMut, number: u32, length: u64) {
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(length, bytes);
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::dfdaemon::v2::DownloadPieceFinishedResponse;
    use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> DownloadPersistentCacheTaskResponse {
        DownloadPersistentCacheTaskResponse {
            host_id: "host".to_owned(),
            task_id: "7".to_owned(),
            peer_id: "peer".to_owned(),
            response: None,
        }
    }

    proptest! {
        #[test]
        fn head_content_and_tail_are_what_prost_writes(
            content in prop::collection::vec(any::<u8>(), 0..40_000),
            number in any::<u32>(), offset in any::<u64>(), wrong in any::<u64>(),
            digest in ".{0,20}", parent_id in prop::option::of(".{0,20}"),
        ) {
            let piece = Piece {
                number,
                parent_id,
                offset,
                length: wrong,
                digest,
                // Not what goes out.
                content: Some(Bytes::from_static(b"other")),
                traffic_type: Some(1),
                cost: Some(prost_types::Duration { seconds: 1, nanos: 2 }),
                created_at: Some(prost_types::Timestamp { seconds: 3, nanos: 4 }),
            };
            let framed = piece_message(&envelope(), &piece, content.len() as u64).unwrap();
            let written = [&framed.head[..], &content, &framed.tail].concat();
            let piece = Piece { content: Some(content.into()), ..piece };
            let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
            let response = Some(Event::DownloadPieceFinishedResponse(finished));
            let whole = DownloadPersistentCacheTaskResponse { response, ..envelope() };
            prop_assert_eq!(written, message(&whole).unwrap());
        }
    }

    #[test]
    fn a_piece_that_no_message_can_hold_is_refused() {
        let too_long = u64::from(u32::MAX);
        assert!(piece_message(&envelope(), &Piece::default(), too_long).is_err());
        assert!(piece_message(&envelope(), &Piece::default(), u64::MAX - 99).is_err());
    }
}

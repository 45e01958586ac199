//! The messages with content as bytes, so that content goes from the store to the connection as it
//! is, and never as a whole piece.
//!
//! A gRPC message is a flag (not compressed), its length in 4 bytes, and its fields. The content of
//! a piece is one of them: what stands before it is its head, what stands behind it its tail. The
//! fields stand in the order of their numbers, as other daemons write them.

use bytes::{BufMut, Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCachePieceResponse, DownloadPersistentCacheTaskResponse,
};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;

use crate::dfdaemon::statuses::too_long;

/// `DownloadPersistentCacheTaskResponse.download_piece_finished_response`.
const FINISHED: u32 = 5;
/// `DownloadPieceFinishedResponse.piece` and `DownloadPersistentCachePieceResponse.piece`.
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
    let parts = PieceParts::new(piece, length);
    let finished_length = field_length(PIECE, parts.length);
    let envelope = envelope.encode_to_vec();
    let whole = field_length(FINISHED, finished_length) + envelope.len() as u64;
    let mut head = start(usize::try_from(whole).unwrap_or(usize::MAX))?;
    head.put_slice(&envelope);
    put_field(&mut head, FINISHED, finished_length);
    parts.put_head(&mut head);
    Ok(Framed {
        head: head.freeze(),
        tail: parts.tail.into(),
    })
}

/// The answer to a host that asks for one piece, with `length` bytes of content to stand between
/// head and tail. `digest` is that of what the answer says of the piece.
pub(crate) fn piece_answer(piece: &Piece, digest: &str, length: u64) -> Result<Framed, Status> {
    let parts = PieceParts::new(piece, length);
    let digest = DownloadPersistentCachePieceResponse {
        piece: None,
        digest: Some(digest.to_owned()),
    };
    let digest = digest.encode_to_vec();
    let whole = field_length(PIECE, parts.length) + digest.len() as u64;
    let mut head = start(usize::try_from(whole).unwrap_or(usize::MAX))?;
    parts.put_head(&mut head);
    Ok(Framed {
        head: head.freeze(),
        tail: [parts.tail, digest].concat().into(),
    })
}

/// The fields of a piece that stand before its content, and those behind it.
struct PieceParts {
    front: Vec<u8>,
    content_length: u64,
    tail: Vec<u8>,
    /// Of the whole, in bytes.
    length: u64,
}

impl PieceParts {
    fn new(piece: &Piece, content_length: u64) -> Self {
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
        let around = front.len() as u64 + tail.len() as u64;
        Self {
            front,
            content_length,
            tail,
            length: field_length(CONTENT, content_length) + around,
        }
    }

    /// What stands before the content.
    fn put_head(&self, bytes: &mut BytesMut) {
        put_field(bytes, PIECE, self.length);
        bytes.put_slice(&self.front);
        put_field(bytes, CONTENT, self.content_length);
    }
}

/// The start of a gRPC message of `length` bytes.
fn start(length: usize) -> Result<BytesMut, Status> {
    let length = u32::try_from(length).map_err(|_| too_long("a piece"))?;
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
            let answer = piece_answer(&piece, "crc32:7", content.len() as u64).unwrap();
            let answered = [&answer.head[5..], &content, &answer.tail].concat();
            let piece = Piece { content: Some(content.into()), ..piece };
            let whole = DownloadPersistentCachePieceResponse {
                piece: Some(piece.clone()),
                digest: Some("crc32:7".to_owned()),
            };
            prop_assert_eq!(&answered, &whole.encode_to_vec());
            prop_assert_eq!(&answer.head[..5], &start(answered.len()).unwrap()[..]);
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

use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskResponse, DownloadPieceFinishedResponse,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn piece(content: Option<Vec<u8>>, digest: &str) -> DownloadPersistentCacheTaskResponse {
    let piece = Piece {
        number: 3,
        offset: 12,
        length: 99,
        digest: digest.to_owned(),
        content: content.map(Bytes::from),
        traffic_type: Some(2),
        created_at: Some(prost_types::Timestamp::default()),
        ..Piece::default()
    };
    let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
    DownloadPersistentCacheTaskResponse {
        host_id: "host".to_owned(),
        task_id: "7".to_owned(),
        peer_id: "peer".to_owned(),
        response: Some(Event::DownloadPieceFinishedResponse(finished)),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The messages of a stream that comes in parts of `size`, each with its content.
fn split(stream: &[u8], size: usize, has_pieces: bool) -> Vec<(Frame, Vec<u8>)> {
    let mut splitter = Splitter::new(has_pieces);
    let (mut frames, mut content) = (Vec::new(), Vec::new());
    for part in stream.chunks(size) {
        let mut to = |part: Part<'_>| {
            match part {
                Part::Begin { .. } => {}
                Part::Content(bytes) => content.extend_from_slice(bytes),
                Part::Frame(frame) => frames.push((frame, std::mem::take(&mut content))),
            }
            Ok(())
        };
        splitter.push(part, &mut to).unwrap();
    }
    assert!(splitter.is_between());
    frames
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        lengths in prop::collection::vec(0_usize..200_000, 1..4),
        size in 1_usize..100_000,
        has_pieces in any::<bool>(),
    ) {
        let messages: Vec<_> = lengths.iter().map(|length| {
            piece(Some(vec![5; *length]), "crc32:1").encode_to_vec()
        }).collect();
        let stream: Vec<_> = messages.iter().flat_map(|message| framed(message)).collect();
        let frames = split(&stream, size, has_pieces);
        prop_assert_eq!(frames.len(), messages.len());
        for ((frame, content), message) in frames.iter().zip(&messages) {
            prop_assert_eq!(&[&frame.head, &content[..], &frame.tail].concat(), message);
            prop_assert_eq!(frame.is_long, !has_pieces && message.len() > SHORT);
        }
    }

    #[test]
    fn hostile_streams_are_split_too(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut splitter = Splitter::new(true);
        splitter.push(&stream, &mut |_| Ok(())).unwrap();
    }

    #[test]
    fn what_stands_around_content_is_the_message_without_it(length in 1_usize..100_000) {
        let message = piece(Some(vec![9; length]), "crc32:1").encode_to_vec();
        let frames = split(&framed(&message), usize::MAX, true);
        let (frame, content) = frames.first().unwrap();
        prop_assert_eq!(content.len(), length);
        let without = without_content(&frame.head, length as u64, &frame.tail).unwrap();
        prop_assert_eq!(without, piece(None, "crc32:1").encode_to_vec());
    }
}

proptest! {
    /// What came of a cut message is what was sent of it, wherever it was cut.
    #[test]
    fn a_message_that_is_cut_is_there_as_far_as_it_came(
        length in 0_usize..150_000, at in 0_usize..150_000, size in 1_usize..50_000,
    ) {
        let stream = framed(&piece(Some(vec![5; length]), "crc32:1").encode_to_vec());
        let came = &stream[..at.min(stream.len() - 1)];
        let mut splitter = Splitter::new(true);
        let mut content = Vec::new();
        for part in came.chunks(size) {
            splitter.push(part, &mut |part| {
                if let Part::Content(bytes) = part {
                    content.extend_from_slice(bytes);
                }
                Ok(())
            }).unwrap();
        }
        match splitter.cut() {
            None => prop_assert!(came.len() < PREFIX),
            Some((frame, total)) => {
                prop_assert_eq!(total as usize, stream.len() - PREFIX);
                prop_assert_eq!(frame.content.unwrap_or(0), content.len() as u64);
                prop_assert_eq!([&frame.head[..], &content, &frame.tail].concat(), &came[PREFIX..]);
            }
        }
    }
}

#[test]
fn empty_messages_and_messages_without_content_have_none() {
    let stream = [
        framed(b""),
        framed(&piece(None, "").encode_to_vec()),
        framed(b""),
    ]
    .concat();
    let frames = split(&stream, 1, true);
    assert_eq!(frames.len(), 3);
    assert!(
        frames
            .iter()
            .all(|(frame, content)| frame.content.is_none() && content.is_empty())
    );
}

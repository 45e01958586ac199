use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskResponse, DownloadPersistentCacheTaskStartedResponse,
    DownloadPieceFinishedResponse,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn prefixed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// A length-delimited field, whose number is below 16.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encode_length_delimiter(value.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(value);
    bytes
}

/// The events of bytes that come in parts of these lengths, over and over.
fn decode(bytes: &[u8], parts: &[usize]) -> Result<Vec<Event>, Malformed> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    for part in parts.iter().cycle() {
        let mut part = rest.split_to((*part).min(rest.len()));
        if part.is_empty() {
            break;
        }
        while let Some(event) = decoder.next(&mut part)? {
            events.push(event);
            // Each takes a byte at least.
            assert!(events.len() <= bytes.len());
        }
        // Nothing is kept but what is small.
        assert!(decoder.digest.capacity() <= 2 * MAX_DIGEST as usize);
        assert!(decoder.levels.len() <= 3);
    }
    decoder.finish()?;
    Ok(joined(events))
}

/// Parts of one content as one.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Event::Content(content)), Event::Content(more)) => {
                *content = [&content[..], &more[..]].concat().into();
            }
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// What the generated types make of a message, as events.
fn expected(message: &[u8]) -> Vec<Event> {
    let message = DownloadPersistentCacheTaskResponse::decode(message).unwrap();
    let piece = match message.response {
        None => return vec![Event::Other],
        Some(Response::DownloadPersistentCacheTaskStartedResponse(started)) => {
            return vec![Event::Started {
                content_length: started.content_length,
            }];
        }
        Some(Response::DownloadPieceFinishedResponse(finished)) => finished.piece,
    };
    let Some(piece) = piece else {
        return vec![Event::NoPiece];
    };
    let head = PieceHead {
        number: piece.number,
        offset: piece.offset,
        length: piece.length,
        digest: piece.digest,
    };
    let mut events = Vec::new();
    if let Some(content) = &piece.content {
        events.push(Event::ContentStarts {
            head: head.clone(),
            length: content.len() as u64,
        });
        if !content.is_empty() {
            events.push(Event::Content(content.clone()));
        }
    }
    events.push(Event::Piece {
        head,
        has_content: piece.content.is_some(),
    });
    events
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let content = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let text = prop::option::of(".{0,20}");
    (any::<(u32, u64, u64)>(), ".{0,20}", content, text).prop_map(
        |((number, offset, length), digest, content, parent_id)| Piece {
            number,
            offset,
            length,
            digest,
            parent_id,
            content: content.map(Bytes::from),
            traffic_type: Some(1),
            cost: Some(prost_types::Duration {
                seconds: 1,
                nanos: 2,
            }),
            created_at: None,
        },
    )
}

fn any_message() -> impl Strategy<Value = DownloadPersistentCacheTaskResponse> {
    let started = any::<u64>().prop_map(|content_length| {
        Response::DownloadPersistentCacheTaskStartedResponse(
            DownloadPersistentCacheTaskStartedResponse { content_length },
        )
    });
    let finished = prop::option::weighted(0.9, any_piece()).prop_map(|piece| {
        Response::DownloadPieceFinishedResponse(DownloadPieceFinishedResponse { piece })
    });
    let response = prop_oneof![1 => started, 4 => finished];
    (".{0,20}", prop::option::weighted(0.9, response)).prop_map(|(host_id, response)| {
        DownloadPersistentCacheTaskResponse {
            host_id,
            task_id: "7".into(),
            peer_id: String::new(),
            response,
        }
    })
}

/// An encoded field that means nothing here.
fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![]),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| field(15, &bytes)),
        Just(vec![14 << 3, 0xff, 0x01]),
        any::<[u8; 4]>().prop_map(|bytes| [&[13 << 3 | 5], &bytes[..]].concat()),
        any::<[u8; 8]>().prop_map(|bytes| [&[13 << 3 | 1], &bytes[..]].concat()),
    ]
}

/// Fields of a piece without content, in any order, and repeated.
fn shuffled_head() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        any::<u32>().prop_map(|number| Piece {
            number,
            ..Piece::default()
        }),
        any::<u64>().prop_map(|offset| Piece {
            offset,
            ..Piece::default()
        }),
        any::<u64>().prop_map(|length| Piece {
            length,
            ..Piece::default()
        }),
        ".{0,20}".prop_map(|digest| Piece {
            digest,
            ..Piece::default()
        }),
    ];
    let one = one.prop_map(|piece| piece.encode_to_vec());
    prop::collection::vec(prop_oneof![3 => one, 1 => unknown_field()], 0..8)
        .prop_map(|fields| fields.concat())
}

proptest! {
    #[test]
    fn however_it_is_cut_it_says_what_the_generated_types_say(
        messages in prop::collection::vec((any_message(), unknown_field(), unknown_field()), 0..5),
        parts in prop::collection::vec(1usize..100, 1..10),
    ) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        for (message, before, after) in messages {
            let message = [before, message.encode_to_vec(), after].concat();
            bytes.extend(prefixed(&message));
            events.extend(expected(&message));
        }
        prop_assert_eq!(decode(&bytes, &parts), Ok(events));
    }

    #[test]
    fn fields_in_any_order_and_repeated_say_what_the_generated_types_say(
        pieces in prop::collection::vec(shuffled_head(), 1..4),
        part in 1usize..50,
    ) {
        let finished: Vec<u8> = pieces.iter().flat_map(|piece| field(5, &field(1, piece))).collect();
        let started = field(4, &[1 << 3, 9]);
        for message in [
            finished.clone(),
            [started.clone(), finished.clone()].concat(),
            [finished, started].concat(),
        ] {
            prop_assert_eq!(decode(&prefixed(&message), &[part]), Ok(expected(&message)));
        }
    }

    #[test]
    fn any_bytes_are_events_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        part in 1usize..50,
    ) {
        // As they are, and where a message is expected.
        let _ = decode(&bytes, &[part]);
        let _ = decode(&prefixed(&bytes), &[part]);
        let _ = decode(&prefixed(&field(5, &field(1, &bytes))), &[part]);
    }

    #[test]
    fn a_changed_byte_is_never_content_from_nowhere(
        message in any_message(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = prefixed(&message.encode_to_vec());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        // Where both read it, they read the same.
        let generated = DownloadPersistentCacheTaskResponse::decode(&bytes[5..]);
        if let (Ok(events), Ok(_), 5..) = (decode(&bytes, &[7]), generated, place) {
            let ours = events.last();
            let theirs = expected(&bytes[5..]);
            prop_assert_eq!(ours, theirs.last());
        }
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let piece = |fields: &[u8]| prefixed(&field(5, &field(1, fields)));
    let content = field(6, b"1");
    let long = vec![b'1'; MAX_DIGEST as usize + 1];
    let mut inner_too_long = field(1, &content);
    inner_too_long[1] += 1;
    for (bytes, expected) in [
        (vec![1, 0, 0, 0, 0], Malformed::Compressed),
        (prefixed(&[0]), Malformed::Field),
        (prefixed(&[0xff; 11]), Malformed::Number),
        (
            piece(&[&[3 << 3], &[0xff; 9][..], &[2]].concat()),
            Malformed::Number,
        ),
        (prefixed(&[0x80]), Malformed::Nesting),
        (prefixed(&[4 << 3, 1]), Malformed::Kind(4)),
        (prefixed(&[9 << 3 | 3]), Malformed::Kind(9)),
        (piece(&field(3, b"1")), Malformed::Kind(3)),
        (piece(&[3 << 3, 0x80]), Malformed::Nesting),
        (piece(&[2 << 3 | 2, 1]), Malformed::Nesting),
        (prefixed(&field(5, &inner_too_long)), Malformed::Nesting),
        (piece(&field(5, &long)), Malformed::LongDigest(1025)),
        (piece(&field(5, &[0xff])), Malformed::Text),
        (
            piece(&[&content[..], &content].concat()),
            Malformed::ContentTwice,
        ),
        (
            prefixed(&[field(5, &field(1, &content)), field(4, &[])].concat()),
            Malformed::Mixed,
        ),
        (piece(&content)[..7].to_vec(), Malformed::Unfinished),
        (vec![0, 0xff, 0xff, 0xff, 0xff], Malformed::Unfinished),
        (vec![0], Malformed::Unfinished),
    ] {
        for part in [1, 3, 1000] {
            assert_eq!(decode(&bytes, &[part]), Err(expected), "{bytes:?}");
        }
    }
}

#[test]
fn the_longest_number_and_the_longest_digest_are_read() {
    let digest = vec![b'1'; MAX_DIGEST as usize];
    let offset = [&[3 << 3], &[0xff; 9][..], &[1]].concat();
    let padded_length = [&[4 << 3, 0x87], &[0x80; 8][..], &[0]].concat();
    let message = field(
        5,
        &field(1, &[field(5, &digest), offset, padded_length].concat()),
    );
    let head = PieceHead {
        number: 0,
        offset: u64::MAX,
        length: 7,
        digest: String::from_utf8(digest).unwrap(),
    };
    let expected = Event::Piece {
        head,
        has_content: false,
    };
    assert_eq!(decode(&prefixed(&message), &[3]), Ok(vec![expected]));
}

#[test]
fn content_is_handed_on_in_the_memory_it_came_in() {
    let bytes = Bytes::from(prefixed(&field(5, &field(1, &field(6, &[7; 1000])))));
    let mut input = bytes.clone();
    let mut decoder = Decoder::new();
    let content = loop {
        match decoder.next(&mut input).unwrap() {
            Some(Event::Content(content)) => break content,
            Some(_) => {}
            None => panic!("no content"),
        }
    };
    assert_eq!(content.len(), 1000);
    assert!(bytes.as_ptr_range().contains(&content.as_ptr()));
}

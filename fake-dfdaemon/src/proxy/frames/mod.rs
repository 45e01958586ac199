//! The messages in a stream of gRPC, as it comes in parts. The content of a piece is handed on as it
//! comes, and so is any message that is long: neither is ever in memory as a whole.

use std::io;

/// What is read of a message before it is decided where its content begins; also the longest message
/// that is kept whole, and the longest end behind the content.
pub(crate) const SHORT: usize = 64 << 10;

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// A message that has come to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) is_compressed: bool,
    /// What stands before the content, or the whole message.
    pub(crate) head: Vec<u8>,
    /// How long the content is that was handed on.
    pub(crate) content: Option<u64>,
    /// What stands behind the content.
    pub(crate) tail: Vec<u8>,
    /// The content is the whole message.
    pub(crate) is_long: bool,
}

/// What a stream consists of.
pub(crate) enum Part<'a> {
    /// A message with content begins: what stands before the content, and how long content and what
    /// stands behind it are.
    Begin {
        frame: &'a Frame,
        length: usize,
        tail: usize,
    },
    /// A part of the content of the message that comes to its end next.
    Content(&'a [u8]),
    Frame(Frame),
}

/// Splits a stream into messages.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Whether the messages are those of an export, with pieces.
    has_pieces: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Prefix(Vec<u8>),
    Head {
        is_compressed: bool,
        total: usize,
        read: Vec<u8>,
    },
    Content {
        frame: Frame,
        left: usize,
        tail: usize,
    },
}

impl Splitter {
    pub(crate) fn new(has_pieces: bool) -> Self {
        Self {
            has_pieces,
            state: State::Prefix(Vec::new()),
        }
    }

    /// What has come of a message in whose middle the stream ends, and how long it was to be.
    pub(crate) fn cut(self) -> Option<(Frame, u64)> {
        match self.state {
            State::Prefix(_) => None,
            State::Head {
                is_compressed,
                total,
                read,
            } => {
                let frame = Frame {
                    is_compressed,
                    head: read,
                    ..Frame::default()
                };
                Some((frame, total as u64))
            }
            State::Content {
                mut frame,
                left,
                tail,
            } => {
                let length = frame.content.unwrap_or(0);
                let total = frame.head.len() as u64 + length + tail as u64;
                frame.content = Some(length - left as u64);
                Some((frame, total))
            }
        }
    }

    /// Whether the stream ends between two messages.
    #[cfg(test)]
    pub(crate) fn is_between(&self) -> bool {
        matches!(&self.state, State::Prefix(read) if read.is_empty())
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(
        &mut self,
        mut data: &[u8],
        to: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Prefix(Vec::new()));
            let (state, is_done) = self.step(state, &mut data, to)?;
            self.state = state;
            if data.is_empty() && !is_done {
                return Ok(());
            }
        }
    }

    /// One step, and whether another may follow without more data.
    fn step(
        &self,
        state: State,
        data: &mut &[u8],
        to: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
    ) -> io::Result<(State, bool)> {
        match state {
            State::Prefix(mut read) => {
                take(data, &mut read, PREFIX);
                let [flag, length @ ..] = read.as_slice() else {
                    return Ok((State::Prefix(read), false));
                };
                let Ok(length) = <[u8; 4]>::try_from(length) else {
                    return Ok((State::Prefix(read), false));
                };
                let state = State::Head {
                    is_compressed: *flag != 0,
                    total: u32::from_be_bytes(length) as usize,
                    read: Vec::new(),
                };
                Ok((state, true))
            }
            State::Head {
                is_compressed,
                total,
                mut read,
            } => {
                take(data, &mut read, total.min(SHORT));
                if read.len() < total.min(SHORT) {
                    let state = State::Head {
                        is_compressed,
                        total,
                        read,
                    };
                    return Ok((state, false));
                }
                let place = (self.has_pieces && !is_compressed)
                    .then(|| content_place(&read, total))
                    .flatten();
                let place = place.filter(|(start, length)| total - start - length <= SHORT);
                let (start, length) = match place {
                    Some(place) => place,
                    None if total > SHORT => (0, total),
                    None => {
                        to(Part::Frame(Frame {
                            is_compressed,
                            head: read,
                            ..Frame::default()
                        }))?;
                        return Ok((State::Prefix(Vec::new()), true));
                    }
                };
                let rest = read.split_off(start);
                let (content, tail) = rest.split_at(rest.len().min(length));
                let mut frame = Frame {
                    is_compressed,
                    head: read,
                    content: Some(length as u64),
                    tail: Vec::new(),
                    is_long: place.is_none(),
                };
                let behind = total - start - length;
                to(Part::Begin {
                    frame: &frame,
                    length,
                    tail: behind,
                })?;
                to(Part::Content(content))?;
                frame.tail = tail.to_owned();
                let state = State::Content {
                    frame,
                    left: length - content.len(),
                    tail: behind,
                };
                Ok((state, true))
            }
            State::Content {
                mut frame,
                mut left,
                tail,
            } => {
                let (content, rest) = data.split_at(data.len().min(left));
                if !content.is_empty() {
                    to(Part::Content(content))?;
                }
                left -= content.len();
                *data = rest;
                if left == 0 {
                    take(data, &mut frame.tail, tail);
                }
                if left > 0 || frame.tail.len() < tail {
                    return Ok((State::Content { frame, left, tail }, false));
                }
                to(Part::Frame(frame))?;
                Ok((State::Prefix(Vec::new()), true))
            }
        }
    }
}

/// Moves bytes from `data` until there are `most` of them.
fn take(data: &mut &[u8], read: &mut Vec<u8>, most: usize) {
    let (taken, rest) = data.split_at(data.len().min(most.saturating_sub(read.len())));
    read.extend_from_slice(taken);
    *data = rest;
}

/// A field of a message on the wire: its number, and where its bytes are if it has a length.
struct Field {
    number: u64,
    /// Behind the key and the length.
    start: usize,
    length: Option<usize>,
    end: usize,
}

/// `DownloadPersistentCacheTaskResponse.download_piece_finished_response`, its `piece`, its `content`.
const TO_CONTENT: [u64; 3] = [5, 1, 6];

/// Where the content of a piece is in a message of `total` bytes that begins with `read`.
fn content_place(read: &[u8], total: usize) -> Option<(usize, usize)> {
    let (mut at, mut end) = (0, total);
    for number in TO_CONTENT {
        loop {
            let field = field(read, at, end)?;
            if field.number == number {
                (at, end) = (field.start, field.start + field.length?);
                break;
            }
            at = field.end;
        }
    }
    (end > at).then_some((at, end - at))
}

/// The field at `at` of a message that goes to `end`.
fn field(read: &[u8], at: usize, end: usize) -> Option<Field> {
    let mut at = at;
    let key = varint(read, &mut at)?;
    let (length, after) = match key & 7 {
        0 => {
            varint(read, &mut at)?;
            (None, at)
        }
        1 => (None, at.checked_add(8)?),
        2 => {
            let length = usize::try_from(varint(read, &mut at)?).ok()?;
            (Some(length), at.checked_add(length)?)
        }
        5 => (None, at.checked_add(4)?),
        _ => return None,
    };
    (after <= end).then_some(Field {
        number: key >> 3,
        start: at,
        length,
        end: after,
    })
}

fn varint(read: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *read.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The message around a content that was cut out, as if it had none.
pub(crate) fn without_content(head: &[u8], length: u64, tail: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok()?;
    let whole = head.len().checked_add(length)?.checked_add(tail.len())?;
    let mut at = 0;
    // Down to the content: where each message around it begins and ends, behind key and length.
    let mut around = Vec::new();
    let (mut place, mut end) = (0, whole);
    for number in TO_CONTENT {
        loop {
            let key_at = place;
            let field = field(head, place, end)?;
            if field.number == number {
                around.push((key_at, field.start, field.start + field.length?));
                (place, end) = (field.start, field.start + field.length?);
                break;
            }
            place = field.end;
        }
    }
    let [
        (finished_at, finished_start, finished_end),
        (piece_at, piece_start, piece_end),
        (content_at, _, content_end),
    ] = around.as_slice()
    else {
        return None;
    };
    let behind = |from: usize, to: usize| {
        let place = |at: usize| at.checked_sub(*content_end);
        tail.get(place(from)?..place(to)?)
    };
    let piece = [
        head.get(*piece_start..*content_at)?,
        behind(*content_end, *piece_end)?,
    ]
    .concat();
    let mut finished = head.get(*finished_start..*piece_at)?.to_vec();
    put(&mut finished, 10, &piece);
    finished.extend_from_slice(behind(*piece_end, *finished_end)?);
    let mut message = head.get(at..*finished_at)?.to_vec();
    put(&mut message, 42, &finished);
    at = *finished_end;
    message.extend_from_slice(behind(at, whole)?);
    Some(message)
}

/// Writes a field with a length.
fn put(to: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    to.push(key);
    prost::encoding::encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
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
}

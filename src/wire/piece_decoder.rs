//! Decodes the stream of an export as its bytes arrive, however they are cut.
//!
//! A piece is one message, as long as the piece. Its content is handed on in the parts in which it was
//! received, neither copied nor collected; so their receiver must not trust them before the message has
//! ended. Nothing is allocated by an announced length.

mod fields;

use bytes::{Buf as _, Bytes};
use thiserror::Error;

use self::fields::{finished, piece, response, started};

/// The longest digest that is read, in bytes.
const MAX_DIGEST: u64 = 1 << 10;

/// What is known of a piece besides its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PieceHead {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message that announces the length of the whole content, in bytes.
    Started { content_length: u64 },
    /// `length` bytes of content follow. `head` is what the message has said of the piece so far.
    ContentStarts { head: PieceHead, length: u64 },
    /// The next bytes of that content.
    Content(Bytes),
    /// The message of a piece has ended; content has come before, or none will.
    Piece { head: PieceHead, has_content: bool },
    /// A message that announces a piece and has none.
    NoPiece,
    /// A message of another kind.
    Other,
}

/// Why bytes are not the messages of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    #[error("a message is compressed, although no compression was offered")]
    Compressed,
    #[error("a number has more than 10 bytes")]
    Number,
    #[error("field {0} has the wrong wire type")]
    Kind(u32),
    #[error("a field number is 0 or too large")]
    Field,
    #[error("a field is longer than its message")]
    Nesting,
    #[error("a digest has {0} bytes, which is too many")]
    LongDigest(u64),
    #[error("a digest is not text")]
    Text,
    #[error("a message has content more than once")]
    ContentTwice,
    #[error("a field of another message follows the content of a piece")]
    Mixed,
    #[error("the stream ends within a message")]
    Unfinished,
}

/// What encloses the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Response,
    Started,
    Finished,
    Piece,
}

/// How the value of a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Bytes,
    /// This many bytes.
    Fixed(u64),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between messages, or in the bytes that precede one.
    Prefix {
        bytes: [u8; 5],
        have: usize,
    },
    Key(Varint),
    Number(u32, Varint),
    Length(u32, Varint),
    /// In what interests nobody, up to a position.
    Skip(u64),
    Digest(u64),
    Content(u64),
}

const PREFIX: State = State::Prefix {
    bytes: [0; 5],
    have: 0,
};
const KEY: State = State::Key(Varint { value: 0, shift: 0 });

/// What the message that is being read says so far.
#[derive(Debug, Default)]
struct Message {
    started: Option<u64>,
    finished: bool,
    piece: Option<PieceHead>,
    has_content: bool,
}

/// The state between two bytes.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes taken so far, of all messages.
    position: u64,
    /// What encloses the next byte, and the position at which it ends; outermost first.
    levels: Vec<(Level, u64)>,
    message: Message,
    /// The digest, as much of it as was received.
    digest: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: PREFIX,
            position: 0,
            levels: Vec::new(),
            message: Message::default(),
            digest: Vec::new(),
        }
    }

    /// Takes bytes from `input` up to the next event; none when it is used up.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Event>, Malformed> {
        loop {
            // What ends here needs no further byte.
            if let Some(event) = self.close()? {
                return Ok(Some(event));
            }
            if input.is_empty() {
                return Ok(None);
            }
            if let Some(event) = self.step(input)? {
                return Ok(Some(event));
            }
        }
    }

    /// Checks that the stream may end here.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Prefix { have: 0, .. } => Ok(()),
            _ => Err(Malformed::Unfinished),
        }
    }

    /// Ends the field and the levels that end at this position.
    fn close(&mut self) -> Result<Option<Event>, Malformed> {
        match self.state {
            State::Skip(end) | State::Content(end) if end == self.position => self.state = KEY,
            State::Digest(end) if end == self.position => {
                let digest = std::mem::take(&mut self.digest);
                let digest = String::from_utf8(digest).map_err(|_| Malformed::Text)?;
                self.piece().digest = digest;
                self.state = KEY;
            }
            State::Number(..) | State::Length(..) if self.ends_here() => {
                return Err(Malformed::Nesting);
            }
            _ => {}
        }
        let State::Key(key) = self.state else {
            return Ok(None);
        };
        while self.ends_here() {
            if key.shift > 0 {
                return Err(Malformed::Nesting);
            }
            self.levels.pop();
        }
        if self.levels.is_empty() {
            self.state = PREFIX;
            return Ok(Some(std::mem::take(&mut self.message).event()));
        }
        Ok(None)
    }

    fn ends_here(&self) -> bool {
        self.levels
            .last()
            .is_some_and(|(_, end)| *end == self.position)
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Option<Event>, Malformed> {
        match self.state {
            State::Prefix { mut bytes, have } => {
                bytes[have] = self.byte(input);
                self.state = State::Prefix {
                    bytes,
                    have: have + 1,
                };
                if have + 1 == bytes.len() {
                    let [compressed, length @ ..] = bytes;
                    if compressed != 0 {
                        return Err(Malformed::Compressed);
                    }
                    let end = self.position + u64::from(u32::from_be_bytes(length));
                    self.levels.push((Level::Response, end));
                    self.state = KEY;
                }
            }
            State::Key(key) => match self.varint(key, input)? {
                Read::Partly(key) => self.state = State::Key(key),
                Read::Whole(key) => self.field(key)?,
            },
            State::Number(field, number) => match self.varint(number, input)? {
                Read::Partly(number) => self.state = State::Number(field, number),
                Read::Whole(number) => {
                    self.number(field, number);
                    self.state = KEY;
                }
            },
            State::Length(field, length) => match self.varint(length, input)? {
                Read::Partly(length) => self.state = State::Length(field, length),
                Read::Whole(length) => return self.open(field, length),
            },
            State::Skip(end) => {
                self.take(end, input);
            }
            State::Digest(end) => {
                let part = self.take(end, input);
                self.digest.extend_from_slice(&part);
            }
            State::Content(end) => return Ok(Some(Event::Content(self.take(end, input)))),
        }
        Ok(None)
    }

    /// A key was read: decides how the value is read.
    fn field(&mut self, key: u64) -> Result<(), Malformed> {
        let key = u32::try_from(key).map_err(|_| Malformed::Field)?;
        let field = key >> 3;
        if field == 0 {
            return Err(Malformed::Field);
        }
        let kind = match key & 7 {
            0 => Kind::Number,
            1 => Kind::Fixed(8),
            2 => Kind::Bytes,
            5 => Kind::Fixed(4),
            // Groups are out of use; 6 and 7 never were in it.
            _ => return Err(Malformed::Kind(field)),
        };
        let expected = match (self.level(), field) {
            (Level::Response, response::STARTED | response::FINISHED)
            | (Level::Finished, finished::PIECE)
            | (Level::Piece, piece::DIGEST | piece::CONTENT) => Kind::Bytes,
            (Level::Started, started::CONTENT_LENGTH)
            | (Level::Piece, piece::NUMBER | piece::OFFSET | piece::LENGTH) => Kind::Number,
            _ => kind,
        };
        if kind != expected {
            return Err(Malformed::Kind(field));
        }
        self.state = match kind {
            Kind::Number => State::Number(field, Varint::default()),
            Kind::Bytes => State::Length(field, Varint::default()),
            Kind::Fixed(length) => State::Skip(self.end_of(length)?),
        };
        Ok(())
    }

    fn number(&mut self, field: u32, number: u64) {
        match (self.level(), field) {
            (Level::Started, started::CONTENT_LENGTH) => self.message.started = Some(number),
            // Cut off, as by every implementation.
            #[allow(clippy::cast_possible_truncation)]
            (Level::Piece, piece::NUMBER) => self.piece().number = number as u32,
            (Level::Piece, piece::OFFSET) => self.piece().offset = number,
            (Level::Piece, piece::LENGTH) => self.piece().length = number,
            _ => {}
        }
    }

    /// The length of a field was read: goes into the field, or past it.
    fn open(&mut self, field: u32, length: u64) -> Result<Option<Event>, Malformed> {
        let end = self.end_of(length)?;
        self.state = KEY;
        match (self.level(), field) {
            // Of the two kinds of message the later counts, and those of one kind are merged.
            (Level::Response, response::STARTED) if self.message.has_content => {
                return Err(Malformed::Mixed);
            }
            (Level::Response, response::STARTED) => {
                self.message = Message {
                    started: Some(self.message.started.unwrap_or_default()),
                    ..Message::default()
                };
                self.levels.push((Level::Started, end));
            }
            (Level::Response, response::FINISHED) => {
                self.message.started = None;
                self.message.finished = true;
                self.levels.push((Level::Finished, end));
            }
            (Level::Finished, finished::PIECE) => {
                self.message.piece.get_or_insert_default();
                self.levels.push((Level::Piece, end));
            }
            (Level::Piece, piece::DIGEST) if length > MAX_DIGEST => {
                return Err(Malformed::LongDigest(length));
            }
            (Level::Piece, piece::DIGEST) => self.state = State::Digest(end),
            (Level::Piece, piece::CONTENT) if self.message.has_content => {
                return Err(Malformed::ContentTwice);
            }
            (Level::Piece, piece::CONTENT) => {
                self.message.has_content = true;
                self.state = State::Content(end);
                let head = self.piece().clone();
                return Ok(Some(Event::ContentStarts { head, length }));
            }
            _ => self.state = State::Skip(end),
        }
        Ok(None)
    }

    fn level(&self) -> Level {
        self.levels
            .last()
            .map_or(Level::Response, |(level, _)| *level)
    }

    fn piece(&mut self) -> &mut PieceHead {
        self.message.piece.get_or_insert_default()
    }

    /// Where something of this length ends, which must be within what encloses it.
    fn end_of(&self, length: u64) -> Result<u64, Malformed> {
        let enclosing = self.levels.last().map_or(self.position, |(_, end)| *end);
        if length > enclosing - self.position {
            return Err(Malformed::Nesting);
        }
        Ok(self.position + length)
    }

    fn byte(&mut self, input: &mut Bytes) -> u8 {
        self.position += 1;
        input.get_u8()
    }

    /// The input up to a position, or all of it.
    fn take(&mut self, end: u64, input: &mut Bytes) -> Bytes {
        let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
        let part = input.split_to(left.min(input.len()));
        self.position += part.len() as u64;
        part
    }

    fn varint(&mut self, mut varint: Varint, input: &mut Bytes) -> Result<Read, Malformed> {
        while !input.is_empty() {
            if self.ends_here() {
                return Err(Malformed::Nesting);
            }
            if let Some(value) = varint.add(self.byte(input))? {
                return Ok(Read::Whole(value));
            }
        }
        Ok(Read::Partly(varint))
    }
}

impl Message {
    fn event(self) -> Event {
        match self {
            Self {
                started: Some(content_length),
                ..
            } => Event::Started { content_length },
            Self {
                piece: Some(head),
                has_content,
                ..
            } => Event::Piece { head, has_content },
            Self { finished: true, .. } => Event::NoPiece,
            _ => Event::Other,
        }
    }
}

/// A number in groups of seven bits, the lowest first.
#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    shift: u32,
}

enum Read {
    Partly(Varint),
    Whole(u64),
}

impl Varint {
    /// Adds a byte; the number, if it was the last.
    fn add(&mut self, byte: u8) -> Result<Option<u64>, Malformed> {
        // The tenth byte has room for one bit.
        if self.shift > 63 || (self.shift == 63 && byte > 1) {
            return Err(Malformed::Number);
        }
        self.value |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.value))
    }
}

#[cfg(test)]
mod tests;

//! The messages in a stream of gRPC, as it comes in parts. The content of a piece is handed on as it
//! comes, and so is any message that is long: neither is ever in memory as a whole.

mod place;

use std::io;

use self::place::content_place;
pub(crate) use self::place::without_content;

/// What is read of a message before it is decided where its content begins; also the longest message
/// that is kept whole, and the longest end behind the content.
pub(crate) const SHORT: usize = 64 << 10;

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// A message that has come to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// As it came, whatever it means.
    pub(crate) flag: u8,
    /// What stands before the content, or the whole message.
    pub(crate) head: Vec<u8>,
    /// How long the content is that was handed on.
    pub(crate) content: Option<u64>,
    /// What stands behind the content.
    pub(crate) tail: Vec<u8>,
    /// The content is the whole message.
    pub(crate) is_long: bool,
}

impl Frame {
    pub(crate) fn is_compressed(&self) -> bool {
        self.flag != 0
    }
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
        flag: u8,
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
            State::Head { flag, total, read } => {
                let frame = Frame {
                    flag,
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
                    flag: *flag,
                    total: u32::from_be_bytes(length) as usize,
                    read: Vec::new(),
                };
                Ok((state, true))
            }
            State::Head {
                flag,
                total,
                mut read,
            } => {
                take(data, &mut read, total.min(SHORT));
                if read.len() < total.min(SHORT) {
                    return Ok((State::Head { flag, total, read }, false));
                }
                Ok((self.after_head(flag, total, read, to)?, true))
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

    /// Hands on what was read of a message of `total` bytes: all of it, or the beginning of its content.
    fn after_head(
        &self,
        flag: u8,
        total: usize,
        mut read: Vec<u8>,
        to: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
    ) -> io::Result<State> {
        let may_be_piece = self.has_pieces && flag == 0;
        let place = may_be_piece.then(|| content_place(&read, total)).flatten();
        let place = place.filter(|(start, length)| total - start - length <= SHORT);
        let (start, length) = match place {
            Some(place) => place,
            None if total > SHORT => (0, total),
            None => {
                to(Part::Frame(Frame {
                    flag,
                    head: read,
                    ..Frame::default()
                }))?;
                return Ok(State::Prefix(Vec::new()));
            }
        };
        let rest = read.split_off(start);
        let (content, behind) = rest.split_at(rest.len().min(length));
        let mut frame = Frame {
            flag,
            head: read,
            content: Some(length as u64),
            tail: Vec::new(),
            is_long: place.is_none(),
        };
        let tail = total - start - length;
        to(Part::Begin {
            frame: &frame,
            length,
            tail,
        })?;
        to(Part::Content(content))?;
        frame.tail = behind.to_owned();
        Ok(State::Content {
            frame,
            left: length - content.len(),
            tail,
        })
    }
}

/// Moves bytes from `data` until there are `most` of them.
fn take(data: &mut &[u8], read: &mut Vec<u8>, most: usize) {
    let (taken, rest) = data.split_at(data.len().min(most.saturating_sub(read.len())));
    read.extend_from_slice(taken);
    *data = rest;
}

#[cfg(test)]
mod tests;

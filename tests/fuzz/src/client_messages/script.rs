//! What a daemon is to say in an export, and how it is asked: made from bytes.

use std::io;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine as _;
use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    DownloadPersistentCacheTaskStartedResponse, DownloadPieceFinishedResponse,
};
use dfdaemon_api::digest::{crc32, piece_digest};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::StreamBody;
use hyper::body::Frame as BodyFrame;
use prost::Message as _;

use crate::wire::{framed, messages};
use crate::{Rarely, series};

/// So many messages make a stream at most.
const MAX_MESSAGES: usize = 12;

#[derive(Clone, Copy, Debug, Arbitrary, PartialEq, Eq)]
pub(super) enum Way {
    ByTransfer,
    ByPath,
    ToWriter,
}

/// An export: how it is asked for, and how it is answered.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) frame: Frame,
    pub(super) content: Vec<u8>,
    messages: Vec<Said>,
}

/// All of it but the messages.
#[derive(Debug, Arbitrary)]
pub(super) struct Frame {
    pub(super) way: Way,
    /// Whether there is a file that is to be replaced.
    pub(super) old: bool,
    pub(super) digest: Rarely<Asked>,
    content_length: u8,
    piece_length: u8,
    /// What comes before the messages; everything once if it is not said.
    pub(super) opening: Rarely<Opening>,
    /// How it ends; well if it is not said.
    pub(super) end: Rarely<End>,
    /// What the daemon writes to the output; by default the content.
    pub(super) written: Rarely<Written>,
    cuts: [u8; 8],
}

#[derive(Debug, Arbitrary)]
pub(super) enum Opening {
    Nothing,
    Length,
    /// In a stream that may miss pieces.
    LengthAndFirstPiece,
}

/// What the client holds the whole content against.
#[derive(Clone, Copy, Debug, Arbitrary, PartialEq, Eq)]
pub(super) enum Asked {
    Right,
    Wrong,
}

/// A message of the stream.
#[derive(Debug)]
pub(super) enum Said {
    Started,
    StartedWith(u64),
    Nothing,
    NoPiece,
    /// A piece as it is.
    Piece(u8),
    /// A piece that is odd in one way.
    Odd {
        piece: u8,
        oddity: Oddity,
    },
}

/// Most fit, for the same reason.
impl<'a> Arbitrary<'a> for Said {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u8::arbitrary(input)? % 64 {
            0 => Self::StartedWith(u64::arbitrary(input)?),
            1 => Self::NoPiece,
            2..6 => Self::Started,
            6..10 => Self::Nothing,
            10..26 => Self::Odd {
                piece: u8::arbitrary(input)?,
                oddity: Oddity::arbitrary(input)?,
            },
            _ => Self::Piece(u8::arbitrary(input)?),
        })
    }
}

#[derive(Debug, Arbitrary)]
pub(super) enum Oddity {
    Number(u32),
    Offset(u64),
    /// So much farther on, or farther back.
    Moved(i8),
    Length(u64),
    Longer(i8),
    NoDigest,
    Digest(String),
    NoContent,
    Damaged(u16),
    /// Damaged, and nothing to tell it by.
    DamagedUnseen(u16),
    Content(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
pub(super) enum End {
    WithoutStatus,
    Broken,
    With {
        code: i8,
        message: Vec<u8>,
        details: Vec<u8>,
        encoded: bool,
    },
}

#[derive(Debug, Arbitrary)]
pub(super) enum Written {
    Nothing,
    Other(Vec<u8>),
}

impl Script {
    /// None of too few bytes.
    pub(super) fn of(input: &[u8]) -> Option<Self> {
        let mut input = Unstructured::new(input);
        let frame = Frame::arbitrary(&mut input).ok()?;
        let bytes = 0..frame.content_length;
        Some(Self {
            content: bytes.map(|byte| byte.wrapping_mul(59)).collect(),
            messages: series(&mut input, MAX_MESSAGES),
            frame,
        })
    }

    pub(super) fn piece_length(&self) -> usize {
        usize::from(self.frame.piece_length).max(1)
    }

    pub(super) fn piece(&self, number: usize) -> Piece {
        let offset = number * self.piece_length();
        let end = (offset + self.piece_length()).min(self.content.len());
        let content = self.content.get(offset..end).unwrap_or_default();
        Piece {
            number: u32::try_from(number).unwrap(),
            offset: offset as u64,
            length: content.len() as u64,
            digest: piece_digest(crc32(content)),
            content: Some(Bytes::copy_from_slice(content)),
            ..Piece::default()
        }
    }

    fn started(length: u64) -> Option<Event> {
        let content_length = length;
        let started = DownloadPersistentCacheTaskStartedResponse { content_length };
        Some(Event::DownloadPersistentCacheTaskStartedResponse(started))
    }

    /// All messages, as the daemon sends them.
    pub(super) fn said(&self) -> Vec<Option<Event>> {
        let finished = |mut piece: Piece| {
            if self.frame.way == Way::ByPath {
                piece.content = None;
            }
            let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
            Some(Event::DownloadPieceFinishedResponse(finished))
        };
        let length = self.content.len();
        let count = length.div_ceil(self.piece_length());
        let mut said = Vec::new();
        let pieces = match self.frame.opening.0 {
            None => Some(count),
            Some(Opening::LengthAndFirstPiece) => Some(count.min(1)),
            Some(Opening::Length) => Some(0),
            Some(Opening::Nothing) => None,
        };
        if let Some(pieces) = pieces {
            said.push(Self::started(length as u64));
            said.extend((0..pieces).map(|number| finished(self.piece(number))));
        }
        said.extend(self.messages.iter().map(|message| match message {
            Said::Started => Self::started(length as u64),
            Said::StartedWith(length) => Self::started(*length),
            Said::Nothing => None,
            Said::NoPiece => {
                let finished = DownloadPieceFinishedResponse { piece: None };
                Some(Event::DownloadPieceFinishedResponse(finished))
            }
            Said::Piece(number) => finished(self.piece(usize::from(*number) % count.max(1))),
            Said::Odd { piece, oddity } => {
                finished(oddity.of(self.piece(usize::from(*piece) % count.max(1))))
            }
        }));
        said
    }

    pub(super) fn answer(
        &self,
        request: &[u8],
    ) -> Response<StreamBody<impl futures_util::Stream<Item = io::Result<BodyFrame<Bytes>>> + use<>>>
    {
        self.write(request);
        let mut bytes = Vec::new();
        for response in self.said() {
            let message = DownloadPersistentCacheTaskResponse {
                task_id: "7".to_owned(),
                response,
                ..DownloadPersistentCacheTaskResponse::default()
            };
            bytes.extend(framed(&message.encode_to_vec()));
        }
        let mut bytes = Bytes::from(bytes);
        let mut frames = Vec::new();
        for cut in &self.frame.cuts {
            let length = usize::from(*cut).min(bytes.len());
            frames.push(Ok(BodyFrame::data(bytes.split_to(length))));
        }
        frames.push(Ok(BodyFrame::data(bytes)));
        match &self.frame.end.0 {
            None => frames.push(Ok(BodyFrame::trailers(trailers(0)))),
            Some(End::WithoutStatus) => {}
            Some(End::Broken) => frames.push(Err(io::Error::other("broken"))),
            Some(End::With {
                code,
                message,
                details,
                encoded,
            }) => {
                let mut trailers = trailers(*code);
                let details = if *encoded {
                    base64::engine::general_purpose::STANDARD
                        .encode(details)
                        .into_bytes()
                } else {
                    details.clone()
                };
                for (name, value) in [
                    ("grpc-message", message),
                    ("grpc-status-details-bin", &details),
                ] {
                    if let Ok(value) = HeaderValue::from_bytes(value) {
                        trailers.insert(name, value);
                    }
                }
                frames.push(Ok(BodyFrame::trailers(trailers)));
            }
        }
        let mut response = Response::new(StreamBody::new(stream::iter(frames)));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        response
    }

    /// Writes to where the request says.
    fn write(&self, request: &[u8]) {
        let messages = messages(request);
        let request = DownloadPersistentCacheTaskRequest::decode(messages[0]).unwrap();
        let bytes = match &self.frame.written.0 {
            None => &self.content,
            Some(Written::Nothing) => return,
            Some(Written::Other(other)) => other,
        };
        if let Some(path) = request.output_path {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

impl Oddity {
    fn of(&self, piece: Piece) -> Piece {
        let content = piece.content.clone().unwrap_or_default();
        match self {
            Self::Number(number) => Piece {
                number: *number,
                ..piece
            },
            Self::Offset(offset) => Piece {
                offset: *offset,
                ..piece
            },
            Self::Moved(by) => Piece {
                offset: piece.offset.wrapping_add_signed((*by).into()),
                ..piece
            },
            Self::Length(length) => Piece {
                length: *length,
                ..piece
            },
            Self::Longer(by) => Piece {
                length: piece.length.wrapping_add_signed((*by).into()),
                ..piece
            },
            Self::NoDigest => Piece {
                digest: String::new(),
                ..piece
            },
            Self::Digest(digest) => Piece {
                digest: digest.clone(),
                ..piece
            },
            Self::NoContent => Piece {
                content: None,
                ..piece
            },
            Self::Damaged(at) => Piece {
                content: Some(damaged(&content, (*at).into())),
                ..piece
            },
            Self::DamagedUnseen(at) => Piece {
                content: Some(damaged(&content, (*at).into())),
                digest: String::new(),
                ..piece
            },
            Self::Content(content) => Piece {
                content: Some(content.clone().into()),
                ..piece
            },
        }
    }
}

fn damaged(bytes: &[u8], at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    let length = bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(at % length) {
        *byte ^= 1;
    }
    bytes.into()
}

fn trailers(code: i8) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(i16::from(code)));
    trailers
}

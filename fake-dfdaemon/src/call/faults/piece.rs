//! What faults do to the messages of an export.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::digest::{parse_piece_digest, piece_digest};

use super::Action;

/// A piece on its way out, without the content itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) piece: Piece,
    /// The content that goes with it, in bytes of the task.
    pub(crate) content: Option<Range<u64>>,
    /// The byte of the task's content that gets another bit.
    pub(crate) flipped: Option<u64>,
}

impl Outgoing {
    /// A part of the content, from `start` on, with the bit flipped that is to be.
    pub(crate) fn with_flipped_bit(&self, chunk: Bytes, start: u64) -> Bytes {
        let place = self.flipped.and_then(|flipped| flipped.checked_sub(start));
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.filter(|place| *place < chunk.len()) else {
            return chunk;
        };
        let mut chunk = BytesMut::from(chunk);
        chunk[place] ^= 1;
        chunk.freeze()
    }
}

/// What becomes of a piece that a fault has hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceFate {
    Sent,
    Skipped,
    Repeated,
    /// The stream ends here, as if all were well.
    End,
}

/// Whether an action could do anything to this very piece.
pub(crate) fn applies(action: &Action, outgoing: &Outgoing) -> bool {
    match action {
        Action::CorruptPiece | Action::NoContent => outgoing.content.is_some(),
        Action::CorruptDigest | Action::EmptyDigest => !outgoing.piece.digest.is_empty(),
        _ => true,
    }
}

/// Damages a piece.
pub(crate) fn damage(action: &Action, outgoing: &mut Outgoing) -> PieceFate {
    let piece = &mut outgoing.piece;
    match action {
        Action::SkipPiece => return PieceFate::Skipped,
        Action::RepeatPiece => return PieceFate::Repeated,
        Action::End => return PieceFate::End,
        Action::CorruptPiece => {
            let content = outgoing.content.clone().unwrap_or_default();
            outgoing.flipped = Some(content.start + (content.end - content.start) / 2);
        }
        Action::CorruptDigest => {
            let digest = parse_piece_digest(&piece.digest).unwrap_or_default();
            piece.digest = piece_digest(!digest);
        }
        Action::EmptyDigest => piece.digest.clear(),
        Action::NoContent => outgoing.content = None,
        Action::WrongLength(by) => piece.length = piece.length.saturating_add_signed(*by),
        _ => {}
    }
    PieceFate::Sent
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::digest::crc32;

    use super::*;
    use crate::call::faults::table::Takes;

    fn outgoing() -> Outgoing {
        let piece = Piece {
            length: 3,
            digest: piece_digest(crc32(b"abc")),
            ..Piece::default()
        };
        Outgoing {
            piece,
            content: Some(10..13),
            flipped: None,
        }
    }

    fn damaged(action: &Action) -> (PieceFate, Outgoing) {
        let mut outgoing = outgoing();
        (damage(action, &mut outgoing), outgoing)
    }

    #[test]
    fn each_fault_spoils_what_it_says_and_nothing_else() {
        let sound = outgoing();
        let (fate, bad) = damaged(&Action::CorruptPiece);
        assert_eq!(
            (fate, bad),
            (
                PieceFate::Sent,
                Outgoing {
                    flipped: Some(11),
                    ..sound.clone()
                }
            )
        );
        let bad = damaged(&Action::CorruptDigest).1;
        assert!(bad.piece.digest != sound.piece.digest);
        assert!(parse_piece_digest(&bad.piece.digest).is_ok());
        let digest = |digest: &str| Piece {
            digest: digest.to_owned(),
            ..sound.piece.clone()
        };
        let bad = damaged(&Action::EmptyDigest).1;
        assert_eq!(
            bad,
            Outgoing {
                piece: digest(""),
                ..sound.clone()
            }
        );
        let bad = damaged(&Action::NoContent).1;
        assert_eq!(
            bad,
            Outgoing {
                content: None,
                ..sound.clone()
            }
        );
        let bad = damaged(&Action::WrongLength(-1)).1;
        assert_eq!(
            bad.piece,
            Piece {
                length: 2,
                ..sound.piece.clone()
            }
        );
        for (action, fate) in [
            (Action::SkipPiece, PieceFate::Skipped),
            (Action::RepeatPiece, PieceFate::Repeated),
            (Action::End, PieceFate::End),
        ] {
            assert_eq!(damaged(&action), (fate, sound.clone()));
        }
    }

    #[test]
    fn the_flipped_bit_is_in_one_chunk() {
        let bad = damaged(&Action::CorruptPiece).1;
        let chunk = |bytes: &'static [u8], start| bad.with_flipped_bit(bytes.into(), start);
        assert_eq!(chunk(b"abc", 10), &b"acc"[..]);
        assert_eq!(chunk(b"acc", 10), &b"abc"[..]);
        assert_eq!(chunk(b"bc", 11), &b"cc"[..]);
        assert_eq!(
            (chunk(b"a", 10), chunk(b"c", 12)),
            (b"a"[..].into(), b"c"[..].into())
        );
    }

    #[test]
    fn the_flipped_bit_is_in_the_middle() {
        let mut outgoing = outgoing();
        outgoing.content = Some(10..20);
        damage(&Action::CorruptPiece, &mut outgoing);
        assert_eq!(outgoing.flipped, Some(15));
    }

    #[test]
    fn what_spoils_a_piece_or_ends_the_stream_at_one_hits_pieces() {
        let sound = (PieceFate::Sent, outgoing());
        for row in Action::rows() {
            let text = match &row.takes {
                Takes::Nothing(_) => row.name.to_owned(),
                Takes::Argument(argument) => format!("{}={}", row.name, argument.example),
            };
            let action = Action::from_text(&text).unwrap();
            assert_eq!(action.hits_pieces(), damaged(&action) != sound, "{text}");
        }
    }

    #[test]
    fn a_fault_does_not_apply_where_there_is_nothing_to_spoil() {
        let mut bare = outgoing();
        bare.content = None;
        bare.piece.digest.clear();
        for action in [
            Action::CorruptPiece,
            Action::NoContent,
            Action::CorruptDigest,
            Action::EmptyDigest,
        ] {
            assert!(
                applies(&action, &outgoing()) && !applies(&action, &bare),
                "{action:?}"
            );
        }
    }
}

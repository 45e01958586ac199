//! What faults do to the messages of an export.

use bytes::{Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::digest::{parse_piece_digest, piece_digest};

use crate::faults::Action;

/// What becomes of a piece that a fault has hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Skipped,
    Repeated,
    /// The stream ends here, as if all were well.
    End,
}

/// Whether an action hits single pieces: it fires once a call, at its place or at the first piece.
pub(super) fn hits_pieces(action: &Action) -> bool {
    matches!(
        action,
        Action::End
            | Action::SkipPiece
            | Action::RepeatPiece
            | Action::CorruptPiece
            | Action::CorruptDigest
            | Action::EmptyDigest
            | Action::NoContent
            | Action::WrongLength(_)
    )
}

/// Whether an action could do anything to this very piece.
pub(super) fn applies(action: &Action, piece: &Piece) -> bool {
    match action {
        Action::CorruptPiece | Action::NoContent => piece.content.is_some(),
        Action::CorruptDigest | Action::EmptyDigest => !piece.digest.is_empty(),
        _ => true,
    }
}

/// Spoils a piece.
pub(super) fn spoil(action: &Action, piece: &mut Piece) -> Fate {
    match action {
        Action::SkipPiece => return Fate::Skipped,
        Action::RepeatPiece => return Fate::Repeated,
        Action::End => return Fate::End,
        Action::CorruptPiece => {
            piece.content = piece.content.take().map(with_a_flipped_bit);
        }
        Action::CorruptDigest => {
            let digest = parse_piece_digest(&piece.digest).unwrap_or_default();
            piece.digest = piece_digest(!digest);
        }
        Action::EmptyDigest => piece.digest.clear(),
        Action::NoContent => piece.content = None,
        Action::WrongLength(by) => piece.length = piece.length.saturating_add_signed(*by),
        _ => {}
    }
    Fate::Sent
}

fn with_a_flipped_bit(content: Bytes) -> Bytes {
    let mut content = BytesMut::from(content);
    let middle = content.len() / 2;
    if let Some(byte) = content.get_mut(middle) {
        *byte ^= 1;
    }
    content.freeze()
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::digest::crc32;

    use super::*;

    fn piece() -> Piece {
        Piece {
            length: 3,
            digest: piece_digest(crc32(b"abc")),
            content: Some(Bytes::from_static(b"abc")),
            ..Piece::default()
        }
    }

    fn spoiled(action: &Action) -> (Fate, Piece) {
        let mut piece = piece();
        (spoil(action, &mut piece), piece)
    }

    #[test]
    fn each_fault_spoils_what_it_says_and_nothing_else() {
        let sound = piece();
        let (fate, bad) = spoiled(&Action::CorruptPiece);
        assert_eq!(
            (fate, bad.content.as_deref()),
            (Fate::Sent, Some(&b"acc"[..]))
        );
        assert_eq!(bad.digest, sound.digest);
        let bad = spoiled(&Action::CorruptDigest).1;
        assert!(bad.digest != sound.digest && parse_piece_digest(&bad.digest).is_ok());
        assert_eq!(bad.content, sound.content);
        assert_eq!(
            spoiled(&Action::EmptyDigest).1,
            Piece {
                digest: String::new(),
                ..sound.clone()
            }
        );
        assert_eq!(
            spoiled(&Action::NoContent).1,
            Piece {
                content: None,
                ..sound.clone()
            }
        );
        assert_eq!(
            spoiled(&Action::WrongLength(-1)).1,
            Piece {
                length: 2,
                ..sound.clone()
            }
        );
        for (action, fate) in [
            (Action::SkipPiece, Fate::Skipped),
            (Action::RepeatPiece, Fate::Repeated),
            (Action::End, Fate::End),
        ] {
            assert_eq!(spoiled(&action), (fate, sound.clone()));
        }
    }

    #[test]
    fn a_fault_does_not_apply_where_there_is_nothing_to_spoil() {
        let bare = Piece {
            content: None,
            digest: String::new(),
            ..piece()
        };
        for action in [
            Action::CorruptPiece,
            Action::NoContent,
            Action::CorruptDigest,
            Action::EmptyDigest,
        ] {
            assert!(
                applies(&action, &piece()) && !applies(&action, &bare),
                "{action:?}"
            );
        }
    }
}

//! Damage to a piece of an export.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::digest::{parse_piece_digest, piece_digest};

/// What is wrong with a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceDamage {
    Skip,
    Repeat,
    /// The stream ends here.
    End,
    FlipBit,
    WrongDigest,
    NoDigest,
    NoContent,
    /// Its length, and how much is added to it.
    Length(i64),
}

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
    /// Whether the receiver can tell its content from any other by the digest that goes with it.
    pub(crate) fn is_told_by_digest(&self) -> bool {
        self.flipped.is_none() && !self.piece.digest.is_empty()
    }

    /// A part of the content, from `start` on, with the flipped bit if it lies there.
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

/// Whether this very piece has what the damage would hit.
pub(crate) fn applies(damage: PieceDamage, outgoing: &Outgoing) -> bool {
    match damage {
        PieceDamage::FlipBit | PieceDamage::NoContent => outgoing.content.is_some(),
        PieceDamage::WrongDigest | PieceDamage::NoDigest => !outgoing.piece.digest.is_empty(),
        PieceDamage::Skip | PieceDamage::Repeat | PieceDamage::End | PieceDamage::Length(_) => true,
    }
}

/// Damages a piece.
pub(crate) fn damage(damage: PieceDamage, outgoing: &mut Outgoing) -> PieceFate {
    let piece = &mut outgoing.piece;
    match damage {
        PieceDamage::Skip => return PieceFate::Skipped,
        PieceDamage::Repeat => return PieceFate::Repeated,
        PieceDamage::End => return PieceFate::End,
        PieceDamage::FlipBit => {
            let content = outgoing.content.clone().unwrap_or_default();
            outgoing.flipped = Some(content.start + (content.end - content.start) / 2);
        }
        PieceDamage::WrongDigest => {
            let digest = parse_piece_digest(&piece.digest).unwrap_or_default();
            piece.digest = piece_digest(!digest);
        }
        PieceDamage::NoDigest => piece.digest.clear(),
        PieceDamage::NoContent => outgoing.content = None,
        PieceDamage::Length(by) => piece.length = piece.length.saturating_add_signed(by),
    }
    PieceFate::Sent
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::digest::crc32;

    use super::*;
    use crate::call::faults::Action;
    use crate::call::faults::effect::{Effect, PieceEffect};

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

    fn damaged(with: PieceDamage) -> (PieceFate, Outgoing) {
        let mut outgoing = outgoing();
        (damage(with, &mut outgoing), outgoing)
    }

    #[test]
    fn each_fault_spoils_what_it_says_and_nothing_else() {
        let sound = outgoing();
        let (fate, bad) = damaged(PieceDamage::FlipBit);
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
        let bad = damaged(PieceDamage::WrongDigest).1;
        assert!(bad.piece.digest != sound.piece.digest);
        assert!(parse_piece_digest(&bad.piece.digest).is_ok());
        let digest = |digest: &str| Piece {
            digest: digest.to_owned(),
            ..sound.piece.clone()
        };
        let bad = damaged(PieceDamage::NoDigest).1;
        assert_eq!(
            bad,
            Outgoing {
                piece: digest(""),
                ..sound.clone()
            }
        );
        let bad = damaged(PieceDamage::NoContent).1;
        assert_eq!(
            bad,
            Outgoing {
                content: None,
                ..sound.clone()
            }
        );
        let bad = damaged(PieceDamage::Length(-1)).1;
        assert_eq!(
            bad.piece,
            Piece {
                length: 2,
                ..sound.piece.clone()
            }
        );
        for (damage, fate) in [
            (PieceDamage::Skip, PieceFate::Skipped),
            (PieceDamage::Repeat, PieceFate::Repeated),
            (PieceDamage::End, PieceFate::End),
        ] {
            assert_eq!(damaged(damage), (fate, sound.clone()));
        }
    }

    #[test]
    fn the_flipped_bit_is_in_one_chunk() {
        let bad = damaged(PieceDamage::FlipBit).1;
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
        damage(PieceDamage::FlipBit, &mut outgoing);
        assert_eq!(outgoing.flipped, Some(15));
    }

    #[test]
    fn what_damages_a_piece_changes_it_or_its_fate() {
        let sound = (PieceFate::Sent, outgoing());
        for action in Action::examples() {
            if let Some(Effect::Piece(PieceEffect::Damage(damage))) =
                action.effects().first().copied()
            {
                assert_ne!(damaged(damage), sound, "{action:?}");
            }
        }
    }

    #[test]
    fn a_fault_does_not_apply_where_there_is_nothing_to_spoil() {
        let mut bare = outgoing();
        bare.content = None;
        bare.piece.digest.clear();
        for damage in [
            PieceDamage::FlipBit,
            PieceDamage::NoContent,
            PieceDamage::WrongDigest,
            PieceDamage::NoDigest,
        ] {
            assert!(
                applies(damage, &outgoing()) && !applies(damage, &bare),
                "{damage:?}"
            );
        }
    }
}

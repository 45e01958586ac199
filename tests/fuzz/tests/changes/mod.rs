//! Inputs that are nearly what is kept: a few bytes or words of one are changed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What is done to an input.
#[derive(Clone, Debug)]
enum Change {
    Flip {
        at: Index,
        bit: u8,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    Remove {
        at: Index,
        length: usize,
    },
    /// A word becomes one of any input that is kept.
    Word {
        at: Index,
        from: Index,
        word: Index,
    },
    /// From here on it is as another one is from there on.
    Continue {
        at: Index,
        from: Index,
        there: Index,
    },
}

/// One of `kept`, with up to three changes.
pub(crate) fn changed(kept: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(change(), 0..4)).prop_map(move |(one, changes)| {
        let one = one.get(&kept).clone();
        let change = |input, change: &Change| change.of(input, &kept);
        changes.iter().fold(one, change)
    })
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        1 => (at(), vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        1 => (at(), 1..9_usize).prop_map(|(at, length)| Change::Remove { at, length }),
        4 => (at(), at(), at()).prop_map(|(at, from, word)| Change::Word { at, from, word }),
        1 => (at(), at(), at()).prop_map(|(at, from, there)| Change::Continue { at, from, there }),
    ]
}

impl Change {
    fn of(&self, mut input: Vec<u8>, kept: &[Vec<u8>]) -> Vec<u8> {
        if input.is_empty() {
            return input;
        }
        let length = input.len();
        match self {
            Self::Flip { at, bit } => input[at.index(length)] ^= 1 << bit,
            Self::Insert { at, bytes } => {
                let at = at.index(length);
                input.splice(at..at, bytes.iter().copied());
            }
            Self::Remove { at, length: many } => {
                let at = at.index(length);
                input.drain(at..(at + many).min(length));
            }
            Self::Word { at, from, word } => {
                let mut words = words(&input);
                let others = self::words(&kept[from.index(kept.len())]);
                let at = at.index(words.len());
                words[at] = others[word.index(others.len())];
                return words.concat();
            }
            Self::Continue { at, from, there } => {
                let other = &kept[from.index(kept.len())];
                input.truncate(at.index(length));
                input.extend(&other[there.index(other.len())..]);
            }
        }
        input
    }
}

/// The words of a text, and what stands between them; bytes that are no text, in some way.
fn words(input: &[u8]) -> Vec<&[u8]> {
    let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    input
        .chunk_by(|one, next| of_word(one) && of_word(next))
        .collect()
}

//! Numbers that look random and are the same for the same seed, on every machine.

/// The SplitMix64 generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator for one thing among others: each part changes all that comes.
    pub(crate) fn of(parts: &[u64]) -> Self {
        let mix = |seed, part: &u64| Self(seed ^ part).next();
        Self(parts.iter().fold(0, mix))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // The 53 bits that a double holds exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Puts items into another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).unwrap_or_default();
            items.swap(last, other);
        }
    }
}

/// A seed that fits a JSON number of any language: 32 bits.
pub(crate) fn any_seed() -> u64 {
    u64::from(uuid::Uuid::new_v4().as_fields().0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |parts: &[u64]| {
            let mut random = Random::of(parts);
            [random.next(), random.next()]
        };
        assert_eq!(numbers(&[1, 2]), numbers(&[1, 2]));
        assert_ne!(numbers(&[1, 2]), numbers(&[2, 1]));
        assert_ne!(numbers(&[1, 2]), numbers(&[1, 3]));
    }

    /// A seed has to hit the same calls in every build; the numbers are those of other
    /// implementations.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Random(1_234_567);
        let numbers = [(); 5].map(|()| random.next());
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
        let of_parts = |first: u64, second: u64| {
            let first = Random(first).next();
            Random(Random(first ^ second).next()).next()
        };
        assert_eq!(Random::of(&[5, u64::MAX]).next(), of_parts(5, u64::MAX));
        assert_eq!(Random::of(&[0, 3]).next(), of_parts(0, 3));
    }

    #[test]
    fn fractions_fill_their_range() {
        let mut random = Random::of(&[7]);
        let fractions: Vec<_> = (0..1000).map(|_| random.fraction()).collect();
        assert!(
            fractions
                .iter()
                .all(|fraction| (0.0..1.0).contains(fraction))
        );
        let low = fractions
            .iter()
            .filter(|fraction| **fraction < 0.25)
            .count();
        assert!(
            (200..300).contains(&low),
            "{low} of 1000 in the lowest quarter"
        );
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        for count in [0, 1, 2, 25] {
            let mut items: Vec<_> = (0..count).collect();
            Random::of(&[1]).shuffle(&mut items);
            let mut sorted = items.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert!(count < 25 || items != sorted);
        }
    }

    #[test]
    fn a_shuffle_makes_every_order() {
        let orders: HashSet<_> = (0..100)
            .map(|seed| {
                let mut items = [0, 1, 2];
                Random::of(&[seed]).shuffle(&mut items);
                items
            })
            .collect();
        assert_eq!(orders.len(), 6);
    }
}

//! Numbers that look random but follow from a seed, so that every run can be repeated.
//!
//! Spread and jitter need no more than this. It knows nothing of the system's random source and
//! must never make a secret.

/// The splitmix64 generator (Steele, Lea, Flood 2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

/// The finishing step of splitmix64: every input bit changes about half of the output bits.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A hash of a text that is the same on every machine and in every release (FNV-1a, then mixed).
pub fn hash_text(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

impl Random {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A generator of its own for each name, so that one more service does not shift the others' numbers.
    pub fn for_name(seed: u64, name: &str) -> Random {
        Random { state: seed ^ hash_text(name) }
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number from `least` to `most`, both included; `least` when `most` is smaller.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        let span = u128::from(most.saturating_sub(least)) + 1;
        // Multiply and shift instead of modulo: no bias towards small numbers for short spans.
        let offset = (u128::from(self.next_number()) * span) >> 64;
        least.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // First outputs of the reference implementation for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_number(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_range_is_reached_at_both_ends_and_never_left() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| random.between(3, 6)).collect();
        for number in 3..=6 {
            assert!(drawn.contains(&number), "{number} never drawn");
        }
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert_eq!(random.between(9, 2), 9);
        random.between(0, u64::MAX);
    }

    #[test]
    fn names_have_streams_of_their_own() {
        assert_ne!(Random::for_name(1, "a/1"), Random::for_name(1, "a/2"));
        assert_eq!(Random::for_name(1, "a/1"), Random::for_name(1, "a/1"));
    }
}

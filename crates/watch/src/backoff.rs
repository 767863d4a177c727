//! Pauses between tries: doubling, with full jitter, between a first and a longest pause.
//!
//! It knows neither what is tried nor when to give up.

use crate::random::Random;
use std::time::Duration;

/// Exponential back-off. The first pause is exactly `first`; pause number n is drawn evenly from
/// `first` up to `first` doubled n - 1 times, and never longer than `most`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    pauses: u32,
    random: Random,
}

impl Backoff {
    /// A back-off between two bounds; when `most` is below `first`, every pause is `first`.
    pub fn new(first: Duration, most: Duration, random: Random) -> Backoff {
        Backoff { first, most: most.max(first), pauses: 0, random }
    }

    /// Changes the bounds and keeps the count of pauses.
    pub fn set_bounds(&mut self, first: Duration, most: Duration) {
        self.first = first;
        self.most = most.max(first);
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX);
        self.pauses = self.pauses.saturating_add(1);
        let longest = self.first.saturating_mul(factor).min(self.most);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.between(millis(self.first), millis(longest)))
    }

    /// Starts again with the first pause.
    pub fn reset(&mut self) {
        self.pauses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_stay_in_bounds() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(ms(250), ms(30_000), Random::new(seed));
            for (number, longest) in
                [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].iter().enumerate()
            {
                let pause = backoff.next_pause();
                assert!((ms(250)..=ms(*longest)).contains(&pause), "seed {seed}, pause {number}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_hundred_pauses_do_not_overflow() {
        let mut backoff = Backoff::new(ms(250), Duration::MAX, Random::new(1));
        for _ in 0..100 {
            backoff.next_pause();
        }
    }

    #[test]
    fn reset_starts_again_with_the_first_pause() {
        let mut backoff = Backoff::new(ms(250), ms(30_000), Random::new(3));
        for _ in 0..5 {
            backoff.next_pause();
        }
        backoff.reset();
        assert_eq!(backoff.next_pause(), ms(250));
    }

    #[test]
    fn bounds_the_wrong_way_round_mean_the_first() {
        let mut backoff = Backoff::new(ms(250), ms(10), Random::new(3));
        assert_eq!([backoff.next_pause(), backoff.next_pause()], [ms(250), ms(250)]);
    }
}

//! When repeated work is done: spread over the interval and jittered, so that ten thousand probes
//! of one rhythm do not fall into the same millisecond.
//!
//! It knows neither what is repeated nor what time it is.

use crate::random::{Random, hash_text};
use std::time::Duration;

/// How far a repeated span may leave its rhythm, in percent either way.
pub const JITTER_PERCENT: u64 = 10;

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Where in the interval the work of `name` begins: from zero up to, never reaching, `every`.
///
/// It follows from the name alone, so a restart of the core keeps the spread.
pub fn first_offset(name: &str, every: Duration) -> Duration {
    let offset = (u128::from(hash_text(name)) * u128::from(millis(every))) >> 64;
    Duration::from_millis(u64::try_from(offset).unwrap_or(0))
}

/// The next span of a rhythm: `every`, give or take [`JITTER_PERCENT`], never zero.
pub fn jittered(every: Duration, random: &mut Random) -> Duration {
    let middle = millis(every).max(1);
    let most_off = middle / 100 * JITTER_PERCENT + middle % 100 * JITTER_PERCENT / 100;
    let span = random.between(middle - most_off, middle.saturating_add(most_off));
    Duration::from_millis(span.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_offsets_are_spread_evenly() {
        let every = Duration::from_secs(30);
        let mut tenths = [0_u32; 10];
        for number in 0..10_000 {
            let offset = first_offset(&format!("service-{number}/1"), every);
            assert!(offset < every);
            tenths[usize::try_from(offset.as_millis() / 3_000).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (900..=1_100).contains(count)), "{tenths:?}");
    }

    #[test]
    fn jitter_stays_within_ten_percent() {
        let mut random = Random::new(1);
        let spans: Vec<u128> =
            (0..1_000).map(|_| jittered(Duration::from_secs(30), &mut random).as_millis()).collect();
        assert!(spans.iter().all(|span| (27_000..=33_000).contains(span)));
        assert!(spans.iter().any(|span| *span < 27_500) && spans.iter().any(|span| *span > 32_500));
        assert_eq!(jittered(Duration::ZERO, &mut random), Duration::from_millis(1));
    }
}

//! Which instance gets the next request: round robin over the healthy ones, then the degraded ones.
//!
//! It knows states only: no addresses, no breaker, no connections. The pure function [`next`] does
//! the work, so many threads need to share nothing but a counter.

use haus_model::health::HealthState;
use std::sync::atomic::{AtomicU64, Ordering};

/// The index of the candidate whose turn it is.
///
/// Candidates at an index in `excluded` (already tried, breaker open) are never taken, nor are
/// offline or unknown ones. Degraded ones get a turn only when no healthy one is left. While the
/// choice stays the same, a counter that grows by one gives every candidate its turn, so no two
/// differ by more than one.
pub fn next(counter: u64, candidates: &[HealthState], excluded: &[usize]) -> Option<usize> {
    [HealthState::Healthy, HealthState::Degraded].into_iter().find_map(|wanted| {
        let eligible = || {
            let of_state = candidates.iter().enumerate().filter(move |(_, state)| **state == wanted);
            of_state.map(|(index, _)| index).filter(|index| !excluded.contains(index))
        };
        let count = u64::try_from(eligible().count()).ok().filter(|count| *count > 0)?;
        eligible().nth(usize::try_from(counter % count).ok()?)
    })
}

/// A counter for [`next`] that threads share without a lock.
#[derive(Debug, Default)]
pub struct RoundRobin {
    counter: AtomicU64,
}

impl RoundRobin {
    /// Begins at `counter`, so that several gateways need not all begin with the first instance.
    pub fn starting_at(counter: u64) -> RoundRobin {
        RoundRobin { counter: AtomicU64::new(counter) }
    }

    /// Takes the next turn; see [`next`].
    pub fn pick(&self, candidates: &[HealthState], excluded: &[usize]) -> Option<usize> {
        // Only the number matters, nothing is published through it: relaxed is enough.
        next(self.counter.fetch_add(1, Ordering::Relaxed), candidates, excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthState::{Degraded, Healthy, Offline, Unknown};

    fn check(candidates: &[HealthState], excluded: &[usize], expected: &[Option<usize>]) {
        let round_robin = RoundRobin::default();
        let picked: Vec<_> = expected.iter().map(|_| round_robin.pick(candidates, excluded)).collect();
        assert_eq!(picked, expected, "{candidates:?} without {excluded:?}");
    }

    #[test]
    fn healthy_ones_take_turns() {
        check(&[Healthy, Offline, Healthy], &[], &[Some(0), Some(2), Some(0), Some(2)]);
    }

    #[test]
    fn degraded_ones_serve_only_when_no_healthy_one_is_left() {
        check(&[Degraded, Healthy, Degraded], &[], &[Some(1), Some(1)]);
        check(&[Degraded, Healthy, Degraded], &[1], &[Some(0), Some(2), Some(0)]);
    }

    #[test]
    fn nobody_is_better_than_an_excluded_offline_or_unknown_one() {
        check(&[], &[], &[None]);
        check(&[Offline, Unknown], &[], &[None]);
        check(&[Healthy, Degraded], &[0, 1], &[None]);
    }

    #[test]
    fn the_counter_may_wrap_around() {
        let round_robin = RoundRobin::starting_at(u64::MAX);
        assert!(round_robin.pick(&[Healthy, Healthy], &[]).is_some());
        assert_eq!(round_robin.pick(&[Healthy, Healthy], &[]), Some(0));
    }
}

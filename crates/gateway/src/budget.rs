//! The retry budget: retries may add a fifth to the load, and ten a second on top, never more.
//!
//! Without it a failing service gets three times the load in the moment it can bear least. Pure:
//! time and the request counter are arguments, so that the common path pays nothing for it.

use haus_model::Timestamp;

/// Thousandths of a retry that each request earns: 20 %.
const EARNED_PER_REQUEST: u64 = 200;
/// Thousandths of a retry that each millisecond earns: 10 per second.
const EARNED_PER_MS: u64 = 10;
/// Ten seconds' worth may be saved up.
const SAVED_MAX: u64 = 100_000;
const COST: u64 = 1_000;

/// How many retries are left.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    saved: u64,
    requests_seen: u64,
    seen_at: Timestamp,
}

impl RetryBudget {
    pub(crate) fn new(now: Timestamp) -> RetryBudget {
        RetryBudget { saved: COST * 10, requests_seen: 0, seen_at: now }
    }

    /// Takes one retry out, unless nothing is left. `requests` counts all requests so far.
    pub(crate) fn try_take(&mut self, now: Timestamp, requests: u64) -> bool {
        let by_requests = requests.saturating_sub(self.requests_seen).saturating_mul(EARNED_PER_REQUEST);
        let elapsed_ms = u64::try_from(now.since(self.seen_at).as_millis()).unwrap_or(u64::MAX);
        let earned = by_requests.saturating_add(elapsed_ms.saturating_mul(EARNED_PER_MS));
        self.saved = self.saved.saturating_add(earned).min(SAVED_MAX);
        self.requests_seen = self.requests_seen.max(requests);
        self.seen_at = self.seen_at.max(now);
        let affordable = self.saved >= COST;
        if affordable {
            self.saved -= COST;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries granted out of `wanted` after this many requests and milliseconds.
    #[track_caller]
    fn check(requests: u64, elapsed_ms: i64, wanted: u32, expected: u32) {
        let mut budget = RetryBudget::new(Timestamp(0));
        while budget.try_take(Timestamp(0), 0) {}
        let granted = (0..wanted).filter(|_| budget.try_take(Timestamp(elapsed_ms), requests)).count();
        assert_eq!(granted, expected as usize);
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated() {
        check(100, 0, 1000, 20);
    }

    #[test]
    fn ten_a_second_are_always_allowed() {
        check(0, 1000, 1000, 10);
        check(0, 50, 1000, 0);
    }

    #[test]
    fn savings_have_an_end() {
        check(1_000_000, 0, 1000, 100);
        check(0, 3_600_000, 1000, 100);
    }

    #[test]
    fn a_clock_or_counter_that_falls_back_earns_nothing() {
        let mut budget = RetryBudget::new(Timestamp(5_000));
        while budget.try_take(Timestamp(5_000), 100) {}
        assert!(!budget.try_take(Timestamp(1_000), 10));
        assert!(!budget.try_take(Timestamp(5_000), 100));
    }
}

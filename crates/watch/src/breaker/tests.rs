//! Every transition by name, then a comparison with a reference model over many random histories.

use super::*;
use crate::random::Random;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    breaker: Breaker,
    now: Timestamp,
}

impl Bench {
    fn new() -> Bench {
        Bench { breaker: Breaker::new(BreakerPolicy::default()), now: Timestamp(1_000) }
    }

    /// Outcomes (`+` good, `-` bad) of calls that were all let through.
    fn calls(mut self, outcomes: &str) -> Bench {
        for outcome in outcomes.chars() {
            assert!(self.breaker.try_acquire(self.now).is_ok(), "refused in {outcomes}");
            self.breaker.record(self.now, outcome == '+');
        }
        self
    }

    fn wait(mut self, span: Duration) -> Bench {
        self.now = self.now.after(span);
        self
    }

    fn check(self, expected: &str) -> Bench {
        assert_eq!(self.breaker.state().as_str(), expected);
        self
    }

    fn refused_for(mut self, span: Duration) -> Bench {
        assert_eq!(self.breaker.try_acquire(self.now), Err(Refused { retry_after: span }));
        self
    }
}

#[test]
fn five_failures_in_a_row_open_it() {
    Bench::new().calls("----").check("closed").calls("-").check("open").refused_for(30 * SECOND);
    Bench::new().calls("----+----").check("closed");
}

#[test]
fn half_of_ten_outcomes_open_it() {
    Bench::new().calls("+-+-+-+-+").check("closed").calls("-").check("open");
    Bench::new().calls("++-+-+-+-+-+-").check("closed");
}

#[test]
fn only_the_last_twenty_outcomes_count() {
    Bench::new()
        .calls("++++++++++++++++++++")
        .calls("-+-+-+-+-+-+-+-+-")
        .check("closed")
        .calls("+-")
        .check("open");
}

#[test]
fn it_lets_trials_through_when_its_time_is_over() {
    let bench = Bench::new().calls("-----").wait(29 * SECOND).refused_for(SECOND).wait(SECOND);
    bench.check("open").calls("+").check("half-open").calls("+").check("closed");
}

#[test]
fn a_failed_trial_opens_it_again_for_the_whole_time() {
    let bench = Bench::new().calls("-----").wait(45 * SECOND).calls("+-").check("open");
    bench.refused_for(30 * SECOND).wait(30 * SECOND).calls("++").check("closed");
}

#[test]
fn at_most_three_trials_are_under_way() {
    let mut bench = Bench::new().calls("-----").wait(30 * SECOND);
    let permits: Vec<_> = (0..3).map(|_| bench.breaker.try_acquire(bench.now).unwrap()).collect();
    bench = bench.refused_for(SECOND);
    bench.breaker.give_back(permits[0]);
    assert!(bench.breaker.try_acquire(bench.now).is_ok());
    bench.refused_for(SECOND);
}

#[test]
fn a_permit_from_before_gives_no_trial_back() {
    let mut bench = Bench::new();
    let old = bench.breaker.try_acquire(bench.now).unwrap();
    bench = bench.calls("-----").wait(30 * SECOND);
    for _ in 0..3 {
        bench.breaker.try_acquire(bench.now).unwrap();
    }
    bench.breaker.give_back(old);
    bench.refused_for(SECOND);
}

#[test]
fn trials_that_never_report_are_taken_for_lost() {
    let mut bench = Bench::new().calls("-----").wait(30 * SECOND);
    for _ in 0..3 {
        bench.breaker.try_acquire(bench.now).unwrap();
    }
    bench.refused_for(SECOND).wait(30 * SECOND).calls("++").check("closed");
}

#[test]
fn outcomes_while_open_change_nothing() {
    let mut bench = Bench::new().calls("-----");
    bench.breaker.record(bench.now, true);
    bench.breaker.record(bench.now, false);
    bench.check("open").refused_for(30 * SECOND);
}

#[test]
fn it_closes_without_a_past() {
    Bench::new().calls("-----").wait(30 * SECOND).calls("++").calls("----").check("closed");
}

/// The same rules written as plainly as possible over the whole history, without counters.
struct Reference {
    policy: BreakerPolicy,
    /// Outcomes since the state was entered.
    outcomes: Vec<bool>,
    acquired: u32,
    opened_at: Option<Timestamp>,
    half_open_since: Option<Timestamp>,
}

impl Reference {
    fn try_acquire(&mut self, now: Timestamp) -> bool {
        let open_for = self.policy.open_for;
        let open_is_over = self.opened_at.is_some_and(|at| now >= at.after(open_for));
        let trials_are_lost = self.half_open_since.is_some_and(|at| now >= at.after(open_for));
        if open_is_over || trials_are_lost {
            (self.opened_at, self.half_open_since) = (None, Some(now));
            (self.acquired, self.outcomes) = (0, Vec::new());
        }
        let passes = self.opened_at.is_none()
            && (self.half_open_since.is_none() || self.acquired < self.policy.trials_max);
        self.acquired += u32::from(passes);
        passes
    }

    fn record(&mut self, now: Timestamp, ok: bool) {
        if self.opened_at.is_some() {
            return;
        }
        self.outcomes.push(ok);
        let good = self.outcomes.iter().filter(|ok| **ok).count();
        if self.half_open_since.is_some() {
            if !ok {
                self.enter(Some(now));
            } else if good >= 2 {
                self.enter(None);
            }
            return;
        }
        let last: Vec<bool> = self.outcomes.iter().rev().take(20).copied().collect();
        let bad = last.iter().filter(|ok| !**ok).count();
        let five_bad = last.len() >= 5 && last[..5].iter().all(|ok| !ok);
        if five_bad || (last.len() >= 10 && bad * 2 >= last.len()) {
            self.enter(Some(now));
        }
    }

    fn enter(&mut self, opened_at: Option<Timestamp>) {
        (self.opened_at, self.half_open_since) = (opened_at, None);
        (self.acquired, self.outcomes) = (0, Vec::new());
    }
}

#[test]
fn it_does_what_the_reference_model_does() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let policy = BreakerPolicy::default();
        let mut breaker = Breaker::new(policy);
        let mut reference =
            Reference { policy, outcomes: Vec::new(), acquired: 0, opened_at: None, half_open_since: None };
        let mut now = Timestamp(0);
        let mut seen = std::collections::BTreeSet::new();
        let failing_percent = random.between(5, 95);
        for step in 0..400 {
            now = now.after(Duration::from_millis(random.between(0, 4_000)));
            let context = format!("seed {seed}, step {step}, at {}", now.0);
            if random.between(0, 2) == 0 {
                let ok = random.between(0, 99) >= failing_percent;
                breaker.record(now, ok);
                reference.record(now, ok);
            } else {
                let acquired = breaker.try_acquire(now);
                assert_eq!(acquired.is_ok(), reference.try_acquire(now), "{context}");
                if let Err(refused) = acquired {
                    assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= policy.open_for);
                }
            }
            seen.insert(breaker.state().as_str());
            let expected = match (reference.opened_at, reference.half_open_since) {
                (Some(_), _) => "open",
                (None, Some(_)) => "half-open",
                (None, None) => "closed",
            };
            assert_eq!(breaker.state().as_str(), expected, "{context}");
        }
        assert!(failing_percent < 60 || seen.len() >= 2, "seed {seed} never left a state");
    }
}

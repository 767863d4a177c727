//! The circuit breaker: stops calling somebody who keeps failing, and tries again with few calls.
//!
//! It knows neither what a call is nor which outcomes are failures, and shares its state with no
//! other process: a shared state without a shared clock lets calls through that should be held.

use haus_model::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// How soon asking again may help while all trials are under way: nobody knows, but soon.
const TRIAL_SPAN: Duration = Duration::from_secs(1);

/// The thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Outcomes that are remembered.
    pub window: usize,
    /// Failures in a row that open it.
    pub failures_in_a_row: usize,
    /// Share of failures in percent that opens it.
    pub failures_percent: usize,
    /// Outcomes without which the share says nothing.
    pub outcomes_min: usize,
    /// How long it stays open.
    pub open_for: Duration,
    /// Calls that may try while it is half-open.
    pub trials_max: u32,
    /// Successful trials that close it.
    pub close_after: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            window: 20,
            failures_in_a_row: 5,
            failures_percent: 50,
            outcomes_min: 10,
            open_for: Duration::from_secs(30),
            trials_max: 3,
            close_after: 2,
        }
    }
}

/// In which state a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes before this time.
    Open {
        /// When the first trial may pass.
        until: Timestamp,
    },
    /// A few trials pass.
    HalfOpen,
}

impl BreakerState {
    /// The lower-case word used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// Leave to make one call. Whoever has it reports the outcome by [`Breaker::record`], or hands it
/// back by [`Breaker::give_back`] when there was none (the caller went away).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    period: u64,
}

/// No call may be made at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When asking again may help.
    pub retry_after: Duration,
}

/// The circuit breaker of one instance.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    /// Grows with each change of state, so that a permit from before can be told apart.
    period: u64,
    outcomes: VecDeque<bool>,
    failures: usize,
    failed_in_a_row: usize,
    trials: u32,
    trials_good: u32,
    /// Half-open: when trials that never reported are taken for lost.
    trials_lost_at: Timestamp,
}

impl Breaker {
    /// A closed breaker without a past.
    pub fn new(policy: BreakerPolicy) -> Breaker {
        Breaker {
            policy,
            state: BreakerState::Closed,
            period: 0,
            outcomes: VecDeque::new(),
            failures: 0,
            failed_in_a_row: 0,
            trials: 0,
            trials_good: 0,
            trials_lost_at: Timestamp(0),
        }
    }

    /// The state; an open breaker whose time is over becomes half-open with the next call.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Asks whether a call may be made.
    ///
    /// # Errors
    /// When it is open, or half-open with all trials under way.
    pub fn try_acquire(&mut self, now: Timestamp) -> Result<Permit, Refused> {
        match self.state {
            BreakerState::Closed => {}
            BreakerState::Open { until } if now < until => {
                return Err(Refused { retry_after: until.since(now) });
            }
            BreakerState::Open { .. } => self.half_open(now),
            // Lost trials must not keep it half-open for ever.
            BreakerState::HalfOpen if now >= self.trials_lost_at => self.half_open(now),
            BreakerState::HalfOpen => {}
        }
        if self.state == BreakerState::HalfOpen {
            if self.trials >= self.policy.trials_max.max(1) {
                return Err(Refused { retry_after: self.trials_lost_at.since(now).min(TRIAL_SPAN) });
            }
            self.trials += 1;
        }
        Ok(Permit { period: self.period })
    }

    /// Takes the outcome of a call.
    ///
    /// The outcome of a call that began in an earlier state counts as well: it tells how things
    /// are now. While open nothing counts, since nothing should have been called.
    pub fn record(&mut self, now: Timestamp, ok: bool) {
        match self.state {
            BreakerState::Closed => {
                self.remember(ok);
                if self.too_many_failures() {
                    self.open(now);
                }
            }
            BreakerState::Open { .. } => {}
            BreakerState::HalfOpen if !ok => self.open(now),
            BreakerState::HalfOpen => {
                self.trials_good += 1;
                if self.trials_good >= self.policy.close_after {
                    self.enter(BreakerState::Closed);
                }
            }
        }
    }

    /// Hands a permit back whose call had no outcome, so that another trial may take its place.
    pub fn give_back(&mut self, permit: Permit) {
        if permit.period == self.period {
            self.trials = self.trials.saturating_sub(1);
        }
    }

    fn remember(&mut self, ok: bool) {
        self.outcomes.push_back(ok);
        self.failures += usize::from(!ok);
        self.failed_in_a_row = if ok { 0 } else { self.failed_in_a_row + 1 };
        if self.outcomes.len() > self.policy.window.max(1) {
            let forgotten_failure = self.outcomes.pop_front() == Some(false);
            self.failures -= usize::from(forgotten_failure);
        }
    }

    fn too_many_failures(&self) -> bool {
        let counted = self.outcomes.len();
        self.failed_in_a_row >= self.policy.failures_in_a_row
            || (counted >= self.policy.outcomes_min
                && self.failures * 100 >= self.policy.failures_percent * counted
                && self.failures > 0)
    }

    fn open(&mut self, now: Timestamp) {
        self.enter(BreakerState::Open { until: now.after(self.policy.open_for) });
    }

    fn half_open(&mut self, now: Timestamp) {
        self.enter(BreakerState::HalfOpen);
        self.trials_lost_at = now.after(self.policy.open_for);
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.period += 1;
        self.outcomes.clear();
        self.failures = 0;
        self.failed_in_a_row = 0;
        self.trials = 0;
        self.trials_good = 0;
    }
}

#[cfg(test)]
mod tests;

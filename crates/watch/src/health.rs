//! The health of one instance, from its probes and from the age of its last sign of life.
//!
//! The worse of the two signals counts: a process that answers probes but has been silent for too
//! long is not healthy, and the other way round. Where nobody sends heartbeats, a good probe is the
//! sign of life; where they are sent, only they are. It knows neither how a probe is done nor what
//! is done about a bad state.

use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_model::unit::format_duration;
use std::time::Duration;

/// The thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Bad probes in a row that make it offline; at least 1.
    pub unhealthy_after: u32,
    /// Good probes in a row that make it healthy again; at least 1.
    pub healthy_after: u32,
    /// Without a sign of life for so long it is degraded.
    pub degraded_after_age: Duration,
    /// Without a sign of life for so long it is offline.
    pub offline_after_age: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy {
            unhealthy_after: 3,
            healthy_after: 2,
            degraded_after_age: Duration::from_secs(60),
            offline_after_age: Duration::from_secs(90),
        }
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub from: HealthState,
    /// What it is.
    pub to: HealthState,
    /// One sentence: `3 probes failed`.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct HealthMachine {
    policy: HealthPolicy,
    state: HealthState,
    probed: HealthState,
    good_in_a_row: u32,
    bad_in_a_row: u32,
    sign_of_life_at: Option<Timestamp>,
    /// Since when heartbeats are expected; none where nobody sends them.
    heartbeats_since: Option<Timestamp>,
}

impl HealthMachine {
    /// A machine that knows nothing yet and hears of probes only.
    pub fn new(policy: HealthPolicy) -> HealthMachine {
        HealthMachine {
            policy,
            state: HealthState::Unknown,
            probed: HealthState::Unknown,
            good_in_a_row: 0,
            bad_in_a_row: 0,
            sign_of_life_at: None,
            heartbeats_since: None,
        }
    }

    /// A machine that knows nothing yet and expects heartbeats from `now` on: they alone are signs of life,
    /// and without any probe they alone decide.
    pub fn with_heartbeats(policy: HealthPolicy, now: Timestamp) -> HealthMachine {
        HealthMachine { heartbeats_since: Some(now), ..HealthMachine::new(policy) }
    }

    /// The state as of the last call.
    pub fn state(&self) -> HealthState {
        self.state
    }

    /// Bad probes in a row up to the last one.
    pub fn bad_in_a_row(&self) -> u32 {
        self.bad_in_a_row
    }

    /// Changes the thresholds; what was counted so far stays.
    pub fn set_policy(&mut self, policy: HealthPolicy) {
        self.policy = policy;
    }

    /// Forgets what probes said: nobody probes it any more. The state follows with the next call.
    pub fn forget_probes(&mut self) {
        self.probed = HealthState::Unknown;
        self.good_in_a_row = 0;
        self.bad_in_a_row = 0;
    }

    /// The last heartbeat, or where none came yet, since when one is expected; none where nobody sends them.
    pub fn silent_since(&self) -> Option<Timestamp> {
        self.heartbeats_since.map(|since| self.sign_of_life_at.unwrap_or(since))
    }

    /// Takes the result of a probe.
    pub fn handle_probe(&mut self, now: Timestamp, ok: bool) -> Option<Transition> {
        let why = if ok { self.count_good(now) } else { self.count_bad() };
        self.settle(now, why)
    }

    /// Takes a heartbeat: it proves that somebody lives there, not that probes would be good.
    pub fn handle_sign_of_life(&mut self, now: Timestamp) -> Option<Transition> {
        self.sign_of_life_at = Some(now);
        self.settle(now, "a sign of life came".to_owned())
    }

    /// Looks at the age of the last sign of life.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Option<Transition> {
        let seen_at = self.sign_of_life_at.or(self.heartbeats_since);
        let age = seen_at.map_or(Duration::ZERO, |at| now.since(at));
        // Whole seconds: nobody needs the milliseconds by which a timer was late.
        let age = Duration::from_secs(age.as_secs());
        self.settle(now, format!("no sign of life for {}", format_duration(age)))
    }

    /// When [`Self::handle_timeout`] would change something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let Some(seen_at) = self.sign_of_life_at else {
            let may_fall = self.state != HealthState::Offline;
            return self
                .heartbeats_since
                .filter(|_| may_fall)
                .map(|at| at.after(self.policy.offline_after_age));
        };
        let limit = match self.state {
            HealthState::Healthy => self.policy.degraded_after_age,
            HealthState::Degraded => self.policy.offline_after_age,
            HealthState::Unknown | HealthState::Offline => return None,
        };
        Some(seen_at.after(limit))
    }

    fn count_good(&mut self, now: Timestamp) -> String {
        self.bad_in_a_row = 0;
        self.good_in_a_row = self.good_in_a_row.saturating_add(1);
        if self.heartbeats_since.is_none() {
            self.sign_of_life_at = Some(now);
        }
        if self.good_in_a_row >= self.policy.healthy_after.max(1) {
            self.probed = HealthState::Healthy;
        }
        match self.good_in_a_row {
            1 => "a probe was good".to_owned(),
            count => format!("{count} probes were good"),
        }
    }

    fn count_bad(&mut self) -> String {
        self.good_in_a_row = 0;
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        if self.bad_in_a_row >= self.policy.unhealthy_after.max(1) {
            self.probed = HealthState::Offline;
        } else if self.probed == HealthState::Healthy {
            self.probed = HealthState::Degraded;
        }
        match self.bad_in_a_row {
            1 => "a probe failed".to_owned(),
            count => format!("{count} probes failed"),
        }
    }

    fn by_age(&self, now: Timestamp) -> HealthState {
        let Some(seen_at) = self.sign_of_life_at else {
            // Whoever was never heard is not known to work less well; only in the end it is taken for gone.
            let gone = self.heartbeats_since.is_some_and(|at| now.since(at) >= self.policy.offline_after_age);
            return if gone { HealthState::Offline } else { HealthState::Unknown };
        };
        match now.since(seen_at) {
            age if age >= self.policy.offline_after_age => HealthState::Offline,
            age if age >= self.policy.degraded_after_age => HealthState::Degraded,
            _ => HealthState::Healthy,
        }
    }

    fn settle(&mut self, now: Timestamp, why: String) -> Option<Transition> {
        // `HealthState` is ordered from unknown over healthy to offline. Age alone never makes
        // a state better than what the probes say, and without heartbeats it says nothing about
        // the never probed.
        let to = match self.probed {
            HealthState::Unknown if self.heartbeats_since.is_none() => HealthState::Unknown,
            HealthState::Unknown | HealthState::Healthy | HealthState::Degraded | HealthState::Offline => {
                self.probed.max(self.by_age(now))
            }
        };
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(Transition { from, to, why, at: now })
    }
}

#[cfg(test)]
mod tests;

//! One service: its slots, and what they mean together for those who need it.
//!
//! It counts phases as they change, so that a service of thousands of instances is judged without
//! a walk over all of them.

use super::desired::DesiredService;
use super::slot::Slot;
use super::view::{InstanceView, Phase, ServiceView};
use crate::random::Random;
use crate::recover::RestartRule;
use haus_model::{ServiceName, Timestamp};
use std::collections::BTreeMap;

/// The prepare commands of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prepare {
    /// Not running.
    Idle,
    /// Running, for this fingerprint.
    Running(String),
    /// They failed; a rollout does not try them again by itself.
    Failed { fingerprint: String, text: String },
}

/// A service on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) why: String,
    /// Leaving services that need this one and are not gone yet.
    pub(super) held_by: usize,
}

/// What a service is to those who need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// An instance is healthy, or nothing can be said against one, or all have completed.
    Ready,
    /// An instance answers, though not well: enough for a restart, not for a first start.
    Usable,
    /// Not now.
    NotReady(Phase),
}

/// One service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) desired: DesiredService,
    pub(super) slots: BTreeMap<u32, Slot>,
    pub(super) prepare: Prepare,
    pub(super) prepare_rule: RestartRule,
    pub(super) leaving: Option<Leaving>,
    /// Some slots may await a rollout.
    pub(super) rolling: bool,
    /// Why the rollout does not go on.
    pub(super) halted: Option<String>,
    /// Wanted slots in each phase.
    counts: [usize; Phase::ALL.len()],
    /// Slots with a process.
    pub(super) live: usize,
    pub(super) phase: Phase,
    pub(super) since: Timestamp,
    /// What those who need it were last told.
    pub(super) told: Standing,
}

impl Service {
    pub(super) fn new(now: Timestamp, name: &ServiceName, desired: DesiredService, seed: u64) -> Service {
        let random = Random::for_name(seed, &format!("prepare {name}"));
        Service {
            prepare_rule: RestartRule::new(desired.recover, random),
            desired,
            slots: BTreeMap::new(),
            prepare: Prepare::Idle,
            leaving: None,
            rolling: false,
            halted: None,
            counts: [0; Phase::ALL.len()],
            live: 0,
            phase: Phase::Stopped,
            since: now,
            told: Standing::NotReady(Phase::Stopped),
        }
    }

    /// Slots that are wanted: not those on their way out.
    pub(super) fn wanted(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Wanted slots in a phase.
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.counts[phase as usize]
    }

    pub(super) fn count_in(&mut self, phase: Phase) {
        self.counts[phase as usize] += 1;
    }

    pub(super) fn count_out(&mut self, phase: Phase) {
        self.counts[phase as usize] -= 1;
    }

    /// Why a wanted slot is not started although everything that it needs is ready; none when there is none
    /// such: `waits for credential key`.
    pub(super) fn lack(&self) -> Option<&str> {
        let may = self.count(Phase::Waiting) > 0;
        let mut slots = self.slots.values().filter(|slot| may && slot.lacks && !slot.surplus);
        slots.next().map(|slot| slot.view.why.as_str())
    }

    /// What those who need it may expect.
    pub(super) fn standing(&self) -> Standing {
        let all_completed = self.count(Phase::Completed) == self.wanted() && self.wanted() > 0;
        if self.leaving.is_some() {
            Standing::NotReady(Phase::Stopping)
        } else if self.count(Phase::Healthy) + self.count(Phase::Unwatched) > 0 || all_completed {
            Standing::Ready
        } else if self.count(Phase::Degraded) > 0 {
            Standing::Usable
        } else {
            Standing::NotReady(self.summary())
        }
    }

    /// The phase of the service as a whole.
    pub(super) fn summary(&self) -> Phase {
        let all = self.wanted();
        let (healthy, unwatched) = (self.count(Phase::Healthy), self.count(Phase::Unwatched));
        if all > 0 && healthy + unwatched + self.count(Phase::Completed) == all {
            return match (healthy, unwatched) {
                (0, 0) => Phase::Completed,
                (0, _) => Phase::Unwatched,
                (_, _) => Phase::Healthy,
            };
        }
        if healthy > 0 {
            let bad = [Phase::Degraded, Phase::Offline, Phase::BackingOff, Phase::GivenUp];
            let impaired = bad.into_iter().any(|phase| self.count(phase) > 0);
            return match (impaired, &self.leaving) {
                (_, Some(_)) => Phase::Stopping,
                (true, None) => Phase::Degraded,
                (false, None) => Phase::Starting,
            };
        }
        // The most hopeful one speaks for all; what has ended well says least.
        let by_hope = [
            Phase::Degraded,
            Phase::Starting,
            Phase::Preparing,
            Phase::Offline,
            Phase::Stopping,
            Phase::BackingOff,
            Phase::Waiting,
            Phase::GivenUp,
            Phase::Unwatched,
            Phase::Stopped,
            Phase::Completed,
        ];
        by_hope.into_iter().find(|phase| self.count(*phase) > 0).unwrap_or(Phase::Stopped)
    }

    /// Why the service is in its phase.
    pub(super) fn why(&self) -> String {
        if let Some(halted) = &self.halted {
            return halted.clone();
        }
        let telling = |view: &&InstanceView| view.phase == self.phase;
        let mut views = self.slots.values().filter(|slot| !slot.surplus).map(|slot| &slot.view);
        match (self.wanted(), self.phase) {
            (0, _) => self
                .leaving
                .as_ref()
                .map_or("no instances are wanted".to_owned(), |leaving| leaving.why.clone()),
            (1, _) => views.next().map_or_else(String::new, |view| view.why.clone()),
            (all, Phase::Healthy | Phase::Completed | Phase::Unwatched) => {
                format!("all {all} instances are {}", self.phase)
            }
            (all, _) => {
                let healthy = self.count(Phase::Healthy);
                let bad = |view: &&InstanceView| view.phase != Phase::Healthy;
                let view = views.clone().find(telling).or_else(|| views.find(bad));
                let detail = view.map_or_else(String::new, |view| format!("; {}: {}", view.id, view.why));
                format!("{healthy} of {all} are healthy{detail}")
            }
        }
    }

    /// What people see of it.
    pub(super) fn view<'a>(&'a self, name: &'a ServiceName) -> ServiceView<'a> {
        ServiceView {
            name,
            phase: self.phase,
            since: self.since,
            why: self.why(),
            ready: self.standing() == Standing::Ready,
            lacks: self.lack().is_some(),
            instances: self.slots.values().map(|slot| &slot.view).collect(),
        }
    }
}

//! What the conductor is asked to keep running: services reduced to what decides about their life.
//!
//! Commands, ports and credentials are somebody else's; a change in them shows as another fingerprint.

use haus_model::ServiceName;
use haus_model::health::HealthCheck;
use haus_model::service::{Recover, Rollout, Stop};
use std::collections::BTreeMap;
use std::time::Duration;

/// All services of the house.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// By name.
    pub services: BTreeMap<ServiceName, DesiredService>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService {
    /// Services that must be healthy before it starts.
    pub needs: Vec<ServiceName>,
    /// Running copies; those of somebody else stand in `keeper`.
    pub instances: u32,
    /// Fingerprint of everything that a running process cannot take over: another one means restart.
    pub spec: String,
    /// Fingerprint of the commands that run once before the first start; none when there are none.
    pub prepare: Option<String>,
    /// When it is probed; none when nothing but its process can be watched.
    pub probe: Option<ProbeRhythm>,
    /// What happens when it ends by itself.
    pub recover: Recover,
    /// How a change is carried out.
    pub rollout: Rollout,
    /// How it is stopped.
    pub stop: Stop,
    /// Who keeps it running.
    pub keeper: Keeper,
}

/// Who keeps the instances of a service running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keeper {
    /// The conductor starts and stops them.
    #[default]
    Conductor,
    /// Nobody has to: there is but one, it is the coordinator itself and always healthy.
    Itself,
    /// Somebody else; the conductor only asks how they are. By ordinal, counted from 1 without gaps.
    Elsewhere(BTreeMap<u32, Elsewhere>),
}

/// One instance that somebody else keeps running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Who: `systemd on web`.
    pub by: String,
    /// Fingerprint of where it is: another one means that another process is asked from then on.
    pub spec: String,
    /// Whether anything can be asked of it from here, in the rhythm of its service.
    pub is_asked: bool,
    /// Why there is nobody to ask; none when there is.
    pub absent: Option<String>,
}

impl DesiredService {
    /// Where somebody else keeps an instance of it.
    pub fn elsewhere(&self, ordinal: u32) -> Option<&Elsewhere> {
        match &self.keeper {
            Keeper::Conductor | Keeper::Itself => None,
            Keeper::Elsewhere(places) => places.get(&ordinal),
        }
    }

    /// The rhythm in which an instance of it is probed.
    pub(super) fn probe_of(&self, ordinal: u32) -> Option<ProbeRhythm> {
        let is_asked = |place: &Elsewhere| place.is_asked && place.absent.is_none();
        match &self.keeper {
            Keeper::Conductor | Keeper::Itself => self.probe,
            Keeper::Elsewhere(places) => self.probe.filter(|_| places.get(&ordinal).is_some_and(is_asked)),
        }
    }

    /// How many slots it has.
    pub(super) fn slots_wanted(&self) -> u32 {
        match &self.keeper {
            Keeper::Conductor => self.instances,
            // There is but one coordinator.
            Keeper::Itself => self.instances.min(1),
            Keeper::Elsewhere(places) => u32::try_from(places.len()).unwrap_or(u32::MAX),
        }
    }
}

/// When and how strictly a service is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRhythm {
    /// From one probe to the next.
    pub every: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How long a fresh process may take until it is healthy.
    pub start: Duration,
    /// Good probes in a row that make it healthy.
    pub healthy_after: u32,
    /// Bad probes in a row that make it offline.
    pub unhealthy_after: u32,
}

impl From<&HealthCheck> for ProbeRhythm {
    fn from(check: &HealthCheck) -> Self {
        ProbeRhythm {
            every: check.every,
            timeout: check.timeout,
            start: check.start,
            healthy_after: check.healthy_after,
            unhealthy_after: check.unhealthy_after,
        }
    }
}

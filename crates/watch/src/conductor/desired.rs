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
    /// Running copies.
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
    /// Not ours to start or stop, and always healthy: the coordinator itself.
    pub external: bool,
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

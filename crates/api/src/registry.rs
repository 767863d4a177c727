//! The public, read-only answers: `/health`, `/api/services`, `/api/discover`, `/api/health/services`.

use haus_model::health::HealthState;
use haus_model::{InstanceId, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Answer of `GET /health`: the coordinator itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `healthy` or `degraded` (the store cannot be written).
    pub status: HealthState,
    /// RFC 3339.
    pub timestamp: String,
    /// Version of the program.
    pub version: String,
    /// The house.
    pub house: String,
}

/// One place where a service can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `SERVICE/1`
    pub id: InstanceId,
    /// Number of this start.
    pub run: u64,
    /// Address without port.
    pub address: String,
    /// The main port.
    pub port: Option<u16>,
    /// Every port by name.
    pub ports: BTreeMap<String, u16>,
    /// Its health.
    pub health: HealthState,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// RFC 3339: when it leaves the registry unless a good probe renews it.
    pub lease_until: Option<String>,
    /// The registry's revision of its last change.
    pub revision: u64,
}

/// One service in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// What it does, for people.
    pub about: Option<String>,
    /// Healthy when every instance is, degraded while one can be used, offline when none can.
    pub status: HealthState,
    /// Where it can be reached through the gateway.
    pub urls: Vec<String>,
    /// What it needs.
    pub dependencies: Vec<ServiceName>,
    /// Its copies.
    pub instances: Vec<Instance>,
}

/// Answer of `GET /api/services`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// Grows with every change of the registry.
    pub revision: u64,
    /// Services by name.
    pub services: Vec<Service>,
}

/// Answer of `GET /api/discover?service=NAME`: one instance to use, and all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// The service.
    pub name: ServiceName,
    /// Address of the instance whose turn it is.
    pub address: String,
    /// Its main port.
    pub port: Option<u16>,
    /// Its health.
    pub health: HealthState,
    /// How to spread requests over `endpoints`.
    pub balancing: String,
    /// Usable instances, best first.
    pub endpoints: Vec<Instance>,
    /// The registry's revision.
    pub revision: u64,
}

/// One row of `GET /api/health/services`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHealth {
    /// The service.
    pub name: ServiceName,
    /// Its state.
    pub status: HealthState,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// What the last probe of each instance saw.
    pub evidence: BTreeMap<String, String>,
}

/// Answer of `GET /api/health/services`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesHealth {
    /// Any offline → offline, else any degraded or unknown → degraded, else healthy.
    pub status: HealthState,
    /// RFC 3339.
    pub timestamp: String,
    /// Services in each state.
    pub services_healthy: usize,
    /// See above.
    pub services_degraded: usize,
    /// See above.
    pub services_offline: usize,
    /// See above.
    pub services_unknown: usize,
    /// All of them.
    pub services_total: usize,
    /// Services by name.
    pub services: Vec<ServiceHealth>,
}

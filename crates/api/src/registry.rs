//! The public, read-only answers: `/health`, `/api/services`, `/api/discover`, `/api/health/services`.

use haus_model::ServiceName;
use haus_model::health::HealthState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Answer of `GET /health`: the coordinator itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `healthy` or `degraded` (the store cannot be written).
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// RFC 3339.
    pub timestamp: String,
    /// Version of the program.
    pub version: String,
    /// The house.
    pub house: String,
}

/// One place where a service can be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// `SERVICE/1` for one that the house runs, `SERVICE/NAME` for one that gave itself a name.
    pub id: String,
    /// Number of this start.
    pub run: u64,
    /// Address without port.
    pub address: String,
    /// The main port.
    pub port: Option<u16>,
    /// Every port by name.
    pub ports: BTreeMap<String, u16>,
    /// Its health.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub health: HealthState,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// RFC 3339: when it leaves the registry unless a good probe renews it.
    pub lease_until: Option<String>,
    /// The registry's revision of its last change.
    pub revision: u64,
    /// `supervised`: this house runs it; `placed`: it was put on a host and is kept running there;
    /// `announced`: it registered by itself.
    pub origin: String,
    /// The id that it gave itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version, as it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How busy it said it is, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Share of requests beside other instances.
    pub weight: u32,
    /// Words of its own; a list of all services leaves them out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One service in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its name.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: ServiceName,
    /// What it does, for people.
    pub about: Option<String>,
    /// Healthy when every instance is, degraded while one can be used, offline when none can.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// Where it can be reached through the gateway.
    pub urls: Vec<String>,
    /// What it needs.
    #[schema(value_type = Vec<String>)]
    pub dependencies: Vec<ServiceName>,
    /// Its copies.
    pub instances: Vec<Instance>,
}

/// Answer of `GET /api/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// Grows with every change of the registry.
    pub revision: u64,
    /// Services by name. One whose instances did not fit goes on at the next page.
    pub services: Vec<Service>,
    /// Ask with `after` = this for the next page; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /api/discover?service=NAME`: one instance to use, and all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Discovery {
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: ServiceName,
    /// Address of the instance whose turn it is.
    pub address: String,
    /// Its main port.
    pub port: Option<u16>,
    /// Its health.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub health: HealthState,
    /// How busy it is, 0 to 1: what it said, else the gateway's requests under way beside the
    /// other instances'.
    pub load: f64,
    /// How to spread requests over `endpoints`.
    pub balancing: String,
    /// Usable instances: first the one whose turn it is, then the others of its state, then the worse
    /// ones; at most 100.
    pub endpoints: Vec<Instance>,
    /// The registry's revision.
    pub revision: u64,
}

/// One row of `GET /api/health/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceHealth {
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: ServiceName,
    /// Its state.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// What the last probe of each instance saw; of at most 100 instances, those first that are not well.
    pub evidence: BTreeMap<String, String>,
}

/// Answer of `GET /api/health/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServicesHealth {
    /// Any offline → offline, else any degraded or unknown → degraded, else healthy.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
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

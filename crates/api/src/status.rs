//! The state of a house as `haus status` and the dashboard show it.

use haus_model::health::HealthState;
use haus_model::{HostName, InstanceId, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One running (or not running) copy of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// `SERVICE/1`; of one that registered by itself a number of ours.
    pub id: InstanceId,
    /// What people call it: `api/1`, `scanner/desk-1`.
    pub name: String,
    /// Number of this start; a new process has a new one.
    pub run: u64,
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// What it does at the moment: `waiting`, `starting`, `healthy`, `backing off`, …
    pub phase: String,
    /// Its health.
    pub health: HealthState,
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// Why it is in this phase.
    pub why: String,
    /// Starts after the first.
    pub restarts: u32,
    /// The address that it listens on.
    pub address: String,
    /// Its ports by name.
    pub ports: BTreeMap<String, u16>,
    /// What the last probe saw.
    pub evidence: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// The port that is meant when none is named.
    pub main_port: Option<u16>,
    /// When it leaves the registry unless a good probe renews it; none when nothing must renew it.
    pub lease_until: Option<Timestamp>,
    /// The registry's revision of its last change; 0 while it is not in the registry.
    pub revision: u64,
    /// The host that something else keeps it running on; none when it runs here.
    #[serde(default)]
    pub host: Option<HostName>,
}

/// A service with its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// What it does, for people.
    pub about: Option<String>,
    /// The phase of the whole service.
    pub phase: String,
    /// Healthy when every instance is, degraded while one can be used, offline when none can.
    pub health: HealthState,
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// Why it is in this phase.
    pub why: String,
    /// What it needs.
    pub needs: Vec<ServiceName>,
    /// Where it can be reached through the gateway.
    pub urls: Vec<String>,
    /// Its copies.
    pub instances: Vec<InstanceStatus>,
}

/// How the store does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// False while writes fail.
    pub writable: bool,
    /// What the last failed write said.
    pub last_error: Option<String>,
    /// Events that could not be kept since the core started.
    pub events_lost: u64,
}

/// The whole house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HouseStatus {
    /// Its name.
    pub house: String,
    /// One line for people.
    pub title: Option<String>,
    /// The stage that runs.
    pub stage: String,
    /// The name below which its routes live.
    pub domain: String,
    /// Version of the program.
    pub version: String,
    /// When this answer was made.
    pub at: Timestamp,
    /// Since when the core runs.
    pub core_since: Timestamp,
    /// Process id of the supervisor parent.
    pub parent_pid: u32,
    /// Process id of the core.
    pub core_pid: u32,
    /// The plan's folder.
    pub folder: String,
    /// Where the gateway listens.
    pub gateway: String,
    /// True while the house comes to an end.
    pub draining: bool,
    /// True when every service is ready.
    pub ready: bool,
    /// The registry's revision.
    pub revision: u64,
    /// The store.
    pub store: StoreStatus,
    /// Services by name.
    pub services: Vec<ServiceStatus>,
}

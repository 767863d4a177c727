//! `/ready`, `/api/health` and the history of health.

use haus_model::ServiceName;
use haus_model::health::HealthState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Answer of `GET /ready`: the engine decides, and what it does can be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// `ready`
    pub status: String,
    /// RFC 3339.
    pub timestamp: String,
}

/// One service in [`SystemHealth`], in the fields of the zimmer document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemService {
    /// Its name.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: ServiceName,
    /// Its state.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// RFC 3339: the last probe or heartbeat of any instance; none before the first.
    pub last_check: Option<String>,
    /// How long the slowest of the last probes took, or what an instance reported.
    pub response_time_ms: Option<f64>,
    /// Why it is not healthy.
    pub error_message: Option<String>,
}

/// Answer of `GET /api/health` and `GET /api/health/system`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemHealth {
    /// Any service offline → offline, else any degraded or unknown, or a database that refuses → degraded,
    /// else healthy.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// RFC 3339.
    pub timestamp: String,
    /// Version of the program.
    pub version: String,
    /// The house.
    pub house: String,
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
    pub services: Vec<SystemService>,
    /// `connected`: a row was written and read again within the last seconds; else `unavailable`.
    #[schema(pattern = "^(connected|unavailable)$")]
    pub database_status: String,
    /// What the database said when it refused.
    pub database_error: Option<String>,
    /// How long writing and reading the row took.
    pub database_latency_ms: f64,
    /// `not used`: the coordinator needs no Redis. The field is the document's.
    pub redis_status: String,
}

/// Health of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceHealth {
    /// `SERVICE/1` or `SERVICE/NAME`
    pub id: String,
    /// Its state.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// What the last probe saw.
    pub evidence: Option<String>,
    /// RFC 3339: when the last probe ended.
    pub last_check: Option<String>,
    /// RFC 3339: when it reported last.
    pub last_heartbeat: Option<String>,
    /// How long the last probe took, or what it reported.
    pub response_time_ms: Option<f64>,
}

/// Answer of `GET /api/services/{name}/health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceCheck {
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service_name: ServiceName,
    /// Its state.
    #[schema(value_type = String, pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status: HealthState,
    /// Whether the state is `healthy`.
    pub healthy: bool,
    /// RFC 3339: since when.
    pub since: String,
    /// Why.
    pub why: String,
    /// RFC 3339: the last heartbeat of any instance.
    pub last_heartbeat: Option<String>,
    /// How long the slowest of the last probes took, or what an instance reported.
    pub response_time_ms: Option<f64>,
    /// Its instances.
    pub instances: Vec<InstanceHealth>,
}

/// One change of health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthTransition {
    /// Its number; grows with every change.
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service: ServiceName,
    /// `SERVICE/1` or `SERVICE/NAME`; none for the service as a whole.
    pub instance: Option<String>,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Why.
    pub why: String,
}

/// Answer of `GET /api/health/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthHistory {
    /// Changes, the newest first.
    pub items: Vec<HealthTransition>,
    /// Ask with `before` = this for the next page; none on the last one.
    pub next: Option<u64>,
    /// Changes that could not be kept since the core started.
    pub lost: u64,
}

/// Which part of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HealthHistoryQuery {
    /// Only of this service.
    #[serde(alias = "service_name")]
    pub service: Option<String>,
    /// RFC 3339: only at or after this time.
    #[param(format = DateTime)]
    pub since: Option<String>,
    /// RFC 3339: only before this time.
    #[param(format = DateTime)]
    pub until: Option<String>,
    /// Only changes with a smaller number.
    #[param(minimum = 0)]
    pub before: Option<u64>,
    /// At most so many, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}

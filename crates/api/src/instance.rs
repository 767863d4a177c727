//! Registration: what a service says of itself, and what it is told.

use crate::credential::ServiceCredential;
use crate::registry::Service;
use haus_model::ServiceName;
use haus_model::health::HealthState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// How an instance that registered by itself is asked for its health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthEndpoint {
    /// The path.
    #[serde(default = "health_path")]
    #[schema(max_length = 1024, example = "/health")]
    pub endpoint: String,
    /// `GET` or `HEAD`.
    #[serde(default = "get")]
    #[schema(pattern = "^(GET|HEAD)$")]
    pub method: String,
    /// Seconds that an answer may take.
    #[serde(default = "five")]
    #[schema(minimum = 1, maximum = 30)]
    pub timeout_seconds: u64,
    /// Seconds between two questions.
    #[serde(default = "thirty")]
    #[schema(minimum = 5, maximum = 300)]
    pub interval_seconds: u64,
}

fn health_path() -> String {
    "/health".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

fn five() -> u64 {
    5
}

fn thirty() -> u64 {
    30
}

/// Another service that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Dependency {
    /// Its name.
    Name(String),
    /// Its name and more.
    Full {
        /// The service.
        name: String,
        /// Whether it cannot work without it.
        #[serde(default = "yes")]
        required: bool,
        /// The version that it wants.
        version: Option<String>,
    },
}

fn yes() -> bool {
    true
}

impl Dependency {
    /// The service's name.
    pub fn name(&self) -> &str {
        match self {
            Dependency::Name(name) | Dependency::Full { name, .. } => name,
        }
    }
}

/// Body of `POST /api/services/register`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The service; the token must be bound to it.
    #[serde(alias = "service_name", alias = "service")]
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63, example = "zimmer-09-clawdbot-bote")]
    pub name: ServiceName,
    /// Which copy: letters, digits, dots and dashes. A supervised instance is known by its token.
    #[serde(default)]
    #[schema(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
    /// Its version.
    #[serde(default = "first_version")]
    #[schema(max_length = 64)]
    pub version: String,
    /// Where it listens.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// IP address or host name; loopback when absent.
    #[serde(default = "loopback")]
    #[schema(min_length = 1, max_length = 253)]
    pub address: String,
    /// The path that tells its health, in the document's short form.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub health_endpoint: Option<String>,
    /// How its health is asked for; without it only heartbeats count.
    #[serde(default)]
    pub health_check: Option<HealthEndpoint>,
    /// Credentials that it wants; all that it may have when empty.
    #[serde(default)]
    pub credentials_needed: Vec<String>,
    /// Services that it needs.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Such as `production`.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub environment: Option<String>,
    /// Words of its own, at most 32 pairs and 4096 bytes in all.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Share of requests beside other instances, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<u32>,
}

fn first_version() -> String {
    "1.0.0".to_owned()
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// Answer of a registration.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: ServiceName,
    /// `SERVICE/INSTANCE`
    pub id: String,
    /// The instance's own id.
    pub instance: String,
    /// Its health as known.
    #[schema(value_type = String)]
    pub status: HealthState,
    /// RFC 3339.
    pub registered_at: String,
    /// Seconds between two heartbeats.
    pub heartbeat_interval_s: u64,
    /// Its credentials, with their values.
    pub credentials: Vec<ServiceCredential>,
    /// Credentials of `credentials_needed` that it may not have or that do not exist.
    pub credentials_missing: Vec<String>,
    /// `config:` of the plan.
    #[schema(value_type = serde_json::Value)]
    pub config: serde_json::Value,
    /// The registry's revision.
    pub revision: u64,
}

/// Body of `POST /api/services/{name}/heartbeat`; may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The instance; a token that is bound to one needs none.
    #[serde(default)]
    #[schema(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
    /// How busy it is, 0 to 1.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub load: Option<f64>,
    /// How long its requests take at the moment.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub response_time_ms: Option<f64>,
}

/// Answer of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatSeen {
    /// `SERVICE/INSTANCE`
    pub id: String,
    /// RFC 3339.
    pub timestamp: String,
    /// Seconds until the next one is expected.
    pub heartbeat_interval_s: u64,
    /// Changes when its credentials do: ask for them again.
    pub credentials_revision: String,
}

/// Body of `PATCH /api/services/{name}`. A field that is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceUpdate {
    /// The instance; a token that is bound to one needs none.
    #[serde(default)]
    #[schema(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
    /// Its version.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub version: Option<String>,
    /// Where it listens.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// IP address or host name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 253)]
    pub address: Option<String>,
    /// Words of its own; replaces the former.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Share of requests, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<u32>,
}

/// Which instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InstanceQuery {
    /// The instance; a token that is bound to one needs none.
    #[param(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
}

/// The query of `POST /api/services/{name}/heartbeat`, for those who send no body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeartbeatQuery {
    /// The instance; a token that is bound to one needs none.
    #[param(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
    /// How long its requests take at the moment.
    #[param(minimum = 0)]
    pub response_time_ms: Option<f64>,
}

/// Which services to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ServicesQuery {
    /// Only services in this state.
    #[serde(alias = "status")]
    #[param(pattern = "^(healthy|degraded|offline|unknown)$")]
    pub status_filter: Option<String>,
    /// Instances on a page, 1 to 500; 500 when absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u64>,
    /// Where the page before ended: its `next`.
    #[param(max_length = 80)]
    pub after: Option<String>,
}

/// Which instances of one service to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ServiceQuery {
    /// Instances on a page, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u64>,
    /// Where the page before ended: its `next`.
    #[param(max_length = 80)]
    pub after: Option<String>,
}

/// Which service to find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiscoverQuery {
    /// The service.
    pub service: Option<String>,
    /// The same, in the original's spelling.
    pub service_name: Option<String>,
}

/// What an instance said when it registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// The instance's own id.
    pub instance: String,
    /// RFC 3339: when it registered first.
    pub registered_at: String,
    /// RFC 3339: when it registered or changed something last.
    pub updated_at: String,
    /// For people.
    pub description: Option<String>,
    /// Such as `production`.
    pub environment: Option<String>,
    /// Services that it needs.
    pub dependencies: Vec<Dependency>,
    /// How its health is asked for.
    pub health_check: Option<HealthEndpoint>,
}

/// Answer of `GET /api/services/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceDetail {
    /// The service with its instances.
    #[serde(flatten)]
    pub service: Service,
    /// What the instances on this page said when they registered.
    pub registrations: Vec<Registration>,
    /// Ask with `after` = this for the next page; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// RFC 3339: the last heartbeat of any instance.
    pub last_heartbeat: Option<String>,
    /// Seconds since then.
    pub time_since_heartbeat_seconds: Option<f64>,
    /// Heartbeats of the instances that are there, since the core started.
    pub heartbeat_count: u64,
    /// Requests through the gateway since the core started.
    pub request_count: u64,
    /// Those that were answered with 500 or above.
    pub error_count: u64,
    /// `error_count` by `request_count`, 0 to 1.
    pub error_rate: f64,
    /// How long requests through the gateway took on average.
    pub avg_response_time_ms: f64,
}

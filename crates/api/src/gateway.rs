//! `/api/gateway`: calls of one service by another through the gateway, and how the gateway does.

use haus_model::ServiceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Body of `POST /api/gateway/proxy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyRequest {
    /// Whom to call.
    #[serde(alias = "service")]
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service_name: ServiceName,
    /// The method, `GET` when absent.
    #[serde(default = "get")]
    #[schema(pattern = "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$")]
    pub method: String,
    /// The path, with a slash first.
    #[schema(max_length = 8192, example = "/health")]
    pub path: String,
    /// Parameters of the query.
    #[serde(default)]
    pub query_params: BTreeMap<String, String>,
    /// Headers; hop-by-hop ones, `Host` and `Authorization` are not passed on.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<serde_json::Value>,
    /// A body of another kind, base64.
    #[serde(default)]
    pub body_base64: Option<String>,
    /// Seconds that the answer may take.
    #[serde(default = "thirty")]
    #[schema(minimum = 1, maximum = 300)]
    pub timeout_seconds: u64,
}

fn get() -> String {
    "GET".to_owned()
}

fn thirty() -> u64 {
    30
}

/// Answer of `POST /api/gateway/proxy`, whatever the service answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProxyResponse {
    /// What the service answered.
    pub status_code: u16,
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service_name: ServiceName,
    /// The instance that answered.
    pub instance: String,
    /// The path.
    pub path: String,
    /// From asking to the end of the answer.
    pub response_time_ms: f64,
    /// Tries, the good one among them.
    pub attempts: u32,
    /// The answer when it is JSON, or text as a JSON text.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<serde_json::Value>,
    /// The answer when it is neither, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Headers of the answer.
    pub headers: BTreeMap<String, String>,
    /// The request's id.
    pub request_id: String,
}

/// An instance behind the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GatewayInstance {
    /// `SERVICE/1`
    pub id: String,
    /// `closed`, `open` or `half-open`.
    pub breaker: String,
    /// RFC 3339: since when.
    pub since: Option<String>,
    /// Why the breaker is as it is.
    pub why: Option<String>,
    /// Requests under way.
    pub in_flight: u64,
}

/// A service behind the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GatewayService {
    /// Its name.
    pub name: String,
    /// Requests since the core started.
    pub requests: u64,
    /// Answers of 500 and above.
    pub errors: u64,
    /// Further tries.
    pub retries: u64,
    /// Its instances.
    pub instances: Vec<GatewayInstance>,
}

/// Answer of `GET /api/gateway/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GatewayStatus {
    /// `operational`, or `degraded` while a service cannot be used or a breaker is open.
    pub status: String,
    /// Services that can be used.
    pub healthy_services: usize,
    /// All services.
    pub total_services: usize,
    /// RFC 3339.
    pub timestamp: String,
    /// Version of the program.
    pub gateway_version: String,
    /// Where it listens.
    pub address: String,
    /// Services by name.
    pub services: Vec<GatewayService>,
}

//! How the health of a service is told: the probe, its rhythm and the states.

use crate::id::PortName;
use crate::json::Json;
use crate::template::Template;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// HTTP GET on a path; healthy when the answer meets the expectation.
    Http {
        /// Path and query.
        get: Template,
        /// The port; the service's main port when absent.
        port: Option<PortName>,
        /// What the answer must look like.
        expect: Expectation,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// The port; the service's main port when absent.
        port: Option<PortName>,
    },
    /// A command that ends with 0, run with the service's own folder and environment.
    Command {
        /// Program and arguments.
        argv: Vec<Template>,
    },
    /// The process runs; nothing else is known.
    Process,
}

/// What an HTTP answer must look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// Status code.
    pub status: u16,
    /// Members that the JSON body must have with exactly these values (a subset).
    pub json: Option<Json>,
    /// Text that the body must contain.
    pub text: Option<String>,
}

impl Default for Expectation {
    fn default() -> Self {
        Expectation { status: 200, json: None, text: None }
    }
}

/// A probe with its rhythm and thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: ProbeKind,
    /// From one probe to the next.
    pub every: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How long a fresh process may take until it is healthy for the first time.
    pub start: Duration,
    /// Good probes in a row that make it healthy.
    pub healthy_after: u32,
    /// Bad probes in a row that make it offline.
    pub unhealthy_after: u32,
}

/// What is known of an instance's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Nothing is known yet.
    Unknown,
    /// The last probes were good.
    Healthy,
    /// Some probes failed, or no sign of life for a while; still used when nothing better is there.
    Degraded,
    /// Not to be used.
    Offline,
}

impl HealthState {
    /// The lower-case word used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Unknown => "unknown",
            HealthState::Healthy => "healthy",
            HealthState::Degraded => "degraded",
            HealthState::Offline => "offline",
        }
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one probe returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Whether the expectation was met.
    pub ok: bool,
    /// What was seen, one sentence without secrets: `200 in 3 ms`, `connection refused on 127.0.0.1:20001`.
    pub evidence: String,
    /// How long it took.
    pub took_ms: u64,
}

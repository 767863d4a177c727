//! Routes: which name and path leads where.

use crate::id::{PortName, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTarget {
    /// A service's port; its main port when absent.
    Service {
        /// The service.
        service: ServiceName,
        /// The port.
        port: Option<PortName>,
    },
    /// Hausmeister's own API.
    Coordinator,
    /// A folder of files.
    Files {
        /// The folder, absolute or relative to where the plan was read from.
        root: PathBuf,
        /// File served with status 200 when nothing else matches (single-page applications).
        fallback: Option<String>,
        /// Path prefix whose files never change: cached forever, 404 when missing.
        immutable: Option<String>,
    },
}

/// One path of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRoute {
    /// Where it leads.
    pub target: RouteTarget,
    /// Prefix taken off before the request is passed on.
    pub strip: Option<String>,
    /// How long an answer may take; the gateway's own when absent.
    pub timeout: Option<Duration>,
    /// Largest request body in bytes; 10 MiB when absent.
    pub max_body_bytes: Option<u64>,
    /// Request headers that are removed.
    pub deny_headers: Vec<String>,
    /// Headers added to every answer.
    pub headers: BTreeMap<String, String>,
}

/// The paths of a host; the longest prefix wins.
pub type HostRoutes = BTreeMap<String, PathRoute>;

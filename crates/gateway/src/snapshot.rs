//! The immutable picture of where requests go. Whoever composes the house builds it;
//! the gateway never asks where its facts come from.

use haus_model::ServiceName;
use haus_model::health::HealthState;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything the gateway knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The house's name; `NAME.localhost` counts as the house's own domain.
    pub house: String,
    /// Routes by host: lower case, without port.
    pub hosts: BTreeMap<String, Vec<Route>>,
    /// Routes for the house itself: loopback literals, `localhost`, `HOUSE.localhost` and HTTP/1.0
    /// requests that name no host. Other unknown hosts never get here, so that a foreign name that
    /// somebody lets resolve to this machine (DNS rebinding) reaches nothing.
    pub fallback: Option<Vec<Route>>,
    /// Services that [`Handle::call`](crate::Handle::call) reaches, with routes or without. Whoever shares an
    /// `Arc` with routes shares their round robin. One with an [`Address::Unix`] is not called: a socket
    /// file, the coordinator's own above all, may know its peer by credentials, and every caller would be us.
    pub services: BTreeMap<ServiceName, Arc<Upstream>>,
    /// What holds where a route says nothing.
    pub defaults: Defaults,
}

/// What holds where a route says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How long the head of an answer may take, over all attempts.
    pub timeout: Duration,
    /// Further attempts after the first one.
    pub retries: u32,
    /// Largest request body in bytes.
    pub max_body_bytes: u64,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults { timeout: Duration::from_secs(30), retries: 2, max_body_bytes: 10 * 1024 * 1024 }
    }
}

/// One path prefix of a host and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `/api` matches `/api` and `/api/x`, never `/apix`; `/api/` matches only what lies below.
    pub prefix: String,
    /// Where it leads.
    pub target: Target,
    /// Prefix taken off the path before the request is passed on.
    pub strip: Option<String>,
    /// How long the head of an answer may take, over all attempts.
    pub timeout: Option<Duration>,
    /// Largest request body in bytes.
    pub max_body_bytes: Option<u64>,
    /// Request headers that are removed.
    pub deny_headers: Vec<String>,
    /// Headers set on every answer of this route.
    pub headers: BTreeMap<String, String>,
    /// What the log and error texts call this route: `shop.example/api`.
    pub name: String,
}

impl Route {
    /// A route with nothing but a prefix and a target; its name is the prefix.
    pub fn to(prefix: &str, target: Target) -> Route {
        Route {
            prefix: prefix.to_owned(),
            target,
            strip: None,
            timeout: None,
            max_body_bytes: None,
            deny_headers: Vec::new(),
            headers: BTreeMap::new(),
            name: prefix.to_owned(),
        }
    }
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The instances of a service. Routes that share one `Arc` share one round robin.
    Service(Arc<Upstream>),
    /// A folder of files.
    Files(FilesTarget),
}

/// A folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesTarget {
    /// The folder, absolute.
    pub root: PathBuf,
    /// File (relative to the root) served with status 200 when a browser asks for a page that does not exist.
    pub fallback: Option<String>,
    /// Path prefix (as requested, after `strip`) whose files never change.
    pub immutable: Option<String>,
}

/// A service as the gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The service's name.
    pub service: String,
    /// Its instances, usable or not.
    pub endpoints: Vec<Endpoint>,
    /// How long a request waits for a usable endpoint when there is none; absent: not at all.
    pub hold: Option<Duration>,
    /// Shown when no endpoint is usable: `zimmer-05 is backing off: exit code 3`.
    pub why_empty: String,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Instance id: `zimmer-05/1`.
    pub id: String,
    /// Counts the starts of this instance; a new run begins with a closed breaker and no connections.
    pub run: u64,
    /// Where it listens.
    pub address: Address,
    /// Healthy ones are used first, then degraded ones; unknown and offline ones never.
    pub state: HealthState,
    /// Its share of the requests beside the others of the same state, usually [`Endpoint::WEIGHT_DEFAULT`];
    /// 0 gets none. Shares finer than 1 in 100 are rounded.
    pub weight: u32,
}

impl Endpoint {
    /// The weight of an instance that nobody gave one.
    pub const WEIGHT_DEFAULT: u32 = 1;
}

/// Where an instance listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

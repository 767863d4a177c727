//! A house as one stage sees it: everything resolved, checked and with defaults filled in.

use crate::alert::{Alerting, Maintenance};
use crate::credential::Credential;
use crate::host::{Host, Network};
use crate::id::{CredentialName, HostName, HouseName, NetworkName, ServiceName, StageName};
use crate::route::HostRoutes;
use crate::service::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How the gateway listens and behaves where a route says nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Further tries of an idempotent request whose answer has not begun.
    pub retries: u32,
    /// Whether requests are logged.
    pub access_log: bool,
    /// How long a request waits while a `rollout: hold` service changes.
    pub hold: Duration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            timeout: Duration::from_secs(30),
            retries: 2,
            access_log: true,
            hold: Duration::from_secs(10),
        }
    }
}

/// Who may ask the API without a token. Acts and secret values always need one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anonymous {
    /// Names, addresses and health of services may be read.
    #[default]
    Registry,
    /// Only `/health` and `/ready` answer.
    None,
}

/// Whose bodies the API's log has of calls through `/api/gateway/proxy`, cleaned and cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogBodies {
    /// Nobody's, whatever a caller asks for.
    #[default]
    Never,
    /// Of callers who ask for it in their request.
    Asked,
    /// Everybody's, but of callers who ask to be left out.
    Always,
}

/// How the API behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiSettings {
    /// What is answered without a token.
    pub anonymous: Anonymous,
    /// How often an instance that registered by itself is to report.
    pub heartbeat: Duration,
    /// Days for which the audit trail is kept; none keeps all of it.
    pub trail_days: Option<u32>,
    /// Days for which the history of health is kept.
    pub history_days: u32,
    /// Whose bodies are logged.
    #[serde(default)]
    pub log_bodies: LogBodies,
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings {
            anonymous: Anonymous::Registry,
            heartbeat: Duration::from_secs(30),
            trail_days: None,
            history_days: 30,
            log_bodies: LogBodies::Never,
        }
    }
}

/// Everything in one plan, for one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct House {
    /// Its name.
    pub name: HouseName,
    /// One line for people.
    pub title: Option<String>,
    /// The stage that this is.
    pub stage: StageName,
    /// The name below which routes live by default.
    pub domain: String,
    /// The gateway.
    pub gateway: GatewaySettings,
    /// Services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Routes by host name.
    pub routes: BTreeMap<String, HostRoutes>,
    /// Credentials by name.
    pub credentials: BTreeMap<CredentialName, Credential>,
    /// The API.
    pub api: ApiSettings,
    /// Who is told what.
    pub alerts: Alerting,
    /// Times in which nobody is told.
    pub maintenance: Vec<Maintenance>,
    /// Hosts by name; empty when everything runs on the machine in front of you.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, Host>,
    /// Networks between hosts by name.
    #[serde(default)]
    pub networks: BTreeMap<NetworkName, Network>,
}

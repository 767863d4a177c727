//! A house as one stage sees it: everything resolved, checked and with defaults filled in.

use crate::id::{CredentialName, HouseName, ServiceName, StageName};
use crate::route::HostRoutes;
use crate::service::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the value of a credential comes from until the vault keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialSource {
    /// Made at first start with this many characters.
    Generated {
        /// Characters of the base64url alphabet, 6 bits each.
        length: u32,
    },
    /// Read from a file that the user keeps.
    File {
        /// Absolute or relative to where the plan was read from.
        path: PathBuf,
    },
}

/// A credential by name. The plan never holds its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    pub name: CredentialName,
    /// Where the value comes from.
    pub source: CredentialSource,
    /// Services that may have it; those that name it when the plan gives no scope.
    pub scope: Vec<ServiceName>,
    /// Days between rotations; none means never.
    pub rotate_days: Option<u32>,
    /// Why it is as it is.
    pub reason: Option<String>,
}

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
}

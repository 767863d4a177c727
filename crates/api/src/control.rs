//! What the command line asks over the control socket, and the answers.

use haus_model::{CredentialName, Finding, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Path of the whole state of the house.
pub const STATUS: &str = "/control/status";
/// Path of the events.
pub const EVENTS: &str = "/control/events";
/// Path of a restart.
pub const RESTART: &str = "/control/restart";
/// Path of a reload.
pub const RELOAD: &str = "/control/reload";
/// Path of the end.
pub const DOWN: &str = "/control/down";

/// Path of what `haus apply` may bring to hosts.
pub const DEPLOYABLE: &str = "/control/deploy/credentials";
/// Path of one value for a host; its body is a [`haus_model::resource::SecretVersion`].
pub const DEPLOY_VALUE: &str = "/control/deploy/value";

/// Answer of [`DEPLOYABLE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployable {
    /// The version that is served of each credential of the plan that has one.
    pub versions: BTreeMap<CredentialName, u64>,
    /// Why others have none, and what to do.
    pub lacking: BTreeMap<CredentialName, String>,
}

/// Answer of [`DEPLOY_VALUE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployValue {
    /// The value, in hexadecimal digits.
    pub value: Secret,
}

/// One event of the house's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one per event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// `change`, `spawn`, `exit`, `reload`, …
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The state before.
    pub from: Option<String>,
    /// The state after.
    pub to: Option<String>,
    /// Why.
    pub why: String,
}

/// Answer of [`EVENTS`], oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Ask with `after` = this for what follows.
    pub last_seq: u64,
}

/// Body of [`RESTART`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRequest {
    /// `SERVICE` or `SERVICE/1`.
    pub target: String,
    /// Who asks and why, for the events.
    pub why: String,
}

/// Answer of acts that need no more words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What is being done.
    pub message: String,
}

/// Answer of [`RELOAD`]: the difference that is being applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Services that are new.
    pub added: Vec<String>,
    /// Services that are gone.
    pub removed: Vec<String>,
    /// Services whose processes are replaced.
    pub restarted: Vec<String>,
    /// Services whose settings change while their processes stay.
    pub adjusted: Vec<String>,
    /// True when routes or gateway settings changed.
    pub routes_changed: bool,
    /// Changes that only a new `up` can take over.
    pub needs_up: Vec<String>,
    /// Findings of the new plan, warnings and notes.
    pub findings: Vec<Finding>,
}

impl Reloaded {
    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.restarted.is_empty()
            && self.adjusted.is_empty()
            && !self.routes_changed
            && self.needs_up.is_empty()
    }
}

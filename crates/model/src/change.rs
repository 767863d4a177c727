//! A plan of changes: ordered, complete, plain data. Whoever carries it out takes no decisions.

use crate::finding::Finding;
use crate::fingerprint::Fingerprint;
use crate::host::{Connect, Elevation};
use crate::id::{HostName, HouseName, ServiceName, StageName};
use crate::inventory::{State, fingerprint_of};
use crate::resource::{ResourceId, Spec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the format of a saved plan.
pub const CHANGE_SET_FORMAT: u32 = 1;

/// All changes of a house at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Version of this format.
    pub format: u32,
    /// The house.
    pub house: HouseName,
    /// Its stage.
    pub stage: StageName,
    /// What is to be done on each host.
    pub hosts: BTreeMap<HostName, HostPlan>,
    /// Hosts that may change at the same time, wave after wave, so that whoever is needed comes first.
    pub waves: Vec<Vec<HostName>>,
    /// Of everything above; a saved plan whose hash differs was changed by somebody.
    pub hash: Fingerprint,
}

/// What is to be done on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// How it is reached.
    pub connect: Connect,
    /// How root's rights are reached.
    pub elevation: Elevation,
    /// Of what was observed of the resources in this plan: an apply refuses when it differs then.
    pub observed: Fingerprint,
    /// In this order.
    pub changes: Vec<Change>,
    /// Resources that are as they should be.
    pub unchanged: u32,
    /// Why nothing may be changed here; empty when something may.
    pub blocked: Vec<Finding>,
    /// What is worth knowing.
    pub notes: Vec<Finding>,
    /// Ports of services, by `SERVICE/INSTANCE/NAME`, for the manifest.
    pub ports: BTreeMap<String, u16>,
    /// Hosts of earlier waves whose services those of this host need: when one of them failed, this one is
    /// not tried.
    #[serde(default)]
    pub needs: BTreeSet<HostName>,
}

impl HostPlan {
    /// What `observed` must be computed from: the states of the resources that change, absent when nobody saw
    /// them.
    pub fn fingerprint_in(&self, states: &BTreeMap<ResourceId, State>) -> Fingerprint {
        let touched = self
            .changes
            .iter()
            .map(|change| (&change.resource, states.get(&change.resource).unwrap_or(&State::Absent)));
        fingerprint_of(touched)
    }
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActKind {
    /// It is not there and is made.
    Create,
    /// It is there and becomes what it should be.
    Update,
    /// It is ours and no longer wanted.
    Remove,
    /// It was there before us and no longer wanted by the plan: only our note of it goes. A running unit that
    /// has read something of ours reads again what is left.
    Forget,
}

/// Whether the outcome of a change is known before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What will be there is exactly what the diff says.
    Known,
    /// It cannot be known; the text says why, such as "apt chooses the versions".
    Unknown(String),
}

/// Whether a change can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// What was there before comes back.
    Exact,
    /// Some of it; the text says what stays.
    Partial(String),
    /// Nothing; the text says why.
    None(String),
}

/// One line of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffLine {
    /// Is there on both sides; only a few around changes are given.
    Same(String),
    /// Goes.
    Gone(String),
    /// Comes.
    New(String),
    /// Lines that are left out here.
    Skipped(u32),
}

/// One act on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its place on this host, from 1.
    pub number: u32,
    /// What is changed.
    pub resource: ResourceId,
    /// What happens to it.
    pub act: ActKind,
    /// What must be true afterwards; for a removal what is there by our manifest.
    pub spec: Spec,
    /// What was observed. It must still be so when the change is carried out.
    pub before: State,
    /// The service that it is for.
    pub service: Option<ServiceName>,
    /// Why: the word of the plan, and what is not as it should be.
    pub why: String,
    /// Exactly what changes. Never a value of a secret.
    pub diff: Vec<DiffLine>,
    /// What is done on the host, in order.
    pub operations: Vec<Operation>,
    /// Whether the outcome is known.
    pub outcome: Outcome,
    /// Whether it can be taken back.
    pub undo: Undo,
    /// Whether the host takes it back by itself unless it is confirmed over a new connection.
    pub guarded: bool,
}

/// One thing that is done on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A program is run with these arguments, without a shell.
    Run(Vec<String>),
    /// `haus-remote` does it by itself; in words.
    Native(String),
}

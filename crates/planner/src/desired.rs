//! The desired side of a plan: what every host must have, as plain data.
//! How it was derived from the plan's words is `expand`'s business, what is there already is nobody's here.

use haus_model::host::{Architecture, Connect, Elevation, Firewall, Protocol, Sshd};
use haus_model::resource::{Resource, ResourceId};
use haus_model::{Finding, HostName, HouseName, StageName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What all hosts of a house must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The house.
    pub house: HouseName,
    /// Its stage.
    pub stage: StageName,
    /// By host.
    pub hosts: BTreeMap<HostName, DesiredHost>,
}

/// What one host must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredHost {
    /// How it is reached.
    pub connect: Connect,
    /// How root's rights are reached.
    pub elevation: Elevation,
    /// What it must run; anything when absent.
    pub os: Option<String>,
    /// What it must be; anything when absent.
    pub architecture: Option<Architecture>,
    /// What must be there, in the order of kinds and ids.
    pub resources: Vec<Resource>,
    /// What each unit, command and proof depends on. Its `inputs` are made from these once the host was
    /// observed; before that they say nothing.
    pub reads: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    /// Ports of services here, by `SERVICE/INSTANCE/NAME`.
    pub ports: BTreeMap<String, u16>,
    /// Where services of this host are going to listen.
    pub listens: Vec<Listening>,
    /// Hosts with services that those here need.
    pub needs: BTreeSet<HostName>,
    /// The packet filter, to see whether it locks us out.
    pub firewall: Option<Firewall>,
    /// The SSH server, to see whether it locks us out.
    pub sshd: Option<Sshd>,
    /// What could not be expanded. With one of these nothing is changed on the host.
    pub faults: Vec<Finding>,
}

/// A port on which something of ours is going to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address as the plan says; none means every one.
    pub address: Option<std::net::IpAddr>,
    /// The port.
    pub port: u16,
    /// The units that may hold it.
    pub units: BTreeSet<String>,
    /// What it is for, such as `service api`.
    pub subject: String,
}

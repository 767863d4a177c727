//! The nouns of a house: ids, units, time stamps, services, routes, credentials, alerts, findings.
//!
//! Every other crate meets in these types. This crate knows no protocol, no clock, no disk
//! and nothing asynchronous; a time stamp is always somebody's argument.

pub mod alert;
pub mod argv;
pub mod change;
pub mod credential;
pub mod deployment;
pub mod error;
pub mod finding;
pub mod fingerprint;
pub mod health;
pub mod host;
pub mod host_code;
pub mod host_path;
pub mod house;
pub mod id;
pub mod inventory;
pub mod json;
pub mod operation;
pub mod placement;
pub mod resource;
pub mod route;
pub mod scope;
pub mod secret;
pub mod service;
pub mod template;
pub mod time;
pub mod unit;

pub use credential::{Credential, CredentialKind, CredentialSource, Rotator};
pub use finding::{Finding, Place, Severity};
pub use fingerprint::Fingerprint;
pub use house::{GatewaySettings, House};
pub use id::{
    CredentialName, GroupName, HostName, HouseName, IdError, InstanceId, NetworkName, PortName, ServiceName,
    StageName,
};
pub use placement::{PlacedHost, PlacedInstance, Placements};
pub use scope::Scope;
pub use secret::Secret;
pub use time::Timestamp;

//! The nouns of a house: ids, units, time stamps, services, routes, findings.
//!
//! Every other crate meets in these types. This crate knows no protocol, no clock, no disk
//! and nothing asynchronous; a time stamp is always somebody's argument.

pub mod error;
pub mod finding;
pub mod health;
pub mod house;
pub mod id;
pub mod json;
pub mod route;
pub mod service;
pub mod template;
pub mod time;
pub mod unit;

pub use finding::{Finding, Place, Severity};
pub use house::{Credential, CredentialSource, GatewaySettings, House};
pub use id::{CredentialName, HouseName, IdError, InstanceId, PortName, ServiceName, StageName};
pub use time::Timestamp;

//! The calls, one module per part of the API.

mod alerts;
mod control;
mod credentials;
mod gateway;
mod health;
mod identity;
mod registry;
mod trail;
mod vault;

pub use control::EventsQuery;
pub use credentials::{CredentialChange, CredentialFilter};

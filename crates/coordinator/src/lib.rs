//! The composition root: joins the parent's line, the store, the gateway, probes and the pure
//! machines into the core of a running house.
//!
//! Knows no arguments and no terminal: who starts it passes [`Options`] and an [`Observer`].

mod accepted;
mod access_log;
mod addresses;
mod alarms;
mod anchor;
mod announcing;
mod answer;
mod api;
mod api_log;
mod beginning;
mod clock;
mod desk;
mod directory;
mod durable;
mod engine;
mod errands;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod gather;
mod guard;
mod http;
mod journal;
mod listen;
mod meters;
mod occupant;
mod offline_vault;
mod opening;
mod places;
mod placing;
mod plan;
mod ports;
pub mod progress;
mod random;
mod registrar;
mod rotating;
mod snapshot;
mod spawn;
mod start;
pub mod trail_verify;
mod trial;
mod vaulting;
mod whereabouts;

use haus_model::error::chain;

pub use offline_vault::{OfflineError, OfflineOptions, OfflineVault};
pub use places::Places;
pub use placing::PlacingError;
pub use progress::{Observer, Progress};
pub use start::{CoreError, Options, run};
pub use vaulting::{KeyPlace, KeysError};
pub use whereabouts::{PlacesError, Standpoint};

/// Whether we may give every service an account of its own.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

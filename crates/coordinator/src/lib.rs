//! The composition root: joins the parent's line, the store, the gateway, probes and the pure
//! machines into the core of a running house.
//!
//! Knows no arguments and no terminal: who starts it passes [`Options`] and an [`Observer`].

mod accepted;
mod access_log;
mod addresses;
mod answer;
mod beginning;
mod clock;
mod credentials;
mod durable;
mod engine;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod http;
mod journal;
mod listen;
mod occupant;
mod places;
mod plan;
mod ports;
pub mod progress;
mod snapshot;
mod spawn;
mod start;

use haus_model::error::chain;

pub use places::Places;
pub use progress::{Observer, Progress};
pub use start::{CoreError, Options, run};

/// Whether we may give every service an account of its own.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

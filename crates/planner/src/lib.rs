//! From a plan and what was observed to an ordered list of changes, and nothing but that.
//!
//! Two pure steps: [`expand()`] says what every host must have, piece by piece; [`plan()`] compares that with
//! what was observed and says what is to be done, in which order, why and with which outcome. Time, contents
//! of files, versions of credentials and observations are arguments. Not known here: disk, network, clock,
//! how something is done on a host, values of secrets, and how a plan is printed.

mod blob;
mod compare;
mod desired;
mod diff;
mod doors;
mod drift;
mod expand;
mod findings;
mod guarded;
mod hash;
mod inputs;
mod names;
mod order;
mod plan;
mod ports;
mod preflight;
mod removal;
mod resolve;
mod select;
mod waves;

pub use blob::{Blob, FileInput};
pub use desired::{Desired, DesiredHost, Listening};
pub use drift::{Cause, causes};
pub use expand::expand;
pub use expand::hardening::{DIRECTIVES, Directive};
pub use hash::{seal, verify_hash};
pub use inputs::{Inputs, Learned, Needed, needed};
pub use plan::{PlanSettings, is_partial, plan};
pub use select::Only;

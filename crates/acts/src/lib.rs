//! The host's side of an apply: observe, act, remember, take back. Synchronous, over the system's own
//! programs.
//!
//! Everything here runs on the host inside `haus-remote`; only the messages in [`wire`] and [`frame`] are
//! also used by who talks to it. It takes no decisions: what is to be done comes as changes, and how each is
//! done stands in `haus_model::operation`. It knows no plan file, no network beyond health questions, no TLS
//! and no database.

mod account;
mod act;
pub mod deadman;
mod die;
mod disk;
pub mod frame;
mod journal;
pub mod machine;
mod observe;
mod refusal;
mod run;
mod satisfied;
pub mod serve;
pub mod wire;
